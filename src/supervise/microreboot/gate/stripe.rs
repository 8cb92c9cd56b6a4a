//! The gate's core: who is inside, striped by thread.
//!
//! A caller goes in by one exchange on its thread's stripe. Whether the gate is shut is a bit of the
//! same word, so a caller and the one who shuts need no fence between them: either the caller's
//! exchange comes first and is counted, or it reads the bit and goes back.

#![expect(
    clippy::inline_always,
    reason = "a call that is not inlined moves its ticket through memory: 30 instructions more"
)]

use super::wakers::{Key, Wakers};
use crate::kernel::stripe::{default_stripes, thread_number};
use crate::kernel::sync::{AtomicU64, Mutex, Ordering, wake_all};
use crossbeam_utils::CachePadded;
use std::task::{Context, Poll, Waker};

/// The gate is shut: nobody goes in.
const SHUT: u64 = 1;

/// Callers inside are not counted.
const UNCOUNTED: u64 = 1 << 1;

/// Calls have an objective: when they ask is read.
const TIMED: u64 = 1 << 2;

/// One caller inside. There is room for 2^29 - 1 in a stripe.
const INSIDE: u64 = 1 << 3;

/// One call that has ended. What overflows is carried.
const ENDED: u64 = 1 << 32;

const fn inside(word: u64) -> u64 {
    (word & (ENDED - 1)) / INSIDE
}

/// What the callers of one core write.
#[derive(Debug)]
struct Stripe {
    /// [`SHUT`], [`UNCOUNTED`], [`TIMED`], how many are inside, how many have ended.
    word: AtomicU64,
    /// Ended calls that are no longer in the word.
    carried: AtomicU64,
    failed: AtomicU64,
    slow: AtomicU64,
    refused: AtomicU64,
    /// The tasks of callers inside who wait for something.
    pending: Mutex<Wakers>,
}

impl Stripe {
    fn new() -> Self {
        Self {
            word: AtomicU64::new(0),
            carried: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            slow: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            pending: Mutex::new(Wakers::default()),
        }
    }
}

/// Who is inside a gate, and what became of those who were.
#[derive(Debug)]
pub(super) struct Stripes {
    /// How often the gate was opened, its making included.
    generation: AtomicU64,
    /// Callers who went in during this generation, or before it, are to go.
    cut: AtomicU64,
    lanes: Box<[CachePadded<Stripe>]>,
    /// Who waits for the last one inside to go.
    drainers: Mutex<Wakers>,
}

/// A caller inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) stripe: usize,
    /// When it went in; 0 if it is not counted.
    pub(super) generation: u64,
}

impl Ticket {
    /// A reboot waits for it, and can cut it.
    #[inline]
    pub(super) const fn is_counted(self) -> bool {
        self.generation != 0
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Well, or without anything to say.
    Well,
    /// Well, and too late.
    Slow,
    Failed,
}

/// The gate is shut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shut;

/// The call is to be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut;

/// Calls that ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) ended: u64,
    pub(super) failed: u64,
    pub(super) slow: u64,
    pub(super) refused: u64,
}

impl Stripes {
    pub(super) fn new() -> Self {
        Self {
            generation: AtomicU64::new(1),
            cut: AtomicU64::new(0),
            lanes: (0..default_stripes())
                .map(|_| CachePadded::new(Stripe::new()))
                .collect(),
            drainers: Mutex::new(Wakers::default()),
        }
    }

    #[inline(always)]
    fn mine(&self) -> usize {
        // Their number is a power of two.
        thread_number() & (self.lanes.len() - 1)
    }

    /// One load.
    #[inline]
    pub(super) fn is_shut(&self) -> bool {
        self.lanes[self.mine()].word.load(Ordering::Acquire) & SHUT != 0
    }

    /// Whether calls are counted, and timed, from the next one on. Not by two threads at once.
    pub(super) fn configure(&self, are_counted: bool, are_timed: bool) {
        let counted = if are_counted { 0 } else { UNCOUNTED };
        let flags = counted | if are_timed { TIMED } else { 0 };
        for stripe in &self.lanes {
            stripe.word.fetch_or(flags, Ordering::Relaxed);
            let others = (UNCOUNTED | TIMED) & !flags;
            stripe.word.fetch_and(!others, Ordering::Relaxed);
        }
    }

    /// Goes in: one load, and one exchange if it is counted. Returns whether the call is timed, too.
    #[inline(always)]
    pub(super) fn enter(&self) -> Result<(Ticket, bool), Shut> {
        let stripe = self.mine();
        let word = &self.lanes[stripe].word;
        let seen = word.load(Ordering::Acquire);
        // Callers at a shut gate do not write: who waits for it to be empty would count them.
        if seen & SHUT != 0 {
            return Err(Shut);
        }
        let is_timed = seen & TIMED != 0;
        if seen & UNCOUNTED != 0 {
            let generation = 0;
            return Ok((Ticket { stripe, generation }, is_timed));
        }
        let generation = self.generation.load(Ordering::Acquire);
        let before = word.fetch_add(INSIDE, Ordering::Acquire);
        // The same generation before and after: it went in during just this one. If not, the gate was
        // shut and opened again meanwhile, and a caller with the wrong one would be taken for one of
        // those who were inside then, or would not be.
        if before & SHUT == 0 && self.generation.load(Ordering::Relaxed) == generation {
            return Ok((Ticket { stripe, generation }, is_timed));
        }
        self.enter_again(stripe)
    }

    /// It went in while the gate was shut, and goes back; it may be open again.
    #[cold]
    #[inline(never)]
    fn enter_again(&self, stripe: usize) -> Result<(Ticket, bool), Shut> {
        self.go(stripe, 0_u64.wrapping_sub(INSIDE));
        self.enter()
    }

    /// Adds to a stripe's word, and wakes who waits for the gate to be empty if it may be.
    #[inline(always)]
    fn go(&self, stripe: usize, change: u64) -> u64 {
        let before = self.lanes[stripe].word.fetch_add(change, Ordering::Release);
        if before & SHUT != 0 && inside(before.wrapping_add(change)) == 0 {
            self.may_be_empty();
        }
        before
    }

    /// The ended calls of the word have begun anew at zero.
    #[cold]
    fn carry(&self, stripe: usize) {
        self.lanes[stripe]
            .carried
            .fetch_add(1 << 32, Ordering::Relaxed);
    }

    #[cold]
    #[inline(never)]
    fn may_be_empty(&self) {
        let wakers = self.drainers.lock().take();
        wake_all(wakers);
    }

    /// A call has ended: one exchange, and one add if it did not end well.
    #[inline(always)]
    pub(super) fn leave(&self, ticket: Ticket, end: End) {
        if end != End::Well {
            let stripe = &self.lanes[ticket.stripe];
            let counter = if end == End::Slow {
                &stripe.slow
            } else {
                &stripe.failed
            };
            counter.fetch_add(1, Ordering::Relaxed);
        }
        let change = if ticket.is_counted() {
            ENDED - INSIDE
        } else {
            ENDED
        };
        if self.go(ticket.stripe, change) >> 32 == u64::from(u32::MAX) {
            self.carry(ticket.stripe);
        }
    }

    /// A call has ended that was written off before.
    #[cold]
    pub(super) fn leave_uncounted(&self, ticket: Ticket) {
        if ticket.is_counted() {
            self.go(ticket.stripe, 0_u64.wrapping_sub(INSIDE));
        }
    }

    pub(super) fn refuse(&self) {
        self.lanes[self.mine()]
            .refused
            .fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the call is to be dropped: one load.
    #[inline]
    pub(super) fn is_cut(&self, ticket: Ticket) -> bool {
        // An uncounted one's generation is 0: it is never cut.
        ticket.is_counted() && self.cut.load(Ordering::Acquire) >= ticket.generation
    }

    /// Whether the gate was opened again since that call went in.
    #[inline]
    pub(super) fn is_of_the_past(&self, ticket: Ticket) -> bool {
        ticket.is_counted() && self.generation.load(Ordering::Acquire) != ticket.generation
    }

    /// A call inside waits for something: its task is to be woken if it is cut.
    pub(super) fn wait(
        &self,
        ticket: Ticket,
        key: &mut Option<Key>,
        waker: &Waker,
    ) -> Result<(), Cut> {
        let pending = &self.lanes[ticket.stripe].pending;
        // Cloned, and the old one dropped, while nothing is locked.
        let waker = waker.clone();
        let mut wakers = pending.lock();
        // Who cuts says so before it takes the wakers.
        if self.is_cut(ticket) {
            drop(wakers);
            return Err(Cut);
        }
        let unused = match *key {
            Some(key) => wakers.put(key, waker),
            None => match wakers.insert(waker) {
                Ok(new) => {
                    *key = Some(new);
                    None
                }
                Err(waker) => Some(waker),
            },
        };
        drop(wakers);
        drop(unused);
        Ok(())
    }

    /// It waits no longer.
    pub(super) fn forget(&self, ticket: Ticket, key: Key) {
        let waker = self.lanes[ticket.stripe].pending.lock().remove(key);
        drop(waker);
    }

    /// Nobody goes in from here on. Not by two threads at once.
    pub(super) fn shut(&self) {
        for stripe in &self.lanes {
            stripe.word.fetch_or(SHUT, Ordering::AcqRel);
        }
    }

    /// Callers go in again. Not by two threads at once.
    pub(super) fn open(&self) {
        // Published by the exchanges below: who goes in sees this generation.
        self.generation.fetch_add(1, Ordering::Release);
        for stripe in &self.lanes {
            stripe.word.fetch_and(!SHUT, Ordering::Release);
        }
    }

    /// All who are inside of a shut gate are to go: how many, and whom to wake. Not by two threads at
    /// once.
    pub(super) fn cut(&self) -> (u64, Vec<Waker>) {
        let inside = self.inside();
        self.cut
            .store(self.generation.load(Ordering::Relaxed), Ordering::Release);
        let mut wakers = Vec::new();
        for stripe in &self.lanes {
            wakers.append(&mut stripe.pending.lock().take());
        }
        (inside, wakers)
    }

    /// How many are inside. Of a shut gate, each who has gone is missing.
    pub(super) fn inside(&self) -> u64 {
        self.lanes
            .iter()
            .map(|stripe| inside(stripe.word.load(Ordering::Acquire)))
            .sum()
    }

    /// Ready when nobody is inside of a shut gate.
    pub(super) fn poll_empty(&self, key: &mut Option<Key>, cx: &Context<'_>) -> Poll<()> {
        let waker = cx.waker().clone();
        let mut drainers = self.drainers.lock();
        let unused = match *key {
            Some(key) => drainers.put(key, waker),
            None => match drainers.insert(waker) {
                Ok(new) => {
                    *key = Some(new);
                    None
                }
                Err(waker) => Some(waker),
            },
        };
        drop(drainers);
        drop(unused);
        // Looked at after the waker was left: whoever goes now finds it.
        if self.inside() == 0 {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    pub(super) fn forget_drainer(&self, key: Key) {
        let waker = self.drainers.lock().remove(key);
        drop(waker);
    }

    pub(super) fn sums(&self) -> Sums {
        let mut sums = Sums::default();
        for stripe in &self.lanes {
            let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            sums.failed = sums.failed.saturating_add(load(&stripe.failed));
            sums.slow = sums.slow.saturating_add(load(&stripe.slow));
            sums.refused = sums.refused.saturating_add(load(&stripe.refused));
            sums.ended = sums
                .ended
                .saturating_add(load(&stripe.carried))
                .saturating_add(load(&stripe.word) >> 32);
        }
        sums
    }
}
