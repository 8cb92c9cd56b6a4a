//! A breaker with everything happening to it at once, under many seeded schedules.
//!
//! 100,000 schedules for each of two windows; ten times as many with `BACKSTOP_SOAK`. A schedule that
//! fails is printed and can be replayed.

use super::{
    CircuitBreaker, CircuitBreakerConfig, CircuitBreakerEvent, EventKind, Mode, State, Window,
};
use crate::kernel::clock::{Clock, ManualClock};
use crate::kernel::event::Subscriber;
use crate::kernel::outcome::Verdict;
use crate::kernel::stripe::set_thread_number;
use shuttle::rand::{Rng, thread_rng};
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const PROBES: u64 = 2;

fn schedules() -> usize {
    if std::env::var_os("BACKSTOP_SOAK").is_some() {
        1_000_000
    } else {
        100_000
    }
}

fn config(window: Window) -> CircuitBreakerConfig {
    CircuitBreakerConfig::default()
        .window(window)
        .minimum_calls(2)
        .consecutive_failures(3)
        .open_wait(SECOND, 1.0, SECOND)
        .open_wait_jitter(0.0)
        .probes(u32::try_from(PROBES).expect("small"))
}

/// What the threads know, counted beside the breaker and not through it.
#[derive(Default)]
struct Ledger {
    admitted: AtomicU64,
    rejected: AtomicU64,
    /// Probes out now. A probe that was written off or whose state is over may still be here.
    in_flight: AtomicU64,
}

/// One call, ended in one of all the ways there are.
fn call(breaker: &CircuitBreaker, ledger: &Ledger) {
    let Ok(permit) = breaker.try_acquire() else {
        ledger.rejected.fetch_add(1, Ordering::Relaxed);
        return;
    };
    ledger.admitted.fetch_add(1, Ordering::Relaxed);
    ledger.in_flight.fetch_add(1, Ordering::Relaxed);
    if thread_rng().gen_bool(0.3) {
        shuttle::thread::yield_now();
    }
    match thread_rng().gen_range(0..8_u8) {
        0..=2 => permit.success(),
        3..=5 => permit.record(Verdict::failure().with_hint(SECOND)),
        6 => permit.ignore(),
        _ => drop(permit),
    }
    ledger.in_flight.fetch_sub(1, Ordering::Relaxed);
}

/// A call that panics; shuttle's own unwinding is not caught here, because nothing is scheduled in it.
fn panicking_call(breaker: &CircuitBreaker, ledger: &Ledger) {
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        breaker.call_blocking(|| -> Result<(), ()> { std::panic::resume_unwind(Box::new("call")) })
    }));
    match panicked {
        Ok(_) => ledger.rejected.fetch_add(1, Ordering::Relaxed),
        Err(_) => ledger.admitted.fetch_add(1, Ordering::Relaxed),
    };
}

/// Something that an operator, or time, does.
fn disturb(breaker: &CircuitBreaker, clock: &ManualClock, window: Window) {
    match thread_rng().gen_range(0..9_u8) {
        0..=2 => clock.advance(SECOND),
        3 => breaker.reset(),
        4 => {
            let held = breaker.isolate();
            shuttle::thread::yield_now();
            drop(held);
        }
        5 => {
            breaker.force_open();
            breaker.release_force_open();
        }
        6 => {
            let other = if thread_rng().gen_bool(0.5) {
                window
            } else {
                Window::count(5)
            };
            breaker
                .reconfigure(config(other))
                .expect("a valid configuration");
        }
        7 => {
            breaker.set_mode(Mode::MetricsOnly);
            shuttle::thread::yield_now();
            breaker.set_mode(Mode::Normal);
        }
        _ => {
            let snapshot = breaker.snapshot();
            breaker.restore(&snapshot).expect("its own snapshot");
        }
    }
}

fn check_snapshot(breaker: &CircuitBreaker) {
    let counts = breaker.snapshot().counts;
    assert!(
        counts.failed <= counts.recorded && counts.slow <= counts.recorded,
        "{counts:?}"
    );
}

/// Each event follows the one before it, in number and in state.
fn check_events(events: &mut Subscriber<CircuitBreakerEvent>) {
    let (mut seq, mut state) = (0, State::Closed);
    while let Some(event) = events.try_recv() {
        assert_eq!(event.seq, seq + 1);
        seq = event.seq;
        if let EventKind::StateChanged { from, to, .. } = event.kind {
            assert_eq!(from, state, "an event is missing or out of order");
            assert_ne!(from, to);
            state = to;
        }
    }
}

fn everything_at_once(window: Window) {
    let clock = Clock::manual();
    let breaker = CircuitBreaker::with_clock("shuttle", config(window), &clock).expect("valid");
    let mut events = breaker.subscribe(NonZeroUsize::new(1_000).expect("not zero"));
    let ledger = Arc::new(Ledger::default());
    let threads: Vec<_> = (0..3)
        .map(|number| {
            let (breaker, clock, ledger) = (breaker.clone(), clock.clone(), ledger.clone());
            shuttle::thread::spawn(move || {
                set_thread_number(number);
                for _ in 0..4 {
                    match thread_rng().gen_range(0..8_u8) {
                        0..=4 => call(&breaker, &ledger),
                        5 => panicking_call(&breaker, &ledger),
                        6 => check_snapshot(&breaker),
                        _ => disturb(&breaker, &clock, window),
                    }
                }
            })
        })
        .collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().expect("no thread panics"));

    assert_eq!(ledger.in_flight.load(Ordering::Relaxed), 0);
    let totals = breaker.totals();
    assert_eq!(
        totals.admitted(),
        ledger.admitted.load(Ordering::Relaxed),
        "{totals:?}"
    );
    assert_eq!(
        totals.rejected(),
        ledger.rejected.load(Ordering::Relaxed),
        "{totals:?}"
    );
    check_events(&mut events);
    heal(&breaker, &clock);
}

/// Whatever happened, a healthy callee closes the circuit, and nobody holds a probe's place.
fn heal(breaker: &CircuitBreaker, clock: &ManualClock) {
    // A snapshot taken in a mode, and restored after it was left, sets it again.
    breaker.set_mode(Mode::Normal);
    breaker.release_force_open();
    clock.advance(2 * SECOND);
    if breaker.state() == State::Open {
        let probes: Vec<_> = (0..PROBES)
            .map(|_| breaker.try_acquire().expect("due"))
            .collect();
        assert!(
            breaker.try_acquire().is_err(),
            "no more than {PROBES} probes"
        );
        probes.into_iter().for_each(|probe| probe.success());
    }
    for _ in 0..8 {
        if let Ok(permit) = breaker.try_acquire() {
            permit.success();
        }
        clock.advance(2 * SECOND);
    }
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn shuttle_everything_at_once_with_a_count_window() {
    shuttle::check_random(|| everything_at_once(Window::count(3)), schedules());
}

#[test]
fn shuttle_everything_at_once_with_a_time_window() {
    let window = Window::time(10 * SECOND, 2);
    shuttle::check_random(move || everything_at_once(window), schedules());
}

/// At the instant of opening and after it, no more probes are out than the circuit asks for.
#[test]
fn shuttle_cb6c_no_more_probes_than_n_are_out() {
    let instant = || {
        let clock = Clock::manual();
        let config = config(Window::count(3));
        let breaker = CircuitBreaker::with_clock("probes", config, &clock).expect("valid");
        breaker.transition_to(State::Open).expect("from closed");
        clock.advance(SECOND);
        let (out, most) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let threads: Vec<_> = (0..4)
            .map(|number| {
                let (breaker, out, most) = (breaker.clone(), out.clone(), most.clone());
                shuttle::thread::spawn(move || {
                    set_thread_number(number);
                    for _ in 0..2 {
                        let Ok(permit) = breaker.try_acquire() else {
                            continue;
                        };
                        if breaker.state() == State::HalfOpen {
                            let now = out.fetch_add(1, Ordering::Relaxed) + 1;
                            most.fetch_max(now, Ordering::Relaxed);
                            shuttle::thread::yield_now();
                            out.fetch_sub(1, Ordering::Relaxed);
                        }
                        permit.ignore();
                    }
                })
            })
            .collect();
        threads
            .into_iter()
            .for_each(|thread| thread.join().expect("no thread panics"));
        assert!(most.load(Ordering::Relaxed) <= PROBES);
        assert_eq!(
            breaker.state(),
            State::HalfOpen,
            "ignored probes decide nothing"
        );
    };
    shuttle::check_random(instant, schedules());
}
