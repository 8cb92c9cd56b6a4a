//! What a manager and its components can be told.

use super::cap::RebootCap;
use super::ladder::Ladder;
use super::storm::StormGate;
use crate::kernel::config::ConfigError;
#[cfg(feature = "serde")]
use crate::kernel::config::duration_text;
use std::time::Duration;

/// The configuration of a [`MicrorebootManager`](super::MicrorebootManager): a small value with a
/// default for everything, checked when a manager takes it.
///
/// | setting | default | why |
/// |---|---|---|
/// | [`cap`](Self::cap) | 3 in an hour | what three reboots did not cure, a fourth will not |
/// | [`ladder`](Self::ladder) | component, human | wider rungs cost more than a component: who wants them says so |
/// | [`storm`](Self::storm) | half must be healthy | if most fail, the cause lies elsewhere |
/// | [`history_limit`](Self::history_limit) | 1 s | a store that hangs must not keep a component down |
/// | [`records`](Self::records) | 1,000 | weeks of recoveries of a service that is not well |
///
/// With the feature `serde` it is read from text, in which unknown fields are refused:
///
/// ```
/// # #[cfg(feature = "serde")] {
/// let config: backstop::supervise::microreboot::MicrorebootConfig = toml::from_str(r#"
///     cap = { reboots = 5, within = "30m" }
///     ladder = { group = true }
///     storm = { allow = { max_unhealthy = 3 }, cool_down = "10s" }
/// "#).unwrap();
/// # let _ = config;
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct MicrorebootConfig {
    pub(super) cap: RebootCap,
    pub(super) ladder: Ladder,
    pub(super) storm: StormGate,
    #[cfg_attr(feature = "serde", serde(with = "duration_text"))]
    pub(super) history_limit: Duration,
    pub(super) records: u32,
}

impl Default for MicrorebootConfig {
    fn default() -> Self {
        Self {
            cap: RebootCap::default(),
            ladder: Ladder::default(),
            storm: StormGate::default(),
            history_limit: Duration::from_secs(1),
            records: 1_000,
        }
    }
}

impl MicrorebootConfig {
    /// How many reboots each component, group, subtree, and the process may have. Default: 3 in an
    /// hour.
    pub const fn cap(mut self, cap: RebootCap) -> Self {
        self.cap = cap;
        self
    }

    /// What is tried, and in which order. Default: the component, then a human.
    pub const fn ladder(mut self, ladder: Ladder) -> Self {
        self.ladder = ladder;
        self
    }

    /// When nothing new begins. Default: while less than half of the components are healthy.
    pub const fn storm(mut self, storm: StormGate) -> Self {
        self.storm = storm;
        self
    }

    /// How long a reboot waits for its charge to be stored: 10 ms to 1 min. Default: 1 s.
    pub const fn history_limit(mut self, limit: Duration) -> Self {
        self.history_limit = limit;
        self
    }

    /// How many records are kept in memory, the newest: 1 to 1,000,000. Default: 1,000.
    pub const fn records(mut self, records: u32) -> Self {
        self.records = records;
        self
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        self.cap.validate()?;
        self.ladder.validate()?;
        self.storm.validate()?;
        if !(Duration::from_millis(10)..=Duration::from_secs(60)).contains(&self.history_limit) {
            let limit = format!("{:?}", self.history_limit);
            return Err(ConfigError::new("history_limit", limit, "10ms to 1min"));
        }
        if !(1..=1_000_000).contains(&self.records) {
            return Err(ConfigError::new("records", self.records, "1 to 1000000"));
        }
        Ok(())
    }
}

/// How long each phase of a component may take.
///
/// | phase | default | why |
/// |---|---|---|
/// | [`checkpoint`](Self::checkpoint) | 1 s | it is asked of a component that is not well: whoever has not answered by then will not |
/// | [`stop`](Self::stop) | 5 s | OTP's; then it is killed |
/// | [`cleanup`](Self::cleanup) | 5 s | files, sockets, leases |
/// | [`start`](Self::start) | 30 s | a connection and a cache |
/// | [`verify`](Self::verify) | 10 s | a question and its answer, with a slow first one |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct PhaseLimits {
    #[cfg_attr(feature = "serde", serde(with = "duration_text"))]
    pub(super) checkpoint: Duration,
    #[cfg_attr(feature = "serde", serde(with = "duration_text"))]
    pub(super) stop: Duration,
    #[cfg_attr(feature = "serde", serde(with = "duration_text"))]
    pub(super) cleanup: Duration,
    #[cfg_attr(feature = "serde", serde(with = "duration_text"))]
    pub(super) start: Duration,
    #[cfg_attr(feature = "serde", serde(with = "duration_text"))]
    pub(super) verify: Duration,
}

impl Default for PhaseLimits {
    fn default() -> Self {
        Self {
            checkpoint: Duration::from_secs(1),
            stop: Duration::from_secs(5),
            cleanup: Duration::from_secs(5),
            start: Duration::from_secs(30),
            verify: Duration::from_secs(10),
        }
    }
}

impl PhaseLimits {
    /// How long the component may take to give its state. Default: 1 s.
    pub const fn checkpoint(mut self, limit: Duration) -> Self {
        self.checkpoint = limit;
        self
    }

    /// How long it may take to stop, before it is killed. Default: 5 s.
    pub const fn stop(mut self, limit: Duration) -> Self {
        self.stop = limit;
        self
    }

    /// How long its cleanup may take. Default: 5 s.
    pub const fn cleanup(mut self, limit: Duration) -> Self {
        self.cleanup = limit;
        self
    }

    /// How long it may take to become ready. Default: 30 s.
    pub const fn start(mut self, limit: Duration) -> Self {
        self.start = limit;
        self
    }

    /// How long it may take to show that it works. Default: 10 s.
    pub const fn verify(mut self, limit: Duration) -> Self {
        self.verify = limit;
        self
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        let all = [
            ("limits.checkpoint", self.checkpoint),
            ("limits.stop", self.stop),
            ("limits.cleanup", self.cleanup),
            ("limits.start", self.start),
            ("limits.verify", self.verify),
        ];
        let range = Duration::from_millis(1)..=Duration::from_secs(24 * 3600);
        for (field, limit) in all {
            if !range.contains(&limit) {
                return Err(ConfigError::new(field, format!("{limit:?}"), "1ms to 24h"));
            }
        }
        Ok(())
    }
}
