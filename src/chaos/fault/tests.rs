use super::*;
use crate::kernel::clock::{Clock, ManualClock};
use futures::FutureExt;
use futures::task::{ArcWake, waker};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tower::util::service_fn;
use tower_layer::Layer;
use tower_service::Service;

const SECOND: Duration = Duration::from_secs(1);

/// What a call ends with that is hit by an error.
const HIT: Result<&str, &str> = Err("injected");
const MISSED: Result<&str, &str> = Ok("made");

fn injector() -> (FaultInjector, ManualClock) {
    let clock = Clock::manual();
    (FaultInjector::with_clock(7, &clock), clock)
}

fn call(
    injector: &FaultInjector,
) -> impl Future<Output = Result<&'static str, &'static str>> + use<'_> {
    injector.call(|| async { Ok("made") }, || "injected")
}

/// Whether each of `calls` calls ends with the injected error.
fn hits(injector: &FaultInjector, calls: usize) -> Vec<bool> {
    let hit = |_| call(injector).now_or_never() == Some(HIT);
    (0..calls).map(hit).collect()
}

#[test]
fn bad_faults_are_refused_and_named() {
    let (injector, _) = injector();
    let zero = Duration::ZERO;
    for (fault, text) in [
        (
            Fault::error().probability(f64::NAN),
            "probability: NaN is not allowed; it must be from 0 to 1",
        ),
        (
            Fault::hang().probability(-0.1),
            "probability: -0.1 is not allowed; it must be from 0 to 1",
        ),
        (
            Fault::panic().probability(1.01),
            "probability: 1.01 is not allowed; it must be from 0 to 1",
        ),
        (
            Fault::error().probability(f64::INFINITY),
            "probability: inf is not allowed; it must be from 0 to 1",
        ),
        (
            Fault::latency(zero),
            "latency: 0s is not allowed; it must be above 0s",
        ),
        (
            Fault::error().ttl(zero),
            "ttl: 0s is not allowed; it must be above 0s",
        ),
    ] {
        assert_eq!(injector.inject(fault).unwrap_err().to_string(), text);
    }
    assert!(injector.faults().is_empty());
    assert_eq!(call(&injector).now_or_never(), Some(MISSED));
}

#[test]
fn there_are_not_too_many_and_those_that_ran_out_make_room() {
    let (injector, clock) = injector();
    for _ in 0..1_000 {
        injector.inject(Fault::error().ttl(SECOND)).unwrap();
    }
    let refused = injector.inject(Fault::error()).unwrap_err();
    assert_eq!((refused.field(), refused.value()), ("faults", "1001"));
    clock.advance(SECOND);
    injector.inject(Fault::error()).unwrap();
    assert_eq!(injector.faults().len(), 1);
}

#[test]
fn with_nothing_injected_nothing_happens() {
    let (injector, _) = injector();
    assert!(hits(&injector, 100).iter().all(|hit| !hit));
    assert_eq!(injector.counts(), FaultCounts::default());
    assert_eq!(injector.call_blocking(|| Ok::<_, ()>(1), || ()), Ok(1));
}

#[test]
fn the_same_seed_gives_the_same_draws() {
    let seed = 0x00C0_FFEE;
    println!("seed {seed:#x}");
    let rare = Fault::error().probability(0.3);
    let alone = FaultInjector::new(seed);
    alone.inject(rare.clone()).unwrap();
    let expected = hits(&alone, 10_000);
    let share = expected.iter().filter(|hit| **hit).count();
    // 3,000 +- 5 standard deviations of a binomial with p = 0.3.
    assert!((2_770..3_230).contains(&share), "{share}");
    assert_eq!(alone.counts().error, share as u64);

    // A neighbour that draws too, and calls before it was injected, change no draw of the first.
    let in_company = FaultInjector::new(seed);
    hits(&in_company, 10);
    in_company.inject(rare.clone()).unwrap();
    in_company.inject(Fault::error().probability(0.0)).unwrap();
    assert_eq!(hits(&in_company, 10_000), expected);

    let other_number = in_company;
    other_number.clear();
    other_number.inject(rare.clone()).unwrap();
    assert_ne!(hits(&other_number, 10_000), expected);
    let other_seed = FaultInjector::new(seed + 1);
    other_seed.inject(rare).unwrap();
    assert_ne!(hits(&other_seed, 10_000), expected);
}

#[test]
fn latencies_add_up_and_come_first() {
    let (injector, clock) = injector();
    injector.inject(Fault::latency(SECOND)).unwrap();
    injector.inject(Fault::error()).unwrap();
    injector.inject(Fault::latency(2 * SECOND)).unwrap();
    let mut call = pin!(call(&injector));
    assert_eq!(call.as_mut().now_or_never(), None);
    clock.advance(3 * SECOND - Duration::from_nanos(1));
    assert_eq!(call.as_mut().now_or_never(), None);
    assert_eq!(injector.counts().error, 0);
    clock.advance(Duration::from_nanos(1));
    assert_eq!(call.as_mut().now_or_never(), Some(HIT));
    assert_eq!(call.as_mut().now_or_never(), None);
    let counts = injector.counts();
    assert_eq!((counts.latency, counts.error), (1, 1));
}

#[test]
fn endless_latencies_do_not_overflow() {
    let (injector, clock) = injector();
    injector.inject(Fault::latency(Duration::MAX)).unwrap();
    injector.inject(Fault::latency(Duration::MAX)).unwrap();
    let mut call = pin!(call(&injector));
    clock.advance(Duration::from_secs(1 << 32));
    assert_eq!(call.as_mut().now_or_never(), None);
}

#[test]
fn a_hang_comes_before_a_panic_before_an_error() {
    let (injector, _) = injector();
    injector.inject(Fault::error()).unwrap();
    assert_eq!(call(&injector).now_or_never(), Some(HIT));
    let panic = injector.inject(Fault::panic().name("the roof")).unwrap();
    let caught = catch_unwind(AssertUnwindSafe(|| call(&injector).now_or_never())).unwrap_err();
    let message = caught.downcast_ref::<String>().unwrap();
    assert_eq!(message, "injected fault 2 (the roof)");
    injector.inject(Fault::hang()).unwrap();
    assert_eq!(call(&injector).now_or_never(), None);
    assert!(injector.remove(panic));
    assert!(!injector.remove(panic));
    assert_eq!(call(&injector).now_or_never(), None);
    let FaultCounts {
        latency,
        error,
        hang,
        panic,
        skipped,
    } = injector.counts();
    assert_eq!((latency, error, hang, panic, skipped), (0, 1, 2, 1, 0));
}

/// Ends a fault one way or another.
type End = fn(&FaultInjector, &ManualClock, FaultId);

#[test]
fn a_hang_ends_with_its_fault() {
    let (injector, clock) = injector();
    let ends: [End; 3] = [
        |injector, _, id| assert!(injector.remove(id)),
        |injector, _, _| injector.clear(),
        |_, clock, _| clock.advance(SECOND),
    ];
    for end in ends {
        let id = injector.inject(Fault::hang().ttl(SECOND)).unwrap();
        let mut call = pin!(call(&injector));
        assert_eq!(call.as_mut().now_or_never(), None);
        clock.advance(SECOND - Duration::from_nanos(1));
        assert_eq!(call.as_mut().now_or_never(), None);
        end(&injector, &clock, id);
        assert_eq!(call.as_mut().now_or_never(), Some(MISSED));
        assert!(injector.faults().is_empty());
    }
    let id = injector.inject(Fault::hang()).unwrap();
    let mut call = pin!(call(&injector));
    assert_eq!(call.as_mut().now_or_never(), None);
    clock.advance(Duration::from_secs(1 << 32));
    assert_eq!(call.as_mut().now_or_never(), None);
    injector.remove(id);
    assert_eq!(call.as_mut().now_or_never(), Some(MISSED));
    assert_eq!(injector.counts().hang, 4);
}

#[test]
fn a_hang_whose_fault_ended_during_the_latency_does_not_begin() {
    let (injector, clock) = injector();
    injector.inject(Fault::latency(SECOND)).unwrap();
    injector.inject(Fault::hang().ttl(SECOND)).unwrap();
    let removed = injector.inject(Fault::hang()).unwrap();
    for end in [true, false] {
        let mut call = pin!(call(&injector));
        assert_eq!(call.as_mut().now_or_never(), None);
        if end {
            injector.remove(removed);
        }
        clock.advance(SECOND);
        assert_eq!(call.as_mut().now_or_never(), Some(MISSED));
    }
    assert_eq!(injector.counts().hang, 0);
}

/// Counts how often it is woken, and asks the injector things that take its lock.
struct Reentrant {
    injector: FaultInjector,
    woken: std::sync::atomic::AtomicU32,
    panics: bool,
}

impl ArcWake for Reentrant {
    fn wake_by_ref(this: &Arc<Self>) {
        this.woken
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        this.injector.inject(Fault::error().ttl(SECOND)).unwrap();
        this.injector.clear();
        assert!(!this.panics, "a waker that panics");
    }
}

#[test]
fn wakers_run_after_the_unlock_and_a_panicking_one_stops_no_other() {
    let (injector, _) = injector();
    injector.inject(Fault::hang()).unwrap();
    let reentrant: Vec<_> = (0..3)
        .map(|n| {
            Arc::new(Reentrant {
                injector: injector.clone(),
                woken: 0.into(),
                panics: n == 1,
            })
        })
        .collect();
    let mut calls: Vec<_> = reentrant
        .iter()
        .map(|reentrant| {
            let mut call = Box::pin(call(&injector));
            let waker = waker(reentrant.clone());
            assert!(
                call.as_mut()
                    .poll(&mut Context::from_waker(&waker))
                    .is_pending()
            );
            call
        })
        .collect();
    assert!(catch_unwind(AssertUnwindSafe(|| injector.clear())).is_err());
    for (call, reentrant) in calls.iter_mut().zip(&reentrant) {
        assert_eq!(
            reentrant.woken.load(std::sync::atomic::Ordering::Relaxed),
            1
        );
        assert_eq!(call.as_mut().now_or_never(), Some(MISSED));
    }
}

#[test]
fn a_dropped_call_leaves_nothing_behind() {
    let (injector, clock) = injector();
    let latency = injector.inject(Fault::latency(SECOND)).unwrap();
    let reentrant = Arc::new(Reentrant {
        injector: injector.clone(),
        woken: 0.into(),
        panics: true,
    });
    let waker = waker(reentrant.clone());
    for _ in 0..2 {
        let mut call = Box::pin(call(&injector));
        assert!(
            call.as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
        drop(call);
        injector.remove(latency);
        injector.inject(Fault::hang()).unwrap();
    }
    clock.advance(SECOND);
    injector.clear();
    drop(waker);
    assert_eq!(Arc::strong_count(&reentrant), 1);
}

#[test]
fn the_last_handle_ends_what_hangs() {
    let (injector, _) = injector();
    injector.inject(Fault::hang()).unwrap();
    let layer = FaultLayer::new(injector, |(): &()| "injected");
    let mut service = layer.layer(service_fn(|()| async { Ok::<_, &str>("made") }));
    let mut call = pin!(service.call(()));
    assert_eq!(call.as_mut().now_or_never(), None);
    drop(layer);
    assert_eq!(call.as_mut().now_or_never(), None);
    drop(service);
    assert_eq!(call.as_mut().now_or_never(), Some(MISSED));
}

#[test]
fn a_fault_runs_out_by_itself_and_stays_out() {
    let (injector, clock) = injector();
    injector.inject(Fault::error().ttl(SECOND)).unwrap();
    clock.advance(SECOND - Duration::from_nanos(1));
    assert_eq!(call(&injector).now_or_never(), Some(HIT));
    let [fault] = &injector.faults()[..] else {
        panic!("one fault was expected")
    };
    assert_eq!(fault.remaining, Some(Duration::from_nanos(1)));
    clock.advance(Duration::from_nanos(1));
    assert_eq!(call(&injector).now_or_never(), Some(MISSED));
    clock.step_back(SECOND);
    assert_eq!(call(&injector).now_or_never(), Some(MISSED));
    assert!(injector.faults().is_empty());
}

#[test]
fn faults_are_listed_and_a_guard_takes_its_own_away() {
    let (injector, _) = injector();
    let slow = Fault::latency(SECOND).probability(0.25).ttl(SECOND);
    let guard = injector.inject_guarded(Fault::hang()).unwrap();
    injector.inject(slow.name("slow")).unwrap();
    let shown = injector.faults();
    assert_eq!((shown[0].id, shown[0].kind), (guard.id(), FaultKind::Hang));
    assert_eq!(shown[0].remaining, None);
    assert_eq!(shown[1].name.as_ref().unwrap().as_str(), "slow");
    assert_eq!(shown[1].kind.as_str(), "latency");
    assert_eq!(shown[1].probability.to_bits(), 0.25_f64.to_bits());
    assert!(shown[0].id < shown[1].id);
    assert_eq!(shown[1].id.to_string(), "2");
    drop(guard);
    assert_eq!(injector.faults(), shown[1..]);
    assert!(format!("{injector:?}").contains("seed: 7"));
}

#[test]
fn without_a_runtime_what_needs_a_timer_is_skipped_and_counted() {
    let injector = FaultInjector::with_clock(7, Clock::tokio());
    injector.inject(Fault::latency(SECOND)).unwrap();
    injector.inject(Fault::hang().ttl(3600 * SECOND)).unwrap();
    assert_eq!(call(&injector).now_or_never(), Some(MISSED));
    let counts = injector.counts();
    assert_eq!((counts.latency, counts.hang, counts.skipped), (0, 0, 2));
    // A hang that nothing but its removal ends needs no timer.
    injector.clear();
    injector.inject(Fault::hang()).unwrap();
    assert_eq!(call(&injector).now_or_never(), None);
    assert_eq!(injector.counts().hang, 1);
}

/// Makes a blocking call in a thread, and runs `meanwhile` over and over until it ends.
fn in_a_thread(injector: &FaultInjector, meanwhile: impl Fn()) -> Result<u8, u8> {
    std::thread::scope(|scope| {
        let call = scope.spawn(|| injector.call_blocking(|| Ok(1), || 2));
        while !call.is_finished() {
            meanwhile();
            std::thread::yield_now();
        }
        call.join().expect("the call does not panic")
    })
}

#[test]
fn blocking_calls_are_hit_too() {
    let (injector, clock) = injector();
    let blocking = || injector.call_blocking(|| Ok(1), || 2);
    injector.inject(Fault::error()).unwrap();
    assert_eq!(blocking(), Err(2));
    injector.inject(Fault::panic()).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(blocking)).is_err());
    injector.clear();

    injector.inject(Fault::latency(SECOND)).unwrap();
    assert_eq!(in_a_thread(&injector, || clock.advance(SECOND)), Ok(1));
    injector.clear();

    injector.inject(Fault::hang()).unwrap();
    let clear_once_it_hangs = || {
        if injector.counts().hang == 1 {
            injector.clear();
        }
    };
    assert_eq!(in_a_thread(&injector, clear_once_it_hangs), Ok(1));

    injector.inject(Fault::hang().ttl(SECOND)).unwrap();
    let run_out_once_it_hangs = || {
        if injector.counts().hang == 2 {
            clock.advance(SECOND);
        }
    };
    assert_eq!(in_a_thread(&injector, run_out_once_it_hangs), Ok(1));
    let counts = injector.counts();
    assert_eq!((counts.latency, counts.error, counts.panic), (1, 1, 1));
}

/// A service that remembers the requests of its `call` and of its first polls.
#[derive(Clone, Default)]
struct Diary(Arc<parking_lot::Mutex<Vec<&'static str>>>);

impl Service<u8> for Diary {
    type Response = u8;
    type Error = String;
    type Future = Pin<Box<dyn Future<Output = Result<u8, String>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), String>> {
        self.0.lock().push("ready");
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u8) -> Self::Future {
        self.0.lock().push("call");
        let diary = self.0.clone();
        Box::pin(async move {
            diary.lock().push("poll");
            Ok(request)
        })
    }
}

#[test]
fn the_service_makes_its_call_at_once_and_polls_it_later() {
    let (injector, clock) = injector();
    let diary = Diary::default();
    let layer = FaultLayer::new(injector.clone(), |n: &u8| format!("no {n}")).only(|n: &u8| *n > 1);
    let mut service = layer.layer(diary.clone());
    let mut cx = Context::from_waker(futures::task::noop_waker_ref());

    injector.inject(Fault::latency(SECOND)).unwrap();
    assert!(service.poll_ready(&mut cx).is_ready());
    assert_eq!(service.call(1).now_or_never(), Some(Ok(1)));
    assert_eq!(*diary.0.lock(), ["ready", "call", "poll"]);
    let mut delayed = pin!(service.call(2));
    assert_eq!(delayed.as_mut().now_or_never(), None);
    assert_eq!(diary.0.lock()[3..], ["call"]);
    clock.advance(SECOND);
    assert_eq!(delayed.as_mut().now_or_never(), Some(Ok(2)));
    assert_eq!(diary.0.lock()[3..], ["call", "poll"]);

    injector.clear();
    injector.inject(Fault::error()).unwrap();
    assert_eq!(service.call(1).now_or_never(), Some(Ok(1)));
    diary.0.lock().clear();
    let mut failed = pin!(service.call(3));
    assert_eq!(failed.as_mut().now_or_never(), Some(Err("no 3".to_owned())));
    assert_eq!(failed.as_mut().now_or_never(), None);
    assert!(diary.0.lock().is_empty());
    let debug = format!("{layer:?} {service:?} {failed:?}");
    assert!(debug.contains("FaultFuture { is_hit: false"), "{debug}");
}

#[test]
fn an_injected_panic_waits_for_the_poll() {
    let (injector, _) = injector();
    injector.inject(Fault::panic()).unwrap();
    let mut service =
        FaultLayer::new(injector.clone(), |_: &u8| String::new()).layer(Diary::default());
    let mut call = pin!(service.call(1));
    assert_eq!(injector.counts().panic, 0);
    assert!(catch_unwind(AssertUnwindSafe(|| call.as_mut().now_or_never())).is_err());
    assert_eq!(call.as_mut().now_or_never(), None);
    assert_eq!(injector.counts().panic, 1);
}

/// With `test-util`, an injector built without a word about clocks moves with a paused runtime.
#[cfg(feature = "test-util")]
mod paused {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn faults_move_with_a_paused_runtime() {
        let clock = Clock::default();
        let start = clock.now();
        let elapsed = || clock.now().saturating_duration_since(start);
        let injector = FaultInjector::new(7);
        injector
            .inject(Fault::latency(SECOND).ttl(10 * SECOND))
            .unwrap();
        assert_eq!(call(&injector).await, MISSED);
        // Tokio's timers count in milliseconds, and are never early.
        let late = Duration::from_millis(2);
        assert!((SECOND..SECOND + late).contains(&elapsed()));
        injector.inject(Fault::hang().ttl(20 * SECOND)).unwrap();
        assert_eq!(call(&injector).await, MISSED);
        assert!(
            (21 * SECOND..21 * SECOND + late).contains(&elapsed()),
            "{:?}",
            elapsed()
        );
        assert!(injector.faults().is_empty());
        let counts = injector.counts();
        assert_eq!((counts.latency, counts.hang), (2, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_hangs_is_woken_by_the_end_of_its_fault() {
        let injector = FaultInjector::new(7);
        let guard = injector.inject_guarded(Fault::hang()).unwrap();
        let task = tokio::spawn({
            let injector = injector.clone();
            async move { call(&injector).await }
        });
        while injector.counts().hang == 0 {
            tokio::task::yield_now().await;
        }
        assert!(!task.is_finished());
        drop(guard);
        assert_eq!(task.await.unwrap(), MISSED);
    }
}
