//! What a gate can be told.

use crate::kernel::config::ConfigError;
#[cfg(feature = "serde")]
use crate::kernel::config::duration_text;
use crate::kernel::ratio::Ratio;
use std::time::Duration;

/// The configuration of a [`Gate`](super::Gate): a small value with a default for everything,
/// checked when a gate takes it.
///
/// | setting | default | why |
/// |---|---|---|
/// | [`expected`](Self::expected) | 1 s | a microreboot of the paper took 0.4 to 0.6 s; who comes back early meets a shut gate |
/// | [`drain`](Self::drain) | 250 ms | calls that will end have mostly ended by then, and every further moment is downtime for the others |
/// | [`max_parked`](Self::max_parked) | 1,000 | as many as a busy service has in a second; each holds its request in memory |
/// | [`jitter`](Self::jitter) | 10 % | callers that were refused together come back apart |
/// | [`objective`](Self::objective) | none | it costs two readings of the coarse clock per call |
///
/// With the feature `serde` it is read from text, in which unknown fields are refused:
///
/// ```
/// # #[cfg(feature = "serde")] {
/// let config: backstop::supervise::microreboot::GateConfig = toml::from_str(r#"
///     expected = "500ms"
///     drain = "off"
///     max_parked = 200
/// "#).unwrap();
/// # backstop::supervise::microreboot::Gate::new("x", config).unwrap();
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct GateConfig {
    #[cfg_attr(feature = "serde", serde(with = "duration_text"))]
    pub(super) expected: Duration,
    #[cfg_attr(feature = "serde", serde(with = "duration_text::or_off"))]
    pub(super) drain: Option<Duration>,
    pub(super) max_parked: u32,
    pub(super) jitter: Ratio,
    #[cfg_attr(feature = "serde", serde(with = "duration_text::or_off"))]
    pub(super) objective: Option<Duration>,
}

/// More callers than this never wait at one gate.
const MOST_PARKED: u32 = 100_000;

/// No component is expected to be away for longer.
const LONGEST_EXPECTED: Duration = Duration::from_secs(3_600);

impl Default for GateConfig {
    fn default() -> Self {
        Self {
            expected: Duration::from_secs(1),
            drain: Some(Duration::from_millis(250)),
            max_parked: 1_000,
            jitter: Ratio::from_parts(100_000),
            objective: None,
        }
    }
}

impl GateConfig {
    /// How long a reboot is expected to take before the first one was measured: above zero, at most
    /// an hour. Default: 1 s.
    pub const fn expected(mut self, expected: Duration) -> Self {
        self.expected = expected;
        self
    }

    /// Calls in flight are counted. A reboot waits for them, for at most this long, and then drops
    /// them; zero drops them at once. Default: 250 ms.
    pub const fn drain(mut self, bound: Duration) -> Self {
        self.drain = Some(bound);
        self
    }

    /// Calls in flight are not counted, which halves what the gate costs. A reboot neither waits for
    /// them nor drops them: they end as the end of the component makes them end. In text:
    /// `drain = "off"`.
    pub const fn without_drain(mut self) -> Self {
        self.drain = None;
        self
    }

    /// So many callers of idempotent calls wait for the end of a reboot at once (1 to 100,000); who
    /// comes after them is told when to come back. Default: 1,000.
    pub const fn max_parked(mut self, callers: u32) -> Self {
        self.max_parked = callers;
        self
    }

    /// Nobody waits: callers of idempotent calls are told when to come back. In text:
    /// `max_parked = 0`.
    pub const fn without_parking(mut self) -> Self {
        self.max_parked = 0;
        self
    }

    /// By how much the time to come back is spread, upwards only. Default: 10 %.
    pub const fn jitter(mut self, share: Ratio) -> Self {
        self.jitter = share;
        self
    }

    /// Calls that succeed and took longer than this, from when they asked, count for the blast
    /// radius of a recovery (above zero). Default: their durations are not measured.
    pub const fn objective(mut self, objective: Duration) -> Self {
        self.objective = Some(objective);
        self
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.expected.is_zero() || self.expected > LONGEST_EXPECTED {
            let value = format!("{:?}", self.expected);
            return Err(ConfigError::new("expected", value, "above 0s, at most 1h"));
        }
        if self.max_parked > MOST_PARKED {
            let allowed = format!("from 0 (none waits) to {MOST_PARKED}");
            return Err(ConfigError::new("max_parked", self.max_parked, allowed));
        }
        if self.objective == Some(Duration::ZERO) {
            return Err(ConfigError::new("objective", "0s", "above 0s"));
        }
        Ok(())
    }
}

/// What the caller of a call knows about repeating it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Idempotence {
    /// Nothing: a second call may do the work twice. During a reboot it is refused at once, without
    /// a time to come back, so that nothing repeats it by itself.
    #[default]
    Unknown,
    /// Calling twice does no more than calling once. During a reboot it waits, or is told when to
    /// come back.
    Idempotent,
}
