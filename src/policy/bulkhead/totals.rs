//! What a bulkhead has counted, and how it stands.

use super::machine::Machine;
use super::word::{ISOLATED, SATURATED};
use crate::kernel::sync::Ordering;
use std::sync::{Arc, OnceLock};

/// The striped counters, by index.
#[derive(Clone, Copy)]
pub(super) enum Counter {
    Finished = 0,
    Waited = 1,
    Cancelled = 2,
    RefusedFull = 3,
    RefusedWaitOver = 4,
    RefusedForcedOpen = 5,
    RefusedNoRuntime = 6,
}

impl Counter {
    pub(super) const ALL: usize = 7;
}

/// Counts since the bulkhead was made. None of them ever goes back, `reset()` included.
///
/// Each call that asked for a slot is in exactly one of `finished`, `cancelled` and the
/// `refused_*`, or it still runs or waits. While calls come and go on other threads, the counters are
/// read one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Totals {
    /// Had a slot and gave it back. Not counted with
    /// [`totals(false)`](super::BulkheadConfig::totals).
    pub finished: u64,
    /// Had to wait for their slot, and got it.
    pub waited: u64,
    /// Were dropped while they waited.
    pub cancelled: u64,
    /// Refused at once: no slot, and no room to wait.
    pub refused_full: u64,
    /// Refused because their wait was over.
    pub refused_wait_over: u64,
    /// Refused because the bulkhead was isolated.
    pub refused_forced_open: u64,
    /// Refused because they had to wait, and the clock has no timers here.
    pub refused_no_runtime: u64,
}

impl Totals {
    /// All calls that were refused.
    pub const fn refused(&self) -> u64 {
        self.refused_full
            .saturating_add(self.refused_wait_over)
            .saturating_add(self.refused_forced_open)
            .saturating_add(self.refused_no_runtime)
    }
}

/// How a bulkhead stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BulkheadSnapshot {
    /// Calls that hold a slot. After a shrinking resize they may be more than the limit.
    pub in_flight: u32,
    /// Calls that wait for one.
    pub waiting: u32,
    /// The limit.
    pub limit: u32,
    /// The most calls that held a slot at once, since it was made or [`reset`](super::Bulkhead::reset).
    pub peak: u32,
    /// Calls were refused for want of a slot within the last second.
    pub is_saturated: bool,
    /// Everything is refused.
    pub is_isolated: bool,
}

impl BulkheadSnapshot {
    /// The state in `snake_case`: `isolated`, `saturated` or `available`.
    pub const fn state(&self) -> &'static str {
        match (self.is_isolated, self.is_saturated) {
            (true, _) => "isolated",
            (false, true) => "saturated",
            (false, false) => "available",
        }
    }
}

/// Where a bulkhead that is gone leaves its figures, for those who must not keep it alive.
pub(crate) type LastWords = Arc<OnceLock<Totals>>;

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(last_words) = self.last_words.get() {
            // Nobody else fills it, and nobody does so twice.
            let _ = last_words.set(self.read_totals());
        }
    }
}

impl Machine {
    pub(super) fn read_totals(&self) -> Totals {
        let sum = |counter: Counter| self.totals.sum(counter as usize);
        Totals {
            finished: sum(Counter::Finished),
            waited: sum(Counter::Waited),
            cancelled: sum(Counter::Cancelled),
            refused_full: sum(Counter::RefusedFull),
            refused_wait_over: sum(Counter::RefusedWaitOver),
            refused_forced_open: sum(Counter::RefusedForcedOpen),
            refused_no_runtime: sum(Counter::RefusedNoRuntime),
        }
    }

    /// How it stands; draws the conclusion of a second without refusals.
    pub(super) fn read_snapshot(&self) -> BulkheadSnapshot {
        self.locked(|locked| {
            locked.relieve_if_due();
            let word = locked.word();
            BulkheadSnapshot {
                in_flight: word.in_flight(),
                waiting: locked.waiting(),
                limit: word.limit(),
                peak: self.front.peak.load(Ordering::Relaxed),
                is_saturated: word.has(SATURATED),
                is_isolated: word.has(ISOLATED),
            }
        })
    }
}
