//! The token bucket: what the calls of the last `ttl` allow, less what was taken in it.

use super::config::Share;
use crate::kernel::clock::Clock;
use crate::kernel::stripe::default_stripes;
use crate::kernel::sync::{AtomicU64, Mutex, Ordering};
use crate::kernel::window::Class;
use crate::kernel::window::time::{TimeShape, TimeWindow};
use std::time::Duration;

/// Slots of a `ttl`. Tower and Finagle use as many.
const SLOTS: u32 = 10;

#[derive(Debug)]
pub(super) struct Bucket {
    /// Deposits, striped. Good calls are those that an owner also counts by it.
    window: TimeWindow,
    /// A reset begins a new one, in which no older deposit counts.
    generation: AtomicU64,
    reserve: u64,
    share: Share,
    taken: Mutex<Taken>,
}

/// The withdrawals of the last slots.
#[derive(Debug, Default)]
struct Taken {
    /// The newest slot that anything was taken or looked at in; see `TimeWindow::tag_at`.
    newest: u64,
    slots: [u64; SLOTS as usize],
    sum: u64,
}

impl Bucket {
    pub(super) fn new(ttl: Duration, reserve: u64, share: Share, clock: &Clock) -> Self {
        let shape = TimeShape {
            width: ttl / SLOTS,
            buckets: SLOTS,
        };
        Self {
            window: TimeWindow::new(shape, default_stripes(), clock),
            generation: AtomicU64::new(0),
            reserve,
            share,
            taken: Mutex::new(Taken::default()),
        }
    }

    #[inline]
    pub(super) fn deposit(&self, clock: &Clock, class: Class) {
        let now = self.window.now(clock);
        let generation = self.generation.load(Ordering::Relaxed);
        // Nobody has to look: a deposit takes nothing away.
        let _ = self.window.record(generation, now, class, 0);
    }

    /// Takes one if one is there; the slot it was taken in.
    pub(super) fn try_take(&self, clock: &Clock) -> Option<u64> {
        self.at_now(clock, |taken, allowed| {
            (taken.sum < allowed).then(|| taken.take())
        })
    }

    /// Puts back what was taken in `slot`, unless it is forgotten by now.
    pub(super) fn give_back(&self, slot: u64) {
        self.taken.lock().give_back(slot);
    }

    pub(super) fn balance(&self, clock: &Clock) -> u64 {
        self.at_now(clock, |taken, allowed| allowed.saturating_sub(taken.sum))
    }

    /// What all slots up to now have taken, and may take at most.
    fn at_now<R>(&self, clock: &Clock, act: impl FnOnce(&mut Taken, u64) -> R) -> R {
        let now = self.window.now(clock);
        let mut taken = self.taken.lock();
        let generation = self.generation.load(Ordering::Relaxed);
        taken.advance(self.window.tag_at(generation, now));
        let deposits = self.window.sum(generation, now).recorded;
        let allowed = self.reserve.saturating_add(self.share.of(deposits));
        act(&mut taken, allowed)
    }

    /// Forgets all deposits and withdrawals.
    pub(super) fn reset(&self) {
        // Under the lock, so that a withdrawal sees all of it or nothing.
        let mut taken = self.taken.lock();
        self.generation.fetch_add(1, Ordering::Relaxed);
        taken.slots = [0; SLOTS as usize];
        taken.sum = 0;
        // What was taken before is not given back after.
        taken.newest = taken.newest.saturating_add(u64::from(SLOTS) + 1);
    }

    /// The good calls that were ever deposited.
    pub(super) fn good(&self) -> u64 {
        self.window.totals()[Class::Ok as usize]
    }
}

impl Taken {
    fn slot(&mut self, number: u64) -> &mut u64 {
        #[expect(clippy::cast_possible_truncation, reason = "0 to 9")]
        let slot = (number % u64::from(SLOTS)) as usize;
        &mut self.slots[slot]
    }

    /// Forgets what is older than the slots that end with `newest`.
    fn advance(&mut self, newest: u64) {
        let slots = u64::from(SLOTS);
        if newest.saturating_sub(self.newest) >= slots {
            self.slots = [0; SLOTS as usize];
            self.sum = 0;
        } else {
            for number in self.newest + 1..=newest {
                self.sum -= std::mem::take(self.slot(number));
            }
        }
        self.newest = self.newest.max(newest);
    }

    fn take(&mut self) -> u64 {
        let newest = self.newest;
        *self.slot(newest) += 1;
        self.sum += 1;
        newest
    }

    fn give_back(&mut self, number: u64) {
        if self.newest.saturating_sub(number) < u64::from(SLOTS) {
            let slot = self.slot(number);
            // Never zero: what is given back was taken, and is not forgotten.
            *slot = slot.saturating_sub(1);
            self.sum = self.sum.saturating_sub(1);
        }
    }
}
