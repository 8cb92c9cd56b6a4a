//! The decision: who gets a slot at once, and what becomes of one that is given back. No user code.
//!
//! What a call needs is in [`Front`], one cache line. Where somebody waits, the rest is in
//! [`Control`](super::control::Control), behind a short lock.

use super::config::{Ask, BulkheadConfig};
use super::control::{Control, Locked};
use super::event::BulkheadEvent;
use super::queue::Place;
use super::totals::{Counter, LastWords};
use super::wakes::Wakes;
use super::word::{ISOLATED, QUEUES, SATURATED, UNCOUNTED, WAITED_FOR, Word};
use crate::kernel::clock::Clock;
use crate::kernel::event::Events;
use crate::kernel::instant::Instant;
use crate::kernel::name::Name;
use crate::kernel::rejection::{Facts, Rejection, RejectionKind};
use crate::kernel::stripe::Striped;
use crate::kernel::sync::{AtomicU32, AtomicU64, Mutex, Ordering};
use crate::kernel::told::LastTold;
use crossbeam_utils::CachePadded;
use std::fmt;
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// The policy's type, in errors and metric labels.
pub(super) const POLICY: &str = "bulkhead";

/// So long must no call be refused for a saturated bulkhead to be relieved.
pub(super) const RELIEF: Duration = Duration::from_secs(1);

pub(super) struct Machine {
    pub(super) front: CachePadded<Front>,
    pub(super) totals: Striped<{ Counter::ALL }>,
    /// Made when somebody exports it; filled when it is dropped.
    pub(super) last_words: OnceLock<LastWords>,
    pub(super) told: LastTold,
    pub(super) events: Events<BulkheadEvent>,
    pub(super) clock: Clock,
    pub(super) name: Name,
    control: Mutex<Control>,
}

/// What calls read and write.
pub(super) struct Front {
    pub(super) word: AtomicU64,
    /// The most calls at once.
    pub(super) peak: AtomicU32,
    /// When a call was last refused for want of a slot, in nanoseconds of the coarse clock.
    pub(super) refused_at: AtomicU64,
}

/// Why a call gets no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// None is free, and the call cannot wait.
    Full,
    /// None came free while it waited.
    WaitOver,
    /// It is isolated.
    ForcedOpen,
    /// It would have to wait, and there are no timers here.
    NoRuntime,
}

impl Refusal {
    const fn kind(self) -> RejectionKind {
        match self {
            Self::Full | Self::WaitOver => RejectionKind::Full,
            Self::ForcedOpen => RejectionKind::ForcedOpen,
            Self::NoRuntime => RejectionKind::NoRuntime,
        }
    }

    const fn counter(self) -> Counter {
        match self {
            Self::Full => Counter::RefusedFull,
            Self::WaitOver => Counter::RefusedWaitOver,
            Self::ForcedOpen => Counter::RefusedForcedOpen,
            Self::NoRuntime => Counter::RefusedNoRuntime,
        }
    }

    /// No slot was free, as opposed to none being given.
    const fn is_for_want_of_a_slot(self) -> bool {
        matches!(self, Self::Full | Self::WaitOver)
    }
}

/// How a call that found no free slot stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entered {
    /// It got one after all.
    Served,
    Refused(Refusal),
    /// It waits here, for so long.
    Waits(Place, Duration),
}

impl Machine {
    pub(super) fn new(name: Name, clock: Clock, config: BulkheadConfig) -> Self {
        Self {
            front: CachePadded::new(Front {
                word: AtomicU64::new(config.word().0),
                peak: AtomicU32::new(0),
                refused_at: AtomicU64::new(0),
            }),
            totals: Striped::wide(),
            last_words: OnceLock::new(),
            told: LastTold::default(),
            events: Events::new(),
            clock,
            name,
            control: Mutex::new(Control::new(config)),
        }
    }

    #[inline]
    pub(super) fn word(&self) -> Word {
        Word(self.front.word.load(Ordering::Relaxed))
    }

    /// Takes a free slot, or says why there is none. One compare-and-exchange.
    #[inline]
    pub(super) fn try_take(&self) -> Result<(), Word> {
        let mut word = self.word();
        loop {
            if !word.admits_at_once() {
                return Err(word);
            }
            let exchanged = self.front.word.compare_exchange_weak(
                word.0,
                word.0 + 1,
                Ordering::Acquire,
                Ordering::Relaxed,
            );
            match exchanged {
                Ok(_) => break,
                Err(seen) => word = Word(seen),
            }
        }
        self.note_peak(word.in_flight() + 1);
        Ok(())
    }

    #[inline]
    pub(super) fn note_peak(&self, in_flight: u32) {
        if in_flight > self.front.peak.load(Ordering::Relaxed) {
            self.front.peak.fetch_max(in_flight, Ordering::Relaxed);
        }
    }

    /// Gives a slot back after a call. One atomic subtraction, and one add if totals are counted.
    #[inline]
    pub(super) fn give_back(&self) {
        let before = Word(self.front.word.fetch_sub(1, Ordering::Release));
        if !before.has(UNCOUNTED) {
            self.totals.bump(Counter::Finished as usize);
        }
        if before.has(WAITED_FOR | SATURATED) {
            self.after_giving_back(before);
        }
    }

    #[cold]
    #[inline(never)]
    fn after_giving_back(&self, before: Word) {
        let is_relieved = before.has(SATURATED) && self.is_relief_due();
        if before.has(WAITED_FOR) || is_relieved {
            self.locked(|locked| {
                locked.relieve_if_due();
                locked.settle();
            });
        }
    }

    pub(super) fn is_relief_due(&self) -> bool {
        let refused_at = Instant::from_nanos(self.front.refused_at.load(Ordering::Relaxed));
        let since = self.clock.coarse().saturating_duration_since(refused_at);
        since >= RELIEF
    }

    /// Why a call that saw this word, and does not wait, gets no slot.
    pub(super) fn refusal(word: Word) -> Refusal {
        if word.has(ISOLATED) {
            Refusal::ForcedOpen
        } else {
            Refusal::Full
        }
    }

    /// Whether a call that saw this word, and asks like this, cannot wait.
    #[inline]
    pub(super) fn must_refuse(word: Word, ask: Ask) -> bool {
        let waits = word.has(QUEUES) && ask.max_wait != Some(Duration::ZERO);
        !waits || word.is_shut()
    }

    /// Joins the queue, if it must and can. The waker is cloned before the lock, and dropped after
    /// it if it is not used.
    #[cold]
    #[inline(never)]
    pub(super) fn enter(&self, ask: Ask, waker: &Waker) -> Entered {
        let mut waker = Some(waker.clone());
        self.locked(|locked| locked.enter(ask, &mut waker))
    }

    /// Looks whether a waiter was served or turned away. Its place is given up if it was.
    pub(super) fn look(&self, place: Place, cx: &Context<'_>) -> Poll<Result<(), Refusal>> {
        let mut waker = None;
        loop {
            let looked = self.locked(|locked| locked.look(place, cx.waker(), &mut waker));
            match looked {
                Some(news) => return news,
                // The waker is another one than at the last poll: cloned without the lock.
                None => waker = Some(cx.waker().clone()),
            }
        }
    }

    /// A waiter waits no longer, for this reason. If it was served meanwhile, it keeps its slot.
    #[cold]
    pub(super) fn give_up(&self, place: Place, why: Refusal) -> Result<(), Refusal> {
        let (news, _waker) = self.locked(|locked| locked.leave(place));
        news.unwrap_or(Err(why))
    }

    /// A waiter is dropped. If it was served meanwhile, its slot goes on to the next.
    #[cold]
    #[inline(never)]
    pub(super) fn cancel(&self, place: Place) {
        let (_news, _waker) = self.locked(|locked| {
            let left = locked.leave(place);
            if left.0 == Some(Ok(())) {
                locked.free_slot();
            }
            left
        });
        self.count(Counter::Cancelled);
    }

    pub(super) fn count(&self, counter: Counter) {
        self.totals.bump(counter as usize);
    }

    /// Counts a refusal and makes the error for it.
    #[cold]
    #[inline(never)]
    pub(super) fn refuse(&self, refusal: Refusal) -> Rejection {
        self.count(refusal.counter());
        if refusal.is_for_want_of_a_slot() {
            self.note_saturation();
        }
        self.trace_rejection(refusal.kind());
        let limit = u64::from(self.word().limit());
        let facts = match refusal {
            Refusal::Full | Refusal::WaitOver => Facts::Limit { limit },
            Refusal::ForcedOpen | Refusal::NoRuntime => Facts::None,
        };
        Rejection::assemble(POLICY, self.name.clone(), refusal.kind(), facts, None, None)
    }

    fn note_saturation(&self) {
        let now = self.clock.coarse().as_nanos();
        // Written once per grain of the clock, not per refusal.
        if self.front.refused_at.load(Ordering::Relaxed) != now {
            self.front.refused_at.store(now, Ordering::Relaxed);
        }
        if !self.word().has(SATURATED) {
            self.locked(|locked| locked.saturate());
        }
    }

    /// Runs `act` under the lock; then, after the unlock, wakes and tells.
    pub(super) fn locked<R>(&self, act: impl FnOnce(&mut Locked<'_, '_>) -> R) -> R {
        let mut wakes = Wakes::new(self);
        self.locked_once(&mut wakes, act)
    }

    /// The same, but leaves the wakes to whoever holds them.
    pub(super) fn locked_once<'m, R>(
        &'m self,
        wakes: &mut Wakes<'m>,
        act: impl FnOnce(&mut Locked<'_, 'm>) -> R,
    ) -> R {
        let mut control = self.control.lock();
        let result = act(&mut Locked {
            machine: self,
            control: &mut control,
            wakes,
        });
        if control.notes.is_empty() {
            return result;
        }
        let notes = std::mem::take(&mut control.notes);
        // Queued under the lock, so that all subscribers see one order.
        let aftermath = self.events.enqueue(&notes);
        drop(control);
        notes.iter().for_each(|note| self.trace(note));
        aftermath.run();
        result
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.word();
        f.debug_struct("Bulkhead")
            .field("name", &self.name)
            .field("in_flight", &word.in_flight())
            .field("limit", &word.limit())
            .finish_non_exhaustive()
    }
}
