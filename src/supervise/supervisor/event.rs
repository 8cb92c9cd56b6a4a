//! What a supervisor tells the world.

use crate::kernel::instant::Instant;
use crate::kernel::name::Name;
use crate::supervise::child::{ChildExit, FailureCause, GaveUp};
use std::sync::Arc;
use std::time::Duration;

/// One fact about a supervisor.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SupervisorEvent {
    /// Counts the facts of this supervisor, from 1: a gap tells a subscriber that it lost some.
    pub seq: u64,
    /// When, on the supervisor's clock.
    pub at: Instant,
    /// What.
    pub kind: SupervisorEventKind,
}

/// What happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SupervisorEventKind {
    /// A child is running, and ready if it says so itself.
    Started {
        /// The child.
        child: Name,
        /// Its incarnation, counted from 1.
        incarnation: u64,
    },
    /// A child's future has ended.
    Exited {
        /// The child.
        child: Name,
        /// Its incarnation.
        incarnation: u64,
        /// How.
        exit: ChildExit,
    },
    /// A child did not become ready.
    StartFailed {
        /// The child.
        child: Name,
        /// Its incarnation.
        incarnation: u64,
        /// Why not.
        cause: FailureCause,
    },
    /// A child, with its group if the strategy says so, is to be started again.
    Restarting {
        /// The child that failed.
        child: Name,
        /// How long is waited for it; the wait begins when what must be stopped has stopped.
        delay: Duration,
    },
    /// A child was aborted, and something of it still runs.
    Orphaned {
        /// The child.
        child: Name,
        /// Its incarnation.
        incarnation: u64,
    },
    /// What was left of an orphan has ended.
    OrphanEnded {
        /// The child.
        child: Name,
    },
    /// A child gave no sign of life for longer than it [promised]; it counts as crashed.
    ///
    /// [promised]: crate::supervise::child::ChildSpec::watchdog
    Hung {
        /// The child.
        child: Name,
        /// Its incarnation.
        incarnation: u64,
        /// How long it has been silent.
        silent: Duration,
    },
    /// There were too many failures: what failed waits, and what runs goes on.
    Paused {
        /// For how long.
        length: Duration,
    },
    /// The pause is over, and what waited tries again.
    Resumed,
    /// A child's own budget is spent, and it is left stopped.
    Spent {
        /// The child.
        child: Name,
    },
    /// A child is stopped, and stays so until it is restarted by hand.
    Stopped {
        /// The child.
        child: Name,
    },
    /// A child is no longer listed.
    Forgotten {
        /// The child.
        child: Name,
    },
    /// The supervisor gives up, and stops what still runs.
    GaveUp(Arc<GaveUp>),
    /// The supervisor has ended.
    Ended,
}

impl SupervisorEventKind {
    /// In `snake_case`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Started { .. } => "started",
            Self::Exited { .. } => "exited",
            Self::StartFailed { .. } => "start_failed",
            Self::Restarting { .. } => "restarting",
            Self::Orphaned { .. } => "orphaned",
            Self::OrphanEnded { .. } => "orphan_ended",
            Self::Hung { .. } => "hung",
            Self::Paused { .. } => "paused",
            Self::Resumed => "resumed",
            Self::Spent { .. } => "spent",
            Self::Stopped { .. } => "stopped",
            Self::Forgotten { .. } => "forgotten",
            Self::GaveUp(_) => "gave_up",
            Self::Ended => "ended",
        }
    }

    /// The child it is about.
    pub fn child(&self) -> Option<&Name> {
        match self {
            Self::Started { child, .. }
            | Self::Exited { child, .. }
            | Self::StartFailed { child, .. }
            | Self::Restarting { child, .. }
            | Self::Orphaned { child, .. }
            | Self::Hung { child, .. }
            | Self::OrphanEnded { child }
            | Self::Spent { child }
            | Self::Stopped { child }
            | Self::Forgotten { child } => Some(child),
            Self::GaveUp(gave_up) => Some(&gave_up.child),
            Self::Paused { .. } | Self::Resumed | Self::Ended => None,
        }
    }
}
