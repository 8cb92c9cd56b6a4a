//! A bulkhead with arrivals, cancellations and an operator at once, under many seeded schedules.
//!
//! `BACKSTOP_SHUTTLE_ITERATIONS` sets the number of schedules (100,000, or 1,000,000 with
//! `BACKSTOP_SOAK`), `BACKSTOP_SHUTTLE_SEED` the seed that they all follow from, as for the circuit
//! breaker.

use super::*;
use crate::kernel::clock::{Clock, ManualClock};
use crate::kernel::priority::Priority;
use crate::kernel::rejection::RejectionKind;
use crate::kernel::stripe::set_thread_number;
use futures::task::{ArcWake, waker};
use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::thread;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

const CALLERS: usize = 4;
const STEPS: usize = 5;
const SECOND: Duration = Duration::from_secs(1);
const LIMIT: u32 = 2;

fn from_env<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

fn explore(scenario: fn()) {
    let is_soak = std::env::var_os("BACKSTOP_SOAK").is_some();
    let default = if is_soak { 1_000_000 } else { 100_000 };
    let schedules: usize = from_env("BACKSTOP_SHUTTLE_ITERATIONS").unwrap_or(default);
    let seed = from_env("BACKSTOP_SHUTTLE_SEED").unwrap_or(0x5EED);
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

#[derive(Default)]
struct Wakes(AtomicU32);

impl ArcWake for Wakes {
    fn wake_by_ref(this: &Arc<Self>) {
        this.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// What the threads know, counted beside the bulkhead and not through it.
#[derive(Default)]
struct Ledger {
    running: AtomicU32,
    ran: AtomicU64,
    cancelled: AtomicU64,
    refused: AtomicU64,
}

struct Stage {
    bulkhead: Bulkhead,
    clock: ManualClock,
    ledger: Ledger,
    /// An operator changes the limit meanwhile, up to this.
    highest: u32,
    /// Time passes and isolations come and go, so that waits may end by other means than a slot.
    is_disturbed: bool,
}

impl Stage {
    fn drawn(is_disturbed: bool) -> Arc<Self> {
        let clock = Clock::manual();
        let order = [Order::Fifo, Order::Lifo][draw(2) as usize];
        let config = BulkheadConfig::default()
            .max_concurrent(LIMIT)
            .queue(3, SECOND)
            .order(order);
        let bulkhead = Bulkhead::with_clock("shuttle", config, &clock).expect("a valid one");
        Arc::new(Self {
            bulkhead,
            clock,
            ledger: Ledger::default(),
            highest: if is_disturbed { LIMIT + 1 } else { LIMIT },
            is_disturbed,
        })
    }

    fn run(&self, permit: OwnedPermit) {
        let running = self.ledger.running.fetch_add(1, Ordering::Relaxed) + 1;
        assert!(running <= self.highest, "{running} at once");
        match draw(3) {
            0 => thread::yield_now(),
            1 => self.disturb(),
            _ => {}
        }
        self.ledger.running.fetch_sub(1, Ordering::Relaxed);
        self.ledger.ran.fetch_add(1, Ordering::Relaxed);
        drop(permit);
    }

    fn disturb(&self) {
        if !self.is_disturbed {
            return;
        }
        match draw(6) {
            0 => self.clock.advance(SECOND),
            1 => {
                let held = self.bulkhead.isolate();
                thread::yield_now();
                drop(held);
            }
            2 => self
                .bulkhead
                .resize(draw(self.highest + 1))
                .expect("a valid limit"),
            3 => drop(self.bulkhead.snapshot()),
            4 => {
                let order = [Order::Fifo, Order::Lifo][draw(2) as usize];
                let config = self.bulkhead.config().order(order);
                self.bulkhead.reconfigure(config).expect("a valid one");
            }
            _ => {}
        }
    }

    fn refused(&self, kind: RejectionKind) {
        assert!(matches!(
            kind,
            RejectionKind::Full | RejectionKind::ForcedOpen
        ));
        self.ledger.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// A call that waits until it has news, or is dropped before.
    fn wait(&self) {
        let priority = Priority::ALL[draw(4) as usize];
        let mut acquire: Pin<Box<AcquireOwned>> = Box::pin(self.bulkhead.acquire_owned(priority));
        let mut wakes = Arc::<Wakes>::default();
        let mut seen = 0;
        let is_dropped = draw(3) == 0;
        let mut patience = draw(4);
        loop {
            let is_first = seen == 0;
            let polled = {
                let waker = waker(wakes.clone());
                acquire.as_mut().poll(&mut Context::from_waker(&waker))
            };
            match polled {
                Poll::Ready(Ok(permit)) => return self.run(permit),
                Poll::Ready(Err(rejection)) => return self.refused(rejection.kind()),
                Poll::Pending => {}
            }
            assert!(
                is_first || self.is_disturbed || seen != 2,
                "woken for nothing"
            );
            seen = 1;
            // Until it is woken: a waiter that is forgotten waits here for ever, which is a deadlock
            // or a schedule that never ends.
            loop {
                if wakes.0.load(Ordering::Relaxed) > 0 {
                    seen = 2;
                    break;
                }
                if is_dropped && patience == 0 {
                    drop(acquire);
                    self.ledger.cancelled.fetch_add(1, Ordering::Relaxed);
                    // It is out of the queue: who wakes it now does so for a slot that is lost.
                    let woken = wakes.0.load(Ordering::Relaxed);
                    thread::yield_now();
                    assert_eq!(
                        wakes.0.load(Ordering::Relaxed),
                        woken,
                        "woken after it left"
                    );
                    return;
                }
                patience = patience.saturating_sub(1);
                if draw(8) == 0 {
                    // Polled without being woken, and by another waker from now on.
                    wakes = Arc::default();
                    break;
                }
                thread::yield_now();
            }
        }
    }

    fn step(&self) {
        match draw(8) {
            0 | 1 => match self.bulkhead.try_acquire_owned() {
                Ok(permit) => self.run(permit),
                Err(rejection) => self.refused(rejection.kind()),
            },
            2 => self.disturb(),
            _ => self.wait(),
        }
    }

    /// Whatever happened: nothing is held, nobody waits, everything was counted once.
    fn check(&self) {
        let totals = self.bulkhead.totals();
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        assert_eq!(totals.cancelled, value(&self.ledger.cancelled));
        assert_eq!(totals.refused(), value(&self.ledger.refused));
        assert_eq!(totals.finished, value(&self.ledger.ran));
        let snapshot = self.bulkhead.snapshot();
        assert_eq!((snapshot.in_flight, snapshot.waiting), (0, 0));
        assert!(snapshot.peak <= self.highest);
        self.bulkhead.resize(LIMIT).expect("a valid limit");
        let permits: Vec<_> = (0..LIMIT)
            .map(|_| self.bulkhead.try_acquire().expect("all slots are free"))
            .collect();
        assert!(self.bulkhead.try_acquire().is_err());
        drop(permits);
    }
}

fn storm(is_disturbed: bool) {
    let stage = Stage::drawn(is_disturbed);
    let spawn = |number| {
        let stage = stage.clone();
        thread::spawn(move || {
            set_thread_number(number);
            (0..STEPS).for_each(|_| stage.step());
        })
    };
    let callers: Vec<_> = (0..CALLERS).map(spawn).collect();
    // A limit of 0 turns everybody away, so nobody is left waiting without a caller who runs; and
    // what an operator left at a lower limit, the calls that run give back.
    for caller in callers {
        caller.join().expect("no thread panics");
    }
    stage.check();
}

/// Arrivals and cancellations alone: whoever waits is woken for a slot and for nothing else.
#[test]
fn shuttle_bh4c_bh4d_a_storm_of_cancellations_loses_nobody() {
    explore(|| storm(false));
}

/// The same with time, isolations, resizes and other orders in between.
#[test]
fn shuttle_bh4g_bh5b_a_storm_with_an_operator_loses_nobody() {
    explore(|| storm(true));
}
