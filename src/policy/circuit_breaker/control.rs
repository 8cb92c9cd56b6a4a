//! What changes the state, all of it under the machine's lock.

use super::admission::{Refused, Ticket, Why};
use super::config::{Rules, Shape};
use super::event::{CircuitBreakerEvent, EventKind, Reason, State, Trip};
use super::machine::Machine;
use super::probes::{Bar, Judgement, Probes};
use super::word::{Flags, Word};
use crate::kernel::config::ConfigError;
use crate::kernel::instant::Instant;
use crate::kernel::outcome::Tidings;
use crate::kernel::ratio::Ratio;
use crate::kernel::rejection::{Cause, SharedCause};
use crate::kernel::rng::Rolls;
use crate::kernel::sync::Ordering;
use crate::kernel::window::count::CountWindow;
use crate::kernel::window::{Class, Counts};
use std::sync::Arc;
use std::time::Duration;

/// A way of working that stands in for the circuit's own states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum Mode {
    /// The circuit decides.
    #[default]
    Normal,
    /// Admits all, records nothing.
    Disabled,
    /// Records, says when it would have opened, and admits all.
    MetricsOnly,
}

pub(super) struct Control {
    pub(super) rules: Arc<Rules>,
    /// Number of the time window in use; 0 is none.
    window: usize,
    pub(super) ring: CountWindow,
    pub(super) consecutive: u32,
    /// Metrics-only: it would be open now, and that was told.
    crossed: bool,
    /// The rules changed, or the window was put back: the next outcome is judged, whatever it is.
    pub(super) unjudged: bool,
    pub(super) probes: Probes,
    pub(super) half_open_since: Instant,
    /// How often it opened in a row.
    pub(super) opens: u32,
    /// The wait of the last opening.
    pub(super) wait: Duration,
    pub(super) rolls: Rolls,
    pub(super) last_trip: Option<Box<Trip>>,
    pub(super) mode: Mode,
    pub(super) forced_by_hand: bool,
    pub(super) isolations: u32,
    seq: u64,
    /// Successes counted under the lock, beside those in the striped counters.
    pub(super) successes: u64,
    /// Facts to be told, and values to be dropped, after the unlock.
    pub(super) notes: Vec<CircuitBreakerEvent>,
    pub(super) trash: Vec<Trash>,
}

/// Holds a user's error until it may be dropped.
pub(super) enum Trash {
    Replaced { _cause: SharedCause },
    Unused { _tidings: Tidings },
    Trip { _trip: Box<Trip> },
}

impl Control {
    pub(super) fn new(rules: Arc<Rules>, window: usize) -> Self {
        Self {
            window,
            ring: ring(&rules),
            consecutive: 0,
            crossed: false,
            unjudged: false,
            probes: Probes::default(),
            half_open_since: Instant::from_nanos(0),
            opens: 0,
            wait: Duration::ZERO,
            rolls: rolls(&rules),
            rules,
            last_trip: None,
            mode: Mode::Normal,
            forced_by_hand: false,
            isolations: 0,
            seq: 0,
            successes: 0,
            notes: Vec::new(),
            trash: Vec::new(),
        }
    }

    /// One more success would change nothing here.
    fn is_clear(&self) -> bool {
        let ring_is_clear = match self.rules.window {
            Shape::Count(_) => self.ring.is_clear(),
            Shape::None | Shape::Time(_) => true,
        };
        ring_is_clear && self.is_settled()
    }

    /// One more success would change nothing here but the ring.
    fn is_settled(&self) -> bool {
        self.consecutive == 0 && !self.crossed && !self.unjudged
    }

    fn flags(&self) -> Flags {
        Flags {
            clocked: self.rules.given.slow_call_limit.is_some() || self.rules.given.durations,
            totals: self.rules.given.totals,
            locked: matches!(self.rules.window, Shape::Count(_))
                || self.rules.given.consecutive_failures.is_some(),
            window: self.window,
        }
    }

    fn tripped_by(&self, counts: &Counts) -> Option<Reason> {
        let rules = &self.rules;
        let reached = |rate: Option<Ratio>, bad| {
            counts.recorded >= u64::from(rules.given.minimum_calls)
                && rate.is_some_and(|rate| rate.is_reached_by(bad, counts.recorded))
        };
        if reached(rules.failure_rate, counts.failed) {
            Some(Reason::FailureRate(*counts))
        } else if reached(rules.slow_rate, counts.slow) {
            Some(Reason::SlowRate(*counts))
        } else if rules
            .given
            .consecutive_failures
            .is_some_and(|limit| self.consecutive >= limit)
        {
            Some(Reason::Consecutive(self.consecutive))
        } else {
            None
        }
    }

    fn bar(&self) -> Bar {
        Bar {
            probes: self.rules.given.probes,
            failure_rate: self.rules.failure_rate.unwrap_or(Ratio::HALF),
            slow_rate: self.rules.slow_rate,
            decision: self.rules.given.probe_decision,
        }
    }

    fn standing_state(&self) -> State {
        if self.forced_by_hand || self.isolations > 0 {
            return State::ForcedOpen;
        }
        match self.mode {
            Mode::Normal => State::Closed,
            Mode::Disabled => State::Disabled,
            Mode::MetricsOnly => State::MetricsOnly,
        }
    }

    fn note(&mut self, at: Instant, kind: EventKind) {
        self.seq += 1;
        self.notes.push(CircuitBreakerEvent {
            seq: self.seq,
            at,
            kind,
        });
    }
}

fn ring(rules: &Rules) -> CountWindow {
    CountWindow::new(match rules.window {
        Shape::Count(size) => size,
        Shape::None | Shape::Time(_) => 0,
    })
}

fn rolls(rules: &Rules) -> Rolls {
    rules.given.seed.map_or_else(Rolls::random, Rolls::seeded)
}

/// The machine while its lock is held.
pub(super) struct Locked<'a> {
    pub(super) machine: &'a Machine,
    pub(super) control: &'a mut Control,
}

impl Locked<'_> {
    pub(super) fn word(&self) -> Word {
        Word::from_bits(self.machine.front.word.load(Ordering::Relaxed))
    }

    pub(super) fn end(&self) -> Instant {
        Instant::from_nanos(self.machine.front.end.load(Ordering::Relaxed))
    }

    pub(super) fn note(&mut self, kind: EventKind) {
        let now = self.machine.front.clock.now();
        self.control.note(now, kind);
    }

    fn publish(&self, state: State, generation: u64) {
        let control = &self.control;
        let word = Word::new(state, generation, control.is_clear(), control.flags());
        self.machine
            .front
            .word
            .store(word.bits(), Ordering::Release);
    }

    /// Publishes what changed besides state and generation.
    pub(super) fn refresh(&self) {
        let word = self.word();
        let control = &self.control;
        let fresh = Word::new(
            word.state(),
            word.generation(),
            control.is_clear(),
            control.flags(),
        );
        if fresh != word {
            self.machine
                .front
                .word
                .store(fresh.bits(), Ordering::Release);
        }
    }

    /// What the window in use counts.
    pub(super) fn counts(&self) -> Counts {
        match self.machine.front.windows.get(self.control.window) {
            Some(window) => window.sum(
                self.word().generation(),
                window.now(&self.machine.front.clock),
            ),
            None => *self.control.ring.counts(),
        }
    }

    /// Why the circuit should open now, if it should.
    fn verdict(&self) -> Option<Reason> {
        match self.control.rules.window {
            Shape::Time(_) => self.control.tripped_by(&self.counts()),
            Shape::Count(_) | Shape::None => self.control.tripped_by(self.control.ring.counts()),
        }
    }

    /// Admits a call to a circuit that is not simply closed.
    pub(super) fn admit(&mut self) -> Result<Ticket, Refused> {
        let now = self.machine.front.clock.now();
        self.settle(now);
        let word = self.word();
        let started = if word.is_clocked() { now.as_nanos() } else { 0 };
        match word.state() {
            State::Open if now < self.end() => {
                let why = Why::from_bits(self.machine.front.why.load(Ordering::Relaxed));
                Err(Refused::open(now, self.end(), why))
            }
            State::Open => {
                self.half_open(now, Reason::WaitOver);
                self.admit()
            }
            State::HalfOpen => match self.control.probes.send(now, self.control.bar()) {
                Some(probe) => Ok(Ticket::new(word, probe)),
                None => Err(Refused::probes_full()),
            },
            State::ForcedOpen => Err(Refused::forced_open()),
            State::Closed | State::Disabled | State::MetricsOnly => Ok(Ticket::new(word, started)),
        }
    }

    /// Draws the conclusions of time passing in the half-open state.
    pub(super) fn settle(&mut self, now: Instant) {
        if self.word().state() != State::HalfOpen {
            return;
        }
        let control = &mut *self.control;
        // A short hint, or a wait that was nearly over when it was stored, says when to ask, not
        // how long the answer may take.
        let wait = control.wait.max(control.rules.wait.base());
        let max_wait = control.rules.given.probe_max_wait.unwrap_or(wait);
        let silent = control.probes.write_off(now, max_wait);
        for _ in 0..silent {
            control.note(now, EventKind::ProbeWrittenOff);
        }
        self.judge_probes(now, Tidings::default());
        let half_open_for = now.saturating_duration_since(self.control.half_open_since);
        let limit = self.control.rules.given.half_open_limit;
        if self.word().state() == State::HalfOpen
            && limit.is_some_and(|limit| half_open_for >= limit)
        {
            self.open(now, Reason::HalfOpenLimit, Tidings::default());
        }
    }

    /// Records an outcome of the closed state (a time window has counted it before). `false` if it
    /// is too late. A success is counted here too.
    #[inline]
    pub(super) fn record(&mut self, ticket: Ticket, class: Class, tidings: Tidings) -> bool {
        let word = self.word();
        if word.generation() != ticket.word.generation() {
            self.bin(tidings);
            return false;
        }
        // The lock is there anyway, and makes this a plain add.
        let counts = class == Class::Ok && word.counts_totals() && word.window() == 0;
        self.control.successes += u64::from(counts);
        let has_changed = self.control.ring.record(class);
        // A good call for a good call, in a window that was judged with these counts.
        if has_changed || class != Class::Ok || !self.control.is_settled() {
            self.judge(word.state(), class, tidings);
        }
        true
    }

    #[inline(never)]
    fn judge(&mut self, state: State, class: Class, tidings: Tidings) {
        let control = &mut *self.control;
        control.unjudged = false;
        if control.rules.given.consecutive_failures.is_some() {
            let is_failed = class.is_failed();
            control.consecutive = if is_failed {
                control.consecutive.saturating_add(1)
            } else {
                0
            };
        }
        let is_judged = class != Class::Ok || !control.rules.given.failures_only;
        let reason = if is_judged { self.verdict() } else { None };
        match (reason, state) {
            (Some(reason), State::Closed) => self.trip(reason, tidings),
            (reason, State::MetricsOnly) if is_judged => {
                if let Some(reason) = reason.filter(|_| !self.control.crossed) {
                    self.note(EventKind::WouldHaveOpened { reason });
                }
                self.control.crossed = reason.is_some();
                self.bin(tidings);
            }
            _ => self.bin(tidings),
        }
        self.refresh();
    }

    /// Records what a probe came back with: its class, or `None` if it was written off, or its
    /// half-open state is over.
    pub(super) fn record_probe(
        &mut self,
        admitted: Word,
        probe: u64,
        failed: bool,
        tidings: Tidings,
    ) -> Option<Class> {
        let now = self.machine.front.clock.now();
        self.settle(now);
        let since = self.control.probes.since(probe);
        let is_in_time = self.word().generation() == admitted.generation();
        let Some(since) = since.filter(|_| is_in_time) else {
            self.bin(tidings);
            return None;
        };
        let is_slow = admitted.is_clocked() && self.machine.is_slow(self.machine.time_since(since));
        let class = Class::new(failed, is_slow);
        self.control.probes.record(probe, class);
        self.judge_probes(now, tidings);
        Some(class)
    }

    /// Frees the place of a probe that has nothing to say. `false` if it is too late.
    pub(super) fn give_back_probe(&mut self, admitted: Word, probe: u64) -> bool {
        self.settle(self.machine.front.clock.now());
        self.word().generation() == admitted.generation() && self.control.probes.give_back(probe)
    }

    fn judge_probes(&mut self, now: Instant, tidings: Tidings) {
        let counts = self.control.probes.counts();
        match self.control.probes.judge(self.control.bar()) {
            Judgement::Undecided => self.bin(tidings),
            Judgement::Failed => self.open(now, Reason::ProbesFailed(counts), tidings),
            Judgement::Passed => {
                self.bin(tidings);
                self.close(now, Reason::ProbesPassed(counts));
            }
        }
    }

    fn trip(&mut self, reason: Reason, tidings: Tidings) {
        let now = self.machine.front.clock.now();
        let trip = Trip {
            at: now,
            reason,
            counts: self.counts(),
            cause: tidings.cause().cloned(),
        };
        if let Some(before) = self.control.last_trip.replace(Box::new(trip)) {
            self.control.trash.push(Trash::Trip { _trip: before });
        }
        self.open(now, reason, tidings);
    }

    /// Opens the circuit, from any state.
    pub(super) fn open(&mut self, now: Instant, reason: Reason, tidings: Tidings) {
        let control = &mut *self.control;
        control.opens = control.opens.saturating_add(1);
        let hint = tidings.hint().filter(|hint| !hint.is_zero());
        control.wait = match hint {
            Some(hint) => hint.min(control.rules.given.max_hint),
            None => control
                .rules
                .wait
                .wait(control.opens, control.wait, &mut control.rolls),
        };
        let wait = control.wait;
        self.open_until(now + wait, reason, tidings.cause().cloned());
        self.bin(tidings);
        self.enter(State::Open, now, reason, Some(wait));
    }

    /// Prepares what belongs to the open state; the caller enters it.
    pub(super) fn open_until(&mut self, end: Instant, reason: Reason, cause: Option<Cause>) {
        let front = &self.machine.front;
        let why = Why::new(reason, cause.is_some());
        front.end.store(end.as_nanos(), Ordering::Release);
        front.why.store(why.bits(), Ordering::Release);
        if let Some(before) = self.machine.cause.replace(cause.map(Arc::new)) {
            self.control.trash.push(Trash::Replaced { _cause: before });
        }
    }

    pub(super) fn half_open(&mut self, now: Instant, reason: Reason) {
        self.control.probes.clear();
        self.control.half_open_since = now;
        self.enter(State::HalfOpen, now, reason, None);
    }

    pub(super) fn close(&mut self, now: Instant, reason: Reason) {
        self.control.opens = 0;
        self.enter(State::Closed, now, reason, None);
    }

    /// Begins a new generation in `to`, with empty windows if it records.
    pub(super) fn enter(
        &mut self,
        to: State,
        now: Instant,
        reason: Reason,
        wait: Option<Duration>,
    ) {
        let word = self.word();
        let from = word.state();
        let control = &mut *self.control;
        control.ring.clear();
        control.consecutive = 0;
        control.crossed = false;
        control.unjudged = false;
        self.publish(to, word.generation() + 1);
        if from != to {
            self.control.note(
                now,
                EventKind::StateChanged {
                    from,
                    to,
                    reason,
                    wait,
                },
            );
        }
    }

    /// Enters the state that modes, forcing and isolations add up to, with empty windows, also
    /// from itself.
    pub(super) fn restart(&mut self) {
        let now = self.machine.front.clock.now();
        self.control.opens = 0;
        self.enter(self.control.standing_state(), now, Reason::ByHand, None);
    }

    /// Forgets why it opened.
    pub(super) fn forget_trip(&mut self) {
        if let Some(trip) = self.control.last_trip.take() {
            self.control.trash.push(Trash::Trip { _trip: trip });
        }
        if let Some(cause) = self.machine.cause.replace(None) {
            self.control.trash.push(Trash::Replaced { _cause: cause });
        }
    }

    /// Enters the state that modes, forcing and isolations add up to, if it is another one. A
    /// circuit that only its own windows have opened stays as it is.
    pub(super) fn apply_modes(&mut self) {
        let from = self.word().state();
        let to = self.control.standing_state();
        let is_circuits_own = matches!(from, State::Closed | State::Open | State::HalfOpen);
        if from != to && !(to == State::Closed && is_circuits_own) {
            self.restart();
        }
    }

    /// Puts the first rules in force.
    pub(super) fn begin(&self) {
        self.publish_rules();
        self.refresh();
    }

    /// Takes new rules: state, generation and counts stay unless the window changes its shape.
    pub(super) fn take(&mut self, rules: Arc<Rules>) -> Result<(), ConfigError> {
        let window = self
            .machine
            .front
            .windows
            .number(rules.window, &self.machine.front.clock)?;
        let control = &mut *self.control;
        let is_new_shape = rules.window != control.rules.window;
        if rules.given.seed != control.rules.given.seed {
            control.rolls = rolls(&rules);
        }
        if rules.given.consecutive_failures.is_none() {
            control.consecutive = 0;
        }
        control.rules = rules;
        control.unjudged = true;
        if is_new_shape {
            control.window = window;
            control.ring = ring(&control.rules);
            control.consecutive = 0;
            control.crossed = false;
            self.realign();
        }
        self.publish_rules();
        let word = self.word();
        if is_new_shape && word.records() {
            self.publish(word.state(), word.generation() + 1);
        } else {
            self.refresh();
        }
        Ok(())
    }

    /// Hands on what of the rules calls read without the lock.
    fn publish_rules(&self) {
        let rules = &self.control.rules;
        self.machine.front.take(rules, &self.machine.front.clock);
        if rules.given.durations {
            self.machine.durations.get_or_init(Box::default);
        }
    }

    /// Aligns the buckets of the time window anew, with the next outcome.
    pub(super) fn realign(&self) {
        if let Some(window) = self.machine.front.windows.get(self.control.window) {
            window.realign();
        }
    }

    /// Number of the time window in use.
    pub(super) fn window(&self) -> usize {
        self.control.window
    }

    fn bin(&mut self, tidings: Tidings) {
        if !tidings.is_empty() {
            self.control.trash.push(Trash::Unused { _tidings: tidings });
        }
    }
}
