//! What a checkpointed child can be told.

use super::machine::least_restarts;
use crate::kernel::config::{ConfigError, duration_text};
use crate::supervise::budget::RestartBudget;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The configuration of a [`Checkpointed`](super::Checkpointed) child: a value with a default for
/// everything, checked when the child is made.
///
/// ```
/// use backstop::supervise::checkpointed::CheckpointedConfig;
/// use std::time::Duration;
///
/// let config = CheckpointedConfig::default()
///     .period(Duration::from_secs(30))
///     .cold_start(true);
/// let text: CheckpointedConfig = toml::from_str(r#"
///     period = "30s"
///     cold_start = true
/// "#).unwrap();
/// assert_eq!(text, config);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckpointedConfig {
    #[serde(with = "duration_text")]
    pub(super) period: Duration,
    #[serde(with = "duration_text")]
    pub(super) survives: Duration,
    pub(super) cold_start: bool,
    pub(super) explicit_readiness: bool,
    #[serde(with = "duration_text")]
    pub(super) store_timeout: Duration,
    pub(super) budget: RestartBudget,
    pub(super) recoveries: RestartBudget,
}

impl Default for CheckpointedConfig {
    fn default() -> Self {
        Self {
            // What is lost when a process is killed, against the disk's time for a state of any size.
            period: Duration::from_secs(5 * 60),
            // Long enough for what a bad state does to show, and short against a period.
            survives: Duration::from_secs(10),
            // To lose a state is for who knows what it is worth.
            cold_start: false,
            explicit_readiness: false,
            // Within the 30 s that a start may take.
            store_timeout: Duration::from_secs(10),
            budget: RestartBudget::default(),
            recoveries: RestartBudget::default(),
        }
    }
}

impl CheckpointedConfig {
    /// How often a checkpoint is due: from 1 ms. Default: 5 min.
    pub const fn period(mut self, period: Duration) -> Self {
        self.period = period;
        self
    }

    /// How long a start must be well, from when it was ready, to prove that its state is good: from 1 ms.
    /// Default: 10 s.
    pub const fn survives(mut self, time: Duration) -> Self {
        self.survives = time;
        self
    }

    /// Whether a start without any state is tried when none of the checkpoints is of use. What was saved
    /// is lost if such a start does well. Default: off.
    pub const fn cold_start(mut self, is_allowed: bool) -> Self {
        self.cold_start = is_allowed;
        self
    }

    /// Whether the child says itself when it is [ready](super::CheckpointContext::ready). By default it
    /// is when it has its state.
    pub const fn explicit_readiness(mut self, is_explicit: bool) -> Self {
        self.explicit_readiness = is_explicit;
        self
    }

    /// How long the store may take to give a state or to take one, from 1 ms: a start that waits longer
    /// has failed, and so has a save. Default: 10 s.
    pub const fn store_timeout(mut self, limit: Duration) -> Self {
        self.store_timeout = limit;
        self
    }

    /// The child's own budget of restarts, which no sibling spends: at least 3, or 4 with
    /// [`cold_start`](Self::cold_start), so that it lasts until an older state was tried. Default: 8
    /// within 60 s.
    pub const fn budget(mut self, budget: RestartBudget) -> Self {
        self.budget = budget;
        self
    }

    /// How many errors a start may [handle in place](super::CheckpointContext::recover). Default: 8 within
    /// 60 s.
    pub const fn recoveries(mut self, budget: RestartBudget) -> Self {
        self.recoveries = budget;
        self
    }

    pub(super) fn checked(self) -> Result<Self, ConfigError> {
        let times = [
            ("period", self.period),
            ("survives", self.survives),
            ("store_timeout", self.store_timeout),
        ];
        for (field, time) in times {
            if time < Duration::from_millis(1) {
                return Err(ConfigError::new(
                    field,
                    format_args!("{time:?}"),
                    "1ms or more",
                ));
            }
        }
        let validated = |part, budget: RestartBudget| {
            budget
                .validate()
                .map_err(|error: ConfigError| error.within(part))
        };
        validated("budget", self.budget)?;
        validated("recoveries", self.recoveries)?;
        let least = least_restarts(self.cold_start);
        if self.budget.restarts() < least {
            let allowed = format!("at least {least}, or no older state is ever tried");
            let error = ConfigError::new("restarts", self.budget.restarts(), allowed);
            return Err(error.within("budget"));
        }
        Ok(self)
    }
}
