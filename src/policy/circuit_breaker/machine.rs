//! The decision: who is admitted, what an outcome changes. No I/O, no user code.
//!
//! What a call reads is in [`Front`], one cache line that is written only when the state changes.
//! What changes the state is in [`Control`](super::control::Control), behind a short lock.

use super::admission::{Answer, Refused, Ticket, Why};
use super::config::{DroppedCalls, Rules, Shape};
use super::control::{Control, Locked};
use super::event::{CircuitBreakerEvent, State};
use super::totals::{Counter, LastWords};
use super::windows::Windows;
use super::word::{Flags, Word};
use crate::kernel::clock::Clock;
use crate::kernel::config::ConfigError;
use crate::kernel::event::Events;
use crate::kernel::histogram::LatencyHistogram;
use crate::kernel::instant::{Instant, saturating_nanos};
use crate::kernel::name::Name;
use crate::kernel::outcome::Tidings;
use crate::kernel::ratio::Ratio;
use crate::kernel::rejection::{Cause, Rejection, RejectionKind};
use crate::kernel::stripe::Striped;
use crate::kernel::sync::{
    AtomicBool, AtomicU8, AtomicU32, AtomicU64, Mutex, MutexGuard, Ordering, Published,
};
use crate::kernel::told::LastTold;
use crate::kernel::window::time::{Recorded, TimeWindow};
use crate::kernel::window::{Class, Counts};
use crossbeam_utils::CachePadded;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The policy's type, in errors and metric labels.
pub(super) const POLICY: &str = "circuit_breaker";

pub(crate) struct Machine {
    pub(super) front: CachePadded<Front>,
    pub(super) totals: Striped<{ Counter::ALL }>,
    /// The error that opened the circuit, where a classifier handed one over.
    pub(super) cause: Published<Cause>,
    pub(super) durations: OnceLock<Box<LatencyHistogram>>,
    /// Made when somebody exports it; filled when it is dropped.
    pub(super) last_words: OnceLock<LastWords>,
    pub(super) told: LastTold,
    pub(super) events: Events<CircuitBreakerEvent>,
    control: Mutex<Control>,
}

/// What calls read. The state word is written last, so who sees a state sees what belongs to it.
pub(super) struct Front {
    pub(super) word: AtomicU64,
    /// When an open circuit may be probed, in nanoseconds of the clock.
    pub(super) end: AtomicU64,
    pub(super) why: AtomicU64,
    /// Longer calls are slow; `u64::MAX` for none.
    slow_limit: AtomicU64,
    minimum: AtomicU64,
    /// In millionths; 0 for none.
    failure_rate: AtomicU32,
    slow_rate: AtomicU32,
    /// How far the coarse clock may lag, in nanoseconds; [`NO_GRAIN`] where it is too coarse.
    grain: AtomicU64,
    failures_only: AtomicBool,
    dropped: AtomicU8,
    pub(super) clock: Clock,
    pub(super) name: Name,
    pub(super) windows: Windows,
}

impl Machine {
    pub(super) fn new(
        name: Name,
        clock: Clock,
        rules: Arc<Rules>,
        compact: bool,
    ) -> Result<Self, ConfigError> {
        let front = Front::new(name, clock, compact);
        let window = front.windows.number(rules.window, &front.clock)?;
        let machine = Self {
            front: CachePadded::new(front),
            totals: if compact {
                Striped::compact()
            } else {
                Striped::wide()
            },
            cause: Published::empty(),
            durations: OnceLock::new(),
            last_words: OnceLock::new(),
            told: LastTold::default(),
            events: Events::new(),
            control: Mutex::new(Control::new(rules, window)),
        };
        machine.locked(|locked| locked.begin());
        Ok(machine)
    }

    #[inline]
    pub(super) fn word(&self) -> Word {
        Word::from_bits(self.front.word.load(Ordering::Acquire))
    }

    /// Admits a call or says why not. In the closed state: one load.
    #[inline]
    pub(super) fn admit(&self) -> Result<Ticket, Refused> {
        let word = self.word();
        if word.admits_at_once() {
            Ok(Ticket::new(word, 0))
        } else {
            self.admit_guarded(word).into()
        }
    }

    #[inline(never)]
    fn admit_guarded(&self, mut word: Word) -> Answer {
        while word.state() == State::Open {
            let end = self.front.end();
            let why = Why::from_bits(self.front.why.load(Ordering::Acquire));
            // Only if the state still stands do the two words belong to it.
            let again = self.word();
            if again == word {
                let now = self.now_for_open(end);
                if now < end {
                    return Err(Refused::open(now, end, why)).into();
                }
                break;
            }
            word = again;
        }
        self.admit_otherwise(word)
    }

    #[inline(never)]
    fn admit_otherwise(&self, word: Word) -> Answer {
        match word.state() {
            // Due, or half-open already.
            State::Open | State::HalfOpen => self.locked(|locked| locked.admit()).into(),
            State::ForcedOpen => Err(Refused::forced_open()).into(),
            State::Closed | State::Disabled | State::MetricsOnly => {
                let mark = if word.is_clocked() {
                    self.front.clock.now().as_nanos()
                } else {
                    0
                };
                Ok(Ticket::new(word, mark)).into()
            }
        }
    }

    /// Whether a call would be rejected now without asking further: open and not due, or forced.
    #[inline]
    pub(super) fn is_shut(&self) -> bool {
        let word = self.word();
        !word.lets_calls_in() && self.is_shut_in(word.state())
    }

    #[inline(never)]
    fn is_shut_in(&self, state: State) -> bool {
        let end = self.front.end();
        state == State::ForcedOpen || (state == State::Open && self.now_for_open(end) < end)
    }

    /// Now, for comparing with the end of the open state. Within a grain of it the coarse reading
    /// would not do: a caller who waited for exactly `retry_after` would be told to wait again.
    #[inline]
    fn now_for_open(&self, end: Instant) -> Instant {
        let grain = self.front.grain.load(Ordering::Relaxed);
        if grain != NO_GRAIN {
            let now = self.front.clock.coarse();
            if now.as_nanos().saturating_add(grain) < end.as_nanos() {
                return now;
            }
        }
        self.front.clock.now()
    }

    /// A call succeeded. On the healthy path of a count window: one load, and one add if totals
    /// are counted.
    #[inline]
    pub(super) fn succeed(&self, ticket: Ticket) {
        let word = self.word();
        if word == ticket.word && word.is_settled() {
            if word.counts_totals() {
                self.totals.bump(Counter::Success as usize);
            }
        } else {
            self.succeed_otherwise(word, ticket);
        }
    }

    /// The window must be told, if nothing else is out of the way: its own short path.
    #[inline(never)]
    fn succeed_otherwise(&self, word: Word, ticket: Ticket) {
        if word == ticket.word && word.is_plain() {
            self.record(word, ticket, Class::Ok, Tidings::default());
        } else {
            self.finish(word, ticket, false, Tidings::default());
        }
    }

    /// A call failed.
    pub(super) fn fail(&self, ticket: Ticket, tidings: Tidings) {
        self.finish(self.word(), ticket, true, tidings);
    }

    #[inline(never)]
    fn finish(&self, word: Word, ticket: Ticket, failed: bool, tidings: Tidings) {
        if ticket.word.state() == State::Disabled {
            return;
        }
        if let Some(probe) = ticket.probe() {
            let record =
                |locked: &mut Locked<'_>| locked.record_probe(ticket.word, probe, failed, tidings);
            match self.locked(record) {
                Some(class) => self.count_class(class, word),
                None => self.count(Counter::Late),
            }
        } else if word.generation() == ticket.word.generation() {
            let ran = ticket.started().map(|started| self.time_since(started));
            let class = Class::new(failed, ran.is_some_and(|ran| self.is_slow(ran)));
            self.record(word, ticket, class, tidings);
        } else {
            self.count(Counter::Late);
        }
    }

    #[inline]
    fn record(&self, word: Word, ticket: Ticket, class: Class, tidings: Tidings) {
        let mut under_lock = !word.is_clear() || (class != Class::Ok && word.is_locked());
        let window = self.front.windows.get(word.window());
        if let Some(window) = window {
            let (worth_a_look, counts_now) = self.record_timed(word, window, class);
            if worth_a_look {
                under_lock = under_lock || self.may_trip(counts_now);
            }
        }
        let in_time = !under_lock || self.locked(|locked| locked.record(ticket, class, tidings));
        if window.is_none() {
            if !in_time {
                self.count(Counter::Late);
            } else if class != Class::Ok || !under_lock {
                self.count_class(class, word);
            }
        }
    }

    /// Counts a call in the time window: whether it must be judged, and by which counts.
    fn record_timed(&self, word: Word, window: &TimeWindow, class: Class) -> (bool, Counts) {
        let now = window.now(&self.front.clock);
        let minimum = self.front.minimum.load(Ordering::Relaxed);
        let generation = word.generation();
        let recorded = window.record(generation, now, class, minimum);
        let judged = class != Class::Ok || !self.front.failures_only.load(Ordering::Relaxed);
        if recorded == Recorded::Look && judged {
            (true, window.sum(generation, now))
        } else {
            (false, Counts::default())
        }
    }

    /// Whether these counts could open the circuit; the verdict is reached under the lock.
    fn may_trip(&self, counts: Counts) -> bool {
        let reached = |rate: &AtomicU32, bad| {
            let parts = rate.load(Ordering::Relaxed);
            parts > 0 && Ratio::from_parts(parts).is_reached_by(bad, counts.recorded)
        };
        counts.recorded >= self.front.minimum.load(Ordering::Relaxed)
            && (reached(&self.front.failure_rate, counts.failed)
                || reached(&self.front.slow_rate, counts.slow))
    }

    /// How long a call has run; it is kept in the histogram, if there is one.
    pub(super) fn time_since(&self, started: Instant) -> Duration {
        let ran = self.front.clock.now().saturating_duration_since(started);
        if let Some(durations) = self.durations.get() {
            durations.record(ran);
        }
        ran
    }

    pub(super) fn is_slow(&self, ran: Duration) -> bool {
        saturating_nanos(ran) > self.front.slow_limit.load(Ordering::Relaxed)
    }

    /// A call came to nothing that says anything about the callee.
    pub(super) fn ignore(&self, ticket: Ticket) {
        self.give_back(ticket, Counter::Ignored);
    }

    /// A call was dropped before it finished.
    pub(super) fn abandon(&self, ticket: Ticket) {
        let is_failure = match DroppedCalls::from_code(self.front.dropped.load(Ordering::Relaxed)) {
            DroppedCalls::Ignored => false,
            DroppedCalls::Failure => true,
            DroppedCalls::FailureIfSlow => self.is_slow(self.ran_for(ticket)),
        };
        if is_failure {
            self.fail(ticket, Tidings::default());
        } else {
            self.give_back(ticket, Counter::Dropped);
        }
    }

    /// How long a call that is still out has run; zero if nobody knows.
    fn ran_for(&self, ticket: Ticket) -> Duration {
        let started = match ticket.probe() {
            Some(probe) => self.locked(|locked| locked.control.probes.since(probe)),
            None => ticket.started(),
        };
        started.map_or(Duration::ZERO, |started| {
            self.front.clock.now().saturating_duration_since(started)
        })
    }

    fn give_back(&self, ticket: Ticket, counter: Counter) {
        if ticket.word.state() != State::Disabled {
            let in_time = self.withdraw(ticket);
            self.count(if in_time { counter } else { Counter::Late });
        }
    }

    /// Takes back an admission, as if it had not been. `false` if its state is over.
    pub(super) fn withdraw(&self, ticket: Ticket) -> bool {
        match ticket.probe() {
            Some(probe) => self.locked(|locked| locked.give_back_probe(ticket.word, probe)),
            None => self.word().generation() == ticket.word.generation(),
        }
    }

    /// Counts a refusal and makes the error for it, at once in what it is to be returned in: each
    /// move of it on its way out would read in wide pieces what was just written in narrow ones,
    /// and stall.
    #[inline(never)]
    pub(super) fn reject<R>(&self, refused: Refused, wrap: impl FnOnce(Rejection) -> R) -> R {
        let kind = refused.why.kind();
        self.totals.bump(match kind {
            RejectionKind::ForcedOpen => Counter::RejectedForcedOpen,
            RejectionKind::ProbesFull => Counter::RejectedProbesFull,
            _ => Counter::RejectedOpen,
        } as usize);
        self.trace_rejection(kind);
        wrap(self.rejection(refused))
    }

    /// The error for a refusal.
    #[inline]
    pub(super) fn rejection(&self, refused: Refused) -> Rejection {
        let cause = if refused.why.has_cause() {
            self.cause.get()
        } else {
            None
        };
        Rejection::assemble_packed(
            POLICY,
            self.front.name.clone(),
            refused.why.kind(),
            refused.why.facts(),
            refused.retry_after,
            cause,
        )
    }

    pub(super) fn count(&self, counter: Counter) {
        self.totals.bump(counter as usize);
    }

    fn count_class(&self, class: Class, word: Word) {
        // A time window counts its successes anyway, so those of probes belong to them.
        if class != Class::Ok || word.counts_totals() || word.window() != 0 {
            self.count(Counter::of(class));
        }
    }

    /// Runs `act` under the lock; then, after the unlock, what it left to be told and dropped.
    pub(super) fn locked<R>(&self, act: impl FnOnce(&mut Locked<'_>) -> R) -> R {
        let mut control = self.control.lock();
        let result = act(&mut Locked {
            machine: self,
            control: &mut control,
        });
        if !control.notes.is_empty() || !control.trash.is_empty() {
            self.unlock_and_tell(control);
        }
        result
    }

    #[cold]
    #[inline(never)]
    fn unlock_and_tell(&self, mut control: MutexGuard<'_, Control>) {
        let notes = std::mem::take(&mut control.notes);
        let trash = std::mem::take(&mut control.trash);
        // Queued under the lock, so that all subscribers see one order.
        let aftermath = self.events.enqueue(&notes);
        drop(control);
        notes.iter().for_each(|note| self.trace(note));
        aftermath.run();
        drop(trash);
    }
}

const NO_GRAIN: u64 = u64::MAX;

impl Front {
    #[inline]
    fn end(&self) -> Instant {
        Instant::from_nanos(self.end.load(Ordering::Acquire))
    }

    fn new(name: Name, clock: Clock, compact: bool) -> Self {
        let flags = Flags {
            clocked: false,
            totals: true,
            locked: false,
            window: 0,
        };
        Self {
            word: AtomicU64::new(Word::new(State::Closed, 1, false, flags).bits()),
            end: AtomicU64::new(0),
            why: AtomicU64::new(0),
            slow_limit: AtomicU64::new(u64::MAX),
            minimum: AtomicU64::new(1),
            failure_rate: AtomicU32::new(0),
            slow_rate: AtomicU32::new(0),
            grain: AtomicU64::new(NO_GRAIN),
            failures_only: AtomicBool::new(false),
            dropped: AtomicU8::new(0),
            clock,
            name,
            windows: Windows::new(compact),
        }
    }

    /// Copies from the rules what calls read without the lock.
    pub(super) fn take(&self, rules: &Rules, clock: &Clock) {
        let parts = |rate: Option<Ratio>| match rules.window {
            Shape::None => 0,
            _ => rate.map_or(0, Ratio::parts_per_million),
        };
        let limit = rules
            .given
            .slow_call_limit
            .map_or(u64::MAX, saturating_nanos);
        self.slow_limit.store(limit, Ordering::Relaxed);
        self.minimum
            .store(u64::from(rules.given.minimum_calls), Ordering::Relaxed);
        self.failure_rate
            .store(parts(rules.failure_rate), Ordering::Relaxed);
        self.slow_rate
            .store(parts(rules.slow_rate), Ordering::Relaxed);
        self.failures_only
            .store(rules.given.failures_only, Ordering::Relaxed);
        let grain = if clock.is_coarse_enough_for(rules.wait.base()) {
            saturating_nanos(clock.grain())
        } else {
            NO_GRAIN
        };
        self.grain.store(grain, Ordering::Relaxed);
        self.dropped
            .store(rules.given.dropped_calls.code(), Ordering::Relaxed);
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.word();
        f.debug_struct("CircuitBreaker")
            .field("name", &self.front.name)
            .field("state", &word.state())
            .field("generation", &word.generation())
            .finish_non_exhaustive()
    }
}
