//! What a report is, and what it comes to.

use super::event::Notice;
use super::landing::{Landing, Seat};
use super::record::Rung;
use crate::kernel::name::Name;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

/// Somebody says that a component failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub(crate) component: Name,
    pub(crate) fault: Name,
    pub(crate) incarnation: Option<u64>,
    pub(crate) reporter: Name,
}

impl Report {
    /// `component` failed in the way that `fault` names. The fault is a key of few values (`"oom"`,
    /// `"no_reply"`): three cures of the same one within an hour make the next attempt wider.
    pub fn new(component: impl Into<Name>, fault: impl Into<Name>) -> Self {
        Self {
            component: component.into(),
            fault: fault.into(),
            incarnation: None,
            reporter: Name::from("unnamed"),
        }
    }

    /// Which incarnation failed, as far as the reporter saw: a report about one that is gone changes
    /// nothing. Without it, the report is about whichever runs.
    pub const fn seen(mut self, incarnation: u64) -> Self {
        self.incarnation = Some(incarnation);
        self
    }

    /// Who says so; for the record.
    pub fn by(mut self, reporter: impl Into<Name>) -> Self {
        self.reporter = reporter.into();
        self
    }
}

/// What a report, or a reboot by hand, came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RebootOutcome {
    /// The component was started again and verified.
    Cured {
        /// By a reboot this wide.
        rung: Rung,
        /// The incarnation that runs now.
        incarnation: u64,
    },
    /// The report was about an incarnation that is gone. Nothing was done.
    Stale {
        /// The incarnation that there is.
        current: u64,
    },
    /// Nothing was done.
    Refused(Refusal),
    /// A reboot that does not escalate (one by hand) failed.
    Failed,
    /// Everything that may be tried was, or may not be now: a human was told.
    HandedOver(Arc<Notice>),
    /// The process was told to end. The episode goes on in the next one.
    Exiting,
    /// The runtime went away before it was over, or the supervisor was being shut down.
    Abandoned,
}

impl RebootOutcome {
    /// Whether the component is well now, as far as is known.
    pub const fn is_cured(&self) -> bool {
        matches!(self, Self::Cured { .. })
    }

    /// In `snake_case`, without the facts: as in a label.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Cured { .. } => "cured",
            Self::Stale { .. } => "stale",
            Self::Refused(_) => "refused",
            Self::Failed => "failed",
            Self::HandedOver(_) => "handed_over",
            Self::Exiting => "exiting",
            Self::Abandoned => "abandoned",
        }
    }
}

/// Why nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no such component.
    UnknownComponent,
    /// The component was rebooted as often as it may be, and no wider rung is left. A human was told,
    /// once.
    Capped {
        /// When it may be rebooted again.
        next_slot: SystemTime,
    },
    /// A human was told, and has not acknowledged.
    Held,
    /// The process was told to end.
    Exiting,
}

impl Refusal {
    /// In `snake_case`, as in a label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnknownComponent => "unknown_component",
            Self::Capped { .. } => "capped",
            Self::Held => "held",
            Self::Exiting => "exiting",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownComponent => "there is no such component",
            Self::Capped { .. } => "it was rebooted as often as it may be",
            Self::Held => "a human was told, and has not acknowledged",
            Self::Exiting => "the process was told to end",
        })
    }
}

/// The outcome of a report, to come: all reporters of one reboot get the same.
///
/// # Cancel safety
///
/// The reboot goes on whether or not anybody waits for it, so who only reports lets go of this.
#[derive(Debug)]
pub struct Reported {
    seat: Seat<RebootOutcome>,
    episode: Option<u64>,
}

impl Reported {
    pub(crate) const fn waiting(landing: Arc<Landing<RebootOutcome>>, episode: u64) -> Self {
        Self {
            seat: Seat::new(landing),
            episode: Some(episode),
        }
    }

    pub(crate) fn at_once(outcome: RebootOutcome) -> Self {
        let landing = Landing::new();
        landing.land(outcome);
        Self {
            seat: Seat::new(landing),
            episode: None,
        }
    }

    /// The number of the escalation that answers it, as in its records; `None` if none does.
    pub const fn episode(&self) -> Option<u64> {
        self.episode
    }
}

impl Future for Reported {
    type Output = RebootOutcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<RebootOutcome> {
        self.seat.poll(cx)
    }
}
