//! The text forms of a configuration, beside those that the kernel has.

use super::config::{self, WindowKind};
use crate::kernel::config::duration_text;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// `{ count = 100 }`, `{ time = "10s", buckets = 10 }` or `{}`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Window {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    count: Option<u32>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "duration_text::option"
    )]
    time: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    buckets: Option<u32>,
}

impl TryFrom<Window> for config::Window {
    type Error = &'static str;

    fn try_from(text: Window) -> Result<Self, Self::Error> {
        match text {
            Window {
                count: None,
                time: None,
                buckets: None,
            } => Ok(Self::none()),
            Window {
                count: Some(calls),
                time: None,
                buckets: None,
            } => Ok(Self::count(calls)),
            Window {
                count: None,
                time: Some(span),
                buckets,
            } => Ok(Self::time(span, buckets.unwrap_or(10))),
            _ => Err("window: either `count`, or `time` with `buckets`, or neither"),
        }
    }
}

impl From<config::Window> for Window {
    fn from(window: config::Window) -> Self {
        let (count, time, buckets) = match window.0 {
            WindowKind::None => (None, None, None),
            WindowKind::Count(calls) => (Some(calls), None, None),
            WindowKind::Time { span, buckets } => (None, Some(span), Some(buckets)),
        };
        Self {
            count,
            time,
            buckets,
        }
    }
}

/// A share that may be `"off"`.
pub(super) mod share {
    use crate::kernel::ratio::{Ratio, text::share_or_off};
    use serde::{Deserializer, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "the signature that serde's `with` calls")]
    pub(in super::super) fn serialize<S: Serializer>(
        share: &Option<f64>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match share {
            Some(share) => super::plain_share::serialize(share, to),
            None => "off".serialize(to),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<f64>, D::Error> {
        Ok(share_or_off(from)?.map(Ratio::as_f64))
    }
}

/// A share: `"50%"` or `0.5`.
pub(super) mod plain_share {
    use crate::kernel::ratio::Ratio;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "the signature of serde's `with`"
    )]
    pub(in super::super) fn serialize<S: Serializer>(
        share: &f64,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match Ratio::new(*share) {
            Ok(ratio) => ratio.serialize(to),
            Err(_) => share.serialize(to),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<f64, D::Error> {
        Ratio::deserialize(from).map(Ratio::as_f64)
    }
}
