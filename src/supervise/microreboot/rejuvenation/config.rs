//! What a rejuvenation can be told.

use crate::kernel::config::ConfigError;
#[cfg(feature = "serde")]
use crate::kernel::config::duration_text;
use crate::kernel::ratio::Ratio;
use std::time::Duration;

/// The configuration of a [`Rejuvenation`](super::Rejuvenation).
///
/// | setting | default | why |
/// |---|---|---|
/// | [`alarm`](Self::alarm) | 35 % free | the threshold of the paper's experiment |
/// | [`fine`](Self::fine) | 80 % free | so too; far from the alarm, so that a round is worth its downtime |
/// | [`period`](Self::period) | 30 s | leaks are slow |
/// | [`most_per_hour`](Self::most_per_hour) | 6 | more often than every ten minutes is a fault, and not aging |
/// | [`probe_timeout`](Self::probe_timeout) | 1 s | as a health check's |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct RejuvenationConfig {
    pub(super) alarm: Ratio,
    pub(super) fine: Ratio,
    #[cfg_attr(feature = "serde", serde(with = "duration_text"))]
    pub(super) period: Duration,
    pub(super) most_per_hour: u32,
    #[cfg_attr(feature = "serde", serde(with = "duration_text"))]
    pub(super) probe_timeout: Duration,
}

/// No cap is higher: each reboot of the last hour is remembered.
const HIGHEST: u32 = 1_000;

impl Default for RejuvenationConfig {
    fn default() -> Self {
        Self {
            alarm: Ratio::from_parts(350_000),
            fine: Ratio::from_parts(800_000),
            period: Duration::from_secs(30),
            most_per_hour: 6,
            probe_timeout: Duration::from_secs(1),
        }
    }
}

impl RejuvenationConfig {
    /// A round begins when less than this share is free. Default: 35 %.
    pub const fn alarm(mut self, free: Ratio) -> Self {
        self.alarm = free;
        self
    }

    /// It ends when at least this share is free (above the alarm). Default: 80 %.
    pub const fn fine(mut self, free: Ratio) -> Self {
        self.fine = free;
        self
    }

    /// How often it is measured while nothing is done (above zero). Default: 30 s.
    pub const fn period(mut self, period: Duration) -> Self {
        self.period = period;
        self
    }

    /// So many reboots within any hour (1 to 1,000), of all components together. Default: 6.
    pub const fn most_per_hour(mut self, reboots: u32) -> Self {
        self.most_per_hour = reboots;
        self
    }

    /// So long may a measurement take (above zero). Default: 1 s.
    pub const fn probe_timeout(mut self, limit: Duration) -> Self {
        self.probe_timeout = limit;
        self
    }

    /// Whether it can be.
    ///
    /// # Errors
    ///
    /// The first field that cannot be, with what is allowed.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.fine <= self.alarm {
            let allowed = format!("above the alarm, {}", self.alarm);
            return Err(ConfigError::new("fine", self.fine, allowed));
        }
        for (field, value) in [
            ("period", self.period),
            ("probe_timeout", self.probe_timeout),
        ] {
            if value.is_zero() {
                return Err(ConfigError::new(field, "0s", "above 0s"));
            }
        }
        if !(1..=HIGHEST).contains(&self.most_per_hour) {
            let allowed = format!("from 1 to {HIGHEST}");
            return Err(ConfigError::new(
                "most_per_hour",
                self.most_per_hour,
                allowed,
            ));
        }
        Ok(())
    }
}
