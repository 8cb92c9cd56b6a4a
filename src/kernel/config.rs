//! The error for a configuration that cannot be, and the text forms of durations.

use std::fmt;

/// A configuration that was refused: which field, the value it held, and what is allowed.
///
/// ```
/// use backstop::{CircuitBreaker, CircuitBreakerConfig};
///
/// let config = CircuitBreakerConfig::default().failure_rate(f64::NAN);
/// let refused = CircuitBreaker::new("payments", config).unwrap_err();
/// assert_eq!(
///     refused.to_string(),
///     "failure_rate: NaN is not allowed; it must be above 0 and at most 1"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    field: &'static str,
    value: String,
    allowed: String,
}

impl ConfigError {
    /// Refuses `value` in `field`; `allowed` completes the sentence "it must be ...".
    pub fn new(field: &'static str, value: impl fmt::Display, allowed: impl Into<String>) -> Self {
        Self {
            field,
            value: value.to_string(),
            allowed: allowed.into(),
        }
    }

    /// The field, as it is spelled in code and in configuration text.
    pub fn field(&self) -> &'static str {
        self.field
    }

    /// The refused value.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The allowed range in words; it completes "it must be ...".
    pub fn allowed(&self) -> &str {
        &self.allowed
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            field,
            value,
            allowed,
        } = self;
        write!(f, "{field}: {value} is not allowed; it must be {allowed}")
    }
}

impl std::error::Error for ConfigError {}

/// Durations as text: `"30s"`, `"1m 30s"`, `"250ms"`.
#[cfg(feature = "serde")]
pub(crate) mod duration_text {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
    use std::time::Duration;

    struct Text(Duration);

    impl Serialize for Text {
        fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            to.collect_str(&humantime::format_duration(self.0))
        }
    }

    impl<'de> Deserialize<'de> for Text {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            let text = String::deserialize(from)?;
            humantime::parse_duration(&text).map(Self).map_err(|error| {
                D::Error::custom(format_args!(
                    "{text:?} is not a duration such as \"30s\" or \"250ms\": {error}"
                ))
            })
        }
    }

    pub(crate) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        Text(*value).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        Text::deserialize(from).map(|text| text.0)
    }

    /// The same for a duration that may be absent.
    pub(crate) mod option {
        use super::{Deserialize, Deserializer, Duration, Serialize, Serializer, Text};

        #[expect(clippy::ref_option, reason = "the signature that serde's `with` calls")]
        pub(crate) fn serialize<S: Serializer>(
            value: &Option<Duration>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            value.map(Text).serialize(to)
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Option<Duration>, D::Error> {
            Ok(Option::<Text>::deserialize(from)?.map(|text| text.0))
        }
    }
}
