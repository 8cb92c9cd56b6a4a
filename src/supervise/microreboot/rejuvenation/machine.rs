//! The decision: which component is rebooted next, if any. Pure.

use super::config::RejuvenationConfig;
use crate::kernel::instant::Instant;
use std::collections::VecDeque;
use std::time::Duration;

/// The window of the cap.
const HOUR: Duration = Duration::from_secs(3_600);

/// What to do after a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Measure again after a period.
    Wait,
    /// Reboot this component, then measure.
    Reboot(usize),
}

#[derive(Clone, Debug)]
struct Part {
    /// The share that its last reboot freed; negative if there was less free than before.
    released: Option<f64>,
    /// Rebooted in this round.
    is_done: bool,
}

/// Rounds of reboots over some components, known by their place in the declared order.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    config: RejuvenationConfig,
    parts: Vec<Part>,
    /// Reboots of the last hour.
    begun: VecDeque<Instant>,
    in_round: bool,
    /// Rebooted, and not measured since: which one, and what was free before.
    pending: Option<(usize, f64)>,
}

impl Machine {
    pub(super) fn new(config: RejuvenationConfig, parts: usize) -> Self {
        let part = Part {
            released: None,
            is_done: false,
        };
        Self {
            config,
            parts: vec![part; parts],
            begun: VecDeque::new(),
            in_round: false,
            pending: None,
        }
    }

    /// This share is free; `None` if nobody knows.
    pub(super) fn measured(&mut self, free: Option<f64>, now: Instant) -> Step {
        let rebooted = self.pending.take();
        let Some(free) = free.filter(|free| (0.0..=1.0).contains(free)) else {
            return self.over();
        };
        if let Some((part, before)) = rebooted {
            self.parts[part].released = Some(free - before);
        }
        if self.in_round {
            if free >= self.config.fine.as_f64() {
                return self.over();
            }
        } else if free < self.config.alarm.as_f64() {
            self.in_round = true;
        } else {
            return Step::Wait;
        }
        let Some(next) = self.next() else {
            return self.over();
        };
        if !self.charge(now) {
            return self.over();
        }
        self.parts[next].is_done = true;
        self.pending = Some((next, free));
        Step::Reboot(next)
    }

    /// The reboot of the last step was not made, and counts for nothing.
    pub(super) fn refused(&mut self) {
        self.begun.pop_back();
        self.failed();
    }

    /// It was made, and failed.
    pub(super) fn failed(&mut self) {
        self.pending = None;
        self.over();
    }

    /// The one that released most last time, of those whose turn has not been.
    fn next(&self) -> Option<usize> {
        let released = |part: usize| {
            self.parts[part]
                .released
                .map_or(0.0, |share| share.max(0.0))
        };
        let left = (0..self.parts.len()).filter(|part| !self.parts[*part].is_done);
        // The first of equals.
        left.reduce(|best, part| {
            if released(part) > released(best) {
                part
            } else {
                best
            }
        })
    }

    fn charge(&mut self, now: Instant) -> bool {
        let is_old = |begun: &Instant| now.saturating_duration_since(*begun) >= HOUR;
        while self.begun.front().is_some_and(is_old) {
            self.begun.pop_front();
        }
        let has_room = self.begun.len() < self.config.most_per_hour as usize;
        if has_room {
            self.begun.push_back(now);
        }
        has_room
    }

    fn over(&mut self) -> Step {
        self.in_round = false;
        self.parts.iter_mut().for_each(|part| part.is_done = false);
        Step::Wait
    }

    pub(super) fn in_round(&self) -> bool {
        self.in_round
    }

    /// What the last reboot of each released.
    pub(super) fn released(&self) -> impl Iterator<Item = Option<f64>> + '_ {
        self.parts.iter().map(|part| part.released)
    }
}
