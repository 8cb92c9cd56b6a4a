//! What goes child by child: the first start, the restart of a group, the end.

use super::failures::exit_of;
use super::{Decision, GROUP, Group, Machine, Mode, Out, Phase, State};
use crate::kernel::instant::Instant;
use crate::supervise::child::{GaveUpReason, Restart};
use crate::supervise::supervisor::config::Strategy;
use crate::supervise::supervisor::error::{CommandError, Ended, StartError};
use crate::supervise::supervisor::event::SupervisorEventKind;
use crate::supervise::supervisor::machine::children::After;
use std::sync::Arc;
use std::time::Duration;

/// How far a sequence came.
enum Step {
    /// It waits for this child.
    Wait(u32),
    Done,
    /// This child cannot be stopped.
    Orphan(u32),
}

impl<T> Machine<T> {
    /// Takes the sequence that is under way as far as it goes.
    pub(super) fn advance(&mut self, now: Instant, out: &mut Out<T>) {
        loop {
            let goes_on = match &self.mode {
                Mode::First { at } => self.advance_first(*at, now, out),
                Mode::Group(group) => match group.phase {
                    Phase::Stop(at) => self.advance_stop(at, now, out),
                    Phase::Wait => false,
                    Phase::Start(at) => self.advance_start(at, now, out),
                },
                Mode::Ending { at, .. } => self.advance_ending(*at, now, out),
                Mode::Idle | Mode::Running | Mode::Over => false,
            };
            if !goes_on {
                return;
            }
        }
    }

    fn advance_first(&mut self, at: Option<u32>, now: Instant, out: &mut Out<T>) -> bool {
        if let Step::Wait(key) = self.start_next(at, now, out) {
            self.mode = Mode::First { at: Some(key) };
            return false;
        }
        self.mode = Mode::Running;
        out.push(Decision::Up);
        for key in std::mem::take(&mut self.deferred) {
            self.restart_deferred(key, now, out);
        }
        if let Some(early) = self.ended_early.take() {
            self.auto_shutdown(early, now, out);
        }
        true
    }

    fn advance_stop(&mut self, at: Option<u32>, now: Instant, out: &mut Out<T>) -> bool {
        let step = self.stop_next(at, true, now, out);
        let Mode::Group(group) = &mut self.mode else {
            return true;
        };
        match step {
            Step::Wait(key) => {
                group.phase = Phase::Stop(Some(key));
                false
            }
            Step::Orphan(key) => {
                self.give_up(key, GaveUpReason::Orphaned, now, out);
                true
            }
            Step::Done if group.delay.is_zero() => {
                group.phase = Phase::Start(group.first);
                true
            }
            Step::Done => {
                group.phase = Phase::Wait;
                let until = now + group.delay;
                self.deadlines.set(GROUP, until);
                false
            }
        }
    }

    fn advance_start(&mut self, at: Option<u32>, now: Instant, out: &mut Out<T>) -> bool {
        let step = self.start_next(at, now, out);
        if let (Step::Wait(key), Mode::Group(group)) = (step, &mut self.mode) {
            group.phase = Phase::Start(Some(key));
        } else {
            self.mode = Mode::Running;
        }
        false
    }

    fn advance_ending(&mut self, at: Option<u32>, now: Instant, out: &mut Out<T>) -> bool {
        let step = self.stop_next(at, false, now, out);
        let Mode::Ending { why, at } = &mut self.mode else {
            return true;
        };
        if let Step::Wait(key) = step {
            *at = Some(key);
        } else if self.alive > 0 {
            *at = None;
        } else {
            let why = std::mem::replace(why, Ended::Stopped);
            self.mode = Mode::Over;
            self.emit(now, out, || SupervisorEventKind::Ended);
            out.push(Decision::End(why));
        }
        false
    }

    /// Starts the next child that is due, from `at` on.
    fn start_next(&mut self, mut at: Option<u32>, now: Instant, out: &mut Out<T>) -> Step {
        while let Some(key) = at {
            match self.children[key].state {
                State::Due => {
                    self.start(key, now, out);
                    return Step::Wait(key);
                }
                State::Starting | State::Stopping | State::Aborted => return Step::Wait(key),
                State::Running | State::Backoff | State::Stopped | State::Orphaned => {}
            }
            at = self.children.behind(key);
        }
        Step::Done
    }

    /// Stops the next child that runs, from `at` backwards; of a group, or of all.
    fn stop_next(
        &mut self,
        mut at: Option<u32>,
        is_group: bool,
        now: Instant,
        out: &mut Out<T>,
    ) -> Step {
        let first = match &self.mode {
            Mode::Group(group) => group.first,
            _ => None,
        };
        while let Some(key) = at {
            let child = &self.children[key];
            match child.state {
                State::Starting | State::Running => {
                    let after = match child.policy.restart {
                        _ if !is_group => After::Stay,
                        Restart::Temporary => After::Forget,
                        _ => After::Due,
                    };
                    self.stop(key, after, now, out);
                    return Step::Wait(key);
                }
                State::Stopping | State::Aborted => return Step::Wait(key),
                State::Backoff => {
                    self.clear_deadline(key);
                    self.children[key].state = State::Stopped;
                }
                State::Orphaned if is_group && !child.policy.overlap => return Step::Orphan(key),
                State::Due if !is_group => {
                    // Who asked for its start waits for a turn that does not come.
                    let child = &mut self.children[key];
                    child.state = State::Stopped;
                    if let Some(to) = child.asked.take().and_then(|asked| asked.start) {
                        out.reply(to, Err(CommandError::Over));
                    }
                }
                State::Due | State::Stopped | State::Orphaned => {}
            }
            at = if first == Some(key) {
                None
            } else {
                self.children.before(key)
            };
        }
        Step::Done
    }

    /// Restarts the group of a child that failed, after `delay`. One that is under way begins again.
    pub(super) fn begin_group(&mut self, key: u32, delay: Duration) {
        let first = match self.rules.strategy {
            Strategy::OneForAll => self.children.first(),
            _ => Some(key),
        };
        // Who was in the group before and was taken out by hand stays out.
        let known = match &self.mode {
            Mode::Group(group) => group.first,
            _ => None,
        };
        let known = known.map_or(u64::MAX, |known| self.children[known].order);
        let mut at = first;
        while let Some(key) = at {
            let child = &mut self.children[key];
            if child.order >= known {
                break;
            }
            if child.state == State::Stopped && !child.is_spent {
                child.state = State::Due;
            }
            at = self.children.behind(key);
        }
        self.deadlines.clear(GROUP);
        let at = self.children.last();
        let phase = Phase::Stop(at);
        self.mode = Mode::Group(Group {
            first,
            phase,
            delay,
        });
    }

    /// Whether a child that ends by itself now would have been stopped anyway, as one of a group.
    pub(super) fn is_to_be_stopped(&self, key: u32) -> bool {
        match &self.mode {
            Mode::Group(Group {
                first: Some(first),
                phase: Phase::Stop(_),
                ..
            }) => self.children[key].order >= self.children[*first].order,
            _ => false,
        }
    }

    /// What waits for its restart is not restarted any more, however long others take to stop.
    fn call_off_restarts(&mut self) {
        let mut at = self.children.first();
        while let Some(key) = at {
            if self.children[key].state == State::Backoff {
                self.clear_deadline(key);
                self.children[key].state = State::Stopped;
            }
            at = self.children.behind(key);
        }
    }

    pub(super) const fn is_ending(&self) -> bool {
        matches!(self.mode, Mode::Ending { .. } | Mode::Over)
    }

    /// Begins to stop everything. What came first is the reason.
    pub(super) fn begin_ending(&mut self, why: Ended, now: Instant, out: &mut Out<T>) {
        let why = match (&self.mode, why) {
            (Mode::Ending { .. } | Mode::Over, _) => return,
            (Mode::First { .. } | Mode::Idle, Ended::Stopped) => {
                Ended::NotStarted(Arc::new(StartError::Stopped))
            }
            (Mode::First { .. }, Ended::GaveUp(gave_up)) => {
                Ended::NotStarted(Arc::new(StartError::GaveUp(gave_up)))
            }
            (_, why) => why,
        };
        self.deadlines.clear(GROUP);
        self.call_off_pause();
        self.call_off_restarts();
        let at = self.children.last();
        self.mode = Mode::Ending { why, at };
        if self.rules.stops_together {
            let mut at = at;
            while let Some(key) = at {
                at = self.children.before(key);
                if matches!(self.children[key].state, State::Starting | State::Running) {
                    self.stop(key, After::Stay, now, out);
                }
            }
        }
    }

    /// Takes a child that has ended off the list.
    pub(super) fn forget(&mut self, key: u32, now: Instant, out: &mut Out<T>) {
        self.tell(key, now, out, |child, _| SupervisorEventKind::Forgotten {
            child,
        });
        self.clear_deadline(key);
        let (before, behind) = (self.children.before(key), self.children.behind(key));
        let skip = |at: &mut Option<u32>, to| {
            if *at == Some(key) {
                *at = to;
            }
        };
        match &mut self.mode {
            Mode::First { at } => skip(at, behind),
            Mode::Ending { at, .. } => skip(at, before),
            Mode::Group(Group { first, phase, .. }) => {
                match phase {
                    Phase::Stop(at) if *first == Some(key) => skip(at, None),
                    Phase::Stop(at) => skip(at, before),
                    Phase::Start(at) => skip(at, behind),
                    Phase::Wait => {}
                }
                skip(first, behind);
            }
            Mode::Idle | Mode::Running | Mode::Over => {}
        }
        if let Some(child) = self.children.remove(key) {
            out.trash.extend(child.last_exit);
            let failure = child.last_failure;
            out.trash
                .extend(failure.and_then(|(_, cause)| exit_of(cause)));
        }
        out.push(Decision::Forget(key));
    }
}
