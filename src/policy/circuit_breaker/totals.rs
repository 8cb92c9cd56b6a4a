//! What a breaker has counted since it was made.

use super::machine::Machine;
use crate::kernel::histogram::LatencySnapshot;
use crate::kernel::window::{CLASSES, Class};
use std::sync::{Arc, OnceLock};

/// The striped counters, by index. The first four are the classes of a recorded call.
#[derive(Clone, Copy)]
pub(super) enum Counter {
    Success = 0,
    Failure = 1,
    SlowSuccess = 2,
    SlowFailure = 3,
    Ignored = 4,
    Dropped = 5,
    Late = 6,
    RejectedOpen = 7,
    RejectedForcedOpen = 8,
    RejectedProbesFull = 9,
}

impl Counter {
    pub(super) const ALL: usize = 10;

    pub(super) fn of(class: Class) -> Self {
        match class {
            Class::Ok => Self::Success,
            Class::Failed => Self::Failure,
            Class::Slow => Self::SlowSuccess,
            Class::FailedSlow => Self::SlowFailure,
        }
    }
}

/// Counts since the breaker was made. None of them ever goes back, `reset()` included.
///
/// Each admitted call is in exactly one of `success`, `failure`, `ignored`, `dropped` and `late`;
/// each rejected one in one of the `rejected_*`. While the breaker is disabled nothing is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Totals {
    /// Succeeded. Not counted with [`totals(false)`](super::CircuitBreakerConfig::totals) and a
    /// count window.
    pub success: u64,
    /// Failed; panics are among them.
    pub failure: u64,
    /// Those of the two above that were slow.
    pub slow: u64,
    /// Finished, and said nothing about the callee.
    pub ignored: u64,
    /// Dropped before they finished.
    pub dropped: u64,
    /// Finished after the state they were admitted in had passed, and changed nothing.
    pub late: u64,
    /// Rejected because the circuit was open.
    pub rejected_open: u64,
    /// Rejected because the circuit was held open.
    pub rejected_forced_open: u64,
    /// Rejected because the half-open circuit had all its probes.
    pub rejected_probes_full: u64,
}

impl Totals {
    /// All calls that were admitted and have ended.
    pub const fn admitted(&self) -> u64 {
        self.success
            .saturating_add(self.failure)
            .saturating_add(self.ignored)
            .saturating_add(self.dropped)
            .saturating_add(self.late)
    }

    /// All calls that were rejected.
    pub const fn rejected(&self) -> u64 {
        self.rejected_open
            .saturating_add(self.rejected_forced_open)
            .saturating_add(self.rejected_probes_full)
    }

    pub(super) fn add(&mut self, other: &Self) {
        let add = |to: &mut u64, more: u64| *to = to.saturating_add(more);
        add(&mut self.success, other.success);
        add(&mut self.failure, other.failure);
        add(&mut self.slow, other.slow);
        add(&mut self.ignored, other.ignored);
        add(&mut self.dropped, other.dropped);
        add(&mut self.late, other.late);
        add(&mut self.rejected_open, other.rejected_open);
        add(&mut self.rejected_forced_open, other.rejected_forced_open);
        add(&mut self.rejected_probes_full, other.rejected_probes_full);
    }
}

/// Where a breaker that is gone leaves its figures, for those who must not keep it alive.
pub(crate) type LastWords = Arc<OnceLock<Farewell>>;

/// The figures of a breaker that is gone.
#[derive(Debug)]
pub(crate) struct Farewell {
    pub(crate) totals: Totals,
    pub(crate) durations: Option<LatencySnapshot>,
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(last_words) = self.last_words.get() {
            let farewell = Farewell {
                totals: self.read_totals(),
                durations: self.read_durations(),
            };
            // Nobody else fills it, and nobody does so twice.
            let _ = last_words.set(farewell);
        }
    }
}

impl Machine {
    pub(super) fn read_durations(&self) -> Option<LatencySnapshot> {
        self.durations.get().map(|durations| durations.snapshot())
    }

    pub(super) fn read_totals(&self) -> Totals {
        let mut classes = CLASSES.map(|class| self.totals.sum(Counter::of(class) as usize));
        let under_lock = self.locked(|locked| locked.control.successes);
        classes[Class::Ok as usize] = classes[Class::Ok as usize].saturating_add(under_lock);
        for window in self.front.windows.iter() {
            for (total, more) in classes.iter_mut().zip(window.totals()) {
                *total = total.saturating_add(more);
            }
        }
        let [success, failure, slow_success, slow_failure] = classes;
        let sum = |counter: Counter| self.totals.sum(counter as usize);
        Totals {
            success: success.saturating_add(slow_success),
            failure: failure.saturating_add(slow_failure),
            slow: slow_success.saturating_add(slow_failure),
            ignored: sum(Counter::Ignored),
            dropped: sum(Counter::Dropped),
            late: sum(Counter::Late),
            rejected_open: sum(Counter::RejectedOpen),
            rejected_forced_open: sum(Counter::RejectedForcedOpen),
            rejected_probes_full: sum(Counter::RejectedProbesFull),
        }
    }
}
