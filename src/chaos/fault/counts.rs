//! What an injector has counted since it was made.

use crate::kernel::sync::{AtomicU64, Ordering};

/// How many calls were hit, by what happened to them. A call that was delayed and then failed is
/// in two of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct FaultCounts {
    /// Delayed, once for all latencies that hit.
    pub latency: u64,
    /// Ended with the injected error.
    pub error: u64,
    /// Hung.
    pub hang: u64,
    /// Panicked.
    pub panic: u64,
    /// Latencies and hangs that did not happen, because there was no timer for them here.
    pub skipped: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) latency: AtomicU64,
    pub(super) error: AtomicU64,
    pub(super) hang: AtomicU64,
    pub(super) panic: AtomicU64,
    pub(super) skipped: AtomicU64,
}

pub(super) fn bump(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counters {
    pub(super) fn read(&self) -> FaultCounts {
        FaultCounts {
            latency: self.latency.load(Ordering::Relaxed),
            error: self.error.load(Ordering::Relaxed),
            hang: self.hang.load(Ordering::Relaxed),
            panic: self.panic.load(Ordering::Relaxed),
            skipped: self.skipped.load(Ordering::Relaxed),
        }
    }
}
