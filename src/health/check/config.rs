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
/// | [`timeout`](Self::timeout) | 1 s, at most the period | what takes longer to say that it is well is not |
/// | [`failure_threshold`](Self::failure_threshold) | 3 | a lost packet is no outage |
/// | [`success_threshold`](Self::success_threshold) | 1 | what answers can be used |
/// | [`initial_delay`](Self::initial_delay) | none | a start-up check knows better when the start is over |
/// | [`stale_after`](Self::stale_after) | two periods | one result may be late, two are missing |
///
/// These are the values of a Kubernetes probe. What is not set follows what is: with a period below
/// a second the timeout is as short as the period, and with one below two seconds a result is stale
/// after a period, the timeout and one second more, since a run that takes its whole time is heard of
/// that late, and the timers of a busy process go off late.
///
/// All of it can be changed [while the check runs](crate::health::tree::CheckHandle::reconfigure).
///
/// ```
/// use backstop::health::check::CheckConfig;
/// use std::time::Duration;
///
/// const OFTEN: CheckConfig = CheckConfig::new().period(Duration::from_millis(100));
/// assert!(OFTEN.validate().is_ok());
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
    #[cfg_attr(
        feature = "serde",
        serde(
            with = "duration_text::option",
            skip_serializing_if = "Option::is_none"
        )
    )]
    timeout: Option<Duration>,
    pub(crate) failure_threshold: u32,
    pub(crate) success_threshold: u32,
    #[cfg_attr(feature = "serde", serde(with = "duration_text"))]
    pub(crate) initial_delay: Duration,
    #[cfg_attr(
        feature = "serde",
        serde(
            with = "duration_text::option",
            skip_serializing_if = "Option::is_none"
        )
    )]
    stale_after: Option<Duration>,
    never_stale: bool,
}

/// The timeout of a check that has a second's time for it.
const TIMEOUT: Duration = Duration::from_secs(1);

/// How late the timers of a busy process may go off before a result is missing.
const LATE: Duration = Duration::from_secs(1);

impl Default for CheckConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl CheckConfig {
    /// The default, also for constants.
    pub const fn new() -> Self {
        Self {
            period: Duration::from_secs(10),
            timeout: None,
            failure_threshold: 3,
            success_threshold: 1,
            initial_delay: Duration::ZERO,
            stale_after: None,
            never_stale: false,
        }
    }

    /// For a check that decides whether the process is restarted: the default, and failures of the
    /// first 30 s do not count, so that a slow start is not killed.
    pub const fn liveness() -> Self {
        Self::new().initial_delay(Duration::from_secs(30))
    }

    /// For a reporter that tells changes of a state instead of samples, as a circuit breaker does:
    /// one report decides, and holds until the next.
    pub const fn on_change() -> Self {
        Self::new().failure_threshold(1).never_stale(true)
    }

    /// From the start of one run to the start of the next (above 0); of a check that others report
    /// to, the time within which a report is expected. Default: 10 s.
    pub const fn period(mut self, period: Duration) -> Self {
        self.period = period;
        self
    }

    /// How long a run may take (above 0, at most the period). Default: 1 s, or the period if that is
    /// shorter.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
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

    /// A result that is older than this is stale (at least the period and the timeout together: so
    /// long the next one may take). Default: two periods, or a period, the timeout and one second if
    /// that is longer.
    pub const fn stale_after(mut self, age: Duration) -> Self {
        self.stale_after = Some(age);
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
        if let Some(timeout) = self.timeout {
            if timeout.is_zero() || timeout > self.period {
                return Err(ConfigError::new(
                    "timeout",
                    format_args!("{timeout:?}"),
                    format!("above 0s and at most the period ({:?})", self.period),
                ));
            }
        }
        for (field, threshold) in [
            ("failure_threshold", self.failure_threshold),
            ("success_threshold", self.success_threshold),
        ] {
            if threshold == 0 {
                return Err(ConfigError::new(field, 0, "from 1"));
            }
        }
        self.validate_stale_after()
    }

    fn validate_stale_after(&self) -> Result<(), ConfigError> {
        let Some(age) = self.stale_after else {
            return Ok(());
        };
        let least = self.period.saturating_add(self.time_limit());
        let allowed = if self.never_stale {
            "left out where results never are stale".to_owned()
        } else if age < least {
            format!("at least the period and the timeout together ({least:?})")
        } else {
            return Ok(());
        };
        let given = format_args!("{age:?}");
        Err(ConfigError::new("stale_after", given, allowed))
    }

    /// How long a run may take.
    pub(crate) fn time_limit(&self) -> Duration {
        self.timeout.unwrap_or(TIMEOUT.min(self.period))
    }

    /// How old a result may be; `None`: as old as it gets.
    pub(crate) fn fresh_for(&self) -> Option<Duration> {
        if self.never_stale {
            return None;
        }
        let one_late = self.period.saturating_add(self.time_limit());
        let default = || {
            let two = self.period.saturating_mul(2);
            two.max(one_late.saturating_add(LATE))
        };
        Some(self.stale_after.unwrap_or_else(default))
    }
}
