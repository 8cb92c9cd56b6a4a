//! The slots of a set of compartments. While nobody waits and nobody is owed a slot, taking and
//! giving back are one exchange of a word each; else they go through the book, behind a short lock.
//!
//! Who opens the book sets a bit in the word, after which no exchange succeeds, so that the counts
//! are the lock holder's alone. Who leaves it calm writes them back.

use super::compartments_book::{Asked, Book, Waiting, Wakes, Why};
use super::compartments_config::Plan;
use super::compartments_word::{BOOK_OPEN, Glance, Lane, Lanes, limit};
use crate::kernel::clock::Clock;
use crate::kernel::instant::Instant;
use crate::kernel::sync::{AtomicBool, AtomicU64, Mutex, Ordering};
use crossbeam_utils::CachePadded;
use std::task::Waker;

#[derive(Debug)]
pub(super) struct Slots {
    word: CachePadded<AtomicU64>,
    numbers: Box<[Numbers]>,
    /// None if the counts do not fit into a word: then the book is always open.
    lanes: Option<Lanes>,
    book: Mutex<Book>,
    pub(super) clock: Clock,
}

/// What calls read of the plan without the lock.
#[derive(Debug)]
struct Numbers {
    /// At most the total.
    limit: AtomicU64,
    total: AtomicU64,
    waits: AtomicBool,
    is_guaranteed: AtomicBool,
}

/// What a waiter finds when it looks.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Waited {
    Admitted,
    Waits(Waiting),
    Refused(Why),
}

impl Slots {
    pub(super) fn new(plan: Plan, clock: Clock) -> Self {
        let numbers = plan.shares.iter().map(|_| Numbers {
            limit: AtomicU64::new(0),
            total: AtomicU64::new(0),
            waits: AtomicBool::new(false),
            is_guaranteed: AtomicBool::new(false),
        });
        let slots = Self {
            word: CachePadded::new(AtomicU64::new(BOOK_OPEN)),
            numbers: numbers.collect(),
            lanes: Lanes::new(&plan),
            book: Mutex::new(Book::new(plan.clone())),
            clock,
        };
        // Nobody waits yet.
        slots.reconfigure(plan).wake();
        slots
    }

    /// Where compartment `at` has its counts.
    pub(super) fn lane(&self, at: usize) -> Lane {
        let lanes = self.lanes.as_ref();
        // Without lanes the book is open, and nobody looks at this one.
        lanes.map_or_else(Lane::default, |lanes| lanes.lane(at))
    }

    /// A new plan for the same compartments. Wake those it lets in after an unlock of the caller's.
    pub(super) fn reconfigure(&self, plan: Plan) -> Wakes {
        let ((), wakes) = self.open_book(|book, now| {
            for (at, (numbers, share)) in self.numbers.iter().zip(&plan.shares).enumerate() {
                // Who reads a new limit knows that the book was opened; see `read_running`.
                numbers.limit.store(limit(&plan, at), Ordering::Release);
                numbers.total.store(plan.total, Ordering::Relaxed);
                let waits = share.max_waiting > 0;
                numbers.waits.store(waits, Ordering::Relaxed);
                let is_guaranteed = share.guaranteed > 0;
                numbers
                    .is_guaranteed
                    .store(is_guaranteed, Ordering::Relaxed);
            }
            book.take_plan(plan, now());
        });
        wakes
    }

    /// Takes a slot if the word alone decides it.
    #[inline]
    pub(super) fn take(&self, lane: Lane) -> Glance {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let taken = match lane.take(word) {
                Ok(taken) => taken,
                Err(glance) => return glance,
            };
            // What the call before did in its slot has happened before what this one does.
            match self.exchange(word, taken, Ordering::Acquire) {
                Ok(_) => return Glance::Taken(lane.free(taken)),
                Err(found) => word = found,
            }
        }
    }

    /// Gives a slot back.
    #[inline]
    pub(super) fn release(&self, at: usize, lane: Lane) {
        let mut word = self.word.load(Ordering::Relaxed);
        while let Some(given) = lane.give_back(word) {
            match self.exchange(word, given, Ordering::Release) {
                Ok(_) => return,
                Err(found) => word = found,
            }
        }
        self.release_in_book(at);
    }

    #[inline]
    fn exchange(&self, from: u64, to: u64, order: Ordering) -> Result<u64, u64> {
        let word = &self.word;
        word.compare_exchange_weak(from, to, order, Ordering::Relaxed)
    }

    #[cold]
    #[inline(never)]
    fn release_in_book(&self, at: usize) {
        self.with_book(|book, now| {
            let now = now();
            book.release(at, now);
        });
    }

    /// Why a call that does not wait is refused, if that needs no book.
    pub(super) fn refusal(&self, at: usize, glance: Glance) -> Option<Why> {
        let numbers = &self.numbers[at];
        if numbers.waits.load(Ordering::Relaxed) {
            return None;
        }
        match glance {
            Glance::AtLimit => Some(Why::Limit(numbers.limit.load(Ordering::Relaxed))),
            Glance::NoneFree if !numbers.is_guaranteed.load(Ordering::Relaxed) => {
                Some(Why::Total(numbers.total.load(Ordering::Relaxed)))
            }
            _ => None,
        }
    }

    /// Asks the book for a slot; with a waker, waits if there is room.
    #[cold]
    pub(super) fn ask(&self, at: usize, waker: Option<&Waker>) -> Asked {
        let mut waker = waker.cloned();
        self.with_book(|book, now| book.ask(at, now(), &mut waker))
    }

    /// A waiter looks whether its slot is there, and whether its time is up.
    pub(super) fn look_again(&self, at: usize, waiting: Waiting, waker: &Waker) -> Waited {
        let Waiting { key, deadline, .. } = waiting;
        let mut waker = Some(waker.clone());
        // Held until after the unlock, to be dropped then.
        let mut replaced = None;
        self.with_book(|book, now| {
            let now = now();
            book.settle(now);
            if book.lines.is_granted(key) {
                replaced = book.lines.take(key).waker;
                return Waited::Admitted;
            }
            if let Some(why) = book.shut(at) {
                replaced = book.lines.take(key).waker;
                return Waited::Refused(why);
            }
            if now >= deadline {
                replaced = book.lines.take(key).waker;
                return Waited::Refused(book.waited_in_vain(at, now));
            }
            let alarm = book.next_lapse();
            if let Some(waker) = waker.take() {
                replaced = book.lines.renew(key, waker, alarm);
            }
            Waited::Waits(Waiting { alarm, ..waiting })
        })
    }

    /// A waiter leaves. If it had been granted a slot, the next one has it.
    pub(super) fn leave(&self, at: usize, waiting: Waiting) {
        let mut left = None;
        self.with_book(|book, now| {
            let now = now();
            let found = book.lines.take(waiting.key);
            if found.granted {
                book.release(at, now);
            } else {
                book.settle(now);
            }
            left = found.waker;
        });
        drop(left);
    }

    /// Refuses everything in a compartment until it is released as often.
    pub(super) fn isolate(&self, at: usize) {
        self.with_book(|book, _| book.isolate(at));
    }

    pub(super) fn release_isolation(&self, at: usize) {
        self.with_book(|book, now| {
            let now = now();
            book.release_isolation(at, now);
        });
    }

    /// Whether everything is refused in a compartment, whoever goes.
    pub(super) fn is_shut(&self, at: usize) -> bool {
        // The book stays open while one is isolated.
        if self.word.load(Ordering::Relaxed) & BOOK_OPEN == 0 {
            self.numbers[at].limit.load(Ordering::Relaxed) == 0
        } else {
            self.book.lock().shut(at).is_some()
        }
    }

    /// Why a call gets no slot now; its limit, if one came free.
    pub(super) fn obstacle(&self, at: usize) -> Why {
        let book = self.book.lock();
        let limit = Why::Limit(book.plan.shares[at].limit);
        book.shut(at).unwrap_or(limit)
    }

    pub(super) fn is_isolated(&self, at: usize) -> bool {
        self.book.lock().is_isolated(at)
    }

    pub(super) fn limit(&self, at: usize) -> u64 {
        self.book.lock().plan.shares[at].limit
    }

    pub(super) fn waiting(&self, at: usize) -> u32 {
        self.book.lock().lines.len(at)
    }

    pub(super) fn running(&self, at: usize, lane: Lane) -> u64 {
        let read = self.running_by(at, || {
            let word = self.word.load(Ordering::Acquire);
            (word & BOOK_OPEN == 0).then(|| lane.free(word))
        });
        read.unwrap_or_else(|| self.with_book(|book, _| book.running[at]))
    }

    /// How many run, by how many are free; none if the limit changes meanwhile.
    ///
    /// A new limit is written while the book is open. Who reads it before the word finds no word of
    /// before, and who finds a word of after reads it after that: the same limit before and after
    /// is the word's.
    #[inline]
    pub(super) fn running_by(&self, at: usize, free: impl FnOnce() -> Option<u64>) -> Option<u64> {
        let limit = &self.numbers[at].limit;
        let before = limit.load(Ordering::Acquire);
        let free = free()?;
        (limit.load(Ordering::Relaxed) == before).then(|| before.saturating_sub(free))
    }

    /// Opens the book, lets `act` write in it, and closes it again if it is calm. Wakers run after
    /// the unlock.
    fn with_book<R>(&self, act: impl FnOnce(&mut Book, &dyn Fn() -> Instant) -> R) -> R {
        let (result, wakes) = self.open_book(act);
        wakes.wake();
        result
    }

    fn open_book<R>(&self, act: impl FnOnce(&mut Book, &dyn Fn() -> Instant) -> R) -> (R, Wakes) {
        let mut book = self.book.lock();
        let word = self.word.fetch_or(BOOK_OPEN, Ordering::Acquire);
        if word & BOOK_OPEN == 0 {
            book.read_free(|at| self.lane(at).free(word));
        }
        let result = act(&mut book, &|| self.clock.now());
        let wakes = book.take_wakes();
        if book.is_calm() {
            let lanes = self.lanes.as_ref();
            if let Some(word) = lanes.and_then(|lanes| lanes.pack(&book.plan, &book.running)) {
                self.word.store(word, Ordering::Release);
            }
        }
        (result, wakes)
    }
}

#[cfg(all(test, not(any(backstop_loom, backstop_shuttle))))]
mod tests {
    use super::super::compartments_config::{CompartmentConfig, CompartmentsConfig};
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    #[test]
    fn bh2j_a_healthy_call_takes_no_lock() {
        let share = CompartmentConfig::new(2);
        let config = CompartmentsConfig::new()
            .total(3)
            .compartment("a", share.guaranteed(1))
            .compartment("b", share);
        let slots = Slots::new(config.plans().remove(0), Clock::manual().clock());
        let lanes = [0, 1].map(|at| slots.lane(at));
        let (done, is_done) = mpsc::channel();
        let book = slots.book.lock();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let taken = [1, 1, 0].map(|at| slots.take(lanes[at]));
                let refused = [1, 1].map(|at| slots.refusal(at, slots.take(lanes[at])));
                let running = [0, 1].map(|at| slots.running(at, lanes[at]));
                slots.release(0, lanes[0]);
                slots.release(1, lanes[1]);
                let beside = slots.refusal(1, Glance::NoneFree);
                done.send((taken, refused, running, beside)).unwrap();
            });
            let found = is_done.recv_timeout(Duration::from_secs(60));
            drop(book);
            let (taken, refused, running, beside) = found.expect("nobody waits for the lock");
            assert_eq!(taken, [1, 0, 1].map(Glance::Taken));
            assert_eq!(refused, [Some(Why::Limit(2)); 2]);
            assert_eq!(running, [1, 2]);
            assert_eq!(beside, Some(Why::Total(3)));
        });
        // One that is owed a slot leaves a trace in the book.
        let _ = slots.take(lanes[1]);
        let _ = slots.take(lanes[0]);
        assert_eq!(slots.take(lanes[0]), Glance::NoneFree);
        assert_eq!(slots.refusal(0, Glance::NoneFree), None);
    }
}
