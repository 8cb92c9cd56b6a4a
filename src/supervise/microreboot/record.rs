//! What a recovery leaves behind.

use std::fmt;
use std::time::{Duration, SystemTime};

/// One reboot, or one hand-over to a human, as a value.
///
/// Records of one escalation share their [`episode`](Self::episode): a component rung that did not
/// help and the group rung behind it are two records of one episode.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct RebootRecord {
    /// Numbers records without a gap, from 1, in the order in which they ended, within one process.
    pub sequence: u64,
    /// The escalation that it belongs to.
    pub episode: u64,
    /// The component that was reported, or rebooted by hand.
    pub component: String,
    /// All that were stopped and started, in the order in which they start.
    pub members: Vec<String>,
    /// The fault, by the key that its first reporter gave.
    pub fault: String,
    /// Who reported it first.
    pub reporter: String,
    /// How many reports it answered.
    pub reports: u32,
    /// Why it was made.
    pub trigger: Trigger,
    /// How wide it was.
    pub rung: Rung,
    /// What was done, in order, and how long each took.
    pub phases: Vec<PhaseRecord>,
    /// What it came to.
    pub outcome: RecordOutcome,
    /// The state that the component started from, if a start was reached.
    pub started_from: Option<StartedFrom>,
    /// When the first report of this episode came.
    pub onset: SystemTime,
    /// When this one began.
    pub began: SystemTime,
    /// When it ended.
    pub ended: SystemTime,
    /// Whether the component's own check was well when this began: then it was a false positive.
    /// `None` if the component has no check.
    pub was_clear: Option<bool>,
    /// The calls between onset and end, if a gate counted them.
    pub calls: Option<CallsSeen>,
}

impl RebootRecord {
    /// Whether no human began it.
    pub const fn is_automated(&self) -> bool {
        !matches!(self.trigger, Trigger::ByHand)
    }

    /// From the first report to the end of this record; zero if the wall clock stepped back.
    pub fn downtime(&self) -> Duration {
        self.ended
            .duration_since(self.onset)
            .unwrap_or(Duration::ZERO)
    }

    /// How long the phases of that kind took, over all members and attempts.
    pub fn took(&self, phase: Phase) -> Duration {
        self.phases
            .iter()
            .filter(|done| done.phase == phase)
            .fold(Duration::ZERO, |sum, done| sum.saturating_add(done.took))
    }

    /// The share of calls that failed or were over their objective, from 0 to 1; `None` without
    /// calls.
    pub fn blast_radius(&self) -> Option<f64> {
        self.calls.and_then(CallsSeen::ratio)
    }
}

/// Calls that a gate saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct CallsSeen {
    /// Failed, or longer than their objective.
    pub bad: u64,
    /// All of them.
    pub all: u64,
}

impl CallsSeen {
    /// The bad ones of all, from 0 to 1; `None` if there were none.
    #[expect(clippy::cast_precision_loss, reason = "a share of many calls")]
    pub fn ratio(self) -> Option<f64> {
        (self.all > 0).then(|| self.bad.min(self.all) as f64 / self.all as f64)
    }

    /// What came between an earlier reading and this one.
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            bad: self.bad.saturating_sub(earlier.bad),
            all: self.all.saturating_sub(earlier.all),
        }
    }

    /// These and those.
    pub const fn and(self, other: Self) -> Self {
        Self {
            bad: self.bad.saturating_add(other.bad),
            all: self.all.saturating_add(other.all),
        }
    }
}

/// Why a reboot was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Trigger {
    /// A reporter said that the component failed.
    Report,
    /// A human asked for it.
    ByHand,
    /// A resource ran low, and rebooting gives it back.
    Rejuvenation,
}

/// How wide a recovery is, narrowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Rung {
    /// The component, with those that depend on it hard.
    Component,
    /// All of the component's named group, with those that depend on any of them hard.
    Group,
    /// All components under the same supervisor, with those that depend on any of them hard.
    Subtree,
    /// The process.
    Process,
    /// A human is told.
    Human,
}

impl Rung {
    /// In `snake_case`, as in a label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Component => "component",
            Self::Group => "group",
            Self::Subtree => "subtree",
            Self::Process => "process",
            Self::Human => "human",
        }
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A step of a reboot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum Phase {
    /// The running component is asked for its state.
    Checkpoint,
    /// It is told to stop, and killed if it does not.
    Stop,
    /// What it left behind is cleared away.
    Cleanup,
    /// It is started.
    Start,
    /// It is asked to show that it works.
    Verify,
}

impl Phase {
    /// All of them, in order.
    pub const ALL: [Self; 5] = [
        Self::Checkpoint,
        Self::Stop,
        Self::Cleanup,
        Self::Start,
        Self::Verify,
    ];

    /// In `snake_case`, as in a label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Checkpoint => "checkpoint",
            Self::Stop => "stop",
            Self::Cleanup => "cleanup",
            Self::Start => "start",
            Self::Verify => "verify",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One phase of one member.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct PhaseRecord {
    /// Of which member.
    pub component: String,
    /// Which phase.
    pub phase: Phase,
    /// 1, or 2 for what was repeated with the last verified state.
    pub attempt: u8,
    /// How long it took.
    pub took: Duration,
    /// What it came to.
    pub result: PhaseResult,
}

/// What a phase came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum PhaseResult {
    /// It is done.
    Done,
    /// It returned this error.
    Failed(String),
    /// It panicked with this message.
    Panicked(String),
    /// It took longer than its limit, and was given up.
    TimedOut,
    /// It took longer than its limit, and still runs although it was given up.
    Orphaned,
}

impl PhaseResult {
    /// Whether it is done.
    pub const fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// In `snake_case`, without the error: as in a label.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed(_) => "failed",
            Self::Panicked(_) => "panicked",
            Self::TimedOut => "timed_out",
            Self::Orphaned => "orphaned",
        }
    }
}

impl fmt::Display for PhaseResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => write!(f, "failed: {error}"),
            Self::Panicked(message) => write!(f, "panicked: {message}"),
            Self::Done => f.write_str("done"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Orphaned => f.write_str("timed out, and still runs"),
        }
    }
}

/// The state that a component started from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum StartedFrom {
    /// The checkpoint that was taken at the beginning of this reboot.
    Provisional,
    /// The last checkpoint with which it was well.
    Verified,
    /// None: a cold start.
    Cold,
}

/// What a recovery came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum RecordOutcome {
    /// All members were started and verified.
    Cured,
    /// A phase failed; the next rung is up, if there is one.
    Failed,
    /// The process was told to end.
    Exited,
    /// A human was told.
    HandedOver,
    /// A human said that it was seen to; closes an episode that was handed over.
    Acknowledged,
    /// It was cut off: the runtime went away, or the supervisor was being shut down.
    Abandoned,
}

impl RecordOutcome {
    /// In `snake_case`, as in a label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cured => "cured",
            Self::Failed => "failed",
            Self::Exited => "exited",
            Self::HandedOver => "handed_over",
            Self::Acknowledged => "acknowledged",
            Self::Abandoned => "abandoned",
        }
    }
}

impl fmt::Display for RecordOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
