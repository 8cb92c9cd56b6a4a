//! What a timeout can be told.

use crate::kernel::config::ConfigError;
use crate::kernel::instant::saturating_nanos;
use std::time::Duration;

/// The configuration of a [`Timeout`](super::Timeout): its limit, or none.
///
/// A [`Duration`] is one too. The default is 30 s: whoever waits for an answer has given up by
/// then, and what takes longer on purpose has a limit of its own.
///
/// ```
/// use backstop::{Timeout, TimeoutConfig};
/// use std::time::Duration;
///
/// let timeout = Timeout::new("payments", Duration::from_secs(2))?;
/// assert_eq!(timeout.config(), TimeoutConfig::new(Duration::from_secs(2)));
/// let refused = Timeout::new("payments", Duration::ZERO).unwrap_err();
/// assert_eq!(refused.field(), "limit");
/// # Ok::<(), backstop::ConfigError>(())
/// ```
///
/// With the feature `serde` it is read from text:
///
/// ```
/// # #[cfg(feature = "serde")] {
/// # use backstop::TimeoutConfig;
/// # use std::time::Duration;
/// let config: TimeoutConfig = toml::from_str(r#"limit = "2s""#).unwrap();
/// assert_eq!(config, TimeoutConfig::new(Duration::from_secs(2)));
/// let config: TimeoutConfig = toml::from_str(r#"limit = "none""#).unwrap();
/// assert_eq!(config, TimeoutConfig::none());
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct TimeoutConfig {
    #[cfg_attr(feature = "serde", serde(with = "text"))]
    limit: Option<Duration>,
}

impl TimeoutConfig {
    /// This limit, above zero. One beyond the end of time (584 years after the clock's origin) is
    /// never reached.
    pub const fn new(limit: Duration) -> Self {
        Self { limit: Some(limit) }
    }

    /// No limit: calls take as long as they take. In text: `"none"`.
    pub const fn none() -> Self {
        Self { limit: None }
    }

    /// The limit.
    pub const fn limit(&self) -> Option<Duration> {
        self.limit
    }

    pub(super) fn checked(self) -> Result<Limit, ConfigError> {
        match self.limit {
            Some(Duration::ZERO) => Err(ConfigError::new(
                "limit",
                "0s",
                "above 0s; `none` is no limit",
            )),
            Some(limit) => Ok(Limit::of(limit)),
            None => Ok(Limit::NONE),
        }
    }
}

impl Default for TimeoutConfig {
    fn default() -> Self {
        Self::new(Duration::from_secs(30))
    }
}

impl From<Duration> for TimeoutConfig {
    fn from(limit: Duration) -> Self {
        Self::new(limit)
    }
}

/// A limit in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit(pub(super) u64);

impl Limit {
    pub(super) const NONE: Self = Self(u64::MAX);

    fn of(limit: Duration) -> Self {
        // The longest limit there is must not read as none.
        Self(saturating_nanos(limit).min(u64::MAX - 1))
    }

    #[inline]
    pub(super) fn duration(self) -> Option<Duration> {
        (self != Self::NONE).then(|| Duration::from_nanos(self.0))
    }
}

/// A limit as text: `"2s"`, or `"none"`.
#[cfg(feature = "serde")]
mod text {
    use crate::kernel::config::duration_text;
    use serde::de::IntoDeserializer;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::time::Duration;

    const NONE: &str = "none";

    #[expect(clippy::ref_option, reason = "the signature that serde's `with` calls")]
    pub(super) fn serialize<S: Serializer>(
        limit: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match limit {
            Some(limit) => duration_text::serialize(limit, to),
            None => NONE.serialize(to),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        let text = String::deserialize(from)?;
        if text == NONE || text == "off" {
            return Ok(None);
        }
        duration_text::deserialize(text.into_deserializer()).map(Some)
    }
}
