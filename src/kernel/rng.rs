//! The one source of randomness.

use std::time::Duration;

/// Rolls from 0 (inclusive) to 1 (exclusive): seeded, or scripted roll by roll for tests.
///
/// ```
/// use backstop::kernel::rng::Rolls;
///
/// let mut scripted = Rolls::script([0.25, 0.75]);
/// assert_eq!([scripted.roll(), scripted.roll(), scripted.roll()], [0.25, 0.75, 0.25]);
/// ```
#[derive(Clone, Debug)]
pub struct Rolls(Source);

#[derive(Clone, Debug)]
enum Source {
    Random(fastrand::Rng),
    Script { rolls: Vec<f64>, next: usize },
}

impl Rolls {
    /// The same rolls for the same seed, on every platform.
    pub fn seeded(seed: u64) -> Self {
        Self(Source::Random(fastrand::Rng::with_seed(seed)))
    }

    /// Rolls that differ from process to process.
    pub fn random() -> Self {
        Self(Source::Random(fastrand::Rng::new()))
    }

    /// The given rolls in turn, from the start again after the last; none at all rolls 0. A roll
    /// outside 0 to 1 (or NaN) is taken to the nearest one inside.
    pub fn script(rolls: impl IntoIterator<Item = f64>) -> Self {
        let rolls = rolls
            .into_iter()
            .map(|roll| {
                if roll.is_nan() {
                    0.0
                } else {
                    roll.clamp(0.0, BELOW_ONE)
                }
            })
            .collect();
        Self(Source::Script { rolls, next: 0 })
    }

    /// The next roll.
    pub fn roll(&mut self) -> f64 {
        match &mut self.0 {
            Source::Random(rng) => rng.f64(),
            Source::Script { rolls, next } => {
                let Some(&roll) = rolls.get(*next) else {
                    return 0.0;
                };
                *next = (*next + 1) % rolls.len();
                roll
            }
        }
    }

    /// The next roll, spread over `[from, to)`; `from` if the range is empty.
    pub fn between(&mut self, from: Duration, to: Duration) -> Duration {
        from + to.saturating_sub(from).mul_f64(self.roll())
    }
}

/// The largest `f64` below 1.
const BELOW_ONE: f64 = 1.0 - f64::EPSILON / 2.0;

/// Roll number `n` of a seed, without any state to share: many threads draw from one counter.
pub(crate) fn nth_roll(seed: u64, n: u64) -> f64 {
    nth_rolls(seed, n).roll()
}

/// The rolls of which roll number `n` of a seed is the first.
pub(crate) fn nth_rolls(seed: u64, n: u64) -> Rolls {
    // The odd constant is 2^64 / golden ratio: it keeps the seeds of neighbouring rolls far apart.
    Rolls::seeded(seed.wrapping_add(n.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_rolls() {
        let draw =
            |mut rolls: Rolls| -> Vec<u64> { (0..8).map(|_| rolls.roll().to_bits()).collect() };
        assert_eq!(draw(Rolls::seeded(7)), draw(Rolls::seeded(7)));
        assert_ne!(draw(Rolls::seeded(7)), draw(Rolls::seeded(8)));
        assert_ne!(draw(Rolls::random()), draw(Rolls::random()));
    }

    #[test]
    fn a_script_is_clamped_and_repeats() {
        let mut rolls = Rolls::script([f64::NAN, -1.0, 2.0]);
        assert_eq!(rolls.roll().to_bits(), 0.0_f64.to_bits());
        assert_eq!(rolls.roll().to_bits(), 0.0_f64.to_bits());
        let last = rolls.roll();
        assert!(last < 1.0 && last > 0.999);
        assert_eq!(rolls.roll().to_bits(), 0.0_f64.to_bits());
        assert_eq!(Rolls::script([]).roll().to_bits(), 0.0_f64.to_bits());
    }

    #[test]
    fn between_stays_in_its_range() {
        let mut rolls = Rolls::script([0.5]);
        let second = Duration::from_secs(1);
        assert_eq!(rolls.between(second, 3 * second), 2 * second);
        assert_eq!(rolls.between(3 * second, second), 3 * second);
    }

    #[test]
    fn numbered_rolls_are_spread_evenly() {
        let mut buckets = [0_u32; 10];
        for n in 0..10_000 {
            let roll = nth_roll(42, n);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "0 to 9"
            )]
            let bucket = (roll * 10.0) as usize;
            buckets[bucket] += 1;
        }
        // 1,000 +- 5 standard deviations of a binomial with p = 0.1.
        assert!(
            buckets.iter().all(|n| (850..=1150).contains(n)),
            "{buckets:?}"
        );
        assert_eq!(nth_roll(42, 1).to_bits(), nth_roll(42, 1).to_bits());
    }
}
