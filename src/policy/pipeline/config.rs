//! What a pipeline is made of.

use crate::kernel::config::ConfigError;
#[cfg(feature = "serde")]
use crate::kernel::config::{duration_text, part_text};
use crate::policy::bulkhead::BulkheadConfig;
use crate::policy::circuit_breaker::CircuitBreakerConfig;
use crate::policy::retry::RetryConfig;
use std::time::Duration;

/// The configuration of a [`Pipeline`](super::Pipeline): its parts, each of which can be off.
///
/// | part | default | why |
/// |---|---|---|
/// | [`total_timeout`](Self::total_timeout) | 30 s | no caller waits longer, whatever the parts inside do: what most HTTP clients and proxies give a request |
/// | [`bulkhead`](Self::bulkhead) | 25 calls, no queue | a callee that hangs holds 25 of our calls and not all of them |
/// | [`retry`](Self::retry) | 3 attempts, within a budget | a blip is invisible; an outage costs 20 % more load and not three times as much |
/// | [`circuit_breaker`](Self::circuit_breaker) | 50 % of the last 100 calls | a callee that is down is not asked |
/// | [`attempt_timeout`](Self::attempt_timeout) | a third of the total or half of the breaker's time window, at most 10 s | a hanging attempt leaves enough time for two others, and the breaker sees two of them in its window |
///
/// ```
/// use backstop::{BulkheadConfig, PipelineConfig};
/// use std::time::Duration;
///
/// let config = PipelineConfig::default()
///     .total_timeout(Duration::from_secs(3))
///     .attempt_timeout(Duration::from_secs(1))
///     .bulkhead(BulkheadConfig::default().max_concurrent(64))
///     .without_retry();
/// # let _ = config;
/// ```
///
/// With the feature `serde` it is read from text. A part that is not named has its default, a part
/// that is `"off"` is left out, and unknown fields are refused:
///
/// ```
/// # #[cfg(feature = "serde")] {
/// let config: backstop::PipelineConfig = toml::from_str(r#"
///     total_timeout = "3s"
///     attempt_timeout = "1s"
///     retry = "off"
///
///     [bulkhead]
///     max_concurrent = 64
///
///     [circuit_breaker]
///     failure_rate = "30%"
/// "#).unwrap();
/// # backstop::Pipeline::new("x", config).unwrap();
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct PipelineConfig {
    #[cfg_attr(feature = "serde", serde(with = "duration_text::or_off"))]
    pub(super) total_timeout: Option<Duration>,
    #[cfg_attr(
        feature = "serde",
        serde(
            with = "attempt_text",
            skip_serializing_if = "AttemptTimeout::is_default"
        )
    )]
    pub(super) attempt_timeout: AttemptTimeout,
    #[cfg_attr(feature = "serde", serde(with = "part_text"))]
    pub(super) bulkhead: Option<BulkheadConfig>,
    #[cfg_attr(feature = "serde", serde(with = "part_text"))]
    pub(super) retry: Option<RetryConfig>,
    #[cfg_attr(feature = "serde", serde(with = "part_text"))]
    pub(super) circuit_breaker: Option<CircuitBreakerConfig>,
}

/// The limit of an attempt, as it was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum AttemptTimeout {
    /// What fits to the other parts.
    #[default]
    Default,
    Off,
    After(Duration),
}

impl AttemptTimeout {
    #[cfg(feature = "serde")]
    fn is_default(&self) -> bool {
        *self == Self::Default
    }

    pub(super) fn of(limit: Option<Duration>) -> Self {
        limit.map_or(Self::Off, Self::After)
    }
}

/// `"1s"` or `"off"`.
#[cfg(feature = "serde")]
mod attempt_text {
    use super::{AttemptTimeout, duration_text};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        attempt: &AttemptTimeout,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let limit = match attempt {
            AttemptTimeout::After(limit) => Some(*limit),
            AttemptTimeout::Default | AttemptTimeout::Off => None,
        };
        duration_text::or_off::serialize(&limit, to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<AttemptTimeout, D::Error> {
        duration_text::or_off::deserialize(from).map(AttemptTimeout::of)
    }
}

const DEFAULT_ATTEMPT: Duration = Duration::from_secs(10);

impl Default for PipelineConfig {
    fn default() -> Self {
        Self {
            total_timeout: Some(Duration::from_secs(30)),
            attempt_timeout: AttemptTimeout::Default,
            bulkhead: Some(BulkheadConfig::default()),
            retry: Some(RetryConfig::default()),
            circuit_breaker: Some(CircuitBreakerConfig::default()),
        }
    }
}

impl PipelineConfig {
    /// No part at all: begin here to name each one that is wanted.
    pub const fn empty() -> Self {
        Self {
            total_timeout: None,
            attempt_timeout: AttemptTimeout::Off,
            bulkhead: None,
            retry: None,
            circuit_breaker: None,
        }
    }

    /// The longest that a call may take with all its attempts and waits, above zero. Default: 30 s.
    pub const fn total_timeout(mut self, limit: Duration) -> Self {
        self.total_timeout = Some(limit);
        self
    }

    /// A call may take as long as it takes.
    pub const fn without_total_timeout(mut self) -> Self {
        self.total_timeout = None;
        self
    }

    /// The longest that one attempt may take: above zero, at most the total. Default: a third of the
    /// total, or half of the breaker's time window if that is less, and at most 10 s.
    ///
    /// A time window of the breaker must be at least twice as long, or calls that are cut off leave
    /// the window before they can be judged together.
    pub const fn attempt_timeout(mut self, limit: Duration) -> Self {
        self.attempt_timeout = AttemptTimeout::After(limit);
        self
    }

    /// An attempt may take as long as it takes, within the total.
    pub const fn without_attempt_timeout(mut self) -> Self {
        self.attempt_timeout = AttemptTimeout::Off;
        self
    }

    /// How many calls run at once. A call with its attempts and the waits between them counts once.
    pub fn bulkhead(mut self, bulkhead: BulkheadConfig) -> Self {
        self.bulkhead = Some(bulkhead);
        self
    }

    /// Any number of calls runs at once.
    pub fn without_bulkhead(mut self) -> Self {
        self.bulkhead = None;
        self
    }

    /// What is tried again, and when.
    pub fn retry(mut self, retry: RetryConfig) -> Self {
        self.retry = Some(retry);
        self
    }

    /// One attempt per call.
    pub fn without_retry(mut self) -> Self {
        self.retry = None;
        self
    }

    /// When the callee is not asked. The breaker counts attempts, not calls.
    pub fn circuit_breaker(mut self, circuit_breaker: CircuitBreakerConfig) -> Self {
        self.circuit_breaker = Some(circuit_breaker);
        self
    }

    /// The callee is always asked.
    pub fn without_circuit_breaker(mut self) -> Self {
        self.circuit_breaker = None;
        self
    }

    /// The limit of an attempt.
    pub(super) fn attempt_limit(&self) -> Option<Duration> {
        match self.attempt_timeout {
            AttemptTimeout::Off => None,
            AttemptTimeout::After(limit) => Some(limit),
            AttemptTimeout::Default => {
                let third_of_total = self.total_timeout.map(|total| total / 3);
                let half_window = self.window().map(|span| span / 2);
                let others = [third_of_total, half_window];
                let least = others.into_iter().flatten().min();
                let least = least.map_or(DEFAULT_ATTEMPT, |least| least.min(DEFAULT_ATTEMPT));
                // A total of nothing is refused as a total.
                Some(least.max(Duration::from_nanos(1)))
            }
        }
    }

    /// The breaker's time window.
    fn window(&self) -> Option<Duration> {
        self.circuit_breaker
            .as_ref()
            .and_then(CircuitBreakerConfig::time_span)
    }

    /// Checks what no part can see on its own; each part checks itself, and that first.
    pub(super) fn check_together(&self) -> Result<(), ConfigError> {
        let AttemptTimeout::After(attempt) = self.attempt_timeout else {
            return Ok(());
        };
        if let Some(total) = self.total_timeout.filter(|total| attempt > *total) {
            return Err(ConfigError::new(
                "attempt_timeout",
                format_args!("{attempt:?}"),
                format!("at most the total_timeout ({total:?})"),
            ));
        }
        let twice = attempt.saturating_mul(2);
        match self.window().filter(|span| *span < twice) {
            None => Ok(()),
            Some(span) => Err(ConfigError::new(
                "window.time",
                format_args!("{span:?}"),
                format!("at least twice the attempt_timeout ({attempt:?})"),
            )
            .within("circuit_breaker")),
        }
    }
}
