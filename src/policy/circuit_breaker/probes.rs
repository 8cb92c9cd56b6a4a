//! The probes of a half-open circuit: who is out, what came back, what follows.

use super::config::ProbeDecision;
use crate::kernel::instant::Instant;
use crate::kernel::ratio::Ratio;
use crate::kernel::window::{Class, Counts};
use std::time::Duration;

/// The probes of one half-open generation.
#[derive(Debug, Default)]
pub(super) struct Probes {
    out: Vec<Out>,
    counts: Counts,
    last_id: u64,
}

#[derive(Debug)]
struct Out {
    id: u64,
    since: Instant,
}

/// By what the probes are judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bar {
    pub(super) probes: u32,
    pub(super) failure_rate: Ratio,
    pub(super) slow_rate: Option<Ratio>,
    pub(super) decision: ProbeDecision,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    Undecided,
    Passed,
    Failed,
}

impl Probes {
    pub(super) fn clear(&mut self) {
        self.out.clear();
        self.counts = Counts::default();
    }

    /// What came back so far.
    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// Puts back what came back in an earlier process.
    pub(super) fn restore(&mut self, counts: Counts) {
        self.clear();
        self.counts = counts;
    }

    /// Sends a probe, if one is still needed: its id.
    pub(super) fn send(&mut self, now: Instant, bar: Bar) -> Option<u64> {
        if self.counts.recorded.saturating_add(self.out.len() as u64) >= u64::from(bar.probes) {
            return None;
        }
        self.last_id += 1;
        self.out.push(Out {
            id: self.last_id,
            since: now,
        });
        Some(self.last_id)
    }

    /// A probe came back with nothing to say: its place is free again. `false` if it was written
    /// off before.
    pub(super) fn give_back(&mut self, id: u64) -> bool {
        let place = self.out.iter().position(|out| out.id == id);
        place.map(|place| self.out.swap_remove(place)).is_some()
    }

    /// When a probe was sent; `None` if it is not out.
    pub(super) fn since(&self, id: u64) -> Option<Instant> {
        self.out
            .iter()
            .find(|out| out.id == id)
            .map(|out| out.since)
    }

    /// A probe came back. One that is not out any more counts for nothing.
    pub(super) fn record(&mut self, id: u64, class: Class) {
        if self.give_back(id) {
            self.counts.add(class, 1);
        }
    }

    /// Probes silent for `max_wait` count as failed; how many.
    pub(super) fn write_off(&mut self, now: Instant, max_wait: Duration) -> usize {
        let before = self.out.len();
        self.out
            .retain(|out| now.saturating_duration_since(out.since) < max_wait);
        let silent = before - self.out.len();
        self.counts.add(Class::Failed, silent as u64);
        silent
    }

    /// Passed iff both shares of all probes stay below their thresholds, whatever the rest does.
    pub(super) fn judge(&self, bar: Bar) -> Judgement {
        let all = u64::from(bar.probes);
        let missing = all.saturating_sub(self.counts.recorded);
        let reaches = |extra: u64| {
            bar.failure_rate
                .is_reached_by(self.counts.failed.saturating_add(extra), all)
                || (bar.slow_rate).is_some_and(|rate| {
                    rate.is_reached_by(self.counts.slow.saturating_add(extra), all)
                })
        };
        if bar.decision == ProbeDecision::All && missing > 0 {
            Judgement::Undecided
        } else if reaches(0) {
            Judgement::Failed
        } else if reaches(missing) {
            Judgement::Undecided
        } else {
            Judgement::Passed
        }
    }
}
