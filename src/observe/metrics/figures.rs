//! Counters out of the totals of a policy: one series for each value of the last label.

use super::meters::Tally;
use crate::observe::names::Metric;

/// A value of the last label, and the total that belongs to it.
pub(super) type Figure<T> = (&'static str, fn(&T) -> u64);

/// The series of one counter for one policy.
pub(super) struct Figures<T>(Vec<(Tally, fn(&T) -> u64)>);

impl<T> Figures<T> {
    /// The series with these first labels, one for each figure.
    pub(super) fn new<const N: usize>(
        metric: &Metric,
        labels: [&str; N],
        figures: &[Figure<T>],
    ) -> Self {
        let tally = |&(label, total): &Figure<T>| {
            let values: Vec<&str> = labels.into_iter().chain([label]).collect();
            (Tally::new(metric.series_of(&values)), total)
        };
        Self(figures.iter().map(tally).collect())
    }

    pub(super) fn tell(&mut self, totals: &T) {
        for (tally, total) in &mut self.0 {
            tally.tell(total(totals));
        }
    }
}
