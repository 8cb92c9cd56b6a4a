//! How a supervisor treats its children.

use crate::supervise::budget::{Pausing, RestartBackoff, RestartBudget};

/// Which children are restarted when one has failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum Strategy {
    /// The one that failed: children do not depend on each other.
    #[default]
    OneForOne,
    /// All: each depends on each.
    OneForAll,
    /// It and those that were added after it: later ones depend on earlier ones.
    RestForOne,
}

/// Whether a supervisor ends when its [significant](crate::supervise::child::ChildSpec::significant)
/// children have ended by themselves; those that an operator or a group restart stopped do not count.
///
/// Such an end is no failure: to the supervisor above it is [`ChildExit::Shutdown`]
/// (OTP's EEP 56).
///
/// [`ChildExit::Shutdown`]: crate::supervise::child::ChildExit::Shutdown
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum AutoShutdown {
    /// Never; then no child may be significant.
    #[default]
    Never,
    /// When one of them has ended.
    AnySignificant,
    /// When the last of them has ended.
    AllSignificant,
}

/// What decisions depend on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    pub(crate) strategy: Strategy,
    pub(crate) budget: RestartBudget,
    pub(crate) backoff: RestartBackoff,
    pub(crate) never_give_up: bool,
    pub(crate) pausing: Option<Pausing>,
    pub(crate) auto_shutdown: AutoShutdown,
    /// At the end all children are stopped at the same time, not one after the other.
    pub(crate) stops_together: bool,
    pub(crate) max_children: Option<u32>,
    pub(crate) seed: Option<u64>,
}

impl Rules {
    /// Whether children come and go: one that is over is not listed any more.
    pub(crate) const fn is_dynamic(&self) -> bool {
        self.max_children.is_some()
    }

    /// Whether a spent budget ends nothing.
    pub(crate) const fn goes_on(&self) -> bool {
        self.never_give_up || self.pausing.is_some()
    }
}
