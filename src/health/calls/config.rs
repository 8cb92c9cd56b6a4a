//! What a check of calls can be told.

use crate::kernel::config::ConfigError;
use crate::kernel::ratio::Ratio;

/// When a period of calls fails the check.
///
/// | setting | default | why |
/// |---|---|---|
/// | [`failure_ratio`](Self::failure_ratio) | 50 % | as of a circuit breaker: more is no longer bad luck |
/// | [`minimum_calls`](Self::minimum_calls) | 10 | of fewer calls a share says little |
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct CallHealthConfig {
    pub(super) failure_ratio: Ratio,
    pub(super) minimum_calls: u32,
}

impl Default for CallHealthConfig {
    fn default() -> Self {
        Self {
            failure_ratio: Ratio::HALF,
            minimum_calls: 10,
        }
    }
}

impl CallHealthConfig {
    /// The share of failures from which on a period fails (above 0). Default: 50 %.
    pub const fn failure_ratio(mut self, share: Ratio) -> Self {
        self.failure_ratio = share;
        self
    }

    /// Of fewer finished calls in a period nothing is said, and it passes (at least 1). Default: 10.
    pub const fn minimum_calls(mut self, calls: u32) -> Self {
        self.minimum_calls = calls;
        self
    }

    pub(super) fn check(self) -> Result<(), ConfigError> {
        if self.failure_ratio.parts_per_million() == 0 {
            return Err(ConfigError::new("failure_ratio", "0", "above 0, at most 1"));
        }
        if self.minimum_calls == 0 {
            return Err(ConfigError::new("minimum_calls", 0, "at least 1"));
        }
        Ok(())
    }
}
