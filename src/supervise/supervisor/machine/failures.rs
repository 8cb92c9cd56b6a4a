//! What a failure leads to: a restart, a report, or giving up.

use super::children::{After, Child};
use super::{Decision, Machine, Mode, Out, State};
use crate::kernel::instant::{Instant, saturating_nanos};
use crate::kernel::name::Name;
use crate::supervise::budget::RestartBudget;
use crate::supervise::child::{Failure, FailureCause, GaveUp, GaveUpReason, Spent};
use crate::supervise::supervisor::config::{AutoShutdown, Strategy};
use crate::supervise::supervisor::error::Ended;
use crate::supervise::supervisor::event::SupervisorEventKind;
use std::sync::Arc;
use std::time::Duration;

/// What a budget says to one more restart.
enum Verdict {
    Restart,
    GiveUp,
    Report,
}

impl<T> Machine<T> {
    /// A child failed that is to be restarted.
    pub(super) fn failed(
        &mut self,
        key: u32,
        cause: FailureCause,
        drained: bool,
        now: Instant,
        out: &mut Out<T>,
    ) {
        self.note_failure(key, &cause, out);
        if matches!(self.mode, Mode::First { .. }) && self.rules.strategy != Strategy::OneForOne {
            // The first start goes on: a group that is not there cannot be restarted.
            self.deferred.push(key);
            out.trash.extend(exit_of(cause));
            return self.settle(key, After::Due, drained, now, out);
        }
        match self.charge(key, &cause, now, out) {
            Verdict::Restart => {
                let delay = self.delay(key, now, out);
                out.trash.extend(exit_of(cause));
                if self.rules.strategy == Strategy::OneForOne {
                    let after = After::Restart(saturating_nanos(delay));
                    self.settle(key, after, drained, now, out);
                } else {
                    self.begin_group(key, delay);
                    self.settle(key, After::Due, drained, now, out);
                }
            }
            Verdict::Report => {
                self.report(key, cause, now, out);
                self.settle(key, After::Stay, drained, now, out);
            }
            Verdict::GiveUp => {
                out.trash.extend(exit_of(cause));
                self.give_up(key, GaveUpReason::BudgetSpent, now, out);
                self.settle(key, After::Stay, drained, now, out);
            }
        }
    }

    /// Keeps how a child failed, to be shown: what it ends of, once it has failed, is how it was stopped.
    pub(super) fn note_failure(&mut self, key: u32, cause: &FailureCause, out: &mut Out<T>) {
        let child = &mut self.children[key];
        let noted = (child.incarnation, cause.clone());
        let before = child.last_failure.replace(noted);
        out.trash
            .extend(before.and_then(|(_, cause)| exit_of(cause)));
    }

    /// A child that crashed during the first start, which is over.
    pub(super) fn restart_deferred(&mut self, key: u32, now: Instant, out: &mut Out<T>) {
        let Some(child) = self.children.get(key) else {
            return;
        };
        let waits =
            child.state == State::Due || (child.state.is_alive() && child.after == After::Due);
        let Some(exit) = child.last_exit.clone() else {
            return;
        };
        if !waits || self.is_ending() {
            out.trash.push(exit);
            return;
        }
        let cause = FailureCause::Exit(exit);
        match self.charge(key, &cause, now, out) {
            Verdict::Restart => {
                let delay = self.delay(key, now, out);
                self.begin_group(key, delay);
            }
            Verdict::Report => {
                let child = &mut self.children[key];
                child.after = After::Stay;
                if child.state == State::Due {
                    child.state = State::Stopped;
                }
                self.report(key, cause.clone(), now, out);
            }
            Verdict::GiveUp => self.give_up(key, GaveUpReason::BudgetSpent, now, out),
        }
        out.trash.extend(exit_of(cause));
    }

    fn delay(&mut self, key: u32, now: Instant, out: &mut Out<T>) -> Duration {
        let child = &mut self.children[key];
        let ran = child
            .since
            .map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let backoff = child.policy.backoff().unwrap_or(&self.rules.backoff);
        let delay = child.streak.fail(ran, backoff, &mut self.rolls);
        let delay = delay.max(self.pause_left(now));
        self.tell(key, now, out, |child, _| SupervisorEventKind::Restarting {
            child,
            delay,
        });
        delay
    }

    fn charge(
        &mut self,
        key: u32,
        cause: &FailureCause,
        now: Instant,
        out: &mut Out<T>,
    ) -> Verdict {
        let child = &mut self.children[key];
        let failure = Failure {
            child: child.id.clone(),
            incarnation: child.incarnation,
            cause: cause.clone(),
        };
        let is_granted = if let Some(window) = &mut child.window {
            window.charge(now)
        } else {
            let is_granted = self.window.charge(now);
            self.score(now, out);
            is_granted || self.rules.goes_on()
        };
        let reports = self.children[key].policy.reports;
        if self.failures.len() == GaveUp::FAILURES {
            let oldest = self.failures.pop_front();
            out.trash
                .extend(oldest.and_then(|(_, oldest)| exit_of(oldest.cause)));
        }
        self.failures.push_back((now, failure));
        match (is_granted, reports) {
            (true, _) => Verdict::Restart,
            (false, true) => Verdict::Report,
            (false, false) => Verdict::GiveUp,
        }
    }

    fn budget_of(&self, key: u32) -> RestartBudget {
        let child = &self.children[key];
        child.policy.budget().copied().unwrap_or(self.rules.budget)
    }

    fn report(&mut self, key: u32, cause: FailureCause, now: Instant, out: &mut Out<T>) {
        let budget = self.budget_of(key);
        let child = &mut self.children[key];
        child.is_spent = true;
        let spent = Spent {
            child: child.id.clone(),
            incarnation: child.incarnation,
            budget,
            cause,
        };
        self.tell(key, now, out, |child, _| SupervisorEventKind::Spent {
            child,
        });
        out.push(Decision::Spent(key, spent));
    }

    pub(super) fn give_up(
        &mut self,
        key: u32,
        reason: GaveUpReason,
        now: Instant,
        out: &mut Out<T>,
    ) {
        let budget = self.budget_of(key);
        let is_own = self.children[key].window.is_some();
        let child = self.children[key].id.clone();
        let within = self.failures.iter().filter(|(at, failure)| {
            now.saturating_duration_since(*at) < budget.within()
                && (!is_own || failure.child == child)
        });
        let gave_up = Arc::new(GaveUp {
            supervisor: self.name.clone(),
            failures: within.map(|(_, failure)| failure.clone()).collect(),
            child,
            reason,
            budget,
        });
        self.emit(now, out, || SupervisorEventKind::GaveUp(gave_up.clone()));
        self.begin_ending(Ended::GaveUp(gave_up), now, out);
    }

    /// A child ended by itself for good.
    pub(super) fn auto_shutdown(
        &mut self,
        (key, name): (u32, Name),
        now: Instant,
        out: &mut Out<T>,
    ) {
        if self.is_ending() {
            return;
        }
        if matches!(self.mode, Mode::First { .. }) {
            // What is on its way up comes up first.
            self.ended_early = Some((key, name));
            return;
        }
        let goes_on = |(other, child): (u32, &Child<T>)| {
            other != key && child.policy.significant && child.state != State::Stopped
        };
        let shuts_down = match self.rules.auto_shutdown {
            AutoShutdown::Never => false,
            AutoShutdown::AnySignificant => true,
            AutoShutdown::AllSignificant => !self.children.iter().any(goes_on),
        };
        if shuts_down {
            self.begin_ending(Ended::AutoShutdown(name), now, out);
        }
    }
}

/// The user's value in a cause, which must not be dropped under a lock.
pub(super) fn exit_of(cause: FailureCause) -> Option<crate::supervise::child::ChildExit> {
    match cause {
        FailureCause::Exit(exit) | FailureCause::NotReady(exit) => Some(exit),
        FailureCause::StartTimeout | FailureCause::Hung { .. } => None,
    }
}
