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
    /// The part of a larger configuration that the field is in.
    part: Option<&'static str>,
    field: &'static str,
    value: String,
    allowed: String,
}

impl ConfigError {
    /// Refuses `value` in `field`; `allowed` completes the sentence "it must be ...".
    pub fn new(field: &'static str, value: impl fmt::Display, allowed: impl Into<String>) -> Self {
        Self {
            part: None,
            field,
            value: value.to_string(),
            allowed: allowed.into(),
        }
    }

    /// The same error of the part of that name of a larger configuration.
    pub(crate) fn within(self, part: &'static str) -> Self {
        let part = Some(part);
        Self { part, ..self }
    }

    /// The part of a larger configuration that the field is in, such as a policy of a pipeline.
    pub fn part(&self) -> Option<&'static str> {
        self.part
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
            part,
            field,
            value,
            allowed,
        } = self;
        if let Some(part) = part {
            write!(f, "{part}.")?;
        }
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
            parse(&String::deserialize(from)?)
                .map(Self)
                .map_err(D::Error::custom)
        }
    }

    fn parse(text: &str) -> Result<Duration, String> {
        humantime::parse_duration(text).map_err(|error| {
            format!("{text:?} is not a duration such as \"30s\" or \"250ms\": {error}")
        })
    }

    pub(crate) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        Text(*value).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        Text::deserialize(from).map(|text| text.0)
    }

    /// The same for a duration that may be `"off"`.
    pub(crate) mod or_off {
        use super::{
            Deserialize, Deserializer, Duration, Error, Serialize, Serializer, Text, parse,
        };

        #[expect(clippy::ref_option, reason = "the signature that serde's `with` calls")]
        pub(crate) fn serialize<S: Serializer>(
            value: &Option<Duration>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            match value {
                Some(duration) => Text(*duration).serialize(to),
                None => "off".serialize(to),
            }
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Option<Duration>, D::Error> {
            match &*String::deserialize(from)? {
                "off" | "none" => Ok(None),
                text => parse(text).map(Some).map_err(D::Error::custom),
            }
        }
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

/// A part of a configuration that may be `"off"`.
#[cfg(feature = "serde")]
pub(crate) mod part_text {
    use serde::de::value::MapAccessDeserializer;
    use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
    use serde::{Serialize, Serializer};
    use std::fmt;
    use std::marker::PhantomData;

    #[expect(clippy::ref_option, reason = "the signature that serde's `with` calls")]
    pub(crate) fn serialize<T: Serialize, S: Serializer>(
        part: &Option<T>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match part {
            Some(part) => part.serialize(to),
            None => "off".serialize(to),
        }
    }

    pub(crate) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<T>, D::Error> {
        from.deserialize_any(PartOrOff(PhantomData))
    }

    struct PartOrOff<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for PartOrOff<T> {
        type Value = Option<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table of settings, or \"off\"")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Option<T>, E> {
            match text {
                "off" => Ok(None),
                _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
            }
        }

        // Not through an untagged enum, which would lose where in the text an error is.
        fn visit_map<A: MapAccess<'de>>(self, settings: A) -> Result<Option<T>, A::Error> {
            T::deserialize(MapAccessDeserializer::new(settings)).map(Some)
        }
    }
}
