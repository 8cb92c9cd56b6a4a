//! What happens under the lock: the queue, and what the state word carries beside the count.

use super::config::{Ask, BulkheadConfig};
use super::event::{BulkheadEvent, EventKind};
use super::machine::{Entered, Machine, Refusal};
use super::queue::{Place, Queue, Standing};
use super::totals::Counter;
use super::wakes::Wakes;
use super::word::{ISOLATED, SATURATED, WAITED_FOR, Word};
use crate::kernel::sync::Ordering;
use std::task::{Poll, Waker};
use std::time::Duration;

pub(super) struct Control {
    pub(super) config: BulkheadConfig,
    queue: Queue,
    isolations: u32,
    /// Refusals for want of a slot that an earlier `Relieved` told of.
    told_refusals: u64,
    seq: u64,
    /// Facts to be told after the unlock.
    pub(super) notes: Vec<BulkheadEvent>,
}

impl Control {
    pub(super) fn new(config: BulkheadConfig) -> Self {
        Self {
            config,
            queue: Queue::new(),
            isolations: 0,
            told_refusals: 0,
            seq: 0,
            notes: Vec::new(),
        }
    }
}

/// The machine while its lock is held.
pub(super) struct Locked<'a, 'm> {
    pub(super) machine: &'a Machine,
    pub(super) control: &'a mut Control,
    /// Whom to wake after the unlock.
    pub(super) wakes: &'a mut Wakes<'m>,
}

impl Locked<'_, '_> {
    pub(super) fn word(&self) -> Word {
        self.machine.word()
    }

    fn set(&self, flag: u64) {
        self.machine.front.word.fetch_or(flag, Ordering::AcqRel);
    }

    fn clear(&self, flag: u64) {
        self.machine.front.word.fetch_and(!flag, Ordering::AcqRel);
    }

    /// Changes the word in one step, unless the count changed since `word` was read.
    fn exchange(&self, word: Word, to: Word) -> bool {
        let (success, failure) = (Ordering::AcqRel, Ordering::Relaxed);
        let front = &self.machine.front.word;
        front
            .compare_exchange(word.0, to.0, success, failure)
            .is_ok()
    }

    pub(super) fn waiting(&self) -> u32 {
        u32::try_from(self.control.queue.len()).unwrap_or(u32::MAX)
    }

    /// Hands free slots to those who are next; or turns all away, if nobody is let in.
    ///
    /// A slot that comes free while somebody waits is nobody else's: the flag keeps newcomers off,
    /// and whoever gave it back comes here.
    pub(super) fn settle(&mut self) {
        let queue = &mut self.control.queue;
        while !queue.is_empty() && !self.wakes.is_full() {
            let word = self.machine.word();
            if word.is_shut() {
                self.wakes.push(queue.turn_away(Machine::refusal(word)));
            } else if word.has_slot() {
                // Others only lower the count now, so the slot is still there.
                self.machine.front.word.fetch_add(1, Ordering::AcqRel);
                self.machine.note_peak(word.in_flight() + 1);
                self.wakes.push(queue.serve(self.control.config.order));
            } else {
                break;
            }
        }
        self.clear_if_nobody_waits();
    }

    fn clear_if_nobody_waits(&mut self) {
        if self.control.queue.is_empty() && self.word().has(WAITED_FOR) {
            self.clear(WAITED_FOR);
        }
    }

    /// A call that found no free slot looks again, and waits if there still is none.
    pub(super) fn enter(&mut self, ask: Ask, waker: &mut Option<Waker>) -> Entered {
        // Who came before this call goes first.
        self.settle();
        let config = &self.control.config;
        let max_wait = ask.max_wait.or(config.max_wait).unwrap_or(Duration::ZERO);
        loop {
            let word = self.machine.word();
            if Machine::must_refuse(word, ask) {
                return Entered::Refused(Machine::refusal(word));
            }
            if word.admits_at_once() {
                if self.exchange(word, Word(word.0 + 1)) {
                    self.machine.note_peak(word.in_flight() + 1);
                    return Entered::Served;
                }
                continue;
            }
            if self.waiting() >= config.max_waiting {
                return Entered::Refused(Refusal::Full);
            }
            // With the flag in the same word as the count: whoever gives a slot back after this
            // sees it, and comes to hand the slot over.
            if !word.has(WAITED_FOR) && !self.exchange(word, Word(word.0 | WAITED_FOR)) {
                continue;
            }
            return match waker.take() {
                Some(waker) => {
                    let place = self.control.queue.push(ask.priority, waker);
                    Entered::Waits(place, max_wait)
                }
                None => Entered::Refused(Refusal::Full),
            };
        }
    }

    /// The news of a waiter, `Pending` if there are none; or `None` if its waker has changed and
    /// `new` is empty.
    pub(super) fn look(
        &mut self,
        place: Place,
        waker: &Waker,
        new: &mut Option<Waker>,
    ) -> Option<Poll<Result<(), Refusal>>> {
        if let Standing::Waiting(known) = self.control.queue.at(place) {
            if known.will_wake(waker) {
                return Some(Poll::Pending);
            }
            // The old one goes out through `new`, to be dropped after the unlock.
            return new.as_mut().map(|new| {
                std::mem::swap(known, new);
                Poll::Pending
            });
        }
        let (news, _) = self.leave(place);
        Some(news.map_or(Poll::Pending, Poll::Ready))
    }

    /// Gives a waiter's place up: its news, or its waker if there are none.
    pub(super) fn leave(&mut self, place: Place) -> (Option<Result<(), Refusal>>, Option<Waker>) {
        match self.control.queue.remove(place) {
            Standing::Waiting(waker) => {
                self.clear_if_nobody_waits();
                (None, Some(waker))
            }
            Standing::Served => (Some(Ok(())), None),
            Standing::TurnedAway(why) => (Some(Err(why)), None),
            // Nobody gives a place up twice.
            Standing::Free => (Some(Err(Refusal::Full)), None),
        }
    }

    /// Frees a slot whose waiter is gone, for the next.
    pub(super) fn free_slot(&mut self) {
        self.machine.front.word.fetch_sub(1, Ordering::AcqRel);
        self.settle();
    }

    /// Takes limit and flags of a configuration that was checked.
    pub(super) fn take(&mut self, config: BulkheadConfig) {
        self.control.config = config;
        loop {
            let word = self.word();
            if self.exchange(word, word.with_config_of(config.word())) {
                break;
            }
        }
        self.settle();
    }

    pub(super) fn resize(&mut self, limit: u32) {
        let from = self.control.config.max_concurrent;
        if from != limit {
            self.take(self.control.config.max_concurrent(limit));
            self.note(EventKind::Resized { from, to: limit });
        }
    }

    pub(super) fn isolate(&mut self) {
        self.control.isolations = self.control.isolations.saturating_add(1);
        if self.control.isolations == 1 {
            self.set(ISOLATED);
            self.note(EventKind::Isolated);
            self.settle();
        }
    }

    pub(super) fn release_isolation(&mut self) {
        self.control.isolations = self.control.isolations.saturating_sub(1);
        if self.control.isolations == 0 {
            self.clear(ISOLATED);
            self.note(EventKind::Released);
            self.settle();
        }
    }

    pub(super) fn saturate(&mut self) {
        if !self.word().has(SATURATED) {
            self.set(SATURATED);
            let (limit, waiting) = (self.word().limit(), self.waiting());
            self.note(EventKind::Saturated { limit, waiting });
        }
    }

    pub(super) fn relieve_if_due(&mut self) {
        if self.word().has(SATURATED) && self.machine.is_relief_due() {
            let refused = self.forget_saturation();
            self.note(EventKind::Relieved { refused });
        }
    }

    /// How many were refused since this was last asked.
    fn forget_saturation(&mut self) -> u64 {
        self.clear(SATURATED);
        let sum = |counter: Counter| self.machine.totals.sum(counter as usize);
        let refused = sum(Counter::RefusedFull).saturating_add(sum(Counter::RefusedWaitOver));
        let before = std::mem::replace(&mut self.control.told_refusals, refused);
        refused.saturating_sub(before)
    }

    pub(super) fn reset(&mut self) {
        self.forget_saturation();
        let in_flight = self.word().in_flight();
        let peak = &self.machine.front.peak;
        peak.store(in_flight, Ordering::Relaxed);
        self.note(EventKind::Reset);
    }

    pub(super) fn note(&mut self, kind: EventKind) {
        self.control.seq += 1;
        self.control.notes.push(BulkheadEvent {
            seq: self.control.seq,
            at: self.machine.clock.now(),
            kind,
        });
    }
}
