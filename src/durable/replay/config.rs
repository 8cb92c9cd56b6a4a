//! What a replay does about events that fail.

use serde::{Deserialize, Serialize};

/// What a replay does about an event that is rejected, or whose application panics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum OnRejected {
    /// The replay fails. The default: who wrote an event thought it fit.
    #[default]
    Fail,
    /// It is left out and stands in the report.
    Skip {
        /// How many are left out before the replay fails after all, undecodable ones included.
        limit: u64,
    },
    /// The replay ends with the state before it.
    StopBefore,
}

/// What a replay does about an event that cannot be decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnUndecodable {
    /// The replay fails. The default: more often than bad data it is code that is too old, or a bug in
    /// it, and every such event would be lost.
    #[default]
    Fail,
    /// The same as about a rejected one.
    AsRejected,
}

/// What a replay does where events are missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnGap {
    /// The replay fails. The default: a state without them is one that never was.
    #[default]
    Fail,
    /// It goes on behind them, and the report counts them: for a journal out of which damaged records
    /// were taken.
    Skip,
}

/// What a replay does about events that fail, and how much it tells of them.
///
/// ```
/// use backstop::durable::replay::{OnRejected, ReplayConfig};
///
/// let config = ReplayConfig::default().on_rejected(OnRejected::Skip { limit: 10 });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReplayConfig {
    pub(super) on_rejected: OnRejected,
    pub(super) on_undecodable: OnUndecodable,
    pub(super) on_gap: OnGap,
    pub(super) listed: usize,
}

impl Default for ReplayConfig {
    fn default() -> Self {
        Self {
            on_rejected: OnRejected::Fail,
            on_undecodable: OnUndecodable::Fail,
            on_gap: OnGap::Fail,
            // Enough to see what is wrong; the counts tell how often.
            listed: 100,
        }
    }
}

impl ReplayConfig {
    /// What is done about an event that is rejected or panics; [`OnRejected::Fail`] by default.
    pub const fn on_rejected(mut self, on_rejected: OnRejected) -> Self {
        self.on_rejected = on_rejected;
        self
    }

    /// What is done about an event that cannot be decoded; [`OnUndecodable::Fail`] by default.
    pub const fn on_undecodable(mut self, on_undecodable: OnUndecodable) -> Self {
        self.on_undecodable = on_undecodable;
        self
    }

    /// What is done where events are missing; [`OnGap::Fail`] by default.
    pub const fn on_gap(mut self, on_gap: OnGap) -> Self {
        self.on_gap = on_gap;
        self
    }

    pub(crate) const fn rejected(&self) -> OnRejected {
        self.on_rejected
    }

    /// How many failed events the report lists, 100 by default; the others are counted.
    pub const fn listed(mut self, listed: usize) -> Self {
        self.listed = listed;
        self
    }
}
