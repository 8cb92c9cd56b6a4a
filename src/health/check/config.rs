//! When a check runs, and how many results make it pass or fail.

use crate::kernel::config::ConfigError;
#[cfg(feature = "serde")]
use crate::kernel::config::duration_text;
use std::time::Duration;

/// How often a check runs, for how long, and how many results in a row decide.
///
/// | setting | default | why |
/// |---|---|---|
/// | [`period`](Self::period) | 10 s | an outage is seen within half a minute, and the checks are no load |
/// | [`timeout`](Self::timeout) | 1 s | what takes longer to say that it is well is not |
/// | [`failure_threshold`](Self::failure_threshold) | 3 | a lost packet is no outage |
/// | [`success_threshold`](Self::success_threshold) | 1 | what answers can be used |
/// | [`initial_delay`](Self::initial_delay) | none | a start-up check knows better when the start is over |
///
/// These are the values of a Kubernetes probe. A result that is older than two periods is stale:
/// one may be late, two are missing.
///
/// ```
/// use backstop::health::check::CheckConfig;
/// use std::time::Duration;
///
/// let config = CheckConfig::default().period(Duration::from_secs(2)).failure_threshold(5);
/// assert!(config.validate().is_ok());
/// let refused = config.timeout(Duration::from_secs(3)).validate().unwrap_err();
/// assert_eq!(
///     refused.to_string(),
///     "timeout: 3s is not allowed; it must be above 0s and at most the period (2s)"
/// );
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct CheckConfig {
    #[cfg_attr(feature = "serde", serde(with = "duration_text"))]
    pub(crate) period: Duration,
    #[cfg_attr(feature = "serde", serde(with = "duration_text"))]
    pub(crate) timeout: Duration,
    pub(crate) failure_threshold: u32,
    pub(crate) success_threshold: u32,
    #[cfg_attr(feature = "serde", serde(with = "duration_text"))]
    pub(crate) initial_delay: Duration,
    pub(crate) never_stale: bool,
}

impl Default for CheckConfig {
    fn default() -> Self {
        Self {
            period: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
            failure_threshold: 3,
            success_threshold: 1,
            initial_delay: Duration::ZERO,
            never_stale: false,
        }
    }
}

impl CheckConfig {
    /// For a check that decides whether the process is restarted: the default, and failures of the
    /// first 30 s do not count, so that a slow start is not killed.
    pub fn liveness() -> Self {
        Self::default().initial_delay(Duration::from_secs(30))
    }

    /// For a reporter that tells changes of a state instead of samples, as a circuit breaker does:
    /// one report decides, and holds until the next.
    pub fn on_change() -> Self {
        Self {
            failure_threshold: 1,
            never_stale: true,
            ..Self::default()
        }
    }

    /// From the start of one run to the start of the next (above 0); of a check that others report
    /// to, the time within which a report is expected. Default: 10 s.
    pub const fn period(mut self, period: Duration) -> Self {
        self.period = period;
        self
    }

    /// How long a run may take (above 0, at most the period). Default: 1 s.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// So many failures in a row (from 1) make it fail. Default: 3.
    pub const fn failure_threshold(mut self, failures: u32) -> Self {
        self.failure_threshold = failures;
        self
    }

    /// So many clean results in a row (from 1) make it pass. Default: 1.
    pub const fn success_threshold(mut self, successes: u32) -> Self {
        self.success_threshold = successes;
        self
    }

    /// Failures before this time has passed do not count; clean results do. Default: none.
    pub const fn initial_delay(mut self, delay: Duration) -> Self {
        self.initial_delay = delay;
        self
    }

    /// Whether results hold for ever, whatever their age. Default: they do not.
    pub const fn never_stale(mut self, never: bool) -> Self {
        self.never_stale = never;
        self
    }

    /// Checks the values against each other.
    ///
    /// # Errors
    ///
    /// Names the first field that is wrong.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.period.is_zero() {
            return Err(ConfigError::new("period", "0s", "above 0s"));
        }
        if self.timeout.is_zero() || self.timeout > self.period {
            return Err(ConfigError::new(
                "timeout",
                format_args!("{:?}", self.timeout),
                format!("above 0s and at most the period ({:?})", self.period),
            ));
        }
        for (field, threshold) in [
            ("failure_threshold", self.failure_threshold),
            ("success_threshold", self.success_threshold),
        ] {
            if threshold == 0 {
                return Err(ConfigError::new(field, 0, "from 1"));
            }
        }
        Ok(())
    }
}
