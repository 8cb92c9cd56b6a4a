//! What a retry has counted since it was made.

use super::event::StopReason;
use super::machine::Machine;
use std::sync::{Arc, OnceLock};

/// The striped counters, by index.
#[derive(Clone, Copy, Debug)]
pub(super) enum Counter {
    /// Calls that succeeded at their first attempt, unless the budget counts them.
    Success = 0,
    SuccessAfterRetry = 1,
    Failed = 2,
    Exhausted = 3,
    HintStop = 4,
    NotRepeatable = 5,
    Deadline = 6,
    BudgetEmpty = 7,
    NoTimer = 8,
    Dropped = 9,
    Panicked = 10,
    Rejected = 11,
    /// First attempts that are over, but those that were successes.
    FirstAttempt = 12,
    Retry = 13,
}

impl Counter {
    pub(super) const ALL: usize = 14;

    pub(super) const fn of(reason: StopReason) -> Self {
        match reason {
            StopReason::Exhausted => Self::Exhausted,
            StopReason::HintStop => Self::HintStop,
            StopReason::NotRepeatable => Self::NotRepeatable,
            StopReason::Deadline => Self::Deadline,
            StopReason::BudgetEmpty => Self::BudgetEmpty,
            StopReason::NoTimer => Self::NoTimer,
        }
    }
}

/// Counts since the retry was made. None of them ever goes back, `reset()` included.
///
/// Each call that has ended is in exactly one of `success`, `success_after_retry`, `failed`,
/// `exhausted`, `hint_stop`, `not_repeatable`, `deadline`, `budget_empty`, `no_timer`, `dropped` and
/// `panicked`; each that was refused in `rejected`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct RetryTotals {
    /// Attempts: the first ones that are over, and all retries that were begun.
    pub attempts: u64,
    /// Attempts but the first.
    pub retries: u64,
    /// Calls that succeeded at once.
    pub success: u64,
    /// Calls that succeeded, and not at once.
    pub success_after_retry: u64,
    /// Calls that ended with an error that is not tried again.
    pub failed: u64,
    /// Calls that used up their attempts, or their waits.
    pub exhausted: u64,
    /// Calls that a hint ended.
    pub hint_stop: u64,
    /// Calls whose request has no copy.
    pub not_repeatable: u64,
    /// Calls whose next wait would have reached the deadline.
    pub deadline: u64,
    /// Calls whose retry the budget refused.
    pub budget_empty: u64,
    /// Calls that could not wait, for lack of a runtime with timers.
    pub no_timer: u64,
    /// Calls dropped before they ended.
    pub dropped: u64,
    /// Calls that ended with a panic.
    pub panicked: u64,
    /// Calls refused while the retry was isolated.
    pub rejected: u64,
}

impl RetryTotals {
    /// All calls that have ended, but the refused ones.
    pub const fn calls(&self) -> u64 {
        self.success
            .saturating_add(self.success_after_retry)
            .saturating_add(self.failures())
            .saturating_add(self.dropped)
    }

    /// Those of them that failed, for whatever reason; panics are among them.
    pub const fn failures(&self) -> u64 {
        self.failed
            .saturating_add(self.exhausted)
            .saturating_add(self.hint_stop)
            .saturating_add(self.not_repeatable)
            .saturating_add(self.deadline)
            .saturating_add(self.budget_empty)
            .saturating_add(self.no_timer)
            .saturating_add(self.panicked)
    }

    /// Calls that ended for this reason although their result called for another attempt.
    pub const fn stopped(&self, reason: StopReason) -> u64 {
        match reason {
            StopReason::Exhausted => self.exhausted,
            StopReason::HintStop => self.hint_stop,
            StopReason::NotRepeatable => self.not_repeatable,
            StopReason::Deadline => self.deadline,
            StopReason::BudgetEmpty => self.budget_empty,
            StopReason::NoTimer => self.no_timer,
        }
    }
}

/// Where a retry that is gone leaves its figures, for those who must not keep it alive.
pub(crate) type LastWords = Arc<OnceLock<RetryTotals>>;

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(last_words) = self.last_words.get() {
            // Nobody else fills it, and nobody does so twice.
            let _ = last_words.set(self.read_totals());
        }
    }
}

impl Machine {
    pub(super) fn read_totals(&self) -> RetryTotals {
        let sum = |counter: Counter| self.totals.sum(counter as usize);
        let counted_by_budgets = self.own_budgets().map(|budget| budget.good());
        let success = counted_by_budgets.fold(sum(Counter::Success), u64::saturating_add);
        let retries = sum(Counter::Retry);
        RetryTotals {
            attempts: success
                .saturating_add(sum(Counter::FirstAttempt))
                .saturating_add(retries),
            retries,
            success,
            success_after_retry: sum(Counter::SuccessAfterRetry),
            failed: sum(Counter::Failed),
            exhausted: sum(Counter::Exhausted),
            hint_stop: sum(Counter::HintStop),
            not_repeatable: sum(Counter::NotRepeatable),
            deadline: sum(Counter::Deadline),
            budget_empty: sum(Counter::BudgetEmpty),
            no_timer: sum(Counter::NoTimer),
            dropped: sum(Counter::Dropped),
            panicked: sum(Counter::Panicked),
            rejected: sum(Counter::Rejected),
        }
    }
}
