//! Waits that grow: between attempts, between openings, between restarts.

use crate::kernel::config::ConfigError;
use crate::kernel::ratio::Ratio;
use crate::kernel::rng::Rolls;
use std::time::Duration;

#[cfg(feature = "serde")]
mod text;

/// How long to wait before try `n`, counted from 1. A small `Copy` value.
///
/// Jitter is applied first and the cap last, so no wait is ever above the cap (and jitter works on
/// a capped wait, so that waits at the cap are still spread); everything saturates, whatever the
/// number of the try.
///
/// ```
/// use backstop::kernel::backoff::{Backoff, Jitter};
/// use backstop::kernel::rng::Rolls;
/// use std::time::Duration;
///
/// let backoff = Backoff::exponential(Duration::from_millis(100)).cap(Duration::from_secs(1));
/// let mut rolls = Rolls::seeded(1);
/// let waits: Vec<_> = backoff.waits(&mut rolls).take(5).map(|d| d.as_millis()).collect();
/// assert_eq!(waits, [100, 200, 400, 800, 1000]);
///
/// let spread = backoff.jitter(Jitter::Full);
/// assert!(spread.wait(1, Duration::ZERO, &mut rolls) < Duration::from_millis(100));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    shape: Shape,
    base: Duration,
    cap: Duration,
    jitter: Jitter,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    Constant,
    Linear,
    Exponential(f64),
    Fibonacci,
}

/// How a wait `w` is spread, so that clients that failed together do not come back together.
///
/// Full, equal and decorrelated are those of Marc Brooker's "Exponential Backoff And Jitter" (AWS
/// Architecture Blog, 2015).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Jitter {
    /// Exactly `w`.
    None,
    /// `[0, w)`: the least load on the target, and waits that may be near zero.
    Full,
    /// `[w/2, w)`.
    Equal,
    /// `[w - r*w, w + r*w)`: keeps the rhythm and blurs it.
    Proportional(Ratio),
    /// `[base, 3 * previous)`, the previous wait being `base` at first; the shape plays no part.
    Decorrelated,
}

impl Backoff {
    /// `base` each time.
    pub const fn constant(base: Duration) -> Self {
        Self::new(Shape::Constant, base)
    }

    /// `n * base` before try `n`: base, 2 base, 3 base.
    pub const fn linear(base: Duration) -> Self {
        Self::new(Shape::Linear, base)
    }

    /// `base * 2^(n-1)`; see [`factor`](Self::factor).
    pub const fn exponential(base: Duration) -> Self {
        Self::new(Shape::Exponential(2.0), base)
    }

    /// `base` times 1, 1, 2, 3, 5, 8, ...
    pub const fn fibonacci(base: Duration) -> Self {
        Self::new(Shape::Fibonacci, base)
    }

    const fn new(shape: Shape, base: Duration) -> Self {
        Self {
            shape,
            base,
            cap: Duration::MAX,
            jitter: Jitter::None,
        }
    }

    /// Makes it exponential with this factor. [`validate`](Self::validate) wants it from 1 up.
    pub const fn factor(mut self, factor: f64) -> Self {
        self.shape = Shape::Exponential(factor);
        self
    }

    /// No wait is longer than this. Default: none.
    pub const fn cap(mut self, cap: Duration) -> Self {
        self.cap = cap;
        self
    }

    /// Default: none.
    pub const fn jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// Checks what the types do not: base above zero, base at most the cap, a finite factor from 1.
    ///
    /// # Errors
    ///
    /// Names the first field that is wrong.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.base.is_zero() {
            return Err(ConfigError::new("base", "0s", "above 0s"));
        }
        if self.cap < self.base {
            return Err(ConfigError::new(
                "cap",
                format_args!("{:?}", self.cap),
                format!("at least the base ({:?})", self.base),
            ));
        }
        match self.shape {
            Shape::Exponential(factor) if !(1.0..=MAX_FACTOR).contains(&factor) => Err(
                ConfigError::new("factor", factor, format!("from 1 to {MAX_FACTOR}")),
            ),
            _ => Ok(()),
        }
    }

    pub(crate) const fn base(&self) -> Duration {
        self.base
    }

    /// Whether a wait draws a roll.
    pub(crate) const fn is_jittered(&self) -> bool {
        !matches!(self.jitter, Jitter::None)
    }

    pub(crate) const fn longest(&self) -> Duration {
        self.cap
    }

    /// The wait before try `n` (from 1), after `previous` (zero at first).
    pub fn wait(&self, n: u32, previous: Duration, rolls: &mut Rolls) -> Duration {
        // Capped before the jitter as well, or all waits far above the cap would be the cap itself,
        // and clients that failed together would come back together.
        let plain = self.plain(n).min(self.cap);
        let jittered = match self.jitter {
            Jitter::None => plain,
            Jitter::Full => scale(plain, rolls.roll()),
            Jitter::Equal => scale(plain, 0.5 + rolls.roll() / 2.0),
            Jitter::Proportional(share) => {
                scale(plain, 1.0 + share.as_f64() * (2.0 * rolls.roll() - 1.0))
            }
            Jitter::Decorrelated => {
                rolls.between(self.base, previous.max(self.base).saturating_mul(3))
            }
        };
        jittered.min(self.cap)
    }

    /// The wait before try `n` without jitter and cap.
    fn plain(&self, n: u32) -> Duration {
        let n = n.max(1);
        match self.shape {
            Shape::Constant => self.base,
            Shape::Linear => self.base.saturating_mul(n),
            Shape::Exponential(factor) => scale(
                self.base,
                factor.powi(i32::try_from(n - 1).unwrap_or(i32::MAX)),
            ),
            Shape::Fibonacci => self.base.saturating_mul(fibonacci(n)),
        }
    }

    /// The waits before tries 1, 2, 3, ... without end.
    pub fn waits<'a>(&'a self, rolls: &'a mut Rolls) -> impl Iterator<Item = Duration> + 'a {
        let mut previous = Duration::ZERO;
        (1..=u32::MAX)
            .chain(std::iter::repeat(u32::MAX))
            .map(move |n| {
                previous = self.wait(n, previous, rolls);
                previous
            })
    }
}

/// A wait that grows a million times from one try to the next is a slip of the keyboard.
const MAX_FACTOR: f64 = 1_000_000.0;

/// `duration * by`, at most the longest duration there is; `by` is never negative here.
fn scale(duration: Duration, by: f64) -> Duration {
    Duration::try_from_secs_f64(duration.as_secs_f64() * by).unwrap_or(Duration::MAX)
}

/// The `n`-th Fibonacci number (1, 1, 2, 3, ...), saturating.
fn fibonacci(n: u32) -> u32 {
    // F(48) is the first above u32::MAX.
    let (mut now, mut next) = (1_u32, 1_u32);
    for _ in 1..n.min(48) {
        (now, next) = (next, now.saturating_add(next));
    }
    now
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn millis(backoff: Backoff, rolls: impl IntoIterator<Item = f64>) -> Vec<u128> {
        let mut rolls = Rolls::script(rolls);
        backoff
            .waits(&mut rolls)
            .take(6)
            .map(|d| d.as_millis())
            .collect()
    }

    #[test]
    fn shapes() {
        assert_eq!(millis(Backoff::constant(10 * MS), []), [10; 6]);
        assert_eq!(
            millis(Backoff::linear(10 * MS), []),
            [10, 20, 30, 40, 50, 60]
        );
        assert_eq!(
            millis(Backoff::exponential(10 * MS), []),
            [10, 20, 40, 80, 160, 320]
        );
        assert_eq!(
            millis(Backoff::exponential(10 * MS).factor(3.0), []),
            [10, 30, 90, 270, 810, 2430]
        );
        assert_eq!(
            millis(Backoff::fibonacci(10 * MS), []),
            [10, 10, 20, 30, 50, 80]
        );
    }

    #[test]
    fn jitter_follows_the_rolls() {
        let constant = Backoff::constant(100 * MS);
        let rolls = [0.0, 0.5, 0.25];
        assert_eq!(
            millis(constant.jitter(Jitter::Full), rolls),
            [0, 50, 25, 0, 50, 25]
        );
        assert_eq!(
            millis(constant.jitter(Jitter::Equal), rolls),
            [50, 75, 62, 50, 75, 62]
        );
        let tenth = Jitter::Proportional(Ratio::new(0.1).unwrap());
        assert_eq!(
            millis(constant.jitter(tenth), rolls),
            [90, 100, 95, 90, 100, 95]
        );
        assert_eq!(
            millis(constant.jitter(Jitter::Decorrelated), [0.5]),
            // base + (3 * previous - base) / 2
            [200, 350, 575, 912, 1418, 2178]
        );
    }

    #[test]
    fn the_cap_comes_last() {
        let capped = Backoff::exponential(100 * MS)
            .cap(300 * MS)
            .jitter(Jitter::Proportional(Ratio::HALF));
        // The roll would lift the wait to 1.5 times; the cap still holds.
        assert_eq!(millis(capped, [1.0]), [150, 300, 300, 300, 300, 300]);
    }

    #[test]
    fn waits_at_the_cap_are_still_spread() {
        let capped = Backoff::exponential(100 * MS)
            .cap(300 * MS)
            .jitter(Jitter::Proportional(Ratio::HALF));
        assert_eq!(
            millis(capped, [0.0, 0.25, 0.5]),
            [50, 150, 300, 150, 225, 300]
        );
        let full = capped.jitter(Jitter::Full);
        assert_eq!(millis(full, [0.5]), [50, 100, 150, 150, 150, 150]);
    }

    #[test]
    fn everything_saturates() {
        let mut rolls = Rolls::script([0.999]);
        for shape in [
            Backoff::linear(Duration::MAX),
            Backoff::exponential(Duration::MAX),
            Backoff::exponential(MS).factor(1e6),
            Backoff::fibonacci(Duration::MAX),
            Backoff::exponential(Duration::MAX).jitter(Jitter::Decorrelated),
        ] {
            let _ = shape.wait(u32::MAX, Duration::MAX, &mut rolls);
            assert_eq!(shape.cap(MS).wait(u32::MAX, Duration::MAX, &mut rolls), MS);
            let _ = shape.wait(0, Duration::ZERO, &mut rolls);
        }
        assert_eq!(fibonacci(47), 2_971_215_073);
        assert_eq!(fibonacci(48), u32::MAX);
        assert_eq!(fibonacci(u32::MAX), u32::MAX);
    }

    #[test]
    fn bad_values_are_named() {
        let field = |backoff: Backoff| backoff.validate().unwrap_err().field();
        assert_eq!(field(Backoff::constant(Duration::ZERO)), "base");
        assert_eq!(field(Backoff::constant(2 * MS).cap(MS)), "cap");
        for factor in [f64::NAN, 0.5, f64::INFINITY, -1.0] {
            assert_eq!(field(Backoff::exponential(MS).factor(factor)), "factor");
        }
        assert_eq!(Backoff::exponential(MS).validate(), Ok(()));
    }
}
