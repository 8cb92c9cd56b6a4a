//! The token bucket: what the calls of the last `ttl` allow, less what was taken in it.

use super::config::Share;
use crate::kernel::clock::Clock;
use crate::kernel::instant::Instant;
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

/// The withdrawals of the last slots, and the deposits that are known to stand against them.
#[derive(Debug, Default)]
struct Taken {
    /// The newest slot that anything was taken or looked at in; see `TimeWindow::tag_at`.
    newest: u64,
    slots: [u64; SLOTS as usize],
    /// At least so many deposits count as long as `newest` is the newest slot: until the next one
    /// begins they only grow.
    deposits: u64,
}

impl Bucket {
    pub(super) fn new(ttl: Duration, reserve: u64, share: Share, clock: &Clock) -> Self {
        let slots = TimeShape {
            width: ttl / SLOTS,
            buckets: SLOTS,
        };
        Self {
            window: TimeWindow::new(slots, default_stripes(), clock),
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
        self.window.add(generation, now, class);
    }

    /// Takes one if one is there; the slot it was taken in.
    pub(super) fn try_take(&self, clock: &Clock) -> Option<u64> {
        let now = self.window.now(clock);
        let mut taken = self.taken.lock();
        let generation = self.advance(&mut taken, now);
        // Most are granted by what was known before; only a refusal needs all stripes.
        let sum = taken.sum();
        if sum >= self.allowed(taken.deposits)
            && sum >= self.allowed(self.look(&mut taken, generation, now))
        {
            return None;
        }
        Some(taken.take())
    }

    /// Puts back what was taken in `slot`, unless it is forgotten by now.
    pub(super) fn give_back(&self, slot: u64) {
        self.taken.lock().give_back(slot);
    }

    pub(super) fn balance(&self, clock: &Clock) -> u64 {
        let now = self.window.now(clock);
        let mut taken = self.taken.lock();
        let generation = self.advance(&mut taken, now);
        let deposits = self.look(&mut taken, generation, now);
        self.allowed(deposits).saturating_sub(taken.sum())
    }

    fn allowed(&self, deposits: u64) -> u64 {
        self.reserve.saturating_add(self.share.of(deposits))
    }

    /// Moves on to the slot of `now`; the generation.
    fn advance(&self, taken: &mut Taken, now: Instant) -> u64 {
        let generation = self.generation.load(Ordering::Relaxed);
        taken.advance(self.window.tag_at(generation, now));
        generation
    }

    /// The deposits that count now, known from here on.
    fn look(&self, taken: &mut Taken, generation: u64, now: Instant) -> u64 {
        taken.deposits = self.window.sum(generation, now).recorded;
        taken.deposits
    }

    /// Forgets all deposits and withdrawals.
    pub(super) fn reset(&self) {
        // Under the lock, so that a withdrawal sees all of it or nothing. What was taken before is
        // not given back after: the new generation's slots are too far ahead of its own.
        let mut taken = self.taken.lock();
        self.generation.fetch_add(1, Ordering::Relaxed);
        *taken = Taken {
            newest: taken.newest,
            ..Taken::default()
        };
    }

    /// The good calls that were ever deposited.
    pub(super) fn good(&self) -> u64 {
        self.window.totals()[Class::Ok as usize]
    }
}

impl Taken {
    fn sum(&self) -> u64 {
        self.slots.iter().sum()
    }

    fn slot(&mut self, number: u64) -> &mut u64 {
        #[expect(clippy::cast_possible_truncation, reason = "0 to 9")]
        let slot = (number % u64::from(SLOTS)) as usize;
        &mut self.slots[slot]
    }

    /// Forgets what is older than the slots that end with `newest`.
    fn advance(&mut self, newest: u64) {
        if newest <= self.newest {
            return;
        }
        if newest - self.newest >= u64::from(SLOTS) {
            self.slots = [0; SLOTS as usize];
        } else {
            for number in self.newest + 1..=newest {
                *self.slot(number) = 0;
            }
        }
        self.newest = newest;
        self.deposits = 0;
    }

    fn take(&mut self) -> u64 {
        let newest = self.newest;
        *self.slot(newest) += 1;
        newest
    }

    fn give_back(&mut self, number: u64) {
        if self.newest.saturating_sub(number) < u64::from(SLOTS) {
            let slot = self.slot(number);
            // Never zero: what is given back was taken, and is not forgotten.
            *slot = slot.saturating_sub(1);
        }
    }
}
