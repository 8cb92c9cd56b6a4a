//! A recorder that keeps sums, and runs something of the test's at each value it is told.

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

type Hook = dyn Fn(&str) + Send + Sync;

/// Series by `name{value,value}`, the labels' values in the order of the table.
#[derive(Clone)]
pub(super) struct Sums {
    values: Arc<Mutex<BTreeMap<String, f64>>>,
    registered: Arc<Mutex<Vec<String>>>,
    hook: Arc<Hook>,
}

struct Series {
    sums: Sums,
    name: String,
}

impl Sums {
    pub(super) fn new() -> Self {
        Self::with_hook(|_| {})
    }

    /// `hook` gets the series after each new value of it, under no lock.
    pub(super) fn with_hook(hook: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self {
            values: Arc::default(),
            registered: Arc::default(),
            hook: Arc::new(hook),
        }
    }

    pub(super) fn get(&self, series: &str) -> Option<f64> {
        self.values.lock().unwrap().get(series).copied()
    }

    /// All series whose name begins like this.
    pub(super) fn all(&self, prefix: &str) -> Vec<(String, f64)> {
        let values = self.values.lock().unwrap();
        let matching = values.iter().filter(|(name, _)| name.starts_with(prefix));
        matching
            .map(|(name, value)| (name.clone(), *value))
            .collect()
    }

    /// How often series were looked up.
    pub(super) fn look_ups(&self) -> usize {
        self.registered.lock().unwrap().len()
    }

    fn series(&self, key: &Key) -> Arc<Series> {
        let labels: Vec<_> = key.labels().map(|label| label.value()).collect();
        let name = format!("{}{{{}}}", key.name(), labels.join(","));
        self.registered.lock().unwrap().push(name.clone());
        (self.hook)(&name);
        Arc::new(Series {
            sums: self.clone(),
            name,
        })
    }
}

impl Series {
    fn change(&self, to: impl FnOnce(f64) -> f64) {
        {
            let mut values = self.sums.values.lock().unwrap();
            let value = values.entry(self.name.clone()).or_default();
            *value = to(*value);
        }
        (self.sums.hook)(&self.name);
    }
}

#[expect(clippy::cast_precision_loss, reason = "the counts of a test are small")]
impl CounterFn for Series {
    fn increment(&self, value: u64) {
        self.change(|before| before + value as f64);
    }

    fn absolute(&self, value: u64) {
        self.change(|before| before.max(value as f64));
    }
}

impl GaugeFn for Series {
    fn increment(&self, value: f64) {
        self.change(|before| before + value);
    }

    fn decrement(&self, value: f64) {
        self.change(|before| before - value);
    }

    fn set(&self, value: f64) {
        self.change(|_| value);
    }
}

/// A histogram is the number of its values.
impl HistogramFn for Series {
    fn record(&self, _: f64) {
        self.change(|before| before + 1.0);
    }
}

impl Recorder for Sums {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {
        (self.hook)("described");
    }

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.series(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.series(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.series(key))
    }
}
