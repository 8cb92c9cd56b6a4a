//! What a retry tells the world.

use crate::kernel::instant::Instant;
use std::fmt;
use std::time::Duration;

/// One fact about a retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryEvent {
    /// Counts the facts that this retry told, from 1: a gap tells a subscriber that it lost some.
    pub seq: u64,
    /// When, on the retry's clock.
    pub at: Instant,
    /// What.
    pub kind: RetryEventKind,
}

/// What happened. Facts about single calls are told only while somebody subscribes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RetryEventKind {
    /// A call will be attempted again.
    Retrying {
        /// The number of the attempt to come.
        attempt: u32,
        /// How long the call waits for it.
        wait: Duration,
    },
    /// A call ended with a result that called for another attempt.
    GaveUp {
        /// How many there were.
        attempts: u32,
        /// Why there was no other.
        reason: StopReason,
    },
    /// The budget refused a retry, for the first time since it last had one to give.
    BudgetEmpty,
    /// The budget gave a retry again, and had refused none for a second.
    BudgetRecovered,
    /// Calls are refused from now on (`true`), or no longer.
    Isolated(bool),
    /// The budget was cleared by hand.
    Reset,
    /// A new configuration is in force.
    Reconfigured,
}

/// Why a result that called for another attempt was final all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StopReason {
    /// There were as many attempts, or waits, as allowed.
    Exhausted,
    /// The callee asked not to be called again, or not before `max_hint`.
    HintStop,
    /// The request has no copy.
    NotRepeatable,
    /// The wait would have reached the deadline.
    Deadline,
    /// The budget was empty.
    BudgetEmpty,
    /// The clock needs a tokio runtime with timers to wait, and there is none here.
    NoTimer,
}

impl StopReason {
    /// All of them, in the order in which metrics list them.
    pub const ALL: [Self; 6] = [
        Self::Exhausted,
        Self::HintStop,
        Self::NotRepeatable,
        Self::Deadline,
        Self::BudgetEmpty,
        Self::NoTimer,
    ];

    /// In `snake_case`, as in metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exhausted => "exhausted",
            Self::HintStop => "hint_stop",
            Self::NotRepeatable => "not_repeatable",
            Self::Deadline => "deadline",
            Self::BudgetEmpty => "budget_empty",
            Self::NoTimer => "no_timer",
        }
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
