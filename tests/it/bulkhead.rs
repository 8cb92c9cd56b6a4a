//! The bulkhead's rules, without those of its queue.

use crate::rig::SECOND;
use backstop::kernel::clock::{Clock, ManualClock};
use backstop::kernel::event::Subscriber;
use backstop::kernel::managed::Managed;
use backstop::kernel::rejection::{Executed, Facts, Rejection, RejectionKind};
use backstop::policy::bulkhead::{Ask, BulkheadEvent, EventKind};
use backstop::{Bulkhead, BulkheadConfig, BulkheadLayer, Error};
use futures::FutureExt;
use std::future::{Future, poll_fn, ready};
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tower::{Layer, Service};

pub(crate) fn slots(slots: u32) -> BulkheadConfig {
    BulkheadConfig::default().max_concurrent(slots)
}

pub(crate) struct Rig {
    pub(crate) bulkhead: Bulkhead,
    pub(crate) clock: ManualClock,
    events: Mutex<Subscriber<BulkheadEvent>>,
}

impl Rig {
    pub(crate) fn new(config: BulkheadConfig) -> Self {
        let clock = Clock::manual();
        let bulkhead = Bulkhead::with_clock("rig", config, &clock).expect("a valid configuration");
        let events = bulkhead.subscribe(NonZeroUsize::new(1_000).expect("not zero"));
        Self {
            bulkhead,
            clock,
            events: Mutex::new(events),
        }
    }

    /// What happened since the last look.
    pub(crate) fn events(&self) -> Vec<EventKind> {
        let mut events = self.events.lock().expect("no panic");
        std::iter::from_fn(|| events.try_recv())
            .map(|event| event.kind)
            .collect()
    }
}

pub(crate) fn refused<T>(result: Result<T, Rejection>) -> RejectionKind {
    result.map(drop).expect_err("refused").kind()
}

#[test]
fn bh1a_no_more_calls_run_than_the_limit() {
    let Rig { bulkhead, .. } = Rig::new(BulkheadConfig::default());
    let permits: Vec<_> = (0..25)
        .map(|_| bulkhead.try_acquire().expect("25 slots by default"))
        .collect();
    assert_eq!(refused(bulkhead.try_acquire()), RejectionKind::Full);
    assert_eq!(bulkhead.in_flight(), 25);
    drop(permits);
    assert_eq!(bulkhead.in_flight(), 0);
    drop(bulkhead.try_acquire().expect("all slots came back"));
}

#[test]
fn bh1a_g6_a_limit_of_zero_refuses_everything() {
    let ways = [slots(0), slots(0).queue(10, SECOND)];
    for config in ways {
        let Rig { bulkhead, .. } = Rig::new(config);
        assert_eq!(refused(bulkhead.try_acquire()), RejectionKind::Full);
        let waits = bulkhead.acquire(Ask::default()).now_or_never();
        assert_eq!(
            refused(waits.expect("nothing to wait for")),
            RejectionKind::Full
        );
        let called = bulkhead.call(|| ready(Ok::<u8, u8>(1))).now_or_never();
        assert!(matches!(called, Some(Err(Error::Rejected(_)))));
        let blocking = bulkhead.call_blocking(|| Ok::<u8, u8>(1));
        assert!(matches!(blocking, Err(Error::Rejected(_))));
        assert_eq!(bulkhead.totals().refused_full, 4);
        bulkhead.resize(1).unwrap();
        assert!(bulkhead.try_acquire().is_ok());
    }
}

#[test]
fn bh1b_without_a_queue_a_call_is_refused_at_once() {
    let Rig { bulkhead, .. } = Rig::new(slots(1));
    let _held = bulkhead.try_acquire().unwrap();
    let patient = Ask::default().max_wait(3_600 * SECOND);
    let refused = bulkhead.acquire(patient).now_or_never().expect("at once");
    let refused = refused.map(drop).unwrap_err();
    assert_eq!(refused.kind(), RejectionKind::Full);
    assert_eq!(refused.executed(), Executed::No);
    assert_eq!(refused.facts(), Facts::Limit { limit: 1 });
    assert_eq!(
        (refused.policy(), refused.name().as_str()),
        ("bulkhead", "rig")
    );
    assert_eq!(
        refused.to_string(),
        "bulkhead `rig` is full: the limit is 1"
    );
    assert!(refused.retry_after().is_none() && refused.cause().is_none());

    let mut ran = false;
    let call = bulkhead.call(|| {
        ran = true;
        ready(Ok::<u8, u8>(1))
    });
    assert!(matches!(call.now_or_never(), Some(Err(Error::Rejected(_)))));
    let blocking = bulkhead.call_blocking(|| {
        ran = true;
        Ok::<u8, u8>(1)
    });
    assert!(matches!(blocking, Err(Error::Rejected(_))));
    assert!(!ran);
}

#[test]
fn bh1e_isolation_refuses_everything_until_the_last_guard_is_gone() {
    let rig = Rig::new(slots(2).queue(10, SECOND));
    let running = rig.bulkhead.try_acquire().unwrap();
    let first = rig.bulkhead.isolate();
    let second = Managed::isolate(&rig.bulkhead);
    assert_eq!(
        refused(rig.bulkhead.try_acquire()),
        RejectionKind::ForcedOpen
    );
    let waits = rig.bulkhead.acquire(Ask::default()).now_or_never();
    assert_eq!(refused(waits.unwrap()), RejectionKind::ForcedOpen);
    assert_eq!(rig.bulkhead.snapshot().state(), "isolated");
    assert_eq!(rig.bulkhead.in_flight(), 1, "running calls go on");
    drop(first);
    assert_eq!(
        refused(rig.bulkhead.try_acquire()),
        RejectionKind::ForcedOpen
    );
    drop(second);
    assert!(rig.bulkhead.try_acquire().is_ok());
    drop(running);
    assert_eq!(rig.events(), [EventKind::Isolated, EventKind::Released]);
    assert_eq!(rig.bulkhead.totals().refused_forced_open, 3);
    assert_eq!(rig.bulkhead.totals().refused(), 3);
}

#[test]
fn bh3a_a_permit_follows_the_work_of_a_caller_that_times_out() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let bulkhead = Bulkhead::new("work", slots(1)).unwrap();
    let (finish, work_may_end) = std::sync::mpsc::channel::<()>();
    let mut work = runtime.block_on(async {
        let permit = bulkhead.try_acquire_owned().unwrap();
        [tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let _ = work_may_end.recv();
        })]
    });
    // Its caller asks once, and hangs up.
    assert!((&mut work[0]).now_or_never().is_none());
    assert_eq!(bulkhead.in_flight(), 1);
    assert_eq!(refused(bulkhead.try_acquire()), RejectionKind::Full);
    finish.send(()).unwrap();
    runtime.block_on(&mut work[0]).unwrap();
    assert_eq!(bulkhead.in_flight(), 0);
    assert!(bulkhead.try_acquire().is_ok());
}

/// Something that a call holds, and that says how many calls ran when it was dropped.
struct Guarded<'a>(&'a Bulkhead, Arc<AtomicU32>);

impl Drop for Guarded<'_> {
    fn drop(&mut self) {
        self.1.store(self.0.in_flight(), Ordering::Relaxed);
    }
}

#[test]
fn bh4h_a_slot_comes_back_however_its_call_ends() {
    let Rig { bulkhead, .. } = Rig::new(slots(1));
    let is_free = |ended: u64| {
        assert_eq!(bulkhead.in_flight(), 0);
        assert_eq!(bulkhead.totals().finished, ended);
    };
    // By a result, of either kind.
    assert!(matches!(
        bulkhead.call(|| ready(Ok::<u8, u8>(1))).now_or_never(),
        Some(Ok(1))
    ));
    is_free(1);
    let failed = bulkhead.call(|| ready(Err::<u8, u8>(2))).now_or_never();
    assert!(matches!(failed, Some(Err(Error::Inner(2)))));
    is_free(2);
    // As soon as it is there, and not when the future goes.
    let mut cx = Context::from_waker(futures::task::noop_waker_ref());
    let mut done = pin!(bulkhead.call(|| ready(Ok::<u8, u8>(1))));
    assert!(done.as_mut().poll(&mut cx).is_ready());
    is_free(3);
    assert!(
        done.as_mut().poll(&mut cx).is_pending(),
        "it has nothing more to say"
    );
    // By being dropped, after what the call holds.
    let seen = Arc::new(AtomicU32::new(9));
    {
        let held = Guarded(&bulkhead, seen.clone());
        let mut call = pin!(bulkhead.call(|| {
            let mut polls = 0;
            poll_fn(move |_| {
                let _ = &held;
                polls += 1;
                if polls > 2 {
                    Poll::Ready(Ok::<u8, u8>(1))
                } else {
                    Poll::Pending
                }
            })
        }));
        assert_eq!(bulkhead.in_flight(), 0, "not before the first poll");
        assert!(call.as_mut().poll(&mut cx).is_pending());
        assert!(call.as_mut().poll(&mut cx).is_pending());
        assert_eq!(bulkhead.in_flight(), 1);
    }
    assert_eq!(
        seen.load(Ordering::Relaxed),
        1,
        "dropped while the slot was taken"
    );
    is_free(4);
    // By panics: of the operation, of its future, of blocking code.
    let operation = bulkhead.call(|| -> std::future::Ready<Result<u8, u8>> { panic!("ordered") });
    assert!(catch_unwind(AssertUnwindSafe(|| operation.now_or_never())).is_err());
    is_free(5);
    let future = bulkhead.call(|| async {
        if true {
            panic!("ordered")
        } else {
            Ok::<u8, u8>(1)
        }
    });
    assert!(catch_unwind(AssertUnwindSafe(|| future.now_or_never())).is_err());
    is_free(6);
    let blocking = || bulkhead.call_blocking(|| -> Result<u8, u8> { panic!("ordered") });
    assert!(catch_unwind(AssertUnwindSafe(blocking)).is_err());
    is_free(7);
    // By a thread that unwinds with a permit.
    let unwinds = || {
        let _permit = bulkhead.try_acquire().unwrap();
        panic!("ordered");
    };
    assert!(catch_unwind(AssertUnwindSafe(unwinds)).is_err());
    is_free(8);
    drop(bulkhead.try_acquire_owned().unwrap());
    is_free(9);
}

#[test]
fn call_in_leaves_the_error_as_it_is() {
    let Rig { bulkhead, .. } = Rig::new(slots(1));
    let inner = || ready(Err::<u8, Error<u8>>(Error::Inner(1)));
    let called = bulkhead.call_in(inner).now_or_never();
    assert!(matches!(called, Some(Err(Error::Inner(1)))));
    let _held = bulkhead.try_acquire().unwrap();
    let called = bulkhead.call_in_with(Ask::default(), inner).now_or_never();
    let Some(Err(Error::Rejected(rejection))) = called else {
        panic!("{called:?}");
    };
    assert_eq!(rejection.kind(), RejectionKind::Full);
}

#[test]
fn bh5a_a_smaller_limit_lets_running_calls_finish() {
    let rig = Rig::new(slots(3));
    let mut permits = [(); 3].map(|()| Some(rig.bulkhead.try_acquire().unwrap()));
    rig.bulkhead.resize(1).unwrap();
    assert_eq!(rig.bulkhead.in_flight(), 3, "nobody is thrown out");
    for permit in &mut permits {
        assert_eq!(refused(rig.bulkhead.try_acquire()), RejectionKind::Full);
        *permit = None;
    }
    let one = rig
        .bulkhead
        .try_acquire()
        .expect("fewer than the limit run now");
    assert_eq!(refused(rig.bulkhead.try_acquire()), RejectionKind::Full);
    drop(one);
    rig.bulkhead.resize(1).unwrap();
    assert_eq!(rig.bulkhead.config().max_concurrent(9), slots(9));
    let refused = rig.bulkhead.resize(1 << 28).unwrap_err();
    assert_eq!(
        (refused.field(), refused.value()),
        ("max_concurrent", "268435456")
    );
    let resized = EventKind::Resized { from: 3, to: 1 };
    assert_eq!(
        rig.events(),
        [
            resized,
            EventKind::Saturated {
                limit: 1,
                waiting: 0
            }
        ],
        "to what it is: nothing happens"
    );
}

#[test]
fn g4a_g4b_a_configuration_is_exchanged_while_calls_run() {
    let rig = Rig::new(slots(2));
    let running = rig.bulkhead.try_acquire().unwrap();
    let managed: &dyn Managed = &rig.bulkhead;
    managed.reconfigure(&slots(1).queue(1, SECOND)).unwrap();
    assert_eq!(rig.bulkhead.snapshot().in_flight, 1, "counts stay");
    assert_eq!(refused(rig.bulkhead.try_acquire()), RejectionKind::Full);
    let bad = managed.reconfigure(&slots(9).queue(1, std::time::Duration::ZERO));
    assert_eq!(bad.unwrap_err().field(), "max_wait");
    let of_another_type = managed.reconfigure(&7_u8).unwrap_err();
    assert_eq!(of_another_type.field(), "config");
    assert_eq!(
        rig.bulkhead.config(),
        slots(1).queue(1, SECOND),
        "the old one stays"
    );
    let copy = managed.config();
    managed.reconfigure(&*copy).unwrap();
    drop(running);
    assert!(rig.bulkhead.try_acquire().is_ok());
    let saturated = EventKind::Saturated {
        limit: 1,
        waiting: 0,
    };
    let reconfigured = EventKind::Reconfigured;
    assert_eq!(rig.events(), [reconfigured, saturated, reconfigured]);
}

#[test]
fn bh1c_bad_configurations_are_refused_by_name() {
    let text = |config| Bulkhead::new("x", config).unwrap_err().to_string();
    assert_eq!(
        text(slots(1 << 28)),
        "max_concurrent: 268435456 is not allowed; it must be from 0 to 268435455"
    );
    assert_eq!(
        text(BulkheadConfig::default().queue(1 << 28, SECOND)),
        "max_waiting: 268435456 is not allowed; it must be from 0 to 268435455"
    );
    assert_eq!(
        text(BulkheadConfig::default().queue(0, SECOND)),
        "max_waiting: 0 is not allowed; it must be at least 1 where there is a max_wait"
    );
    assert_eq!(
        text(BulkheadConfig::default().queue(1, std::time::Duration::ZERO)),
        "max_wait: 0s is not allowed; it must be above 0s"
    );
    let highest = slots((1 << 28) - 1).queue((1 << 28) - 1, SECOND);
    assert!(Bulkhead::new("x", highest).is_ok());
    assert!(Bulkhead::new("x", highest.without_queue()).is_ok());
}

#[cfg(feature = "serde")]
#[test]
fn bh1c_a_configuration_is_read_from_text() {
    let config: BulkheadConfig = toml::from_str(
        r#"max_concurrent = 10
           max_waiting = 50
           max_wait = "500ms"
           order = "lifo"
           totals = false"#,
    )
    .unwrap();
    let wait = std::time::Duration::from_millis(500);
    let expected = slots(10)
        .queue(50, wait)
        .order(backstop::policy::bulkhead::Order::Lifo)
        .totals(false);
    assert_eq!(config, expected);
    let text = serde_json::to_string(&config).unwrap();
    let again: BulkheadConfig = serde_json::from_str(&text).unwrap();
    assert_eq!(again, config);
    let unknown = toml::from_str::<BulkheadConfig>("max_concurent = 10").unwrap_err();
    assert!(unknown.to_string().contains("max_concurent"));
    let endless: BulkheadConfig = toml::from_str("max_waiting = 5").unwrap();
    let refused = Bulkhead::new("x", endless).unwrap_err();
    assert_eq!((refused.field(), refused.value()), ("max_wait", "none"));
    let empty: BulkheadConfig = toml::from_str("").unwrap();
    assert_eq!(empty, BulkheadConfig::default());
}

#[test]
fn bh7a_g5_saturation_is_told_once_and_its_end_too() {
    let rig = Rig::new(slots(1));
    let running = rig.bulkhead.try_acquire().unwrap();
    for _ in 0..3 {
        assert!(rig.bulkhead.try_acquire().is_err());
    }
    let saturated = EventKind::Saturated {
        limit: 1,
        waiting: 0,
    };
    assert_eq!(rig.events(), [saturated]);
    assert_eq!(rig.bulkhead.snapshot().state(), "saturated");
    drop(running);
    // Free again, but refused not long ago: it goes up and down, and is not told each time.
    rig.clock.advance(SECOND / 2);
    let running = rig.bulkhead.try_acquire().unwrap();
    assert!(rig.bulkhead.try_acquire().is_err());
    rig.clock.advance(SECOND / 2);
    drop(running);
    assert_eq!(rig.events(), []);
    // A second after the last refusal the next call that ends tells.
    rig.clock.advance(SECOND / 2);
    assert_eq!(rig.events(), []);
    drop(rig.bulkhead.try_acquire().unwrap());
    let relieved = |refused| EventKind::Relieved { refused };
    assert_eq!(rig.events(), [relieved(4)]);
    // Or a look does.
    let running = rig.bulkhead.try_acquire().unwrap();
    assert!(rig.bulkhead.try_acquire().is_err());
    rig.clock.advance(SECOND);
    assert!(!rig.bulkhead.snapshot().is_saturated);
    assert_eq!(rig.events(), [saturated, relieved(1)]);
    // A clock that steps back ends nothing.
    assert!(rig.bulkhead.try_acquire().is_err());
    rig.clock.step_back(3_600 * SECOND);
    drop(running);
    assert!(rig.bulkhead.snapshot().is_saturated);
    rig.bulkhead.reset();
    assert_eq!(rig.events(), [saturated, EventKind::Reset]);
    assert_eq!(rig.bulkhead.snapshot().state(), "available");
}

#[test]
fn g5_events_are_numbered() {
    let bulkhead = Bulkhead::with_clock("x", slots(1), Clock::manual()).unwrap();
    let mut events = bulkhead.subscribe(NonZeroUsize::new(10).unwrap());
    bulkhead.resize(2).unwrap();
    drop(bulkhead.isolate());
    bulkhead.reset();
    let seen: Vec<u64> = std::iter::from_fn(|| events.try_recv())
        .map(|event| event.seq)
        .collect();
    assert_eq!(seen, [1, 2, 3, 4]);
}

#[test]
fn bh7b_the_peak_is_the_most_calls_at_once() {
    let Rig { bulkhead, .. } = Rig::new(slots(10));
    let mut permits: Vec<_> = (0..7).map(|_| bulkhead.try_acquire().unwrap()).collect();
    permits.truncate(3);
    permits.push(bulkhead.try_acquire().unwrap());
    assert_eq!((bulkhead.snapshot().peak, bulkhead.in_flight()), (7, 4));
    bulkhead.reset();
    assert_eq!(bulkhead.snapshot().peak, 4, "since the reset");
    permits.clear();
    drop(bulkhead.try_acquire().unwrap());
    assert_eq!(bulkhead.snapshot().peak, 4);
    assert_eq!(bulkhead.totals().finished, 9);
}

#[test]
fn bh7b_totals_that_are_off_count_refusals_only() {
    let Rig { bulkhead, .. } = Rig::new(slots(1).totals(false));
    let held = bulkhead.try_acquire().unwrap();
    assert!(bulkhead.try_acquire().is_err());
    drop(held);
    let totals = bulkhead.totals();
    assert_eq!((totals.finished, totals.refused_full), (0, 1));
    bulkhead.reconfigure(slots(1)).unwrap();
    drop(bulkhead.try_acquire().unwrap());
    assert_eq!(bulkhead.totals().finished, 1);
}

#[test]
fn bh4h_bh7b_64_threads_lose_no_slot_and_no_count() {
    const THREADS: u32 = 64;
    const CALLS: u64 = 2_000;
    for config in [slots(7), slots(7).queue(100, 3_600 * SECOND)] {
        let bulkhead = Bulkhead::with_clock("crowd", config, Clock::system()).unwrap();
        let inside = AtomicU32::new(0);
        let refused = std::sync::atomic::AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for _ in 0..CALLS {
                        let called = bulkhead.call_blocking(|| {
                            let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                            assert!(now <= 7, "{now} calls at once");
                            std::hint::spin_loop();
                            inside.fetch_sub(1, Ordering::SeqCst);
                            Ok::<(), ()>(())
                        });
                        refused.fetch_add(u64::from(called.is_err()), Ordering::Relaxed);
                    }
                });
            }
        });
        let (totals, snapshot) = (bulkhead.totals(), bulkhead.snapshot());
        let refused = refused.load(Ordering::Relaxed);
        assert_eq!(totals.refused(), refused);
        assert_eq!(totals.finished + refused, u64::from(THREADS) * CALLS);
        assert_eq!((snapshot.in_flight, snapshot.waiting), (0, 0));
        assert!((1..=7).contains(&snapshot.peak), "{snapshot:?}");
        if config != slots(7) {
            assert_eq!(refused, 0, "all of them could wait");
        }
    }
}

#[test]
fn bh6a_a_full_service_is_ready_and_a_slot_is_taken_by_call() {
    /// Not `Clone`.
    struct Once;
    impl Service<u8> for Once {
        type Response = u8;
        type Error = Error<u8>;
        type Future = std::future::Ready<Result<u8, Error<u8>>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: u8) -> Self::Future {
            ready(Ok(request))
        }
    }
    let Rig { bulkhead, .. } = Rig::new(slots(1));
    let mut service = BulkheadLayer::new(bulkhead.clone()).layer(Once);
    let mut cx = Context::from_waker(futures::task::noop_waker_ref());
    assert!(service.poll_ready(&mut cx).is_ready());
    assert_eq!(bulkhead.in_flight(), 0, "ready, and holds nothing");
    let call = service.call(7);
    assert_eq!(
        bulkhead.in_flight(),
        1,
        "taken by the call, before it is polled"
    );
    assert!(service.poll_ready(&mut cx).is_ready(), "full is ready");
    let refused = service.call(8).now_or_never();
    assert!(matches!(refused, Some(Err(Error::Rejected(_)))));
    let mut call = pin!(call);
    assert!(matches!(call.as_mut().poll(&mut cx), Poll::Ready(Ok(7))));
    assert_eq!(
        bulkhead.in_flight(),
        0,
        "back as soon as the reply is there"
    );
    assert!(call.as_mut().poll(&mut cx).is_pending());
}

#[test]
fn bh1e_an_isolated_service_does_not_wait_for_the_inner_one() {
    struct NeverReady(bool);
    impl Service<u8> for NeverReady {
        type Response = u8;
        type Error = Error<u8>;
        type Future = std::future::Ready<Result<u8, Error<u8>>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            self.0 = true;
            Poll::Pending
        }

        fn call(&mut self, _: u8) -> Self::Future {
            panic!("called without being ready")
        }
    }
    let Rig { bulkhead, .. } = Rig::new(slots(1));
    let mut service = BulkheadLayer::new(bulkhead.clone()).layer(NeverReady(false));
    let mut cx = Context::from_waker(futures::task::noop_waker_ref());
    let guard = bulkhead.isolate();
    assert!(service.poll_ready(&mut cx).is_ready());
    assert!(!service.get_ref().0, "it was asked");
    let Some(Err(Error::Rejected(rejection))) = service.call(1).now_or_never() else {
        panic!("not refused");
    };
    assert_eq!(rejection.kind(), RejectionKind::ForcedOpen);
    // Open again between `poll_ready` and `call`: refused once more.
    assert!(service.poll_ready(&mut cx).is_ready());
    drop(guard);
    assert!(matches!(
        service.call(1).now_or_never(),
        Some(Err(Error::Rejected(_)))
    ));
    assert_eq!(bulkhead.in_flight(), 0);
    assert!(service.poll_ready(&mut cx).is_pending());
}
