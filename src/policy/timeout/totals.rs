//! What a timeout has counted since it was made.

use super::machine::Machine;
use std::sync::{Arc, OnceLock};

/// The striped counters, by index.
#[derive(Clone, Copy)]
pub(super) enum Counter {
    Armed = 0,
    TimedOut = 1,
    RejectedForcedOpen = 2,
    RejectedNoRuntime = 3,
}

impl Counter {
    pub(super) const ALL: usize = 4;
}

/// Counts since the timeout was made. None of them ever goes back.
///
/// A call that is ready at its first poll leaves no trace here: it costs nothing either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Totals {
    /// Calls that were pending at their first poll and got a timer, and deadlines handed out to
    /// blocking code; of a pipeline's total timeout also calls whose first attempt failed at once, and
    /// might have been tried again.
    pub armed: u64,
    /// Those of them that were still pending when their time was over.
    pub timed_out: u64,
    /// Rejected because the timeout was isolated.
    pub rejected_forced_open: u64,
    /// Rejected because there was no tokio runtime with timers.
    pub rejected_no_runtime: u64,
}

impl Totals {
    /// All calls that were rejected.
    pub const fn rejected(&self) -> u64 {
        self.timed_out
            .saturating_add(self.rejected_forced_open)
            .saturating_add(self.rejected_no_runtime)
    }
}

/// Where a timeout that is gone leaves its figures, for those who must not keep it alive.
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
            timed_out: sum(Counter::TimedOut),
            rejected_forced_open: sum(Counter::RejectedForcedOpen),
            rejected_no_runtime: sum(Counter::RejectedNoRuntime),
            armed: sum(Counter::Armed),
        }
    }
}
