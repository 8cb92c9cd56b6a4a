//! The slots of a set of compartments. While nobody waits and nobody is owed a slot, taking and
//! giving back are one exchange of a word; else they go through the book, behind a short lock.
//!
//! Who opens the book sets a bit in the word, after which no exchange succeeds, so that the counts
//! are the lock holder's alone. Who leaves it calm writes them back.

use super::compartments_book::{Asked, Book, Waiting, Wakes, Why};
use super::compartments_config::Plan;
use super::compartments_lines::Key;
use super::compartments_word::{Glance, LAYOUTS, Layout, Word};
use crate::kernel::clock::Clock;
use crate::kernel::instant::Instant;
use crate::kernel::sync::{AtomicU64, Mutex, Ordering};
use crossbeam_utils::CachePadded;
use std::sync::OnceLock;
use std::task::Waker;

#[derive(Debug)]
pub(super) struct Slots {
    word: CachePadded<AtomicU64>,
    /// Each is set before a word names it, and never again.
    layouts: Box<[OnceLock<Layout>; LAYOUTS]>,
    shelf: Mutex<Shelf>,
    pub(super) clock: Clock,
}

#[derive(Debug)]
struct Shelf {
    book: Book,
    /// The layout of the plan; none if its counts do not fit into a word.
    layout: Option<usize>,
    layouts_used: usize,
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
        let slots = Self {
            word: CachePadded::new(AtomicU64::new(Word::OPEN.0)),
            layouts: Box::new([const { OnceLock::new() }; LAYOUTS]),
            shelf: Mutex::new(Shelf {
                book: Book::new(plan.clone()),
                layout: None,
                layouts_used: 0,
            }),
            clock,
        };
        // Nobody waits yet.
        slots.reconfigure(plan).wake();
        slots
    }

    /// A new plan for the same compartments. Wake those it lets in after an unlock of the caller's.
    pub(super) fn reconfigure(&self, plan: Plan) -> Wakes {
        let (_, wakes) = self.open_book(|slots, shelf, now| {
            shelf.layout = Layout::new(shelf.layouts_used, &plan).map(|layout| {
                let number = shelf.layouts_used;
                // The number is new, so this is the first value there.
                let _ = slots.layouts[number].set(layout);
                shelf.layouts_used += 1;
                number
            });
            shelf.book.take_plan(plan, now());
        });
        wakes
    }

    pub(super) fn limit(&self, at: usize) -> u64 {
        self.shelf.lock().book.plan.shares[at].limit
    }

    /// Takes a slot if the counts alone decide it.
    #[inline]
    pub(super) fn take(&self, at: usize) -> Glance {
        let mut word = Word(self.word.load(Ordering::Relaxed));
        loop {
            let Some(layout) = self.layout(word) else {
                return Glance::Look;
            };
            let glance = layout.look(word, at);
            let Glance::Take(taken, _) = glance else {
                return glance;
            };
            // What the call before did in its slot has happened before what this one does.
            match self.exchange(word, taken, Ordering::Acquire) {
                Ok(()) => return glance,
                Err(now) => word = now,
            }
        }
    }

    #[inline]
    pub(super) fn release(&self, at: usize) {
        let mut word = Word(self.word.load(Ordering::Relaxed));
        while let Some(layout) = self.layout(word) {
            match self.exchange(word, layout.give_back(word, at), Ordering::Release) {
                Ok(()) => return,
                Err(now) => word = now,
            }
        }
        self.with_book(|_, shelf, now| {
            let now = now();
            shelf.book.release(at, now);
        });
    }

    #[inline]
    fn exchange(&self, from: Word, to: Word, order: Ordering) -> Result<(), Word> {
        match self
            .word
            .compare_exchange_weak(from.0, to.0, order, Ordering::Relaxed)
        {
            Ok(_) => Ok(()),
            Err(found) => Err(Word(found)),
        }
    }

    #[inline]
    fn layout(&self, word: Word) -> Option<&Layout> {
        if word.is_open() {
            return None;
        }
        self.layouts[word.layout()].get()
    }

    /// Asks the book for a slot; with a waker, waits if there is room.
    #[cold]
    pub(super) fn ask(&self, at: usize, waker: Option<&Waker>) -> Asked {
        let mut waker = waker.cloned();
        self.with_book(|_, shelf, now| shelf.book.ask(at, now(), &mut waker))
    }

    /// A waiter looks whether its slot is there, and whether its time is up.
    pub(super) fn look_again(&self, at: usize, waiting: Waiting, waker: &Waker) -> Waited {
        let Waiting { key, deadline, .. } = waiting;
        let mut waker = Some(waker.clone());
        // Held until after the unlock, to be dropped then.
        let mut replaced = None;
        self.with_book(|_, shelf, now| {
            let now = now();
            let book = &mut shelf.book;
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
                book.waited_in_vain(at, now);
                return Waited::Refused(Why::Waited(book.plan.shares[at].max_wait));
            }
            let alarm = book.next_lapse();
            if let Some(waker) = waker.take() {
                replaced = book.lines.renew(key, waker, alarm);
            }
            Waited::Waits(Waiting { alarm, ..waiting })
        })
    }

    /// A waiter leaves. If it had been granted a slot, the next one has it.
    pub(super) fn leave(&self, at: usize, key: Key) {
        let mut left = None;
        self.with_book(|_, shelf, now| {
            let now = now();
            let found = shelf.book.lines.take(key);
            if found.granted {
                shelf.book.release(at, now);
            } else {
                shelf.book.settle(now);
            }
            left = found.waker;
        });
        drop(left);
    }

    /// Refuses everything in a compartment until it is released as often.
    pub(super) fn isolate(&self, at: usize) {
        self.with_book(|_, shelf, _| shelf.book.isolate(at));
    }

    pub(super) fn release_isolation(&self, at: usize) {
        self.with_book(|_, shelf, now| {
            let now = now();
            shelf.book.release_isolation(at, now);
        });
    }

    /// Whether everything is refused in a compartment, whoever goes.
    pub(super) fn is_shut(&self, at: usize) -> bool {
        let word = Word(self.word.load(Ordering::Relaxed));
        match self.layout(word) {
            // The book stays open while one is isolated.
            Some(layout) => layout.limit(at) == 0,
            None => self.shelf.lock().book.shut(at).is_some(),
        }
    }

    /// Why a call gets no slot now; its limit, if one came free.
    pub(super) fn obstacle(&self, at: usize) -> Why {
        let shelf = self.shelf.lock();
        let limit = shelf.book.plan.shares[at].limit;
        shelf.book.shut(at).unwrap_or(Why::Limit(limit))
    }

    pub(super) fn is_isolated(&self, at: usize) -> bool {
        self.shelf.lock().book.is_isolated(at)
    }

    pub(super) fn running(&self, at: usize) -> u64 {
        let word = Word(self.word.load(Ordering::Relaxed));
        match self.layout(word) {
            Some(layout) => layout.running(word, at),
            None => self.with_book(|_, shelf, _| shelf.book.running[at]),
        }
    }

    pub(super) fn waiting(&self, at: usize) -> u32 {
        self.shelf.lock().book.lines.len(at)
    }

    /// Opens the book, lets `act` write in it, and closes it again if it is calm. Wakers run after
    /// the unlock.
    fn with_book<R>(&self, act: impl FnOnce(&Self, &mut Shelf, &dyn Fn() -> Instant) -> R) -> R {
        let (result, wakes) = self.open_book(act);
        wakes.wake();
        result
    }

    fn open_book<R>(
        &self,
        act: impl FnOnce(&Self, &mut Shelf, &dyn Fn() -> Instant) -> R,
    ) -> (R, Wakes) {
        let mut shelf = self.shelf.lock();
        let word = Word(self.word.fetch_or(Word::OPEN.0, Ordering::Acquire));
        if let Some(layout) = self.layout(word) {
            for (at, count) in shelf.book.running.iter_mut().enumerate() {
                *count = layout.running(word, at);
            }
        }
        let result = act(self, &mut shelf, &|| self.clock.now());
        let wakes = shelf.book.take_wakes();
        if shelf.book.is_calm() {
            let layout = shelf.layout.and_then(|layout| self.layouts[layout].get());
            if let Some(word) = layout.and_then(|layout| layout.pack(&shelf.book.running)) {
                self.word.store(word.0, Ordering::Release);
            }
        }
        (result, wakes)
    }
}
