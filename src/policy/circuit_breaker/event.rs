//! What a circuit breaker tells the world.

use crate::kernel::instant::Instant;
use crate::kernel::window::Counts;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The state of a circuit, and the modes that stand in for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum State {
    /// Calls go through and are recorded.
    Closed,
    /// Calls are rejected until the wait is over.
    Open,
    /// A few calls go through as probes.
    HalfOpen,
    /// Rejects everything until it is released.
    ForcedOpen,
    /// Lets everything through and records nothing.
    Disabled,
    /// Records, tells when it would have opened, and rejects nothing.
    MetricsOnly,
}

impl State {
    /// All of them, in the order in which metrics list them.
    pub const ALL: [Self; 6] = [
        Self::Closed,
        Self::Open,
        Self::HalfOpen,
        Self::ForcedOpen,
        Self::Disabled,
        Self::MetricsOnly,
    ];

    /// In `snake_case`, as in metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
            Self::ForcedOpen => "forced_open",
            Self::Disabled => "disabled",
            Self::MetricsOnly => "metrics_only",
        }
    }

    /// States that admit without asking come first.
    pub(super) const fn code(self) -> u64 {
        match self {
            Self::Closed => 0,
            Self::Disabled => 1,
            Self::MetricsOnly => 2,
            Self::Open => 3,
            Self::HalfOpen => 4,
            Self::ForcedOpen => 5,
        }
    }

    pub(super) const fn from_code(code: u64) -> Self {
        match code {
            0 => Self::Closed,
            1 => Self::Disabled,
            2 => Self::MetricsOnly,
            3 => Self::Open,
            4 => Self::HalfOpen,
            _ => Self::ForcedOpen,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One fact about a circuit breaker.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CircuitBreakerEvent {
    /// Counts the facts of this breaker, from 1: a gap tells a subscriber that it lost some.
    pub seq: u64,
    /// When, on the breaker's clock.
    pub at: Instant,
    /// What.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum EventKind {
    /// The state changed.
    StateChanged {
        /// The state before.
        from: State,
        /// The state now.
        to: State,
        /// Why.
        reason: Reason,
        /// How long the circuit will stay open, if it opened.
        wait: Option<Duration>,
    },
    /// In metrics-only mode: it would have opened. Told once per crossing of a threshold.
    WouldHaveOpened {
        /// Why.
        reason: Reason,
    },
    /// A probe was silent for too long and counts as failed.
    ProbeWrittenOff,
    /// Everything was cleared by hand.
    Reset,
    /// A new configuration is in force.
    Reconfigured,
}

/// Why a state changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Too many failed calls in the window.
    FailureRate(Counts),
    /// Too many slow calls in the window.
    SlowRate(Counts),
    /// This many failures in a row.
    Consecutive(u32),
    /// Too many probes failed or were slow.
    ProbesFailed(Counts),
    /// The probes were good.
    ProbesPassed(Counts),
    /// The wait of the open circuit is over.
    WaitOver,
    /// The circuit was half-open for longer than its limit.
    HalfOpenLimit,
    /// By hand: a transition, a mode, an isolation, a restored snapshot.
    ByHand,
}

impl Reason {
    /// In `snake_case`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FailureRate(_) => "failure_rate",
            Self::SlowRate(_) => "slow_rate",
            Self::Consecutive(_) => "consecutive",
            Self::ProbesFailed(_) => "probes_failed",
            Self::ProbesPassed(_) => "probes_passed",
            Self::WaitOver => "wait_over",
            Self::HalfOpenLimit => "half_open_limit",
            Self::ByHand => "by_hand",
        }
    }
}

/// The window that opened the circuit, as it was then.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Trip {
    /// When, on the breaker's clock.
    pub at: Instant,
    /// Why.
    pub reason: Reason,
    /// What the window counted.
    pub counts: Counts,
    /// The error of the call that tipped it, where a classifier handed one over.
    pub cause: Option<Arc<dyn Error + Send + Sync>>,
}
