//! One series each: registered when it is first published, and told what it adds up to.

use crate::kernel::histogram::LatencySnapshot;
use crate::observe::names::Series;
use metrics::{Counter, Gauge, Histogram};
use std::collections::BTreeMap;
use std::time::Duration;

/// A counter that grows with a total.
pub(super) struct Tally {
    series: Series,
    counter: Option<Counter>,
    told: u64,
}

impl Tally {
    pub(super) fn new(series: Series) -> Self {
        Self {
            series,
            counter: None,
            told: 0,
        }
    }

    /// Brings the counter up to `total`. A total that is less than the last one changes nothing.
    pub(super) fn tell(&mut self, total: u64) {
        let series = &self.series;
        let counter = self.counter.get_or_insert_with(|| series.counter());
        let more = total.saturating_sub(self.told);
        self.told = self.told.max(total);
        // By zero as well: a recorder that drops idle series must not drop this one while its
        // policy is there, because the handle would count into nothing from then on.
        counter.increment(more);
    }

    /// The same, but a counter that was never above zero is left out.
    pub(super) fn tell_if_any(&mut self, total: u64) {
        if self.counter.is_some() || total > 0 {
            self.tell(total);
        }
    }
}

/// A gauge.
pub(super) struct Level {
    series: Series,
    gauge: Option<Gauge>,
}

impl Level {
    pub(super) fn new(series: Series) -> Self {
        Self {
            series,
            gauge: None,
        }
    }

    pub(super) fn set(&mut self, value: f64) {
        let series = &self.series;
        self.gauge.get_or_insert_with(|| series.gauge()).set(value);
    }

    /// Back to zero, if it was ever set.
    pub(super) fn clear(&self) {
        if let Some(gauge) = &self.gauge {
            gauge.set(0.0);
        }
    }
}

/// A histogram that follows another one.
pub(super) struct Spread {
    series: Series,
    histogram: Option<Histogram>,
    /// Calls by the longest duration of their bucket.
    told: BTreeMap<Duration, u64>,
}

impl Spread {
    pub(super) fn new(series: Series) -> Self {
        Self {
            series,
            histogram: None,
            told: BTreeMap::new(),
        }
    }

    /// Puts in what `durations` holds more than the last time.
    pub(super) fn tell(&mut self, durations: &LatencySnapshot) {
        let mut is_idle = true;
        for (duration, count) in durations.counts() {
            let told = self.told.entry(duration).or_default();
            let more = count.saturating_sub(*told);
            if more == 0 {
                continue;
            }
            *told = count;
            is_idle = false;
            let series = &self.series;
            let histogram = self.histogram.get_or_insert_with(|| series.histogram());
            let times = usize::try_from(more).unwrap_or(usize::MAX);
            histogram.record_many(duration.as_secs_f64(), times);
        }
        if is_idle {
            // A recorder that drops idle series may drop this one now, and nothing but another
            // value would keep it from that. So the next value looks it up again.
            self.histogram = None;
        }
    }
}
