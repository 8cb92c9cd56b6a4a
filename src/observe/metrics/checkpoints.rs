//! What is published of checkpoints.

use super::exporter::Exported;
use super::exporter::sealed::{Sealed, Source};
use super::meters::{Level, Spread};
use crate::durable::snapshot::{Checkpoints, Watched};
use crate::kernel::clock::Clock;
use crate::observe::names::{CHECKPOINT_AGE, CHECKPOINT_SAVE};
use std::sync::Arc;

impl<S, C> Exported for Checkpoints<S, C> {}

impl<S, C> Sealed for Checkpoints<S, C> {
    fn sources(&self) -> Vec<Box<dyn Source>> {
        vec![Box::new(Told {
            watched: self.watched(),
            clock: self.clock().clone(),
            age: Level::new(CHECKPOINT_AGE.series([self.key()])),
            saves: Spread::new(CHECKPOINT_SAVE.series([self.key()])),
        })]
    }
}

struct Told {
    watched: Watched,
    clock: Clock,
    age: Level,
    saves: Spread,
}

impl Source for Told {
    fn id(&self) -> usize {
        Arc::as_ptr(&self.watched.figures).addr()
    }

    fn publish(&mut self) {
        let figures = &self.watched.figures;
        if let Some(age) = figures.age(self.clock.wall()) {
            self.age.set(age.as_secs_f64());
        }
        self.saves.tell(&figures.saves());
    }

    fn bury(&mut self) -> bool {
        if !self.watched.is_gone() {
            return false;
        }
        self.age.clear();
        self.saves.tell(&self.watched.figures.saves());
        true
    }
}
