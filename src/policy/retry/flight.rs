//! One call under way: what it has come to, and what is owed when it ends without a word.

use super::config::{Rules, WaitsOfACall};
use super::event::{RetryEventKind, StopReason};
use super::machine::{Admission, Machine, NEVER, Terms};
use super::totals::Counter;
use super::when::{Decision, Hint};
use crate::kernel::budget::{RetryBudget, Withdrawal};
use crate::kernel::instant::Instant;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

/// A call, from its admission to its end. Dropping it before the end drops the call.
///
/// A panic is told from a drop by whether the call was being polled, not by whether the thread
/// unwinds: a neighbour's panic drops this call too, and is no failure of it.
pub(crate) struct Flight<H: Deref<Target = Machine>> {
    machine: H,
    deadline: Instant,
    attempt: u32,
    terms: Terms,
    stage: Stage,
    phase: Phase,
}

/// A word of its own, like what stands beside it: a byte that was just written stalls whoever reads
/// it together with its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Stage {
    /// Not let in yet.
    Waiting,
    /// In its first attempt.
    First,
    /// After it.
    Later,
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Phase {
    Idle,
    /// User code of this call runs.
    Polled,
}

/// What a call that is tried again carries.
pub(super) struct Memory {
    rules: Arc<Rules>,
    waits: Option<WaitsOfACall>,
    previous: Duration,
    withdrawal: Option<Withdrawal>,
}

/// What comes after an attempt.
pub(super) enum Next {
    /// Its result is the call's.
    Finish,
    /// Another attempt, not before this.
    AttemptAt(Instant),
    /// Another attempt, without a wait.
    AttemptNow,
}

impl<H: Deref<Target = Machine>> Flight<H> {
    /// A call that is to be let in. It has to end by `limit`, if there is one.
    #[inline]
    pub(crate) fn new(machine: H, limit: Option<Instant>) -> Self {
        Self {
            machine,
            deadline: limit.unwrap_or(NEVER),
            attempt: 1,
            terms: Terms::NONE,
            stage: Stage::Waiting,
            phase: Phase::Idle,
        }
    }

    /// Lets it in, or not. `false` is for [`reject`](Self::reject).
    #[inline]
    pub(crate) fn begin(&mut self) -> bool {
        let Some(Admission { terms, deadline }) = self.machine.admit() else {
            self.stage = Stage::Over;
            return false;
        };
        self.terms = terms;
        self.deadline = self.deadline.min(deadline);
        self.stage = Stage::First;
        if terms.enters() {
            self.enter();
        }
        true
    }

    fn enter(&self) {
        if let Some(budget) = self.budget() {
            budget.enter();
        }
    }

    /// No attempt begins at `limit` or later from now on, whatever else there is.
    pub(super) fn keep_to(&mut self, limit: Option<Instant>) {
        self.deadline = self.deadline.min(limit.unwrap_or(NEVER));
    }

    pub(crate) fn machine(&self) -> &Machine {
        &self.machine
    }

    #[inline]
    pub(super) fn is_waiting(&self) -> bool {
        self.stage == Stage::Waiting
    }

    #[inline]
    pub(super) fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// The number of the attempt under way.
    #[inline]
    pub(super) fn attempt(&self) -> u32 {
        self.attempt
    }

    pub(crate) fn is_single(&self) -> bool {
        self.terms.is_single()
    }

    /// User code of this call runs from here on; a drop is a panic of it.
    #[inline]
    pub(crate) fn enter_user_code(&mut self) {
        self.phase = Phase::Polled;
    }

    /// No more.
    #[inline]
    pub(crate) fn leave_user_code(&mut self) {
        self.phase = Phase::Idle;
    }

    #[inline]
    fn budget(&self) -> Option<&RetryBudget> {
        self.machine.budget(self.terms)
    }

    /// Whether an accepted success is one at the first attempt.
    #[inline]
    pub(super) fn is_first(&self) -> bool {
        self.stage == Stage::First
    }

    #[inline]
    pub(super) fn succeed_at_once(&mut self) {
        self.stage = Stage::Over;
        self.machine.succeed_at_once(self.terms);
    }

    /// The attempt ended; not with a success at once.
    pub(super) fn settle(
        &mut self,
        decision: Decision,
        is_ok: bool,
        can_repeat: bool,
        memory: &mut Option<Memory>,
    ) -> Next {
        self.end_of_attempt();
        // A further attempt is in flight until here.
        if let Some(memory) = memory {
            memory.withdrawal = None;
        }
        let hint = match decision {
            Decision::Accept => {
                self.accept(is_ok);
                return Next::Finish;
            }
            Decision::Retry => None,
            Decision::Hinted(hint) => Some(hint),
        };
        if let Some(budget) = self.budget() {
            budget.fail();
        }
        match self.plan(hint, can_repeat, memory) {
            Ok(next) => next,
            Err(reason) => {
                self.give_up(reason);
                Next::Finish
            }
        }
    }

    /// The first attempt pays into the budget when it is over.
    fn end_of_attempt(&mut self) {
        if self.stage == Stage::First {
            self.stage = Stage::Later;
            self.machine.totals.bump(Counter::FirstAttempt as usize);
            if let Some(budget) = self.budget() {
                budget.deposit_other();
            }
        }
    }

    fn accept(&mut self, is_ok: bool) {
        if is_ok {
            if let Some(budget) = self.budget() {
                budget.succeed();
            }
            self.end(Counter::SuccessAfterRetry);
        } else {
            self.end(Counter::Failed);
        }
    }

    fn end(&mut self, counter: Counter) {
        self.stage = Stage::Over;
        self.machine.totals.bump(counter as usize);
        if let Some(budget) = self.budget() {
            budget.leave();
        }
    }

    /// The result calls for another attempt. What costs nothing is asked first, the budget last.
    fn plan(
        &self,
        hint: Option<Hint>,
        can_repeat: bool,
        memory: &mut Option<Memory>,
    ) -> Result<Next, StopReason> {
        if self.is_single() {
            return Err(StopReason::Exhausted);
        }
        if memory.is_none() {
            let rules = self.machine.rules().ok_or(StopReason::Exhausted)?;
            *memory = Some(Memory::new(rules));
        }
        let Some(memory) = memory else {
            return Err(StopReason::Exhausted);
        };
        let at_least = match hint {
            Some(Hint::Stop) => return Err(StopReason::HintStop),
            Some(Hint::After(after)) if after > memory.rules.max_hint => {
                return Err(StopReason::HintStop);
            }
            Some(Hint::After(after)) => after,
            None => Duration::ZERO,
        };
        if self.attempt >= memory.rules.max_attempts {
            return Err(StopReason::Exhausted);
        }
        if !can_repeat {
            return Err(StopReason::NotRepeatable);
        }
        let computed = memory
            .next_wait(&self.machine, self.attempt)
            .ok_or(StopReason::Exhausted)?;
        let wait = computed.max(at_least);
        let now = self.machine.clock.now();
        let then = now + wait;
        if self.deadline != NEVER && then >= self.deadline {
            return Err(StopReason::Deadline);
        }
        memory.withdrawal = Some(self.withdraw(now)?);
        self.tell(RetryEventKind::Retrying {
            attempt: self.attempt + 1,
            wait,
        });
        Ok(if wait.is_zero() {
            Next::AttemptNow
        } else {
            Next::AttemptAt(then)
        })
    }

    fn withdraw(&self, now: Instant) -> Result<Withdrawal, StopReason> {
        let withdrawal = self.budget().and_then(RetryBudget::try_withdraw);
        let crossing = &self.machine.crossing;
        if withdrawal.is_some() {
            if crossing.granted(now) {
                self.machine.note(RetryEventKind::BudgetRecovered);
            }
        } else if crossing.refused(now) {
            self.machine.note(RetryEventKind::BudgetEmpty);
        }
        withdrawal.ok_or(StopReason::BudgetEmpty)
    }

    /// The call ends with a result that called for another attempt.
    pub(super) fn give_up(&mut self, reason: StopReason) {
        self.end(Counter::of(reason));
        self.tell(RetryEventKind::GaveUp {
            attempts: self.attempt,
            reason,
        });
        if reason == StopReason::NoTimer {
            self.machine.trace_no_timer(self.machine.clock.now());
        }
    }

    /// Tells a fact about this call, if anybody listens.
    fn tell(&self, kind: RetryEventKind) {
        if self.machine.events.is_heard() {
            self.machine.note(kind);
        }
    }

    /// The next attempt begins.
    pub(super) fn begin_retry(&mut self, memory: &mut Option<Memory>) {
        self.attempt += 1;
        self.machine.totals.bump(Counter::Retry as usize);
        let withdrawal = memory
            .as_mut()
            .and_then(|memory| memory.withdrawal.as_mut());
        if let Some(withdrawal) = withdrawal {
            withdrawal.spend();
        }
    }
}

impl<H: Deref<Target = Machine>> Drop for Flight<H> {
    #[inline]
    fn drop(&mut self) {
        if !matches!(self.stage, Stage::Waiting | Stage::Over) {
            self.abandon();
        }
    }
}

impl<H: Deref<Target = Machine>> Flight<H> {
    #[cold]
    #[inline(never)]
    fn abandon(&mut self) {
        self.end_of_attempt();
        self.end(match self.phase {
            Phase::Polled => Counter::Panicked,
            Phase::Idle => Counter::Dropped,
        });
    }
}

impl Memory {
    fn new(rules: Arc<Rules>) -> Self {
        let waits = rules.waits.as_ref().map(|waits| waits.begin());
        Self {
            rules,
            waits,
            previous: Duration::ZERO,
            withdrawal: None,
        }
    }

    fn next_wait(&mut self, machine: &Machine, attempt: u32) -> Option<Duration> {
        self.previous = machine.wait(&self.rules, self.waits.as_mut(), attempt, self.previous)?;
        Some(self.previous)
    }
}
