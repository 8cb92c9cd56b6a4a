//! What the records and the events of a run amount to.

use crate::load::{End, Record};
use crate::script::{Day, Phase};
use backstop::kernel::event::Subscriber;
use backstop::kernel::rejection::RejectionKind;
use backstop::policy::circuit_breaker::{CircuitBreakerEvent, EventKind, Reason, State};
use std::collections::BTreeMap;
use std::time::Duration;

/// Some calls, summed up.
pub(crate) struct Summary {
    pub(crate) calls: u64,
    pub(crate) successes: u64,
    /// How long each caller waited, shortest first; failures and rejections included.
    waits: Vec<Duration>,
}

impl Summary {
    pub(crate) fn of<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut summary = Self {
            calls: 0,
            successes: 0,
            waits: Vec::new(),
        };
        for record in records {
            summary.calls += 1;
            summary.successes += u64::from(record.end == End::Success);
            summary.waits.push(record.waited);
        }
        summary.waits.sort_unstable();
        summary
    }

    pub(crate) fn of_phases(records: &[Record], phases: &[Phase]) -> Self {
        Self::of(
            records
                .iter()
                .filter(|record| phases.contains(&record.phase)),
        )
    }

    /// Of the calls that were made, so without those that were rejected.
    pub(crate) fn of_made(records: &[Record], phase: Phase) -> Self {
        // A call that timed out was made.
        let made = |record: &&Record| match record.end {
            End::Rejected(kind) => kind == RejectionKind::TimedOut,
            End::Success | End::Failure => true,
        };
        Self::of(
            records
                .iter()
                .filter(made)
                .filter(|record| record.phase == phase),
        )
    }

    pub(crate) fn success_percent(&self) -> f64 {
        percent(self.successes, self.calls)
    }

    /// The wait that this share of the callers did not exceed.
    pub(crate) fn wait_percentile(&self, percentile: usize) -> Duration {
        let rank = (self.waits.len() * percentile).div_ceil(100);
        self.waits
            .get(rank.saturating_sub(1))
            .copied()
            .unwrap_or_default()
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a few thousand")]
pub(crate) fn percent(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole as f64
}

pub(crate) fn rejections(records: &[Record]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for record in records {
        if let End::Rejected(kind) = record.end {
            *counts.entry(kind.as_str()).or_default() += 1;
        }
    }
    counts
}

/// The breaker went from one state to another.
pub(crate) struct Transition {
    /// The time of the day.
    pub(crate) time: Duration,
    pub(crate) from: State,
    pub(crate) to: State,
    pub(crate) reason: Reason,
}

pub(crate) fn transitions(
    events: Option<Subscriber<CircuitBreakerEvent>>,
    day: &Day,
) -> Vec<Transition> {
    let mut transitions = Vec::new();
    let mut events = events;
    while let Some(event) = events.as_mut().and_then(Subscriber::try_recv) {
        if let EventKind::StateChanged {
            from, to, reason, ..
        } = event.kind
        {
            transitions.push(Transition {
                time: day.since_start(event.at),
                from,
                to,
                reason,
            });
        }
    }
    transitions
}
