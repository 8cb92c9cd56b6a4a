//! A breaker with everything happening to it at once, under many seeded schedules.
//!
//! Half of the schedules pick the next thread at random at each step; the other half lets one thread
//! run until it is overtaken, at a few points. What the threads do is drawn from the schedule's seed.
//!
//! `BACKSTOP_SHUTTLE_ITERATIONS` sets the number of schedules (100,000, or 1,000,000 with
//! `BACKSTOP_SOAK`), `BACKSTOP_SHUTTLE_SEED` the seed that they all follow from. A failure prints its
//! own: with it, and one iteration, it comes again.

use super::admission::Ticket;
use super::*;
use crate::kernel::clock::{Clock, ManualClock, NoRuntime};
use crate::kernel::event::Subscriber;
use crate::kernel::outcome::Verdict;
use crate::kernel::rejection::{Error as CallError, Rejection, RejectionKind};
use crate::kernel::stripe::set_thread_number;
use crate::kernel::window::Counts;
use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::thread;
use std::collections::HashMap;
use std::error::Error;
use std::future::{Future, poll_fn};
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const CALLERS: usize = 4;
const STEPS: usize = 6;

fn from_env<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

fn schedules() -> usize {
    let is_soak = std::env::var_os("BACKSTOP_SOAK").is_some();
    let default = if is_soak { 1_000_000 } else { 100_000 };
    from_env("BACKSTOP_SHUTTLE_ITERATIONS").unwrap_or(default)
}

fn explore(scenario: fn()) {
    let seed = from_env("BACKSTOP_SHUTTLE_SEED").unwrap_or(0x5EED);
    let schedules = schedules();
    println!("{schedules} schedules from seed {seed}");
    let mut config = shuttle::Config::new();
    config.silence_warnings = true;
    let at_random = RandomScheduler::new_from_seed(seed, schedules.div_ceil(2));
    shuttle::Runner::new(at_random, config.clone()).run(scenario);
    let overtaken = PctScheduler::new_from_seed(seed, 4, schedules / 2);
    shuttle::Runner::new(overtaken, config).run(scenario);
}

fn draw(below: u32) -> u32 {
    thread_rng().gen_range(0..below)
}

/// How a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Success,
    Failure,
    Ignored,
    Dropped,
    Panicked,
}

impl Ending {
    fn drawn() -> Self {
        match draw(10) {
            0..=3 => Self::Success,
            4..=6 => Self::Failure,
            7 => Self::Ignored,
            8 => Self::Dropped,
            _ => Self::Panicked,
        }
    }

    fn verdict(self) -> Verdict {
        match self {
            Self::Success => Verdict::success(),
            Self::Ignored => Verdict::ignored(),
            _ if draw(4) == 0 => {
                let cause: Arc<dyn Error + Send + Sync> = Arc::new(NoRuntime);
                Verdict::failure().with_hint(2 * SECOND).with_cause(cause)
            }
            _ => Verdict::failure(),
        }
    }
}

/// What the threads know, counted beside the breaker and not through it.
#[derive(Default)]
struct Ledger {
    /// Calls admitted, by how they ended.
    ended: [AtomicU64; 5],
    rejected_open: AtomicU64,
    rejected_forced_open: AtomicU64,
    rejected_probes_full: AtomicU64,
    /// Probes of each half-open generation that did not come back with nothing to say.
    probes: Mutex<HashMap<u64, u32>>,
    /// What the clock was moved by, in seconds.
    advanced: AtomicU64,
    stepped_back: AtomicU64,
}

impl Ledger {
    fn ends(&self, ending: Ending) {
        self.ended[ending as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn ended(&self, endings: &[Ending]) -> u64 {
        let of = |ending: &Ending| self.ended[*ending as usize].load(Ordering::Relaxed);
        endings.iter().map(of).sum()
    }

    fn rejected(&self, rejection: &Rejection) {
        let wait = rejection.retry_after();
        let counter = match rejection.kind() {
            RejectionKind::Open => {
                let wait = wait.expect("an open circuit knows when to come back");
                let stepped_back = self.stepped_back.load(Ordering::Relaxed);
                assert!(wait.as_secs() <= 4 + stepped_back, "{wait:?}");
                &self.rejected_open
            }
            RejectionKind::ForcedOpen => &self.rejected_forced_open,
            RejectionKind::ProbesFull => &self.rejected_probes_full,
            other => panic!("no breaker rejects by {other:?}"),
        };
        assert!(rejection.kind() == RejectionKind::Open || wait.is_none());
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn sends(&self, ticket: Ticket, at_most: u32) {
        if ticket.probe().is_some() {
            let mut probes = self.probes.lock().unwrap_or_else(PoisonError::into_inner);
            let sent = probes.entry(ticket.word.generation()).or_default();
            *sent += 1;
            assert!(*sent <= at_most, "{sent} probes of {at_most}");
        }
    }

    /// A probe is about to give its place back.
    fn takes_back(&self, ticket: Ticket) {
        if ticket.probe().is_some() {
            let mut probes = self.probes.lock().unwrap_or_else(PoisonError::into_inner);
            *probes.entry(ticket.word.generation()).or_default() -= 1;
        }
    }
}

/// What a schedule is about, drawn at its start.
struct Stage {
    breaker: CircuitBreaker,
    clock: ManualClock,
    ledger: Ledger,
    configs: Vec<CircuitBreakerConfig>,
    probes: u32,
    /// Calls may be slow, and a dropped one that was slow is a failure.
    judges_slow: bool,
    /// The breaker may be disabled: then it counts nothing.
    disables: bool,
}

impl Stage {
    fn drawn(first: Window) -> Self {
        let judges_slow = draw(4) == 0;
        let probes = 1 + draw(3);
        let decision = [ProbeDecision::Early, ProbeDecision::All][draw(2) as usize];
        let config = |window| {
            let config = CircuitBreakerConfig::default()
                .window(window)
                .minimum_calls(2)
                .open_wait(SECOND, 2.0, 4 * SECOND)
                .open_wait_jitter(0.0)
                .max_hint(3 * SECOND)
                .probes(probes)
                .probe_decision(decision)
                .seed(1);
            if judges_slow {
                let dropped = DroppedCalls::FailureIfSlow;
                let config = config.slow_calls(SECOND / 2, 0.6).durations(true);
                config.dropped_calls(dropped)
            } else {
                config
            }
        };
        let configs = vec![
            config(first),
            config(first).consecutive_failures(3).auto_half_open(true),
            config(first)
                .failures_only(true)
                .half_open_limit(3 * SECOND),
            config(Window::count(5)),
            config(Window::time(2 * SECOND, 1)),
            config(Window::none()).consecutive_failures(2),
        ];
        let clock = Clock::manual();
        let breaker = CircuitBreaker::with_clock("shuttle", configs[0].clone(), &clock);
        Self {
            breaker: breaker.expect("a valid configuration"),
            clock,
            ledger: Ledger::default(),
            configs,
            probes,
            judges_slow,
            disables: draw(4) == 0,
        }
    }

    fn advance(&self, seconds: u32) {
        let ledger = &self.ledger.advanced;
        ledger.fetch_add(u64::from(seconds), Ordering::Relaxed);
        self.clock.advance(SECOND * seconds);
    }

    /// A call by permit, which shows whether it is a probe.
    fn permit(&self, meanwhile: impl FnOnce()) {
        let machine = self.breaker.machine();
        let ticket = match machine.admit() {
            Ok(ticket) => ticket,
            Err(refused) => {
                return self
                    .ledger
                    .rejected(&machine.reject(refused, |rejection| rejection));
            }
        };
        let permit = OwnedPermit::new(machine.clone(), ticket);
        self.ledger.sends(ticket, self.probes);
        meanwhile();
        // A thread that unwinds cannot be scheduled, so a panic is left to the futures.
        let ending = match Ending::drawn() {
            Ending::Panicked => Ending::Failure,
            ending => ending,
        };
        if matches!(ending, Ending::Ignored | Ending::Dropped) {
            self.ledger.takes_back(ticket);
        }
        match ending {
            Ending::Dropped => drop(permit),
            _ => permit.record(ending.verdict()),
        }
        self.ledger.ends(ending);
    }

    /// A call by future, which may be dropped between two polls, or panic in one.
    fn future(&self) {
        let ending = Ending::drawn();
        let mut started = false;
        let operation = || {
            started = true;
            let mut is_first = true;
            poll_fn(move |_| {
                if std::mem::take(&mut is_first) {
                    return Poll::Pending;
                }
                if ending == Ending::Panicked {
                    // Past the hook, which would print the schedule.
                    resume_unwind(Box::new("the call panics"));
                }
                let is_good = ending == Ending::Success;
                Poll::Ready(if is_good { Ok(ending) } else { Err(ending) })
            })
        };
        let classify = |result: Result<&Ending, &Ending>| match result {
            Ok(ending) | Err(ending) => ending.verdict(),
        };
        {
            let mut call = pin!(self.breaker.call_with(classify, operation));
            let mut context = Context::from_waker(Waker::noop());
            match call.as_mut().poll(&mut context) {
                Poll::Ready(Err(CallError::Rejected(rejection))) => {
                    self.ledger.rejected(&rejection)
                }
                Poll::Ready(other) => panic!("{other:?} before its time"),
                Poll::Pending => {
                    self.meanwhile();
                    if ending != Ending::Dropped {
                        let poll = AssertUnwindSafe(|| call.as_mut().poll(&mut context).is_ready());
                        let polled = catch_unwind(poll);
                        assert_eq!(polled.is_err(), ending == Ending::Panicked);
                    }
                }
            }
        }
        if started {
            self.ledger.ends(ending);
        }
    }

    /// What happens while a call runs.
    fn meanwhile(&self) {
        match draw(4) {
            0 => thread::yield_now(),
            1 => self.disturb(),
            _ => {}
        }
    }

    /// Something that an operator, or time, does.
    fn disturb(&self) {
        let breaker = &self.breaker;
        match draw(16) {
            0..=3 => self.advance(1 + draw(2)),
            4 => {
                self.ledger.stepped_back.fetch_add(1, Ordering::Relaxed);
                self.clock.step_back(SECOND);
            }
            5 => breaker.reset(),
            6 => {
                let held = breaker.isolate();
                thread::yield_now();
                drop(held);
            }
            7 => {
                breaker.force_open();
                thread::yield_now();
                breaker.release_force_open();
            }
            8 | 9 => {
                let config = self.configs[draw(6) as usize].clone();
                breaker.reconfigure(config).expect("a valid configuration");
            }
            10 => {
                let mode = if self.disables {
                    Mode::Disabled
                } else {
                    Mode::MetricsOnly
                };
                breaker.set_mode(mode);
                thread::yield_now();
                breaker.set_mode(Mode::Normal);
            }
            11 | 12 => {
                let snapshot = self.look();
                thread::yield_now();
                breaker.restore(&snapshot).expect("its own snapshot");
            }
            _ => {
                let to = [State::Closed, State::Open, State::HalfOpen][draw(3) as usize];
                if let Err(refused) = breaker.transition_to(to) {
                    assert_eq!(refused.to, to);
                }
            }
        }
    }

    fn look(&self) -> CircuitBreakerSnapshot {
        let snapshot = self.breaker.snapshot();
        check_counts(snapshot.counts);
        let is_open = snapshot.state == State::Open;
        assert_eq!(snapshot.remaining.is_some(), is_open);
        if let Some(trip) = self.breaker.last_trip() {
            check_counts(trip.counts);
        }
        snapshot
    }

    fn step(&self, totals: &mut Totals) {
        match draw(16) {
            0..=5 => self.permit(|| self.meanwhile()),
            6..=9 => self.future(),
            10 => drop(self.look()),
            11 => {
                let now = self.breaker.totals();
                check_growth(totals, &now);
                *totals = now;
            }
            _ => self.disturb(),
        }
    }

    fn check_totals(&self) {
        use Ending::{Dropped, Failure, Ignored, Panicked, Success};
        let (ledger, totals) = (&self.ledger, self.breaker.totals());
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        assert_eq!(totals.rejected_open, value(&ledger.rejected_open));
        assert_eq!(
            totals.rejected_forced_open,
            value(&ledger.rejected_forced_open)
        );
        assert_eq!(
            totals.rejected_probes_full,
            value(&ledger.rejected_probes_full)
        );
        let admitted = ledger.ended(&[Success, Failure, Ignored, Dropped, Panicked]);
        if self.disables {
            assert!(totals.admitted() <= admitted, "{totals:?} of {admitted}");
        } else {
            assert_eq!(totals.admitted(), admitted, "{totals:?}");
        }
        let slow_drops = if self.judges_slow {
            ledger.ended(&[Dropped])
        } else {
            0
        };
        assert!(totals.success <= ledger.ended(&[Success]), "{totals:?}");
        let failed = ledger.ended(&[Failure, Panicked]) + slow_drops;
        assert!(totals.failure <= failed, "{totals:?}");
        assert!(totals.ignored <= ledger.ended(&[Ignored]), "{totals:?}");
        assert!(totals.dropped <= ledger.ended(&[Dropped]), "{totals:?}");
        assert!(totals.slow <= totals.success + totals.failure);
    }

    /// Each event follows the one before it, in number and in state, and for a good reason.
    fn check_events(&self, events: &mut Subscriber<CircuitBreakerEvent>) {
        let (mut seq, mut state) = (0, State::Closed);
        while let Some(event) = events.try_recv() {
            assert_eq!(event.seq, seq + 1);
            seq = event.seq;
            match event.kind {
                EventKind::StateChanged {
                    from,
                    to,
                    reason,
                    wait,
                } => {
                    assert_eq!(from, state, "an event is missing or out of order");
                    assert_ne!(from, to);
                    assert_eq!(wait.is_some(), to == State::Open);
                    self.check_reason(from, to, reason);
                    state = to;
                }
                EventKind::WouldHaveOpened { reason } => {
                    self.check_reason(State::Closed, State::Open, reason);
                }
                // It must have been silent for at least the base wait.
                EventKind::ProbeWrittenOff => {
                    assert!(self.ledger.advanced.load(Ordering::Relaxed) >= 1);
                }
                _ => {}
            }
        }
        assert_eq!(state, self.breaker.machine().word().state());
        assert_eq!(events.lost(), 0);
    }

    fn check_reason(&self, from: State, to: State, reason: Reason) {
        let between = match reason {
            Reason::FailureRate(counts) => {
                check_counts(counts);
                assert!(counts.recorded >= 2 && 2 * counts.failed >= counts.recorded);
                (State::Closed, State::Open)
            }
            Reason::SlowRate(counts) => {
                check_counts(counts);
                assert!(counts.recorded >= 2 && 5 * counts.slow >= 3 * counts.recorded);
                (State::Closed, State::Open)
            }
            Reason::Consecutive(failures) => {
                assert!(failures >= 2);
                (State::Closed, State::Open)
            }
            Reason::ProbesFailed(counts) => {
                check_counts(counts);
                let probes = u64::from(self.probes);
                assert!(2 * counts.failed >= probes || 5 * counts.slow >= 3 * probes);
                (State::HalfOpen, State::Open)
            }
            Reason::ProbesPassed(counts) => {
                check_counts(counts);
                assert!(2 * counts.failed < u64::from(self.probes));
                (State::HalfOpen, State::Closed)
            }
            Reason::WaitOver => (State::Open, State::HalfOpen),
            Reason::HalfOpenLimit => (State::HalfOpen, State::Open),
            Reason::ByHand => return,
        };
        assert_eq!((from, to), between, "{reason:?}");
    }

    /// Whatever happened, good calls close the circuit; and one that opens then lets through as
    /// many probes as it asks for, which takes nobody's place held.
    fn heal(&self) {
        let breaker = &self.breaker;
        let probes = self.probes as usize;
        // A snapshot that was put back may have been of a forced state; and where the half-open
        // state has a limit, a call that comes too late opens the circuit again.
        let config = self.configs[0].clone();
        breaker.reconfigure(config).expect("a valid configuration");
        breaker.release_force_open();
        breaker.set_mode(Mode::Normal);
        let mut calls = 0;
        while breaker.state() != State::Closed || calls == 0 {
            assert!(calls <= 2 * probes + 2, "wedged: {:?}", breaker.snapshot());
            self.clock.advance(60 * SECOND);
            breaker.try_acquire().expect("due").success();
            calls += 1;
        }
        breaker.transition_to(State::Open).expect("from closed");
        self.clock.advance(60 * SECOND);
        let permits = (0..probes).map(|_| breaker.try_acquire().expect("a free place"));
        let permits: Vec<_> = permits.collect();
        assert!(breaker.try_acquire().is_err(), "more than {probes} probes");
        permits.into_iter().for_each(Permit::success);
        assert_eq!(breaker.state(), State::Closed);
        assert_eq!(breaker.snapshot().counts, Counts::default());
    }
}

fn check_counts(counts: Counts) {
    assert!(counts.failed <= counts.recorded, "{counts:?}");
    assert!(counts.slow <= counts.recorded, "{counts:?}");
}

fn check_growth(before: &Totals, now: &Totals) {
    assert!(before.success <= now.success, "{before:?} {now:?}");
    assert!(before.failure <= now.failure, "{before:?} {now:?}");
    assert!(before.slow <= now.slow, "{before:?} {now:?}");
    assert!(before.late <= now.late, "{before:?} {now:?}");
    assert!(before.rejected() <= now.rejected(), "{before:?} {now:?}");
}

fn everything_at_once(first: Window) {
    let stage = Arc::new(Stage::drawn(first));
    let capacity = NonZeroUsize::new(1_000).expect("not zero");
    let mut events = stage.breaker.subscribe(capacity);
    let spawn = |number| {
        let stage = stage.clone();
        thread::spawn(move || {
            set_thread_number(number);
            let mut totals = Totals::default();
            (0..STEPS).for_each(|_| stage.step(&mut totals));
        })
    };
    let callers: Vec<_> = (0..CALLERS).map(spawn).collect();
    for caller in callers {
        caller.join().expect("no thread panics");
    }
    stage.check_totals();
    stage.check_events(&mut events);
    stage.heal();
}

#[test]
fn shuttle_everything_at_once_with_a_count_window() {
    explore(|| everything_at_once(Window::count(3)));
}

#[test]
fn shuttle_everything_at_once_with_a_time_window() {
    explore(|| everything_at_once(Window::time(4 * SECOND, 2)));
}

/// Calls, and time passing: once one more call has ended, a closed circuit holds no window that
/// should have opened it.
fn nothing_is_missed(window: Window) {
    let stage = Arc::new(Stage::drawn(window));
    let spawn = |number| {
        let stage = stage.clone();
        thread::spawn(move || {
            set_thread_number(number);
            for _ in 0..STEPS {
                match draw(5) {
                    0 => stage.advance(1),
                    _ => stage.permit(|| thread::yield_now()),
                }
            }
        })
    };
    let callers: Vec<_> = (0..CALLERS).map(spawn).collect();
    for caller in callers {
        caller.join().expect("no thread panics");
    }
    if let Ok(permit) = stage.breaker.try_acquire() {
        permit.success();
    }
    let CircuitBreakerSnapshot { state, counts, .. } = stage.breaker.snapshot();
    let is_reached = counts.recorded >= 2 && 2 * counts.failed >= counts.recorded;
    assert!(state != State::Closed || !is_reached, "missed: {counts:?}");
    stage.heal();
}

#[test]
fn shuttle_no_trip_is_missed() {
    explore(|| match draw(2) {
        0 => nothing_is_missed(Window::count(4)),
        _ => nothing_is_missed(Window::time(4 * SECOND, 2)),
    });
}

/// At the instant of opening and after it, no more probes are out than the circuit asks for.
#[test]
fn shuttle_cb6c_no_more_probes_than_n_are_out() {
    explore(|| {
        let stage = Arc::new(Stage::drawn(Window::count(3)));
        let breaker = &stage.breaker;
        breaker.transition_to(State::Open).expect("from closed");
        stage.advance(1);
        let spawn = |number| {
            let stage = stage.clone();
            thread::spawn(move || {
                set_thread_number(number);
                (0..STEPS).for_each(|_| stage.permit(|| stage.meanwhile()));
            })
        };
        let callers: Vec<_> = (0..CALLERS).map(spawn).collect();
        for caller in callers {
            caller.join().expect("no thread panics");
        }
        stage.check_totals();
        stage.heal();
    });
}
