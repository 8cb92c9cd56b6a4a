//! The text forms of a budget.

use super::config::{
    BudgetConfig, DEFAULT_AT_LEAST, DEFAULT_PER_SECOND, DEFAULT_SHARE, DEFAULT_TTL, Kind,
};
use crate::kernel::config::duration_text;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::time::Duration;

#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Table {
    #[serde(
        skip_serializing_if = "Option::is_none",
        with = "duration_text::option"
    )]
    ttl: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_per_second: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    share: Option<Share>,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_flight: Option<Share>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at_least: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
}

impl Table {
    fn budget<E: de::Error>(self) -> Result<BudgetConfig, E> {
        let bucket = self.ttl.is_some() || self.min_per_second.is_some() || self.share.is_some();
        match (self.in_flight, self.at_least, self.tokens, self.ratio) {
            (None, None, None, None) => Ok(BudgetConfig::token_bucket(
                self.ttl.unwrap_or(DEFAULT_TTL),
                self.min_per_second.unwrap_or(DEFAULT_PER_SECOND),
                self.share.map_or(DEFAULT_SHARE, |share| share.0),
            )),
            (Some(share), at_least, None, None) if !bucket => Ok(BudgetConfig::in_flight(
                share.0,
                at_least.unwrap_or(DEFAULT_AT_LEAST),
            )),
            (None, None, Some(max), Some(ratio)) if !bucket => Ok(BudgetConfig::tokens(max, ratio)),
            _ => Err(E::custom(
                "budget: either `ttl`, `min_per_second` and `share`, or `in_flight` with \
                 `at_least`, or `tokens` with `ratio`, or \"none\"",
            )),
        }
    }
}

impl Serialize for BudgetConfig {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let table = match self.0 {
            Kind::None => return "none".serialize(to),
            Kind::TokenBucket {
                ttl,
                min_per_second,
                share,
            } => Table {
                ttl: Some(ttl),
                min_per_second: Some(min_per_second),
                share: Some(Share(share)),
                ..Table::default()
            },
            Kind::InFlight { share, at_least } => Table {
                in_flight: Some(Share(share)),
                at_least: Some(at_least),
                ..Table::default()
            },
            Kind::Tokens { max, ratio } => Table {
                tokens: Some(max),
                ratio: Some(ratio),
                ..Table::default()
            },
        };
        table.serialize(to)
    }
}

impl<'de> Deserialize<'de> for BudgetConfig {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(TableOrNone)
    }
}

struct TableOrNone;

impl<'de> Visitor<'de> for TableOrNone {
    type Value = BudgetConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a budget such as { ttl = \"10s\", min_per_second = 10, share = \"20%\" }, or \"none\"",
        )
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<BudgetConfig, E> {
        match text {
            "none" | "off" => Ok(BudgetConfig::none()),
            _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        }
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<BudgetConfig, M::Error> {
        Table::deserialize(MapAccessDeserializer::new(map))?.budget()
    }
}

/// A share that may be above 100 %: `"20%"`, `"150%"`, `0.2`. Above 1 only as a percentage: a bare 20
/// is meant as 20 %, and would allow twenty retries of each call.
struct Share(f64);

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if self.0 > 1.0 {
            return to.collect_str(&format_args!("{}%", self.0 * 100.0));
        }
        self.0.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ShareText)
    }
}

struct ShareText;

impl Visitor<'_> for ShareText {
    type Value = Share;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a share such as \"20%\" or \"150%\", or a number from 0 to 1 such as 0.2")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Share, E> {
        text.strip_suffix('%')
            .and_then(|number| number.trim().parse::<f64>().ok())
            .map(|percent| Share(percent / 100.0))
            .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }

    fn visit_f64<E: de::Error>(self, share: f64) -> Result<Share, E> {
        if share > 1.0 {
            return Err(E::invalid_value(de::Unexpected::Float(share), &self));
        }
        Ok(Share(share))
    }

    #[expect(clippy::cast_precision_loss, reason = "only 0 and 1 are in range")]
    fn visit_u64<E: de::Error>(self, share: u64) -> Result<Share, E> {
        self.visit_f64(share as f64)
    }

    #[expect(clippy::cast_precision_loss, reason = "only 0 and 1 are in range")]
    fn visit_i64<E: de::Error>(self, share: i64) -> Result<Share, E> {
        self.visit_f64(share as f64)
    }
}
