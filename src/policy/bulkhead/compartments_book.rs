//! The decision of a set of compartments: who may have a slot, who is owed one. Plain code, used
//! under the set's lock; time is an argument.

use super::compartments_config::{Plan, Share};
use super::compartments_lines::{Key, Lines};
use super::compartments_word::limit;
use super::config::Order;
use crate::kernel::instant::Instant;
use crate::kernel::sync::wake_all;
use std::task::Waker;

/// Why a call gets no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Its compartment runs as many calls as it may.
    Limit(u64),
    /// The set runs as many as it may, or the free slots are owed to others.
    Total(u64),
    /// It waited for as long as it may; the number is the limit that it met.
    Waited(u64),
    /// Its compartment is held isolated.
    Isolated,
}

/// The slots that were refused to a compartment below its guarantee.
#[derive(Clone, Copy, Debug)]
struct Debt {
    slots: u64,
    until: Instant,
}

#[derive(Debug)]
pub(super) struct Book {
    pub(super) plan: Plan,
    /// The slots taken, by compartment; in use while the word says that the book is open.
    pub(super) running: Box<[u64]>,
    debts: Box<[Debt]>,
    /// How many guards hold a compartment isolated.
    isolations: Box<[usize]>,
    pub(super) lines: Lines,
    /// To be woken after the unlock.
    wakes: Wakes,
}

/// A waiter: its place, until when it waits, and when it looks again by itself before that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) key: Key,
    pub(super) deadline: Instant,
    pub(super) alarm: Option<Instant>,
}

impl Waiting {
    pub(super) fn looks_at(&self) -> Instant {
        self.alarm
            .map_or(self.deadline, |alarm| alarm.min(self.deadline))
    }
}

/// What came of asking for a slot.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Admitted,
    Waits(Waiting),
    Refused(Why),
}

impl Book {
    pub(super) fn new(plan: Plan) -> Self {
        let compartments = plan.shares.len();
        let debt = Debt {
            slots: 0,
            until: Instant::from_nanos(0),
        };
        Self {
            plan,
            running: vec![0; compartments].into(),
            debts: vec![debt; compartments].into(),
            isolations: vec![0; compartments].into(),
            lines: Lines::new(compartments),
            wakes: Wakes::default(),
        }
    }

    /// Takes over the counts of a word, by how many are free below each limit.
    pub(super) fn read_free(&mut self, free: impl Fn(usize) -> u64) {
        for (at, running) in self.running.iter_mut().enumerate() {
            *running = limit(&self.plan, at).saturating_sub(free(at));
        }
    }

    /// Nobody waits, is owed a slot or is held isolated, so that counts alone decide.
    pub(super) fn is_calm(&self) -> bool {
        let is_isolated = self.isolations.iter().any(|guards| *guards > 0);
        self.lines.is_empty() && !self.has_debts() && !is_isolated
    }

    pub(super) fn is_isolated(&self, at: usize) -> bool {
        self.isolations[at] > 0
    }

    /// Refuses everything in this compartment, those who wait included, until as many
    /// [`release_isolation`](Self::release_isolation)s.
    pub(super) fn isolate(&mut self, at: usize) {
        self.isolations[at] = self.isolations[at].saturating_add(1);
        self.debts[at].slots = 0;
        self.turn_away(at);
    }

    /// Those who wait here look, and find why they are refused.
    fn turn_away(&mut self, at: usize) {
        for waker in self.lines.wakers(at) {
            self.wakes.add(Some(waker));
        }
    }

    /// Why everything is refused in this compartment, if so.
    pub(super) fn shut(&self, at: usize) -> Option<Why> {
        match self.plan.shares[at].limit {
            _ if self.is_isolated(at) => Some(Why::Isolated),
            0 => Some(Why::Limit(0)),
            _ => None,
        }
    }

    pub(super) fn take_plan(&mut self, plan: Plan, now: Instant) {
        self.plan = plan;
        for at in 0..self.plan.shares.len() {
            if self.shut(at).is_some() {
                self.turn_away(at);
            }
        }
        self.settle(now);
    }

    pub(super) fn release_isolation(&mut self, at: usize, now: Instant) {
        self.isolations[at] = self.isolations[at].saturating_sub(1);
        self.settle(now);
    }

    fn has_debts(&self) -> bool {
        self.debts.iter().any(|debt| debt.slots > 0)
    }

    /// When the next debt lapses.
    pub(super) fn next_lapse(&self) -> Option<Instant> {
        let open = self.debts.iter().filter(|debt| debt.slots > 0);
        open.map(|debt| debt.until).min()
    }

    fn lapse(&mut self, now: Instant) {
        for debt in &mut self.debts {
            if debt.until <= now {
                debt.slots = 0;
            }
        }
    }

    fn free(&self) -> u64 {
        let running: u64 = self.running.iter().sum();
        self.plan.total.saturating_sub(running)
    }

    /// The slots that must be left for compartments below their guarantee. A compartment that asks
    /// beyond its own has none of these.
    fn owed(&self) -> u64 {
        let missing = |at: usize, share: &Share| share.guaranteed.saturating_sub(self.running[at]);
        let shares = self.plan.shares.iter().enumerate();
        shares
            .map(|(at, share)| self.debts[at].slots.min(missing(at, share)))
            .sum()
    }

    fn is_within_guarantee(&self, at: usize) -> bool {
        self.running[at] < self.plan.shares[at].guaranteed
    }

    /// Why compartment `at` gets no slot now, if so.
    fn obstacle(&self, at: usize) -> Option<Why> {
        if let Some(why) = self.shut(at) {
            return Some(why);
        }
        let limit = self.plan.shares[at].limit;
        if self.running[at] >= limit {
            return Some(Why::Limit(limit));
        }
        let owed = if self.is_within_guarantee(at) {
            0
        } else {
            self.owed()
        };
        (self.free() <= owed).then_some(Why::Total(self.plan.total))
    }

    fn admit(&mut self, at: usize) {
        if self.is_within_guarantee(at) {
            self.debts[at].slots = self.debts[at].slots.saturating_sub(1);
        }
        self.running[at] += 1;
    }

    /// A call within its guarantee was refused: the next slot that comes back is its compartment's.
    fn refuse(&mut self, at: usize, now: Instant) {
        let missing = self.plan.shares[at]
            .guaranteed
            .saturating_sub(self.running[at]);
        let debt = &mut self.debts[at];
        if missing > 0 {
            debt.slots = (debt.slots + 1).min(missing);
            debt.until = now + self.plan.owed_for;
        }
    }

    /// Asks for a slot; waits in line if `waker` is there and the line has room. A waker that was
    /// not used is left for the caller to drop.
    pub(super) fn ask(&mut self, at: usize, now: Instant, waker: &mut Option<Waker>) -> Asked {
        self.settle(now);
        let Some(why) = self.obstacle(at) else {
            self.admit(at);
            return Asked::Admitted;
        };
        if self.shut(at).is_some() {
            return Asked::Refused(why);
        }
        if self.lines.len(at) < self.plan.shares[at].max_waiting {
            if let Some(waker) = waker.take() {
                // Slots may be free and owed: then it must look again when they are owed no more.
                let alarm = self.next_lapse();
                return Asked::Waits(Waiting {
                    key: self.lines.push(at, waker, alarm),
                    deadline: now + self.plan.shares[at].max_wait,
                    alarm,
                });
            }
        }
        self.refuse(at, now);
        Asked::Refused(why)
    }

    /// A slot of compartment `at` is free again.
    pub(super) fn release(&mut self, at: usize, now: Instant) {
        self.running[at] = self.running[at].saturating_sub(1);
        self.settle(now);
    }

    /// A waiter's time is up.
    pub(super) fn waited_in_vain(&mut self, at: usize, now: Instant) -> Why {
        let limit = match self.obstacle(at) {
            Some(Why::Total(total)) => total,
            _ => self.plan.shares[at].limit,
        };
        self.refuse(at, now);
        self.settle(now);
        Why::Waited(limit)
    }

    /// Gives free slots to those who wait for them: first to compartments below their guarantee,
    /// then, of what is not owed to one, to the others; each time to the line that has waited
    /// longest.
    pub(super) fn settle(&mut self, now: Instant) {
        self.lapse(now);
        while !self.lines.is_empty() && self.free() > 0 {
            let Some(at) = self.next_line() else { return };
            let order = self.plan.shares[at].order;
            if self.obstacle(at).is_some() {
                self.announce_lapse(at, order);
                return;
            }
            self.admit(at);
            let waker = self.lines.grant(at, order);
            self.wakes.add(waker);
        }
    }

    fn next_line(&self) -> Option<usize> {
        let shares = self.plan.shares.iter().enumerate();
        shares
            .filter(|(at, share)| self.running[*at] < share.limit && self.shut(*at).is_none())
            .filter_map(|(at, _)| {
                let oldest = self.lines.oldest(at)?;
                Some((!self.is_within_guarantee(at), oldest, at))
            })
            .min()
            .map(|(.., at)| at)
    }

    /// Slots are free, but owed. If nothing happens until they are owed no more, somebody must look
    /// then: the waiter who would get one.
    fn announce_lapse(&mut self, at: usize, order: Order) {
        if let Some(lapse) = self.next_lapse() {
            let waker = self.lines.nudge(at, order, lapse);
            self.wakes.add(waker);
        }
    }

    pub(super) fn take_wakes(&mut self) -> Wakes {
        std::mem::take(&mut self.wakes)
    }
}

/// Wakers to be woken after an unlock. One costs no allocation.
#[derive(Debug, Default)]
#[must_use = "wake them after the unlock"]
pub(super) struct Wakes {
    first: Option<Waker>,
    rest: Vec<Waker>,
}

impl Wakes {
    pub(super) fn append(&mut self, other: Self) {
        self.add(other.first);
        self.rest.extend(other.rest);
    }

    fn add(&mut self, waker: Option<Waker>) {
        if self.first.is_none() {
            self.first = waker;
        } else {
            self.rest.extend(waker);
        }
    }

    pub(super) fn wake(mut self) {
        if self.rest.is_empty() {
            if let Some(first) = self.first.take() {
                first.wake();
            }
        } else {
            self.rest.splice(0..0, self.first.take());
            wake_all(self.rest);
        }
    }
}
