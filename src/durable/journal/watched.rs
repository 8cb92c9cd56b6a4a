//! A journal as those see it who publish its figures.

use super::engine::Engine;
use super::figures::{Figures, Totals};
use super::handle::Journal;
use super::refusal::AppendError;
use crate::kernel::histogram::LatencySnapshot;
use std::sync::{Arc, Weak};

/// A way to a journal's figures that does not keep it open.
#[derive(Debug)]
pub(crate) struct Watched {
    figures: Arc<Figures>,
    engine: Weak<Engine>,
}

impl Journal {
    pub(crate) fn watched(&self) -> Watched {
        let core = self.core();
        Watched {
            figures: Arc::clone(&core.site.figures),
            engine: Arc::downgrade(&core.0),
        }
    }

    /// The last part of its directory's path, under which its figures are published.
    pub(crate) fn label(&self) -> String {
        let dir = &self.core().site.dir;
        let name = dir.file_name().unwrap_or(dir.as_os_str());
        name.to_string_lossy().into_owned()
    }
}

impl Watched {
    /// Tells journals apart for as long as this is there.
    pub(crate) fn id(&self) -> usize {
        Arc::as_ptr(&self.figures).addr()
    }

    /// Nothing more will be counted.
    pub(crate) fn is_gone(&self) -> bool {
        self.engine.strong_count() == 0
    }

    pub(crate) fn totals(&self) -> Totals {
        self.figures.read()
    }

    pub(crate) fn sync_times(&self) -> LatencySnapshot {
        self.figures.sync_times()
    }

    /// Whether it is poisoned, and how many segments it has; `None` if it is gone.
    pub(crate) fn health(&self) -> Option<(bool, usize)> {
        let engine = self.engine.upgrade()?;
        let is_poisoned = matches!(
            engine.queue.lock().refusal(),
            Some(AppendError::Poisoned(_))
        );
        let (_, segments) = engine.site.extent();
        Some((is_poisoned, segments))
    }
}
