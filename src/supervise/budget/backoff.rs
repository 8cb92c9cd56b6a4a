//! How long to wait before a restart.

use crate::kernel::backoff::Backoff;
use crate::kernel::config::ConfigError;
use crate::kernel::rng::Rolls;
use std::time::Duration;

/// How long to wait before the n-th restart in a row. A small `Copy` value.
///
/// Default: exponential, 100 ms doubled up to 30 s, with 10 % jitter. A blip is over in a tenth of a
/// second; a dependency that is down is asked twice a minute; parts that fell together do not come
/// back together.
///
/// The count starts again after a *stable* run, one of at least 60 s or twice the wait before it,
/// whichever is longer. The budget has nothing to do with that.
///
/// With the feature `serde` it is `{ exponential = "100ms", factor = 2.0, cap = "30s", jitter =
/// "10%" }`, `{ geometric = "100ms", max = "30s", steps = 5, jitter = "10%" }` or `"off"`. `factor`,
/// `cap` and `jitter` have the defaults above.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RestartBackoff {
    pub(super) shape: Shape,
    pub(super) jitter: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Shape {
    None,
    Exponential {
        base: Duration,
        factor: f64,
        cap: Duration,
    },
    Geometric {
        base: Duration,
        max: Duration,
        steps: u32,
    },
}

pub(super) const FACTOR: f64 = 2.0;
pub(super) const CAP: Duration = Duration::from_secs(30);
pub(super) const JITTER: f64 = 0.1;
/// A run of this length is stable, unless the wait before it was longer than half of it.
const STABLE: Duration = Duration::from_secs(60);
const MOST_STEPS: u32 = 1_000;
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

impl Default for RestartBackoff {
    fn default() -> Self {
        Self::exponential(Duration::from_millis(100), FACTOR, CAP)
    }
}

impl RestartBackoff {
    /// `base * factor^(n-1)`, at most `cap`; with 10 % jitter. `base` is above zero, `cap` from
    /// `base` to 24 h, `factor` from 1 to 1,000,000.
    pub const fn exponential(base: Duration, factor: f64, cap: Duration) -> Self {
        Self {
            shape: Shape::Exponential { base, factor, cap },
            jitter: JITTER,
        }
    }

    /// From `base` to `max` (`base` to 24 h) in `steps` (1 to 1,000) equal factors:
    /// `base * (max/base)^((n-1)/steps)`, then `max`; with 10 % jitter. As systemd's
    /// `RestartSteps` does.
    pub const fn geometric(base: Duration, max: Duration, steps: u32) -> Self {
        Self {
            shape: Shape::Geometric { base, max, steps },
            jitter: JITTER,
        }
    }

    /// No wait at all, as in Erlang.
    pub const fn none() -> Self {
        Self {
            shape: Shape::None,
            jitter: 0.0,
        }
    }

    /// Spreads a wait `d` over `[d, (1 + share) * d]`; `share` is from 0 to 1. Only upwards, so that
    /// no wait is shorter than it was said to be. Default: 0.1.
    pub const fn jitter(mut self, share: f64) -> Self {
        self.jitter = share;
        self
    }

    /// Checks the ranges.
    ///
    /// # Errors
    ///
    /// Names the first field that is wrong.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if !(0.0..=1.0).contains(&self.jitter) {
            return Err(ConfigError::new(
                "backoff.jitter",
                self.jitter,
                "from 0 to 1",
            ));
        }
        match self.shape {
            Shape::None => Ok(()),
            Shape::Exponential { base, factor, cap } => {
                check_span(base, "backoff.cap", cap)?;
                let backoff = Backoff::exponential(base).factor(factor).cap(cap);
                backoff.validate().map_err(|error| {
                    ConfigError::new("backoff.factor", error.value(), error.allowed())
                })
            }
            Shape::Geometric { base, max, steps } => {
                check_span(base, "backoff.max", max)?;
                if !(1..=MOST_STEPS).contains(&steps) {
                    let allowed = format!("from 1 to {MOST_STEPS}");
                    return Err(ConfigError::new("backoff.steps", steps, allowed));
                }
                Ok(())
            }
        }
    }

    /// The wait before restart `n` in a row (from 1), jitter included.
    pub fn delay(&self, n: u32, rolls: &mut Rolls) -> Duration {
        let shortest = self.shortest(n);
        if self.jitter > 0.0 {
            scale(shortest, 1.0 + self.jitter * rolls.roll())
        } else {
            shortest
        }
    }

    /// How long a run after a wait of `delay` must last for the count to start again.
    pub fn stable_after(&self, delay: Duration) -> Duration {
        STABLE.max(delay.saturating_mul(2))
    }

    /// The wait without jitter.
    pub(super) fn shortest(&self, n: u32) -> Duration {
        match self.shape {
            Shape::None => Duration::ZERO,
            Shape::Exponential { base, factor, cap } => Backoff::exponential(base)
                .factor(factor)
                .cap(cap)
                .wait(n, Duration::ZERO, &mut Rolls::script([])),
            Shape::Geometric { base, max, steps } => {
                let step = n.saturating_sub(1);
                if step >= steps {
                    return max;
                }
                let ratio = max.as_secs_f64() / base.as_secs_f64();
                let share = f64::from(step) / f64::from(steps);
                scale(base, ratio.powf(share)).min(max)
            }
        }
    }

    /// The wait with all of the jitter.
    pub(super) fn longest(&self, n: u32) -> Duration {
        scale(self.shortest(n), 1.0 + self.jitter)
    }
}

fn check_span(base: Duration, field: &'static str, max: Duration) -> Result<(), ConfigError> {
    if base.is_zero() {
        return Err(ConfigError::new("backoff.base", "0s", "above 0s"));
    }
    if max < base || max > LONGEST {
        let allowed = format!("from the base ({base:?}) to 24h");
        return Err(ConfigError::new(field, format_args!("{max:?}"), allowed));
    }
    Ok(())
}

/// `duration * by`, at most the longest duration there is.
fn scale(duration: Duration, by: f64) -> Duration {
    Duration::try_from_secs_f64(duration.as_secs_f64() * by).unwrap_or(Duration::MAX)
}

/// How many failures in a row something has behind it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Streak {
    failures: u32,
    delay: Duration,
}

impl Streak {
    /// The wait before the restart after a run of `ran_for` (zero for a failed start).
    pub(crate) fn fail(
        &mut self,
        ran_for: Duration,
        backoff: &RestartBackoff,
        rolls: &mut Rolls,
    ) -> Duration {
        if ran_for >= backoff.stable_after(self.delay) {
            *self = Self::default();
        }
        self.failures = self.failures.saturating_add(1);
        self.delay = backoff.delay(self.failures, rolls);
        self.delay
    }

    /// How many in a row, up to the last one.
    #[cfg(test)]
    pub(crate) const fn failures(&self) -> u32 {
        self.failures
    }
}
