//! What a tree tells the world.

use crate::health::check::{CheckState, Status};
use crate::kernel::instant::Instant;
use crate::kernel::name::Name;
use std::sync::Arc;

/// One fact about a tree.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HealthEvent {
    /// Counts the facts of this tree, from 1: a gap tells a subscriber that it lost some.
    pub seq: u64,
    /// When, on the tree's clock.
    pub at: Instant,
    /// What.
    pub kind: HealthEventKind,
}

/// What happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum HealthEventKind {
    /// A component's status changed.
    StatusChanged {
        /// Whose.
        component: Name,
        /// The status before.
        from: Status,
        /// The status now.
        to: Status,
    },
    /// A check's state changed.
    CheckChanged {
        /// The component whose check it is.
        component: Name,
        /// The check.
        check: Name,
        /// The state before.
        from: CheckState,
        /// The state now.
        to: CheckState,
        /// What the result said that changed it.
        message: Option<Arc<str>>,
    },
    /// An attempt of a recovery action began.
    RecoveryStarted {
        /// What it acts on.
        target: Name,
        /// The component of the check whose action it is.
        component: Name,
        /// That check.
        check: Name,
        /// The number of the attempt, from 1.
        attempt: u32,
    },
    /// What was done about a target in this episode is over.
    RecoveryEnded {
        /// What it acted on.
        target: Name,
        /// The component of the check whose action it was.
        component: Name,
        /// That check.
        check: Name,
        /// How many attempts there were.
        attempts: u32,
        /// What it came to.
        outcome: RecoveryOutcome,
    },
    /// A status was set by hand, or given back.
    Overridden {
        /// Whose.
        component: Name,
        /// The status that was set; `None`: it is again what its checks say.
        status: Option<Status>,
    },
    /// A check took other settings.
    Reconfigured {
        /// The component whose check it is.
        component: Name,
        /// The check.
        check: Name,
    },
    /// Maintenance mode was switched.
    Maintenance(bool),
}

/// What a recovery came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecoveryOutcome {
    /// An attempt succeeded. Whether the check is well again is the check's to say.
    Done,
    /// All attempts failed; what the last one came to.
    Failed(Arc<str>),
    /// The checks were clean again before the next attempt was due.
    Withdrawn,
}

impl RecoveryOutcome {
    /// In `snake_case`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed(_) => "failed",
            Self::Withdrawn => "withdrawn",
        }
    }
}
