//! What is published of a tree of health checks.

use super::exporter::Exported;
use super::exporter::sealed::{Sealed, Source};
use super::meters::{Level, Spread, Tally};
use crate::health::check::Ending;
use crate::health::tree::{Figures, HealthTree, WeakHealthTree};
use crate::observe::names::{HEALTH_CHECK_DURATION, HEALTH_CHECKS, HEALTH_STATUS};
use std::sync::Arc;

impl Exported for HealthTree {}

impl Sealed for HealthTree {
    fn sources(&self) -> Vec<Box<dyn Source>> {
        let snapshot = self.snapshot();
        let components = snapshot.components().iter();
        let status = |name: &str| Level::new(HEALTH_STATUS.series([name]));
        vec![Box::new(Told {
            tree: self.downgrade(),
            figures: self.figures(),
            levels: components.map(|one| status(one.name.as_str())).collect(),
            tallies: self.labels().iter().map(|label| tallies(label)).collect(),
            durations: Spread::new(HEALTH_CHECK_DURATION.series([snapshot.name().as_str()])),
        })]
    }
}

fn tallies(label: &str) -> [Tally; 5] {
    Ending::ALL.map(|ending| Tally::new(HEALTH_CHECKS.series([label, ending.as_str()])))
}

struct Told {
    tree: WeakHealthTree,
    figures: Arc<Figures>,
    /// One for each component.
    levels: Vec<Level>,
    /// Those of each check.
    tallies: Vec<[Tally; 5]>,
    durations: Spread,
}

impl Told {
    fn tell(&mut self) {
        for (check, tallies) in self.tallies.iter_mut().enumerate() {
            for (tally, ending) in tallies.iter_mut().zip(Ending::ALL) {
                tally.tell_if_any(self.figures.ended(check, ending));
            }
        }
        self.durations.tell(&self.figures.durations());
    }
}

impl Source for Told {
    fn id(&self) -> usize {
        Arc::as_ptr(&self.figures).addr()
    }

    fn publish(&mut self) {
        let Some(tree) = self.tree.upgrade() else {
            return;
        };
        let statuses = tree.statuses();
        drop(tree);
        for (level, status) in self.levels.iter_mut().zip(statuses) {
            level.set(f64::from(status.code()));
        }
        self.tell();
    }

    fn bury(&mut self) -> bool {
        if self.tree.upgrade().is_some() {
            return false;
        }
        self.tell();
        self.levels.iter().for_each(Level::clear);
        true
    }
}
