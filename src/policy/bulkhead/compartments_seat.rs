//! One compartment of a set: its place, its name and what it has counted.

use super::compartments_book::{Asked, Waiting, Wakes, Why};
use super::compartments_config::{CompartmentConfig, CompartmentsConfig};
use super::compartments_slots::{Slots, Waited};
use super::compartments_word::{Glance, Lane};
use super::machine::{POLICY, RELIEF};
use super::totals::{BulkheadSnapshot, Counter, LastWords, Totals};
use crate::kernel::config::ConfigError;
use crate::kernel::instant::Instant;
use crate::kernel::name::Name;
use crate::kernel::rejection::{Facts, Rejection, RejectionKind};
use crate::kernel::stripe::Striped;
use crate::kernel::sync::{AtomicU64, Mutex, Ordering};
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::task::Waker;

/// What the compartments of a set have in common.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) name: Name,
    /// One for all if they share a total, else one for each.
    pub(super) slots: Box<[Arc<Slots>]>,
    pub(super) config: Mutex<CompartmentsConfig>,
}

impl Set {
    /// Changes the configuration; it stays as it was if the new one cannot be.
    pub(super) fn reconfigure(
        &self,
        change: impl FnOnce(&mut CompartmentsConfig),
    ) -> Result<(), ConfigError> {
        let mut wakes = Wakes::default();
        let mut config = self.config.lock();
        let mut new = config.clone();
        change(&mut new);
        new.check()?;
        if !new.names().eq(config.names()) {
            let names: Vec<&str> = config.names().collect();
            let allowed = format!("those that the set was made with: {}", names.join(", "));
            let value = new.names().collect::<Vec<_>>().join(", ");
            return Err(ConfigError::new("compartments", value, allowed));
        }
        if new.is_shared() != config.is_shared() {
            let (value, allowed) = if new.is_shared() {
                ("a total", "none, as when the set was made")
            } else {
                ("none", "a total, as when the set was made")
            };
            return Err(ConfigError::new("total", value, allowed));
        }
        for (slots, plan) in self.slots.iter().zip(new.plans()) {
            wakes.append(slots.reconfigure(plan));
        }
        *config = new;
        drop(config);
        wakes.wake();
        Ok(())
    }
}

pub(super) struct Seat {
    pub(super) set: Arc<Set>,
    pub(super) slots: Arc<Slots>,
    pub(super) at: usize,
    lane: Lane,
    /// Its name in the set.
    pub(super) key: Box<str>,
    /// `set/compartment`.
    pub(super) name: Name,
    totals: Striped<{ Counter::ALL }>,
    /// Made when somebody exports it; filled when it is dropped.
    pub(super) last_words: OnceLock<LastWords>,
    peak: AtomicU64,
    /// When a call was last refused for want of a slot, in nanoseconds of the coarse clock; 0 if
    /// none was.
    refused_at: AtomicU64,
}

/// Why a call gets no slot, or that it may wait for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    For(Why),
    /// It would have to wait, and there are no timers here.
    NoRuntime,
}

impl Refused {
    const fn kind(self) -> RejectionKind {
        match self {
            Self::For(Why::Isolated) => RejectionKind::ForcedOpen,
            Self::For(_) => RejectionKind::Full,
            Self::NoRuntime => RejectionKind::NoRuntime,
        }
    }

    const fn counter(self) -> Counter {
        match self {
            Self::For(Why::Limit(_) | Why::Total(_)) => Counter::RefusedFull,
            Self::For(Why::Waited(_)) => Counter::RefusedWaitOver,
            Self::For(Why::Isolated) => Counter::RefusedForcedOpen,
            Self::NoRuntime => Counter::RefusedNoRuntime,
        }
    }

    const fn facts(self) -> Facts {
        match self {
            Self::For(Why::Limit(limit) | Why::Total(limit) | Why::Waited(limit)) => {
                Facts::Limit { limit }
            }
            Self::For(Why::Isolated) | Self::NoRuntime => Facts::None,
        }
    }
}

impl Seat {
    /// The compartment called `key`, which is the `number`th of the set.
    pub(super) fn new(set: &Arc<Set>, key: &str, number: usize) -> Self {
        let (slots, at) = if set.config.lock().is_shared() {
            (&set.slots[0], number)
        } else {
            (&set.slots[number], 0)
        };
        Self {
            set: set.clone(),
            lane: slots.lane(at),
            slots: slots.clone(),
            at,
            key: key.into(),
            name: format!("{}/{key}", set.name).into(),
            totals: Striped::wide(),
            last_words: OnceLock::new(),
            peak: AtomicU64::new(0),
            refused_at: AtomicU64::new(0),
        }
    }

    /// Takes a slot if there is one; `None` if a call might wait for one.
    #[inline]
    pub(super) fn take(&self) -> Option<Result<(), Refused>> {
        let mut glance = Glance::Look;
        let running = self.slots.running_by(self.at, || {
            glance = self.slots.take(self.lane);
            match glance {
                Glance::Taken(free) => Some(free),
                _ => None,
            }
        });
        if let Glance::Taken(_) = glance {
            self.raise_peak(running.unwrap_or(0));
            return Some(Ok(()));
        }
        let refusal = self.slots.refusal(self.at, glance);
        refusal.map(|why| Err(Refused::For(why)))
    }

    /// Takes a slot, without waiting.
    #[inline]
    pub(super) fn try_take(&self) -> Result<(), Refused> {
        self.take().unwrap_or_else(|| match self.ask(None) {
            Ok(_) => Ok(()),
            Err(refused) => Err(refused),
        })
    }

    /// Asks for a slot; with a waker it waits, if it must and can.
    pub(super) fn ask(&self, waker: Option<&Waker>) -> Result<Option<Waiting>, Refused> {
        match self.slots.ask(self.at, waker) {
            Asked::Admitted => {
                self.raise_peak(self.running());
                Ok(None)
            }
            Asked::Waits(waiting) => Ok(Some(waiting)),
            Asked::Refused(why) => Err(Refused::For(why)),
        }
    }

    /// A waiter looks for news: `None` that it has its slot.
    pub(super) fn look_again(
        &self,
        waiting: Waiting,
        waker: &Waker,
    ) -> Result<Option<Waiting>, Refused> {
        match self.slots.look_again(self.at, waiting, waker) {
            Waited::Admitted => {
                self.count(Counter::Waited);
                self.raise_peak(self.running());
                Ok(None)
            }
            Waited::Waits(waiting) => Ok(Some(waiting)),
            Waited::Refused(why) => Err(Refused::For(why)),
        }
    }

    /// A waiter leaves of its own accord.
    #[cold]
    pub(super) fn cancel(&self, waiting: Waiting) {
        self.slots.leave(self.at, waiting);
        self.count(Counter::Cancelled);
    }

    /// A waiter leaves because it cannot be told when its time is up.
    #[cold]
    pub(super) fn give_up(&self, waiting: Waiting) -> Refused {
        self.slots.leave(self.at, waiting);
        Refused::NoRuntime
    }

    #[inline]
    fn give_back(&self) {
        self.totals.bump(Counter::Finished as usize);
        self.slots.release(self.at, self.lane);
    }

    fn count(&self, counter: Counter) {
        self.totals.bump(counter as usize);
    }

    #[inline]
    fn raise_peak(&self, running: u64) {
        if running > self.peak.load(Ordering::Relaxed) {
            self.peak.fetch_max(running, Ordering::Relaxed);
        }
    }

    /// How many hold a slot.
    pub(super) fn running(&self) -> u64 {
        self.slots.running(self.at, self.lane)
    }

    /// Counts a refusal and makes the error for it.
    #[cold]
    #[inline(never)]
    pub(super) fn refuse(&self, refused: Refused) -> Rejection {
        self.count(refused.counter());
        if refused.kind() == RejectionKind::Full {
            let now = self.slots.clock.coarse().as_nanos().max(1);
            if self.refused_at.load(Ordering::Relaxed) != now {
                self.refused_at.store(now, Ordering::Relaxed);
            }
        }
        let name = self.name.clone();
        Rejection::assemble(POLICY, name, refused.kind(), refused.facts(), None, None)
    }

    pub(super) fn config(&self) -> CompartmentConfig {
        let config = self.set.config.lock().at(&self.key);
        // The names of a set never change.
        config.unwrap_or_else(|| CompartmentConfig::new(0))
    }

    pub(super) fn reconfigure(&self, config: CompartmentConfig) -> Result<(), ConfigError> {
        self.set.reconfigure(|all| {
            if let Some(mine) = all.at_mut(&self.key) {
                *mine = config;
            }
        })
    }

    pub(super) fn reset(&self) {
        self.peak.store(self.running(), Ordering::Relaxed);
        self.refused_at.store(0, Ordering::Relaxed);
    }

    pub(super) fn totals(&self) -> Totals {
        let sum = |counter: Counter| self.totals.sum(counter as usize);
        Totals {
            finished: sum(Counter::Finished),
            waited: sum(Counter::Waited),
            cancelled: sum(Counter::Cancelled),
            refused_full: sum(Counter::RefusedFull),
            refused_wait_over: sum(Counter::RefusedWaitOver),
            refused_forced_open: sum(Counter::RefusedForcedOpen),
            refused_no_runtime: sum(Counter::RefusedNoRuntime),
        }
    }

    pub(super) fn snapshot(&self) -> BulkheadSnapshot {
        let narrow = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        let refused_at = self.refused_at.load(Ordering::Relaxed);
        let now = self.slots.clock.coarse();
        let since = now.saturating_duration_since(Instant::from_nanos(refused_at));
        BulkheadSnapshot {
            in_flight: narrow(self.running()),
            waiting: self.slots.waiting(self.at),
            limit: narrow(self.slots.limit(self.at)),
            peak: narrow(self.peak.load(Ordering::Relaxed)),
            is_saturated: refused_at != 0 && since < RELIEF,
            is_isolated: self.slots.is_isolated(self.at),
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(last_words) = self.last_words.get() {
            // Nobody else fills it, and nobody does so twice.
            let _ = last_words.set(self.totals());
        }
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compartment")
            .field("name", &self.name)
            .field("in_flight", &self.running())
            .field("limit", &self.slots.limit(self.at))
            .finish_non_exhaustive()
    }
}

/// A slot that is held: it goes back when this is dropped, once.
pub(super) struct Occupied<H: Deref<Target = Seat>>(H);

impl<H: Deref<Target = Seat>> Occupied<H> {
    /// Of a slot that was taken.
    #[inline]
    pub(super) fn new(seat: H) -> Self {
        Self(seat)
    }
}

impl<H: Deref<Target = Seat>> Drop for Occupied<H> {
    #[inline]
    fn drop(&mut self) {
        self.0.give_back();
    }
}
