//! What a fault has done, by what the generator recorded.

use super::fault::Fault;
use super::generator::Record;
use std::time::Duration;

/// When what happened.
#[derive(Clone, Debug)]
pub(crate) struct Times {
    pub(crate) fault: Fault,
    /// In microseconds since 1970.
    pub(crate) injected: u64,
    /// From the injection.
    pub(crate) detected: Option<Duration>,
    /// From the injection.
    pub(crate) recovered: Option<Duration>,
    pub(crate) suspect: Option<&'static str>,
    /// How many cures it took.
    pub(crate) cures: u32,
}

impl Times {
    pub(crate) const fn of(fault: Fault, injected: u64) -> Self {
        Self {
            fault,
            injected,
            detected: None,
            recovered: None,
            suspect: None,
            cures: 0,
        }
    }
}

/// A fault, and what became of the requests from it to the next.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) times: Times,
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    /// Of these, the ones that failed because their session was gone.
    pub(crate) logged_out: u64,
    /// Requests between the fault and the recovery, and how many of them failed.
    pub(crate) during: (u64, u64),
    pub(crate) actions: u64,
    pub(crate) failed_actions: u64,
    pub(crate) lost_sessions: u64,
    /// Of the requests that were due between the fault and the recovery, the failed ones too.
    pub(crate) p99: Duration,
}

/// The outcomes, the calm before them (requests, failed ones), and how late the generator was.
pub(crate) fn outcomes(
    times: &[Times],
    records: &[Record],
) -> (Vec<Outcome>, (u64, u64), Duration) {
    let first = times.first().map_or(u64::MAX, |times| times.injected);
    let calm: Vec<&Record> = requests(records, 0, first).collect();
    let calm = (calm.len() as u64, failed(calm.iter().copied()));
    let behind = records
        .iter()
        .filter(|record| record.is_request())
        .map(|record| record.behind);
    let behind = percentile(behind.collect(), 99);
    let ends = times
        .iter()
        .skip(1)
        .map(|times| times.injected)
        .chain([u64::MAX]);
    let outcomes = times
        .iter()
        .zip(ends)
        .map(|(times, end)| outcome(times, end, records));
    (outcomes.collect(), calm, behind)
}

fn outcome(times: &Times, end: u64, records: &[Record]) -> Outcome {
    let begin = times.injected;
    // An action has failed when it ended.
    let within = |kind: &'static str| {
        let ended = move |record: &&Record| {
            record.kind == kind && (begin..end).contains(&(record.due + record.took))
        };
        records.iter().filter(ended)
    };
    let recovered = times.recovered.unwrap_or(Duration::MAX);
    let recovered = u64::try_from(recovered.as_micros()).unwrap_or(u64::MAX);
    let until = end.min(begin.saturating_add(recovered));
    let during: Vec<&Record> = requests(records, begin, until).collect();
    Outcome {
        requests: requests(records, begin, end).count() as u64,
        failed: failed(requests(records, begin, end)),
        logged_out: requests(records, begin, end)
            .filter(|record| record.end == "401")
            .count() as u64,
        during: (during.len() as u64, failed(during.iter().copied())),
        actions: within("action").count() as u64,
        failed_actions: failed(within("action")),
        lost_sessions: within("lost_session").count() as u64,
        p99: percentile(during.iter().map(|record| record.took).collect(), 99),
        times: times.clone(),
    }
}

fn requests(records: &[Record], begin: u64, end: u64) -> impl Iterator<Item = &Record> {
    let due = move |record: &&Record| record.is_request() && (begin..end).contains(&record.due);
    records.iter().filter(due)
}

fn failed<'a>(records: impl Iterator<Item = &'a Record>) -> u64 {
    records.filter(|record| record.has_failed()).count() as u64
}

fn percentile(mut values: Vec<u64>, percent: usize) -> Duration {
    values.sort_unstable();
    let rank = (values.len() * percent).div_ceil(100);
    Duration::from_micros(values.get(rank.saturating_sub(1)).copied().unwrap_or(0))
}
