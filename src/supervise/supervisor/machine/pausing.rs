//! Pausing instead of giving up, and children that must give signs of life.

use super::children::After;
use super::{Decision, Machine, Out, PAUSE, State};
use crate::kernel::instant::Instant;
use crate::supervise::budget::{Pausing, Score};
use crate::supervise::child::{FailureCause, Restart};
use crate::supervise::supervisor::event::SupervisorEventKind;
use std::time::Duration;

/// The score of a supervisor that pauses.
#[derive(Debug)]
pub(super) struct Pause {
    score: Score,
    /// While it pauses.
    until: Option<Instant>,
}

impl Pause {
    pub(super) const fn new(pausing: Pausing) -> Self {
        Self {
            score: Score::new(pausing),
            until: None,
        }
    }
}

impl<T> Machine<T> {
    /// One more failure that was charged to the supervisor. During a pause it counts for nothing: it
    /// waits for the end of the pause with the others.
    pub(super) fn score(&mut self, now: Instant, out: &mut Out<T>) {
        let Some(pause) = &mut self.pause else { return };
        if pause.until.is_some() || pause.score.fail(now) {
            return;
        }
        let length = pause.score.pausing().length(&mut self.rolls);
        let until = now + length;
        pause.until = Some(until);
        self.deadlines.set(PAUSE, until);
        self.emit(now, out, || SupervisorEventKind::Paused { length });
    }

    /// All that waited try again, and the score is 0.
    pub(super) fn resume(&mut self, now: Instant, out: &mut Out<T>) {
        if let Some(pause) = &mut self.pause {
            pause.until = None;
            pause.score.clear();
            self.emit(now, out, || SupervisorEventKind::Resumed);
        }
    }

    /// Nothing is restarted any more.
    pub(super) fn call_off_pause(&mut self) {
        self.deadlines.clear(PAUSE);
        if let Some(pause) = &mut self.pause {
            pause.until = None;
        }
    }

    /// How long what is to be restarted must wait for the end of a pause.
    pub(crate) fn pause_left(&self, now: Instant) -> Duration {
        let until = self.pause.as_ref().and_then(|pause| pause.until);
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    /// The deadline of a child that runs has passed: its last sign of life is asked for.
    pub(super) fn watch(&mut self, key: u32, at: Instant, out: &mut Out<T>) {
        out.push(Decision::Watch {
            key,
            run: self.children[key].run,
            at,
        });
    }

    /// The last sign of life of a child, which was asked for when the time `at` had come.
    pub(crate) fn beaten(
        &mut self,
        (key, run): (u32, u64),
        (at, last): (Instant, Instant),
        now: Instant,
        out: &mut Out<T>,
    ) {
        if !self.is_current(key, run) || self.children[key].state != State::Running {
            return;
        }
        let child = &self.children[key];
        let (Some(period), Some(since)) = (child.policy.watchdog(), child.since) else {
            return;
        };
        let last = last.max(since);
        if last + period > now {
            return self.set_deadline(key, last + period);
        }
        if now.saturating_duration_since(at) > period {
            // This side was held up for so long itself that its judgement is worth nothing.
            return self.set_deadline(key, now + period);
        }
        self.hung(key, now.saturating_duration_since(last), now, out);
        self.advance(now, out);
    }

    /// A child that hangs has crashed; what is left of it is stopped.
    fn hung(&mut self, key: u32, silent: Duration, now: Instant, out: &mut Out<T>) {
        self.tell(key, now, out, |child, incarnation| {
            SupervisorEventKind::Hung {
                child,
                incarnation,
                silent,
            }
        });
        self.note_failure(key, &FailureCause::Hung { silent }, out);
        let policy = &self.children[key].policy;
        if policy.restart == Restart::Temporary {
            let significant = policy.significant.then(|| self.children[key].id.clone());
            self.settle(key, After::Forget, false, now, out);
            if let Some(name) = significant {
                self.auto_shutdown((key, name), now, out);
            }
        } else if self.is_ending() || self.is_to_be_stopped(key) {
            // Its turn to be stopped comes.
        } else {
            self.failed(key, FailureCause::Hung { silent }, false, now, out);
        }
    }
}
