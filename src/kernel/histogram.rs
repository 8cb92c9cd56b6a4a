//! Latencies recorded with one relaxed add.

use histogram::{AtomicHistogram, Histogram};
use std::time::Duration;

/// A histogram of durations from 1 ns to about 18 minutes, each within 3 % (longer ones count as
/// the longest). Recording is one relaxed add to a bucket; a histogram takes about 9 KiB.
#[derive(Debug)]
pub struct LatencyHistogram {
    buckets: AtomicHistogram,
}

/// 2^5 = 32 buckets per power of two: at most 1/32 off.
const GROUPING_POWER: u8 = 5;
/// 2^40 ns = 18.3 minutes.
const MAX_VALUE_POWER: u8 = 40;
const LONGEST: u64 = (1 << MAX_VALUE_POWER) - 1;

impl Default for LatencyHistogram {
    fn default() -> Self {
        Self {
            buckets: AtomicHistogram::new(GROUPING_POWER, MAX_VALUE_POWER)
                .expect("the two powers are constants that fit each other"),
        }
    }
}

impl LatencyHistogram {
    /// Records one duration.
    pub fn record(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(LONGEST);
        // In range by the `min`, and out of range is the only error there is.
        let _ = self.buckets.increment(nanos.min(LONGEST));
    }

    /// What was recorded so far.
    pub fn snapshot(&self) -> LatencySnapshot {
        LatencySnapshot {
            buckets: self.buckets.load(),
        }
    }
}

/// What a [`LatencyHistogram`] held at one moment.
#[derive(Clone, Debug)]
pub struct LatencySnapshot {
    buckets: Histogram,
}

impl LatencySnapshot {
    /// The number of durations.
    pub fn count(&self) -> u64 {
        self.counts().map(|(_, count)| count).sum()
    }

    /// The duration that `quantile` (0 to 1) of all do not exceed; `None` of an empty histogram or
    /// for a quantile out of range.
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        if !(0.0..=1.0).contains(&quantile) {
            return None;
        }
        let total = self.count();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rank within the count; a call more or less does not matter"
        )]
        let rank = ((quantile * total as f64).ceil() as u64).clamp(1, total.max(1));
        let mut seen = 0;
        self.counts().find_map(|(longest, count)| {
            seen += count;
            (seen >= rank).then_some(longest)
        })
    }

    /// Non-empty buckets in ascending order: the longest duration of each, and its count.
    pub fn counts(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        self.buckets
            .iter()
            .filter(|bucket| bucket.count() > 0)
            .map(|bucket| (Duration::from_nanos(bucket.end()), bucket.count()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_three_percent() {
        let histogram = LatencyHistogram::default();
        assert_eq!(histogram.snapshot().quantile(0.5), None);
        for ms in 1..=1000 {
            histogram.record(Duration::from_millis(ms));
        }
        let snapshot = histogram.snapshot();
        assert_eq!(snapshot.count(), 1000);
        for (quantile, ms) in [(0.0, 1.0), (0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
            let found = snapshot.quantile(quantile).unwrap().as_secs_f64() * 1e3;
            assert!((ms..=ms * 1.033).contains(&found), "{quantile}: {found}");
        }
        assert_eq!(snapshot.quantile(1.1), None);
        assert_eq!(snapshot.quantile(f64::NAN), None);
    }

    #[test]
    fn extremes_are_counted() {
        let histogram = LatencyHistogram::default();
        histogram.record(Duration::ZERO);
        histogram.record(Duration::MAX);
        let snapshot = histogram.snapshot();
        assert_eq!(snapshot.count(), 2);
        assert_eq!(snapshot.quantile(1.0), Some(Duration::from_nanos(LONGEST)));
        assert_eq!(snapshot.counts().count(), 2, "empty buckets are left out");
    }
}
