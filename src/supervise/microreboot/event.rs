//! What the manager tells the world.

use super::record::{PhaseRecord, RebootRecord, Rung};
use crate::kernel::name::Name;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

/// Something that happened, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MicrorebootEvent {
    /// Increases by one from event to event.
    pub sequence: u64,
    /// When, by the wall clock as of the manager's start.
    pub at: SystemTime,
    /// What.
    pub kind: MicrorebootEventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MicrorebootEventKind {
    /// A report was taken.
    Reported {
        /// About this component.
        component: Name,
        /// That it failed in this way.
        fault: Name,
        /// By whom.
        reporter: Name,
        /// The escalation that answers it.
        episode: u64,
        /// Whether there was one already.
        joined: bool,
    },
    /// A reboot begins; it was charged.
    Began {
        /// The escalation.
        episode: u64,
        /// The component that was reported.
        component: Name,
        /// How wide.
        rung: Rung,
        /// All that are rebooted, in the order of starts.
        members: Vec<Name>,
    },
    /// A phase of a reboot is over.
    PhaseEnded {
        /// The escalation.
        episode: u64,
        /// What was done, and what it came to.
        phase: PhaseRecord,
    },
    /// A reboot is over.
    Ended(Arc<RebootRecord>),
    /// A rung was left out.
    Skipped {
        /// The escalation.
        episode: u64,
        /// The component that was reported.
        component: Name,
        /// Which.
        rung: Rung,
        /// Why.
        why: Skip,
    },
    /// A storm began: nothing new begins.
    StormBegan,
    /// The storm is over, and so is the cool-down.
    StormEnded,
    /// A human is told.
    HandedOver(Arc<Notice>),
    /// A human has acknowledged.
    Acknowledged {
        /// Of which component.
        component: Name,
    },
    /// The history is not available: it is counted in memory until it is.
    HistoryUnavailable {
        /// Why.
        error: Arc<str>,
    },
}

/// Why a rung was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Skip {
    /// It was charged as often as it may be.
    Capped {
        /// When it may be again.
        next_slot: SystemTime,
    },
    /// It had cured this fault often enough, and the fault is back.
    Recurring,
    /// A storm held it for too long.
    Storm,
    /// It does not apply to this component.
    NotApplicable,
    /// The history could not be stored, and without it the next process would not know.
    NoHistory,
}

impl Skip {
    /// In `snake_case`, as in a label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Capped { .. } => "capped",
            Self::Recurring => "recurring",
            Self::Storm => "storm",
            Self::NotApplicable => "not_applicable",
            Self::NoHistory => "no_history",
        }
    }
}

/// What a human is told, once for each escalation that comes to its last rung.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Notice {
    /// The escalation.
    pub episode: u64,
    /// The component. It is not rebooted on any report until it is acknowledged.
    pub component: String,
    /// How it failed.
    pub fault: String,
    /// When this was said.
    pub raised: SystemTime,
    /// The rungs that were left out, and why.
    pub skipped: Vec<(Rung, Skip)>,
    /// What was tried: the records of this component that are kept, oldest first; those of this
    /// escalation are the last.
    pub history: Vec<RebootRecord>,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            component, fault, ..
        } = self;
        write!(f, "{component} needs a human: {fault}")?;
        for record in self.history.iter().filter(|it| it.episode == self.episode) {
            write!(f, "; rung {} {}", record.rung, record.outcome)?;
            if let Some(failed) = record.phases.iter().rfind(|it| !it.result.is_done()) {
                let PhaseRecord {
                    component,
                    phase,
                    result,
                    ..
                } = failed;
                write!(f, " ({phase} of {component} {result})")?;
            }
        }
        for (rung, why) in &self.skipped {
            write!(f, "; rung {rung} left out ({})", why.name())?;
        }
        Ok(())
    }
}
