//! The life of one child: started, ready, ended, stopped.

use super::{Decision, Done, GRACE, Machine, Mode, Out, Start, State};
use crate::kernel::instant::Instant;
use crate::supervise::child::{
    ChildExit, FailureCause, GaveUpReason, Promised, Readiness, Restart, Stop,
};
use crate::supervise::supervisor::error::{CommandError, Ended, StartError, Terminated};
use crate::supervise::supervisor::event::SupervisorEventKind;
use crate::supervise::supervisor::machine::children::After;
use std::sync::Arc;
use std::time::Duration;

impl<T> Machine<T> {
    pub(super) fn start(&mut self, key: u32, now: Instant, out: &mut Out<T>) {
        self.runs += 1;
        self.alive += 1;
        let child = &mut self.children[key];
        child.run = self.runs;
        child.incarnation += 1;
        child.state = State::Starting;
        child.after = After::Stay;
        child.is_spent = false;
        child.since = None;
        let awaited = child.policy.readiness == Readiness::Explicit;
        out.push(Decision::Start(Start {
            key,
            run: child.run,
            incarnation: child.incarnation,
            id: child.id.clone(),
            promised: Promised {
                ready: awaited,
                heartbeat: child.policy.watchdog(),
            },
            blocking: child.policy.blocking,
        }));
        if let (true, Some(limit)) = (awaited, child.policy.start_timeout) {
            self.set_deadline(key, now + limit);
        }
    }

    /// The incarnation is spawned.
    pub(crate) fn launched(&mut self, key: u32, run: u64, now: Instant, out: &mut Out<T>) {
        if self.is_current(key, run) && self.children[key].policy.readiness == Readiness::Immediate
        {
            self.up(key, now, out);
        }
    }

    /// The child says that it is ready.
    pub(crate) fn ready(&mut self, key: u32, run: u64, now: Instant, out: &mut Out<T>) {
        if self.is_current(key, run) {
            self.up(key, now, out);
        }
    }

    fn up(&mut self, key: u32, now: Instant, out: &mut Out<T>) {
        if self.children[key].state != State::Starting {
            return;
        }
        self.clear_deadline(key);
        let child = &mut self.children[key];
        child.state = State::Running;
        child.since = Some(now);
        let watchdog = child.policy.watchdog();
        if let Some(asked) = child.asked.take() {
            if let Some(to) = asked.start {
                out.reply(to, Ok(Done::Started));
            }
        }
        if let Some(period) = watchdog {
            self.set_deadline(key, now + period);
        }
        self.tell(key, now, out, |child, incarnation| {
            SupervisorEventKind::Started { child, incarnation }
        });
        self.advance(now, out);
    }

    /// The future of an incarnation has ended; if `drained`, nothing else of it runs.
    pub(crate) fn exited(
        &mut self,
        (key, run): (u32, u64),
        exit: ChildExit,
        drained: bool,
        now: Instant,
        out: &mut Out<T>,
    ) {
        if !self.is_current(key, run) {
            out.trash.push(exit);
            if drained {
                self.late_end(run, now, out);
            }
            return;
        }
        self.tell(key, now, out, |child, incarnation| {
            SupervisorEventKind::Exited {
                child,
                incarnation,
                exit: exit.clone(),
            }
        });
        let child = &mut self.children[key];
        out.trash.extend(child.last_exit.replace(exit.clone()));
        match child.state {
            State::Starting => self.not_ready(key, FailureCause::NotReady(exit), drained, now, out),
            State::Running => self.ended_by_itself(key, exit, drained, now, out),
            State::Stopping | State::Aborted | State::Orphaned => {
                out.trash.push(exit);
                if drained {
                    self.ended(key, now, out);
                }
            }
            State::Due | State::Backoff | State::Stopped => out.trash.push(exit),
        }
        self.advance(now, out);
    }

    /// Nothing of an incarnation runs any more.
    pub(crate) fn drained(&mut self, key: u32, run: u64, now: Instant, out: &mut Out<T>) {
        if self.is_current(key, run) {
            self.ended(key, now, out);
            self.advance(now, out);
        } else {
            self.late_end(run, now, out);
        }
    }

    fn late_end(&mut self, run: u64, now: Instant, out: &mut Out<T>) {
        let place = self.overlapped.iter().position(|(old, _)| *old == run);
        if let Some(place) = place {
            let (_, child) = self.overlapped.swap_remove(place);
            self.emit(now, out, || SupervisorEventKind::OrphanEnded { child });
        }
    }

    pub(super) fn is_current(&self, key: u32, run: u64) -> bool {
        self.children.get(key).is_some_and(|child| child.run == run)
    }

    fn ended_by_itself(
        &mut self,
        key: u32,
        exit: ChildExit,
        drained: bool,
        now: Instant,
        out: &mut Out<T>,
    ) {
        let restart = self.children[key].policy.restart;
        let is_bystander = self.is_to_be_stopped(key);
        let after = match restart {
            _ if self.is_ending() => After::Stay,
            Restart::Temporary => After::Forget,
            _ if is_bystander => After::Due,
            Restart::Transient if !exit.is_failure() && self.rules.is_dynamic() => After::Forget,
            Restart::Transient if !exit.is_failure() => After::Stay,
            Restart::Transient | Restart::Permanent => {
                let cause = FailureCause::Exit(exit);
                return self.failed(key, cause, drained, now, out);
            }
        };
        if exit.is_failure() {
            self.note_failure(key, &FailureCause::Exit(exit.clone()), out);
        }
        out.trash.push(exit);
        let child = &self.children[key];
        // If it was temporary, its name goes with it.
        let significant = child.policy.significant.then(|| child.id.clone());
        self.settle(key, after, drained, now, out);
        // As in OTP, who was to be stopped with its group has not ended by itself.
        if let (Some(name), false) = (significant, is_bystander) {
            self.auto_shutdown((key, name), now, out);
        }
    }

    pub(super) fn not_ready(
        &mut self,
        key: u32,
        cause: FailureCause,
        drained: bool,
        now: Instant,
        out: &mut Out<T>,
    ) {
        self.tell(key, now, out, |child, incarnation| {
            let cause = cause.clone();
            SupervisorEventKind::StartFailed {
                child,
                incarnation,
                cause,
            }
        });
        self.note_failure(key, &cause, out);
        let child = &mut self.children[key];
        let asked = child.asked.as_mut();
        let (to, is_new) = asked.map_or((None, false), |asked| (asked.start.take(), asked.is_new));
        let after = if is_new { After::Forget } else { After::Stay };
        if let Some(to) = to {
            out.reply(to, Err(CommandError::NotStarted(cause)));
            self.settle(key, after, drained, now, out);
        } else if self.is_ending() {
            self.settle(key, after, drained, now, out);
        } else if matches!(self.mode, Mode::First { .. }) {
            let child = self.children[key].id.clone();
            let error = StartError::Child { child, cause };
            self.begin_ending(Ended::NotStarted(Arc::new(error)), now, out);
            self.settle(key, after, drained, now, out);
        } else if self.is_to_be_stopped(key) {
            self.settle(key, After::Due, drained, now, out);
        } else {
            self.failed(key, cause, drained, now, out);
        }
    }

    /// What becomes of a child whose future has ended, or which was not ready in time.
    pub(super) fn settle(
        &mut self,
        key: u32,
        after: After,
        drained: bool,
        now: Instant,
        out: &mut Out<T>,
    ) {
        if drained {
            self.children[key].after = after;
            self.ended(key, now, out);
        } else {
            self.stop(key, after, now, out);
        }
    }

    /// Begins to stop a child that runs.
    pub(super) fn stop(&mut self, key: u32, after: After, now: Instant, out: &mut Out<T>) {
        let child = &mut self.children[key];
        child.after = after;
        child.state = State::Stopping;
        out.push(Decision::Signal(key));
        match child.policy.stop {
            Stop::After(limit) if !limit.is_zero() => self.set_deadline(key, now + limit),
            Stop::Unlimited => self.clear_deadline(key),
            Stop::After(_) | Stop::AtOnce => self.abort(key, now, out),
        }
    }

    fn abort(&mut self, key: u32, now: Instant, out: &mut Out<T>) {
        self.children[key].state = State::Aborted;
        out.push(Decision::Abort(key));
        self.set_deadline(key, now + GRACE);
    }

    pub(super) fn deadline_passed(
        &mut self,
        key: u32,
        at: Instant,
        now: Instant,
        out: &mut Out<T>,
    ) {
        match self.children[key].state {
            State::Starting => self.not_ready(key, FailureCause::StartTimeout, false, now, out),
            // The pause began when it waited already.
            State::Backoff if !self.pause_left(now).is_zero() => {
                let left = self.pause_left(now);
                self.set_deadline(key, now + left);
            }
            State::Backoff => self.start(key, now, out),
            State::Stopping => self.abort(key, now, out),
            State::Aborted => self.orphaned(key, now, out),
            State::Running => self.watch(key, at, out),
            State::Due | State::Stopped | State::Orphaned => {}
        }
    }

    /// Nothing of a child runs any more.
    fn ended(&mut self, key: u32, now: Instant, out: &mut Out<T>) {
        self.clear_deadline(key);
        if self.children[key].state == State::Orphaned {
            self.tell(key, now, out, |child, _| SupervisorEventKind::OrphanEnded {
                child,
            });
        } else {
            self.alive -= 1;
        }
        let exit = self.children[key].last_exit.clone();
        self.answer_stops(key, &Terminated::Stopped(exit), CommandError::Stopped, out);
        let is_ending = self.is_ending();
        let child = &mut self.children[key];
        child.state = State::Stopped;
        match child.after {
            _ if is_ending => {}
            After::Stay => self.tell(key, now, out, |child, _| SupervisorEventKind::Stopped {
                child,
            }),
            After::Due => child.state = State::Due,
            After::Restart(delay) => self.start_after(key, delay, now, out),
            After::Forget => self.forget(key, now, out),
        }
    }

    fn start_after(&mut self, key: u32, delay: u64, now: Instant, out: &mut Out<T>) {
        let delay = Duration::from_nanos(delay).max(self.pause_left(now));
        if delay.is_zero() {
            self.start(key, now, out);
        } else {
            self.children[key].state = State::Backoff;
            self.set_deadline(key, now + delay);
        }
    }

    /// A child was aborted, and something of it still runs.
    fn orphaned(&mut self, key: u32, now: Instant, out: &mut Out<T>) {
        self.alive -= 1;
        self.tell(key, now, out, |child, incarnation| {
            SupervisorEventKind::Orphaned { child, incarnation }
        });
        self.answer_stops(key, &Terminated::Orphaned, CommandError::Orphaned, out);
        let is_ending = self.is_ending();
        let is_of_group = matches!(self.mode, Mode::Group(_));
        let child = &mut self.children[key];
        child.state = State::Orphaned;
        let goes_on = matches!(child.after, After::Due | After::Restart(_));
        if is_ending {
            return;
        }
        if child.policy.overlap && goes_on {
            let after = child.after;
            self.overlap(key);
            match after {
                After::Restart(delay) => self.start_after(key, delay, now, out),
                _ => self.children[key].state = State::Due,
            }
        } else if is_of_group && child.after == After::Due {
            self.give_up(key, GaveUpReason::Orphaned, now, out);
        }
    }

    /// Lets an orphan run beside what is started next.
    pub(super) fn overlap(&mut self, key: u32) {
        let child = &mut self.children[key];
        // What it says from now on is late.
        let run = std::mem::take(&mut child.run);
        self.overlapped.push((run, child.id.clone()));
    }

    fn answer_stops(
        &mut self,
        key: u32,
        answer: &Terminated,
        to_start: CommandError,
        out: &mut Out<T>,
    ) {
        let is_ending = self.is_ending();
        let Some(asked) = self.children[key].asked.take() else {
            return;
        };
        if let Some(to) = asked.start {
            let why = if is_ending {
                CommandError::Over
            } else {
                to_start
            };
            out.reply(to, Err(why));
        }
        for to in asked.stops {
            out.reply(to, Ok(Done::Terminated(answer.clone())));
        }
    }
}
