//! A handle may be used from everything that it calls: it holds no lock then.

use crate::rig::{SECOND, config};
use backstop::kernel::keyed::Keyed;
use backstop::kernel::outcome::{Outcome, Verdict};
use backstop::policy::circuit_breaker::{CircuitBreakerEvent, Mode, State, Totals};
use backstop::{CircuitBreaker, Error};
use futures::FutureExt;
use futures::task::{ArcWake, waker};
use std::fmt;
use std::future::ready;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::task::Context;
use std::time::Duration;

/// So long may a test take before it counts as locked up; it is a matter of milliseconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a test in a thread of its own and fails if it does not come back.
pub(crate) fn returns(test: impl FnOnce() + Send + 'static) {
    let (done, is_done) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        test();
        let _ = done.send(());
    });
    match is_done.recv_timeout(PATIENCE) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it is locked up"),
        // It panicked, and says so when it is joined.
        Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => thread.join().expect("no panic"),
    }
}

/// A breaker for as long as the test runs, so that what it calls can hold it without a cycle.
fn leaked() -> &'static CircuitBreaker {
    let breaker = CircuitBreaker::new("reentry", config().minimum_calls(2)).unwrap();
    Box::leak(Box::new(breaker))
}

/// Uses everything that a handle offers.
fn poke(breaker: &CircuitBreaker) {
    let _ = breaker.state();
    let snapshot = breaker.snapshot();
    let _: Totals = breaker.totals();
    let _ = breaker.last_trip();
    let _ = breaker.durations();
    let _ = format!("{breaker:?}");
    drop(breaker.try_acquire());
    if let Ok(permit) = breaker.try_acquire_owned() {
        permit.record(Verdict::failure().with_hint(SECOND));
    }
    let _ = breaker.call_blocking(|| Err::<(), _>("no"));
    let _ = breaker.call(|| ready(Ok::<_, &str>(()))).now_or_never();
    drop(breaker.isolate());
    breaker.force_open();
    breaker.release_force_open();
    breaker.set_mode(Mode::MetricsOnly);
    breaker.set_mode(Mode::Normal);
    let _ = breaker.transition_to(State::Open);
    let _ = breaker.restore(&snapshot);
    let _ = breaker.reconfigure(breaker.config());
    let _ = breaker.subscribe(NonZeroUsize::MIN).try_recv();
    breaker.reset();
}

/// An error that uses the handle when it is dropped.
struct Poking {
    breaker: &'static CircuitBreaker,
    dropped: Arc<AtomicU32>,
}

impl fmt::Debug for Poking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        poke(self.breaker);
        f.write_str("Poking")
    }
}

impl fmt::Display for Poking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl std::error::Error for Poking {}

impl Drop for Poking {
    fn drop(&mut self) {
        poke(self.breaker);
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

/// An error that uses the handle when it is dropped, as a verdict brings it along.
fn poking(
    breaker: &'static CircuitBreaker,
    dropped: &Arc<AtomicU32>,
) -> Arc<dyn std::error::Error + Send + Sync> {
    let dropped = dropped.clone();
    Arc::new(Poking { breaker, dropped })
}

/// Opens a closed circuit by two failures, the second with such an error.
fn trip(breaker: &'static CircuitBreaker, dropped: &Arc<AtomicU32>) {
    breaker.try_acquire().unwrap().failure();
    let verdict = Verdict::failure().with_cause(poking(breaker, dropped));
    breaker.try_acquire().unwrap().record(verdict);
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn a_classifier_may_use_the_handle() {
    returns(|| {
        let breaker = leaked();
        let judge = |_: Result<&u8, &u8>| {
            poke(breaker);
            Outcome::Failure
        };
        for _ in 0..10 {
            breaker.reset();
            let _ = breaker.call_blocking_with(judge, || Ok::<u8, u8>(1));
            let call = breaker.call_with(judge, || ready(Err::<u8, u8>(1)));
            let _ = call.now_or_never();
        }
        // Each was admitted before the pokes reset the circuit, so each came too late.
        assert!(breaker.totals().late >= 20);
    });
}

#[test]
fn the_operation_and_its_future_may_use_the_handle() {
    returns(|| {
        let breaker = leaked();
        let _ = breaker.call_blocking(|| {
            poke(breaker);
            Ok::<u8, u8>(1)
        });
        let call = breaker.call(|| {
            poke(breaker);
            async {
                poke(breaker);
                Ok::<u8, u8>(1)
            }
        });
        assert!(matches!(call.now_or_never(), Some(Ok(1))));
        // A panic, too, finds no lock held.
        let call = breaker.call_blocking_with(
            |_: Result<&u8, &Poking>| Outcome::Success,
            || -> Result<u8, Poking> {
                Err(Poking {
                    breaker,
                    dropped: Arc::default(),
                })
            },
        );
        assert!(matches!(call, Err(Error::Inner(_))));
    });
}

#[test]
fn the_drop_of_a_cause_may_use_the_handle() {
    returns(|| {
        let breaker = leaked();
        let dropped = Arc::new(AtomicU32::new(0));
        let ways: [fn(&CircuitBreaker); 7] = [
            CircuitBreaker::reset,
            CircuitBreaker::force_open,
            |breaker| breaker.set_mode(Mode::Disabled),
            |breaker| {
                let _ = breaker.transition_to(State::Closed);
            },
            |breaker| drop(breaker.restore(&breaker.snapshot())),
            |breaker| drop((breaker.try_acquire(), breaker.last_trip())),
            |breaker| drop(breaker.isolate()),
        ];
        let mut made = 0;
        for way in ways {
            breaker.reset();
            // Twice, so that the second trip takes the place of the first.
            for _ in 0..2 {
                trip(breaker, &dropped);
                made += 1;
                way(breaker);
                breaker.reset();
            }
        }
        assert_eq!(dropped.load(Ordering::Relaxed), made);

        // Causes that the breaker has no use for, and those of probes.
        let one = |verdict: fn() -> Verdict| verdict().with_cause(poking(breaker, &dropped));
        breaker.reset();
        breaker.try_acquire().unwrap().record(one(Verdict::success));
        breaker.try_acquire().unwrap().record(one(Verdict::ignored));
        breaker.set_mode(Mode::MetricsOnly);
        for _ in 0..4 {
            breaker.try_acquire().unwrap().record(one(Verdict::failure));
        }
        breaker.set_mode(Mode::Normal);
        let late = breaker.try_acquire().unwrap();
        breaker.reset();
        late.record(one(Verdict::failure));
        for _ in 0..5 {
            let _ = breaker.transition_to(State::Open);
            let _ = breaker.transition_to(State::HalfOpen);
            let probe = breaker.try_acquire().expect("a probe");
            probe.record(one(Verdict::failure));
        }
        breaker.reset();
        assert_eq!(dropped.load(Ordering::Relaxed), made + 12);
    });
}

#[test]
fn a_subscribers_waker_may_use_the_handle_when_it_is_woken_and_dropped() {
    struct PokingWaker {
        breaker: &'static CircuitBreaker,
        woken: AtomicU32,
    }

    impl ArcWake for PokingWaker {
        fn wake_by_ref(this: &Arc<Self>) {
            poke(this.breaker);
            this.woken.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Drop for PokingWaker {
        fn drop(&mut self) {
            poke(self.breaker);
        }
    }

    returns(|| {
        let breaker = leaked();
        let new = || {
            Arc::new(PokingWaker {
                breaker,
                woken: AtomicU32::new(0),
            })
        };
        let mut subscriber = breaker.subscribe(NonZeroUsize::MIN);
        for act in [
            CircuitBreaker::reset as fn(&CircuitBreaker),
            |breaker| {
                let _ = breaker.transition_to(State::Open);
            },
            CircuitBreaker::force_open,
            |breaker| drop(breaker.reconfigure(breaker.config())),
        ] {
            breaker.reset();
            while subscriber.try_recv().is_some() {}
            let watching = new();
            {
                let waker = waker(watching.clone());
                let mut next = Box::pin(subscriber.recv());
                assert!(
                    next.poll_unpin(&mut Context::from_waker(&waker))
                        .is_pending()
                );
                // Another waker takes its place, and the first is dropped.
                let other = futures::task::waker(new());
                assert!(
                    next.poll_unpin(&mut Context::from_waker(&other))
                        .is_pending()
                );
                assert!(
                    next.poll_unpin(&mut Context::from_waker(&waker))
                        .is_pending()
                );
            }
            act(breaker);
            assert_eq!(watching.woken.load(Ordering::Relaxed), 1);
            let next: Option<CircuitBreakerEvent> = subscriber.try_recv();
            assert!(next.is_some());
        }
    });
}

#[test]
fn a_tracing_subscriber_may_use_the_handle() {
    use tracing_subscriber::Layer;
    use tracing_subscriber::layer::{Context, SubscriberExt};

    struct PokingLayer {
        breaker: &'static CircuitBreaker,
        told: Arc<AtomicU32>,
    }

    impl<S: tracing::Subscriber> Layer<S> for PokingLayer {
        fn on_event(&self, _: &tracing::Event<'_>, _: Context<'_, S>) {
            // Once is enough; the pokes are told as well.
            if self.told.fetch_add(1, Ordering::Relaxed) == 0 {
                poke(self.breaker);
            }
        }
    }

    returns(|| {
        let breaker = leaked();
        let told = Arc::new(AtomicU32::new(0));
        let layer = PokingLayer {
            breaker,
            told: told.clone(),
        };
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || breaker.force_open());
        assert!(told.load(Ordering::Relaxed) > 0);
    });
}

#[test]
fn what_makes_and_what_visits_the_entries_of_a_keyed_set_may_use_it() {
    returns(|| {
        type Set = Keyed<u32, CircuitBreaker>;
        static SET: OnceLock<Set> = OnceLock::new();

        fn poke_set(key: u32) {
            let Some(set) = SET.get() else { return };
            let _ = (set.len(), set.evicted(), set.overflowed(), set.totals());
            let _ = set.peek(&key);
            set.for_each(|_, breaker| poke(breaker));
            // An older key, so that it ends.
            if key > 0 {
                let _ = set.get(&(key - 1));
            }
        }

        let overflow = CircuitBreaker::new("overflow", config()).unwrap();
        let set = Set::with("reentry", 4, overflow, |key| {
            poke_set(*key);
            CircuitBreaker::new("entry", config().minimum_calls(2)).unwrap()
        })
        .unwrap();
        let set = SET.get_or_init(|| set);
        let breaker = leaked();
        let dropped = Arc::new(AtomicU32::new(0));
        for key in (0..40).chain(0..40) {
            let entry = set.get(&key);
            if let Ok(permit) = entry.try_acquire() {
                permit.record(Verdict::failure().with_cause(poking(breaker, &dropped)));
            }
            set.for_each(|key, breaker| {
                poke(breaker);
                poke_set(*key);
            });
            assert!(set.len() <= 4);
        }
        assert!(set.evicted() > 0);
    });
}
