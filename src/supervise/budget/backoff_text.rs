//! The text forms of a back-off: `{ exponential = "100ms", cap = "30s" }`, `"off"`.

use super::RestartBackoff;
use super::backoff::{CAP, FACTOR, JITTER, Shape};
use crate::kernel::config::{duration_text, part_text};
use crate::kernel::ratio::Ratio;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::time::Duration;

/// `exponential` with `factor` and `cap`, or `geometric` with `max` and `steps`.
#[derive(Default, Serialize, Deserialize)]
#[serde(
    default,
    deny_unknown_fields,
    expecting = "a back-off such as { exponential = \"100ms\", cap = \"30s\" }"
)]
struct Table {
    #[serde(
        skip_serializing_if = "Option::is_none",
        with = "duration_text::option"
    )]
    exponential: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    factor: Option<f64>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        with = "duration_text::option"
    )]
    cap: Option<Duration>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        with = "duration_text::option"
    )]
    geometric: Option<Duration>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        with = "duration_text::option"
    )]
    max: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jitter: Option<Ratio>,
}

impl Serialize for RestartBackoff {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut table = Table {
            jitter: Ratio::new(self.jitter).ok(),
            ..Table::default()
        };
        match self.shape {
            Shape::None => return "off".serialize(to),
            Shape::Exponential { base, factor, cap } => {
                table.exponential = Some(base);
                table.factor = Some(factor);
                table.cap = Some(cap);
            }
            Shape::Geometric { base, max, steps } => {
                table.geometric = Some(base);
                table.max = Some(max);
                table.steps = Some(steps);
            }
        }
        table.serialize(to)
    }
}

impl<'de> Deserialize<'de> for RestartBackoff {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Some(table) = part_text::deserialize::<Table, D>(from)? else {
            return Ok(Self::none());
        };
        let one_of = "backoff: `exponential` (with `factor` and `cap`) or `geometric` with `max` and \
                      `steps`, such as { exponential = \"100ms\", cap = \"30s\" }, or \"off\"";
        let backoff = match table {
            Table {
                exponential: Some(base),
                factor,
                cap,
                geometric: None,
                max: None,
                steps: None,
                ..
            } => Self::exponential(base, factor.unwrap_or(FACTOR), cap.unwrap_or(CAP.max(base))),
            Table {
                geometric: Some(base),
                max: Some(max),
                steps: Some(steps),
                exponential: None,
                factor: None,
                cap: None,
                ..
            } => Self::geometric(base, max, steps),
            _ => return Err(de::Error::custom(one_of)),
        };
        Ok(backoff.jitter(table.jitter.map_or(JITTER, Ratio::as_f64)))
    }
}
