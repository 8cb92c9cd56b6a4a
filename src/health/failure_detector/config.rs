//! What a failure detector can be told.

use crate::kernel::config::ConfigError;
#[cfg(feature = "serde")]
use crate::kernel::config::duration_text;
use std::time::Duration;

/// The configuration of a [`FailureDetector`](super::FailureDetector): a value with a default for everything,
/// checked when a detector takes it.
///
/// | setting | default | why |
/// |---|---|---|
/// | [`model`](Self::model) | normal | intervals of a timer with some noise; the one whose suspicion rises fastest once it is overdue |
/// | [`threshold`](Self::threshold) | 8 | one false suspicion in 10^8 heartbeats, were the model exact |
/// | [`window`](Self::window) | 1,000 | a quarter of an hour at one heartbeat a second; 8 KB |
/// | [`min_deviation`](Self::min_deviation) | 100 ms | heartbeats over a quiet network are so regular that the first small delay would convict |
/// | [`pause`](Self::pause) | 3 s | a long garbage collection or a lost packet is no failure |
/// | [`first_estimate`](Self::first_estimate) | 1 s | what is expected before the first interval is known |
/// | [`deadline`](Self::deadline) | 10 s | of the deadline model only |
///
/// The figures are those of Akka's detector, which has run with them for a decade.
///
/// ```
/// use backstop::health::failure_detector::{FailureDetector, FailureDetectorConfig, Model};
/// use std::time::Duration;
///
/// let config = FailureDetectorConfig::default()
///     .model(Model::Exponential)
///     .first_estimate(Duration::from_millis(200));
/// # FailureDetector::new("x", config).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct FailureDetectorConfig {
    pub(super) model: Model,
    pub(super) threshold: f64,
    pub(super) window: u32,
    #[cfg_attr(feature = "serde", serde(with = "duration_text"))]
    pub(super) min_deviation: Duration,
    #[cfg_attr(feature = "serde", serde(with = "duration_text"))]
    pub(super) pause: Duration,
    #[cfg_attr(feature = "serde", serde(with = "duration_text"))]
    pub(super) first_estimate: Duration,
    #[cfg_attr(feature = "serde", serde(with = "duration_text"))]
    pub(super) deadline: Duration,
}

/// How the time since the last heartbeat becomes a suspicion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Model {
    /// Intervals are spread as a normal distribution around their mean, to which
    /// [`pause`](FailureDetectorConfig::pause) is added: `phi = -log10(P(interval > t))`. For heartbeats
    /// that a timer sends.
    ///
    /// Hayashibara, Défago, Yared, Katayama: *The φ accrual failure detector* (SRDS 2004).
    #[default]
    Normal,
    /// Intervals are exponentially distributed: `phi = t / (mean * ln 10)`, without pause and deviation.
    /// For heartbeats that come irregularly, as by gossip; Cassandra's model. The mean is taken for a tenth
    /// of [`first_estimate`](FailureDetectorConfig::first_estimate) at least: after a burst of heartbeats a
    /// sender that goes on as before would else be suspected in each of its intervals.
    Exponential,
    /// Suspected once nothing came for longer than [`deadline`](FailureDetectorConfig::deadline): phi is 0 until
    /// then, and infinite afterwards. It learns nothing, so it can be told in a contract.
    Deadline,
}

const MOST_SAMPLES: u32 = 100_000;

const LONGEST_ESTIMATE: Duration = Duration::from_secs(12 * 3_600);

impl Default for FailureDetectorConfig {
    fn default() -> Self {
        Self {
            model: Model::Normal,
            threshold: 8.0,
            window: 1_000,
            min_deviation: Duration::from_millis(100),
            pause: Duration::from_secs(3),
            first_estimate: Duration::from_secs(1),
            deadline: Duration::from_secs(10),
        }
    }
}

impl FailureDetectorConfig {
    /// How suspicion grows. Default: [`Model::Normal`].
    pub const fn model(mut self, model: Model) -> Self {
        self.model = model;
        self
    }

    /// Suspected from this phi on (above 0, finite). Default: 8.
    pub const fn threshold(mut self, phi: f64) -> Self {
        self.threshold = phi;
        self
    }

    /// How many of the last intervals count (2 to 100,000), 8 bytes each. Default: 1,000.
    pub const fn window(mut self, samples: u32) -> Self {
        self.window = samples;
        self
    }

    /// The least standard deviation of the normal model (above zero). Default: 100 ms.
    pub const fn min_deviation(mut self, deviation: Duration) -> Self {
        self.min_deviation = deviation;
        self
    }

    /// How much later than usual a heartbeat may be in the normal model; zero is allowed. Default: 3 s.
    pub const fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// The interval that is expected at first (above zero, to 12 hours): set it to the sender's. It counts as two samples, a
    /// quarter below and a quarter above it. Default: 1 s.
    pub const fn first_estimate(mut self, interval: Duration) -> Self {
        self.first_estimate = interval;
        self
    }

    /// The deadline model: suspected after this long without a heartbeat (above zero). Default: 10 s.
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if !(self.threshold > 0.0 && self.threshold.is_finite()) {
            return Err(ConfigError::new(
                "threshold",
                self.threshold,
                "above 0 and finite",
            ));
        }
        if !(2..=MOST_SAMPLES).contains(&self.window) {
            let allowed = format!("from 2 to {MOST_SAMPLES}");
            return Err(ConfigError::new("window", self.window, allowed));
        }
        for (field, value) in [
            ("min_deviation", self.min_deviation),
            ("first_estimate", self.first_estimate),
            ("deadline", self.deadline),
        ] {
            if value.is_zero() {
                return Err(ConfigError::new(field, "0s", "above 0s"));
            }
        }
        if self.first_estimate > LONGEST_ESTIMATE {
            let given = format!("{:?}", self.first_estimate);
            return Err(ConfigError::new("first_estimate", given, "at most 12h"));
        }
        Ok(())
    }
}
