//! Counters out of the totals of a policy: one series for each value of the last label.

use super::meters::Tally;
use crate::observe::names::Metric;

/// A value of the last label, and the total that belongs to it.
pub(super) type Figure<T> = (&'static str, fn(&T) -> u64);

/// The series of one counter for one policy.
pub(super) struct Figures<T: 'static> {
    figures: &'static [Figure<T>],
    tallies: Vec<Tally>,
}

impl<T> Figures<T> {
    /// The series with these first labels, one for each figure.
    pub(super) fn new<const N: usize>(
        metric: &Metric,
        labels: [&str; N],
        figures: &'static [Figure<T>],
    ) -> Self {
        let tally = |&(label, _): &Figure<T>| {
            let values: Vec<&str> = labels.into_iter().chain([label]).collect();
            Tally::new(metric.series_of(&values))
        };
        let tallies = figures.iter().map(tally).collect();
        Self { figures, tallies }
    }

    pub(super) fn tell(&mut self, totals: &T) {
        for (tally, (_, total)) in self.tallies.iter_mut().zip(self.figures) {
            tally.tell(total(totals));
        }
    }
}
