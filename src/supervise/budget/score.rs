//! Pausing instead of giving up.

use crate::kernel::config::ConfigError;
#[cfg(feature = "serde")]
use crate::kernel::config::duration_text;
use crate::kernel::instant::Instant;
use crate::kernel::rng::Rolls;
use std::time::Duration;

/// When a supervisor that never gives up pauses its restarts, and for how long.
///
/// Each failure adds 1 to a score that halves each half-life. Above the threshold the failed parts
/// wait together, while the others go on; then all of them try again, and the score is 0. This is
/// how the Go library suture holds on to a tree whose top nobody restarts.
///
/// Default: half-life 30 s, threshold 5, a pause of 15 s, spread over `[15 s, 22.5 s)`. Five crashes
/// at once are let pass; a steady crash is not once it comes more often than about every 10 s
/// (`30 s * log2(5/4)` = 9.7 s).
///
/// With the feature `serde` it is `{ half_life = "30s", threshold = 5.0, pause = "15s" }`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct Pausing {
    #[cfg_attr(feature = "serde", serde(with = "duration_text"))]
    half_life: Duration,
    threshold: f64,
    #[cfg_attr(feature = "serde", serde(with = "duration_text"))]
    pause: Duration,
}

impl Default for Pausing {
    fn default() -> Self {
        Self {
            half_life: Duration::from_secs(30),
            threshold: 5.0,
            pause: Duration::from_secs(15),
        }
    }
}

const MOST: f64 = 100_000.0;
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// A pause is at most this much longer than said.
const JITTER: f64 = 0.5;

impl Pausing {
    /// After how long a failure weighs half (1 ms to 24 h). Default: 30 s.
    pub const fn half_life(mut self, half_life: Duration) -> Self {
        self.half_life = half_life;
        self
    }

    /// Above which score there is a pause (1 to 100,000). Default: 5.
    pub const fn threshold(mut self, threshold: f64) -> Self {
        self.threshold = threshold;
        self
    }

    /// How long a pause is at least (1 ms to 24 h); up to one and a half times that. Default: 15 s.
    pub const fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// Checks the ranges.
    ///
    /// # Errors
    ///
    /// Names the first field that is wrong.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if !(1.0..=MOST).contains(&self.threshold) {
            let allowed = format!("from 1 to {MOST}");
            return Err(ConfigError::new(
                "pausing.threshold",
                self.threshold,
                allowed,
            ));
        }
        for (field, span) in [
            ("pausing.half_life", self.half_life),
            ("pausing.pause", self.pause),
        ] {
            if !(Duration::from_millis(1)..=LONGEST).contains(&span) {
                let value = format!("{span:?}");
                return Err(ConfigError::new(field, value, "from 1ms to 24h"));
            }
        }
        Ok(())
    }

    /// How long this pause is.
    pub(crate) fn length(&self, rolls: &mut Rolls) -> Duration {
        self.pause.mul_f64(1.0 + JITTER * rolls.roll())
    }
}

/// A score that failures raise and time halves; time is an argument.
#[derive(Clone, Debug)]
pub(crate) struct Score {
    pausing: Pausing,
    value: f64,
    at: Instant,
}

impl Score {
    pub(crate) const fn new(pausing: Pausing) -> Self {
        Self {
            pausing,
            value: 0.0,
            at: Instant::from_nanos(0),
        }
    }

    /// One more failure: true if all may go on, false if it is time for a pause.
    pub(crate) fn fail(&mut self, now: Instant) -> bool {
        self.value = self.value(now) + 1.0;
        self.at = now;
        self.value <= self.pausing.threshold
    }

    /// The score now.
    pub(crate) fn value(&self, now: Instant) -> f64 {
        let since = now.saturating_duration_since(self.at);
        let half_lives = since.as_secs_f64() / self.pausing.half_life.as_secs_f64();
        self.value * (-half_lives).exp2()
    }

    /// The pause is over.
    pub(crate) const fn clear(&mut self) {
        self.value = 0.0;
    }

    pub(crate) const fn pausing(&self) -> &Pausing {
        &self.pausing
    }
}
