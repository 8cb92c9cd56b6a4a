//! The text forms of a backoff: `{ exponential = "100ms", factor = 2.0, cap = "10s", jitter = "full" }`.

use super::{Backoff, Jitter, Shape};
use crate::kernel::config::duration_text;
use crate::kernel::ratio::Ratio;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::time::Duration;

/// Exactly one of the first four; `factor` with `exponential` only.
#[derive(Default, Serialize, Deserialize)]
#[serde(
    default,
    deny_unknown_fields,
    expecting = "a backoff such as { exponential = \"100ms\", cap = \"10s\", jitter = \"full\" }"
)]
struct Table {
    #[serde(
        skip_serializing_if = "Option::is_none",
        with = "duration_text::option"
    )]
    constant: Option<Duration>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        with = "duration_text::option"
    )]
    linear: Option<Duration>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        with = "duration_text::option"
    )]
    exponential: Option<Duration>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        with = "duration_text::option"
    )]
    fibonacci: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    factor: Option<f64>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        with = "duration_text::option"
    )]
    cap: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jitter: Option<Jitter>,
}

impl Serialize for Backoff {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut table = Table {
            cap: (self.cap != Duration::MAX).then_some(self.cap),
            jitter: Some(self.jitter),
            ..Table::default()
        };
        let base = Some(self.base);
        match self.shape {
            Shape::Constant => table.constant = base,
            Shape::Linear => table.linear = base,
            Shape::Exponential(factor) => {
                table.exponential = base;
                table.factor = Some(factor);
            }
            Shape::Fibonacci => table.fibonacci = base,
        }
        table.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Backoff {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let table = Table::deserialize(from)?;
        let backoff = match (
            table.constant,
            table.linear,
            table.exponential,
            table.fibonacci,
            table.factor,
        ) {
            (Some(base), None, None, None, None) => Self::constant(base),
            (None, Some(base), None, None, None) => Self::linear(base),
            (None, None, Some(base), None, factor) => {
                Self::exponential(base).factor(factor.unwrap_or(2.0))
            }
            (None, None, None, Some(base), None) => Self::fibonacci(base),
            _ => {
                return Err(de::Error::custom(
                    "backoff: one of `constant`, `linear`, `exponential` (with `factor`) and \
                     `fibonacci`, such as { exponential = \"100ms\", cap = \"10s\", jitter = \"full\" }",
                ));
            }
        };
        Ok(backoff
            .cap(table.cap.unwrap_or(Duration::MAX))
            .jitter(table.jitter.unwrap_or(Jitter::None)))
    }
}

/// `"none"`, `"full"`, `"equal"`, `"decorrelated"`, or the share of a proportional one: `"10%"`.
impl Serialize for Jitter {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => "none".serialize(to),
            Self::Full => "full".serialize(to),
            Self::Equal => "equal".serialize(to),
            Self::Proportional(share) => share.serialize(to),
            Self::Decorrelated => "decorrelated".serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for Jitter {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Ok(match text.as_str() {
            "none" => Self::None,
            "full" => Self::Full,
            "equal" => Self::Equal,
            "decorrelated" => Self::Decorrelated,
            share => Self::Proportional(proportional(share).ok_or_else(|| {
                de::Error::custom(format_args!(
                    "{text:?} is not a jitter: \"none\", \"full\", \"equal\", \"decorrelated\", \
                     or a share such as \"10%\""
                ))
            })?),
        })
    }
}

fn proportional(share: &str) -> Option<Ratio> {
    let percent: f64 = share.strip_suffix('%')?.trim().parse().ok()?;
    Ratio::new(percent / 100.0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn text_round_trips() {
        let tenth = Jitter::Proportional(Ratio::new(0.1).unwrap());
        for (text, backoff) in [
            (r#"{"constant":"10ms"}"#, Backoff::constant(10 * MS)),
            (
                r#"{"linear":"10ms","cap":"1s"}"#,
                Backoff::linear(10 * MS).cap(1_000 * MS),
            ),
            (
                r#"{"exponential":"10ms","jitter":"full"}"#,
                Backoff::exponential(10 * MS).jitter(Jitter::Full),
            ),
            (
                r#"{"exponential":"10ms","factor":3.0,"jitter":"10%"}"#,
                Backoff::exponential(10 * MS).factor(3.0).jitter(tenth),
            ),
            (
                r#"{"fibonacci":"10ms","jitter":"equal"}"#,
                Backoff::fibonacci(10 * MS).jitter(Jitter::Equal),
            ),
            (
                r#"{"exponential":"10ms","jitter":"decorrelated"}"#,
                Backoff::exponential(10 * MS).jitter(Jitter::Decorrelated),
            ),
        ] {
            let read: Backoff = serde_json::from_str(text).unwrap();
            assert_eq!(read, backoff, "{text}");
            let written = serde_json::to_string(&read).unwrap();
            assert_eq!(serde_json::from_str::<Backoff>(&written).unwrap(), backoff);
        }
    }

    #[test]
    fn text_that_says_nothing_or_too_much_is_refused() {
        for text in [
            "{}",
            r#"{"cap":"1s"}"#,
            r#"{"constant":"1s","linear":"1s"}"#,
            r#"{"constant":"1s","factor":2.0}"#,
            r#"{"exponential":"1s","jitter":"some"}"#,
            r#"{"exponential":"1s","jitter":"101%"}"#,
            r#"{"exponential":"1s","base":"1s"}"#,
        ] {
            assert!(serde_json::from_str::<Backoff>(text).is_err(), "{text}");
        }
    }
}
