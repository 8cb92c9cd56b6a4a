//! The names of all metrics, in one table.
//!
//! A name begins with the thing that is measured and ends with its unit, or with `_total` on a
//! counter. Labels are bounded by what a program is made of: names of policies, states, outcomes,
//! reasons; never an id, a user or an error's text.

use metrics::{Counter, Gauge, Histogram, Label, SharedString, Unit};

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// The name, in `snake_case`.
    pub name: &'static str,
    /// How its values go.
    pub kind: MetricKind,
    /// The unit, in the plural and without a prefix; `None` for a number of things.
    pub unit: Option<&'static str>,
    /// What it tells.
    pub help: &'static str,
    /// The keys of its labels; every series of the metric has all of them.
    pub labels: &'static [&'static str],
}

/// How the values of a metric go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetricKind {
    /// Only up, from zero.
    Counter,
    /// Up and down.
    Gauge,
    /// Many values, of which the distribution is kept.
    Histogram,
}

macro_rules! table {
    (@unit) => { None };
    (@unit $unit:literal) => { Some($unit) };
    ($($(#[$doc:meta])* $id:ident: $kind:ident $name:literal $(in $unit:literal)?
        { $($label:literal),+ } $help:literal;)+) => {
        $(
            #[doc = concat!("`", $name, "`: ", $help)]
            #[doc = ""]
            $(#[$doc])*
            pub const $id: Metric = Metric {
                name: $name,
                kind: MetricKind::$kind,
                unit: table!(@unit $($unit)?),
                help: $help,
                labels: &[$($label),+],
            };
        )+

        /// All of them.
        pub const METRICS: &[Metric] = &[$($id),+];
    };
}

table! {
    /// `outcome` is `success`, `failure`, `ignored`, `dropped` or `late`; of a bulkhead, which does
    /// not judge, `finished`; of a retry `success`, `failure` or `dropped`, one for each call,
    /// whatever the number of its attempts. There is no `success` while successes are not counted (a
    /// circuit breaker with `totals(false)` and no time window), and no `finished` of a bulkhead with
    /// `totals(false)`.
    POLICY_CALLS: Counter "policy_calls_total" { "policy", "name", "outcome" }
        "Calls that a policy admitted and that have ended, by what they came to.";
    /// `reason` is `open`, `forced_open` or `probes_full` of a circuit breaker; of a bulkhead `full`,
    /// `wait_over` (it waited, and was full until the end of its wait), `forced_open` or
    /// `no_runtime`; of a retry `forced_open`; of a timeout `timed_out`, `forced_open` or
    /// `no_runtime`.
    POLICY_REJECTIONS: Counter "policy_rejections_total" { "policy", "name", "reason" }
        "Calls that a policy refused or ended.";
    /// Only of policies that keep durations: `CircuitBreakerConfig::durations`.
    POLICY_CALL_DURATION: Histogram "policy_call_duration_seconds" in "seconds" { "policy", "name" }
        "How long the calls took that a policy admitted.";
    /// `state` is one of `circuit_breaker::State::ALL`; of the six series exactly one is 1.
    CIRCUIT_BREAKER_STATE: Gauge "circuit_breaker_state" { "name", "state" }
        "1 for the state that a circuit breaker is in, 0 for the others.";
    /// It is 0 while the window is empty, and so while the circuit is open.
    CIRCUIT_BREAKER_FAILURE_RATIO: Gauge "circuit_breaker_failure_ratio" in "ratio" { "name" }
        "Failed calls among those in a circuit breaker's window (half-open: among its probes), from 0 to 1.";
    /// `state` is one of `circuit_breaker::State::ALL`. The overflow entry is not among them.
    CIRCUIT_BREAKER_KEYED_ENTRIES: Gauge "circuit_breaker_keyed_entries" { "name", "state" }
        "Entries of a keyed set of circuit breakers, by their state.";
    CIRCUIT_BREAKER_KEYED_OVERFLOWS: Counter "circuit_breaker_keyed_overflows_total" { "name" }
        "How often a keyed set of circuit breakers had no room for a key and answered with its overflow entry.";
    BULKHEAD_IN_FLIGHT: Gauge "bulkhead_in_flight" { "name" }
        "Calls that hold a slot of a bulkhead.";
    BULKHEAD_WAITING: Gauge "bulkhead_waiting" { "name" }
        "Calls that wait for a slot of a bulkhead.";
    BULKHEAD_LIMIT: Gauge "bulkhead_limit" { "name" }
        "Slots of a bulkhead: how many calls may run at once.";
    /// `outcome` is `admitted`, `dropped` or `wait_over`; the latter are among the rejections too.
    BULKHEAD_WAITS: Counter "bulkhead_waits_total" { "name", "outcome" }
        "Waits for a slot of a bulkhead that have ended, by what they came to.";
    /// Calls that are ready at their first poll are not among them. It is what `timed_out` among
    /// the rejections is a share of.
    TIMEOUT_ARMED: Counter "timeout_armed_total" { "name" }
        "Calls that were pending at their first poll and so got a time limit.";
    /// `attempt` is `first` or `retry`: their sum is the load that the calls made.
    RETRY_ATTEMPTS: Counter "retry_attempts_total" { "name", "attempt" }
        "Attempts that a retry made, the first ones and the others.";
    /// `reason` is one of `retry::StopReason::ALL`.
    RETRY_STOPS: Counter "retry_stops_total" { "name", "reason" }
        "Calls whose last result called for another attempt, by why there was none.";
    /// Of a retry without a budget there is none. Retries that share a budget show the same.
    RETRY_BUDGET_BALANCE: Gauge "retry_budget_balance" { "name" }
        "Retries that a retry's budget would allow now.";
    /// 0 healthy, 1 starting, 2 unknown, 3 degraded, 4 unhealthy, 5 out of service; 0 too for one whose
    /// tree is gone.
    HEALTH_STATUS: Gauge "health_status" { "component" }
        "How well a component is, from 0 (healthy) to 5 (out of service).";
    /// `check` is `component:check`; `result` is one of `health::check::Ending::ALL`.
    HEALTH_CHECKS: Counter "health_checks_total" { "check", "result" }
        "Results of a health check, by how it ended.";
    /// `name` is that of the tree. Results that were reported have no duration.
    HEALTH_CHECK_DURATION: Histogram "health_check_duration_seconds" in "seconds" { "name" }
        "How long the runs of a tree's checks took.";
    /// `child` is the child that failed, or the name of a dynamic supervisor for any of its children;
    /// `exit` is `normal`, `shutdown`, `error`, `panic`, `killed`, `gave_up`, `hung`, `start_failed`, or
    /// `unknown` of one that ended before the supervisor was added.
    SUPERVISOR_RESTARTS: Counter "supervisor_restarts_total" { "supervisor", "child", "exit" }
        "Restarts that a supervisor began, by the child that failed and how.";
    /// `state` is one of `supervisor::ChildState`.
    SUPERVISOR_CHILDREN: Gauge "supervisor_children" { "supervisor", "state" }
        "Children of a supervisor, by what they are doing.";
    SUPERVISOR_BUDGET_USED: Gauge "supervisor_budget_used" { "supervisor" }
        "Restarts in the window of a supervisor's budget.";
    SUPERVISOR_GIVE_UPS: Counter "supervisor_give_ups_total" { "supervisor" }
        "How often a supervisor gave up.";
    SUPERVISOR_ORPHANS: Gauge "supervisor_orphans" { "supervisor" }
        "Children of a supervisor that were aborted, and of which something still runs.";
    /// `rung` is one of `microreboot::Rung`, `outcome` one of `microreboot::RecordOutcome`.
    MICROREBOOTS: Counter "microreboots_total" { "component", "rung", "outcome" }
        "Records of microreboots and of hand-overs, by what they came to.";
    /// `phase` is one of `microreboot::Phase`.
    MICROREBOOT_PHASE: Histogram "microreboot_phase_seconds" in "seconds" { "component", "phase" }
        "How long the phases of microreboots took.";
    /// `reason` is one of `microreboot::Skip`.
    MICROREBOOTS_REFUSED: Counter "microreboots_refused_total" { "reason" }
        "Rungs that were left out, by why.";
    /// `name` is the key. It is that of the last checkpoint which a `Checkpoints` saved or went back to; of
    /// one that has done neither there is none.
    CHECKPOINT_AGE: Gauge "checkpoint_age_seconds" in "seconds" { "name" }
        "The age of the newest good checkpoint.";
    /// `name` is the key. Saves that failed are not among them.
    CHECKPOINT_SAVE: Histogram "checkpoint_save_seconds" in "seconds" { "name" }
        "How long it took to save a checkpoint, from the state to the disk.";
    /// `name` is the last part of the path of the journal's directory. With their headers and
    /// checksums.
    JOURNAL_APPEND_BYTES: Counter "journal_append_bytes_total" in "bytes" { "name" }
        "Bytes of the records that a journal has written.";
    JOURNAL_APPEND_RECORDS: Counter "journal_append_records_total" { "name" }
        "Records that a journal has written.";
    /// Their number against that of the records tells how many share a sync.
    JOURNAL_SYNC: Histogram "journal_sync_seconds" in "seconds" { "name" }
        "How long the syncs of a journal's segments took.";
    JOURNAL_WRITTEN_SEQUENCE: Gauge "journal_written_sequence" { "name" }
        "The last sequence that is in a file of a journal.";
    /// Behind the written one is what a power cut would lose.
    JOURNAL_DURABLE_SEQUENCE: Gauge "journal_durable_sequence" { "name" }
        "The last sequence of a journal that is durable.";
    JOURNAL_SEGMENTS: Gauge "journal_segments" { "name" }
        "Segments of a journal.";
    /// It takes nothing more until it is opened again.
    JOURNAL_POISONED: Gauge "journal_poisoned" { "name" }
        "1 for a journal that a failed sync has poisoned, 0 for others.";
}

/// Tells the `metrics` recorder that is installed here what each metric is.
///
/// An [`Exporter`](super::metrics::Exporter) does this itself when it first publishes. Recorders
/// that keep the first description they get keep yours if you describe a metric before that.
pub fn describe() {
    for metric in METRICS {
        let name = metric.name;
        let help = SharedString::const_str(metric.help);
        let unit = metric.unit.and_then(Unit::from_string);
        metrics::with_recorder(|recorder| match metric.kind {
            MetricKind::Counter => recorder.describe_counter(name.into(), unit, help),
            MetricKind::Gauge => recorder.describe_gauge(name.into(), unit, help),
            MetricKind::Histogram => recorder.describe_histogram(name.into(), unit, help),
        });
    }
}

/// A metric with the values of its labels.
#[derive(Clone, Debug)]
pub(super) struct Series {
    name: &'static str,
    labels: Vec<Label>,
}

impl Metric {
    /// The series with these values, in the order of [`labels`](Self::labels).
    pub(super) fn series<const N: usize>(&self, values: [&str; N]) -> Series {
        self.series_of(&values)
    }

    /// The same with as many values as there are.
    pub(super) fn series_of(&self, values: &[&str]) -> Series {
        debug_assert_eq!(values.len(), self.labels.len(), "labels of {}", self.name);
        let labels = self.labels.iter().zip(values);
        Series {
            name: self.name,
            labels: labels
                .map(|(key, value)| Label::new(*key, (*value).to_owned()))
                .collect(),
        }
    }
}

const TARGET: &str = "backstop::observe";

/// Each of these is one look-up in the recorder that is installed here.
impl Series {
    pub(super) fn counter(&self) -> Counter {
        metrics::counter!(target: TARGET, self.name, self.labels.iter())
    }

    pub(super) fn gauge(&self) -> Gauge {
        metrics::gauge!(target: TARGET, self.name, self.labels.iter())
    }

    pub(super) fn histogram(&self) -> Histogram {
        metrics::histogram!(target: TARGET, self.name, self.labels.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_follow_the_rules() {
        let snake = |text: &str| {
            text.starts_with(|c: char| c.is_ascii_lowercase())
                && text
                    .chars()
                    .all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_'))
                && !text.contains("__")
                && !text.ends_with('_')
        };
        for metric in METRICS {
            let name = metric.name;
            assert!(snake(name), "{name}");
            assert!(metric.labels.iter().all(|label| snake(label)), "{name}");
            let is_counter = metric.kind == MetricKind::Counter;
            assert_eq!(name.ends_with("_total"), is_counter, "{name}");
            if let Some(unit) = metric.unit {
                let stem = name.strip_suffix("_total").unwrap_or(name);
                assert!(stem.ends_with(&format!("_{unit}")), "{name}");
            }
            assert!(metric.help.ends_with('.'), "{name}");
        }
    }

    #[test]
    fn no_metric_and_no_label_stands_twice() {
        let names: BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), METRICS.len());
        for metric in METRICS {
            let labels: BTreeSet<_> = metric.labels.iter().collect();
            assert_eq!(labels.len(), metric.labels.len(), "{}", metric.name);
        }
    }
}
