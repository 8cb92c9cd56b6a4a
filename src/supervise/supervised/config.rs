//! What a supervised service can be told.

use crate::kernel::config::ConfigError;
#[cfg(feature = "serde")]
use crate::kernel::config::duration_text;
use std::time::Duration;

/// The configuration of a [`Supervised`](super::Supervised) service: a value with a default for
/// everything, checked when the service is made.
///
/// ```
/// use backstop::supervise::supervised::SupervisedConfig;
/// use std::time::Duration;
///
/// let config = SupervisedConfig::default().queue(64).expected(Duration::from_millis(200));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct SupervisedConfig {
    pub(super) queue: usize,
    #[cfg_attr(feature = "serde", serde(with = "duration_text"))]
    pub(super) expected: Duration,
    pub(super) jitter: f64,
}

impl Default for SupervisedConfig {
    fn default() -> Self {
        Self {
            // What a worker of 1 ms per call does in a second: who is behind so many waits in vain.
            queue: 1_000,
            // A restart after the shortest back-off, and some work to begin with.
            expected: Duration::from_secs(1),
            // Callers that were turned away together do not come back together.
            jitter: 0.2,
        }
    }
}

impl SupervisedConfig {
    /// How many calls may wait for the worker: 1 to 1,000,000. Default: 1,000.
    pub const fn queue(mut self, calls: usize) -> Self {
        self.queue = calls;
        self
    }

    /// How long a restart takes, until some were seen: from 1 ms to an hour. Default: 1 s.
    pub const fn expected(mut self, time: Duration) -> Self {
        self.expected = time;
        self
    }

    /// Tells callers to come back later by up to this share of the time: 0 to 1. Default: 0.2.
    pub const fn jitter(mut self, share: f64) -> Self {
        self.jitter = share;
        self
    }

    pub(super) fn checked(self) -> Result<Self, ConfigError> {
        if !(1..=1_000_000).contains(&self.queue) {
            return Err(ConfigError::new("queue", self.queue, "from 1 to 1000000"));
        }
        let (least, most) = (Duration::from_millis(1), Duration::from_secs(3_600));
        if !(least..=most).contains(&self.expected) {
            let expected = format_args!("{:?}", self.expected).to_string();
            return Err(ConfigError::new("expected", expected, "from 1ms to 1h"));
        }
        if !(0.0..=1.0).contains(&self.jitter) {
            return Err(ConfigError::new("jitter", self.jitter, "from 0 to 1"));
        }
        Ok(self)
    }
}
