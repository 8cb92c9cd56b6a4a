//! What is counted of the checks.

use crate::health::check::Ending;
use crate::kernel::histogram::{LatencyHistogram, LatencySnapshot};
use crate::kernel::sync::{AtomicU64, Ordering};
use std::time::Duration;

/// Results of each check by how they ended, and how long the runs of all took.
#[derive(Debug)]
pub(crate) struct Figures {
    endings: Box<[[AtomicU64; 5]]>,
    durations: LatencyHistogram,
}

impl Figures {
    pub(super) fn new(checks: usize) -> Self {
        Self {
            endings: (0..checks)
                .map(|_| std::array::from_fn(|_| AtomicU64::new(0)))
                .collect(),
            durations: LatencyHistogram::default(),
        }
    }

    pub(super) fn count(&self, check: usize, ending: Ending, took: Option<Duration>) {
        self.endings[check][ending as usize].fetch_add(1, Ordering::Relaxed);
        if let Some(took) = took {
            self.durations.record(took);
        }
    }

    pub(crate) fn ended(&self, check: usize, ending: Ending) -> u64 {
        self.endings[check][ending as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn durations(&self) -> LatencySnapshot {
        self.durations.snapshot()
    }
}
