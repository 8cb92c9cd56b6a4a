//! What a maintainer of a runtime would try on a pipeline first.

use crate::rig::{MS, SECOND};
use backstop::kernel::backoff::Backoff;
use backstop::kernel::budget::BudgetConfig;
use backstop::kernel::clock::{Clock, ManualClock};
use backstop::kernel::outcome::Outcome;
use backstop::kernel::rejection::{Executed, RejectionKind};
use backstop::policy::pipeline::PipelineParts;
use backstop::{
    BulkheadConfig, CircuitBreakerConfig, Error, Pipeline, PipelineConfig, Retry, RetryConfig,
    Timeout,
};
use futures::task::ArcWake;
use std::cell::Cell;
use std::future::{Future, pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

type Reply = Result<u8, &'static str>;

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(futures::task::noop_waker_ref()))
}

fn config() -> PipelineConfig {
    PipelineConfig::default()
        .total_timeout(3 * SECOND)
        .attempt_timeout(SECOND)
        .retry(RetryConfig::default().backoff(Backoff::exponential(100 * MS)))
}

fn pipeline(config: PipelineConfig) -> (Pipeline, ManualClock) {
    let clock = Clock::manual();
    let pipeline = Pipeline::with_clock("p", config, &clock).expect("a valid configuration");
    (pipeline, clock)
}

/// Counts its wakes.
#[derive(Default)]
struct Bell(AtomicU32);

impl ArcWake for Bell {
    fn wake_by_ref(bell: &Arc<Self>) {
        bell.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Polls by a new waker each time, and only when the newest one was woken, or on a whim.
#[track_caller]
fn finish_by_wakes<F: Future>(
    clock: &ManualClock,
    future: F,
    whims: u64,
    mut each: impl FnMut(u32),
) -> (F::Output, Duration) {
    let mut rng = fastrand::Rng::with_seed(whims);
    let mut future = pin!(future);
    let mut bell = Arc::new(Bell::default());
    bell.0.store(1, Ordering::SeqCst);
    for passed in 0..100_000 {
        each(passed);
        let on_a_whim = whims != 0 && rng.u8(..) < 16;
        if bell.0.load(Ordering::SeqCst) > 0 || on_a_whim {
            bell = Arc::new(Bell::default());
            let waker = futures::task::waker(bell.clone());
            let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
            if let Poll::Ready(output) = polled {
                return (output, passed * MS);
            }
        }
        clock.advance(MS);
    }
    panic!("it does not end: a wake was lost");
}

#[test]
fn pl1a_whoever_polled_last_is_woken_by_each_timer() {
    let queue = |wait| BulkheadConfig::default().max_concurrent(1).queue(1, wait);
    for whims in 0..40 {
        // By the bulkhead's queue, by the total while in it.
        for (wait, took) in [(SECOND, SECOND), (10 * SECOND, 3 * SECOND)] {
            let (pipeline, clock) = pipeline(config().bulkhead(queue(wait)));
            let _held = pipeline.bulkhead().unwrap().try_acquire().unwrap();
            let (_, ended) = finish_by_wakes(
                &clock,
                pipeline.call(|_| ready(Reply::Ok(1))),
                whims,
                |_| (),
            );
            assert_eq!(ended, took);
        }
        // By a slot that comes free, by the attempt, by the backoff, and again.
        let (pipeline, clock) =
            pipeline(config().total_timeout(10 * SECOND).bulkhead(queue(SECOND)));
        let mut held = pipeline.bulkhead().unwrap().try_acquire().ok();
        let (_, ended) = finish_by_wakes(
            &clock,
            pipeline.call(|_| pending::<Reply>()),
            whims,
            |passed| {
                if passed == 500 {
                    held = None;
                }
            },
        );
        assert_eq!(ended, 500 * MS + 3 * SECOND + 300 * MS);
        // By the total in an attempt, in a wait, and where both end at once.
        for (total, took) in [
            (1_500, 1_500),
            (2_000, 2_000),
            (2_100, 2_100),
            (2_300, 2_100),
            (2_301, 2_301),
            (2_450, 2_450),
        ] {
            let (pipeline, clock) = pipeline_of(total);
            let (_, ended) =
                finish_by_wakes(&clock, pipeline.call(|_| pending::<Reply>()), whims, |_| ());
            assert_eq!(ended, took * MS, "{total}");
        }
    }
}

fn pipeline_of(total: u64) -> (Pipeline, ManualClock) {
    pipeline(config().total_timeout(Duration::from_millis(total)))
}

#[test]
fn pl1i_a_rejection_behind_an_attempt_does_not_say_that_nothing_ran() {
    let breaks = CircuitBreakerConfig::consecutive(1);
    let (pipeline, clock) = pipeline(config().circuit_breaker(breaks));
    let call = pipeline.call(|_| ready(Reply::Err("sent, and then the line went dead")));
    let (result, _) = finish_by_wakes(&clock, call, 0, |_| ());
    let Err(Error::Rejected(rejection)) = result else {
        panic!("{result:?}");
    };
    assert_eq!(rejection.kind(), RejectionKind::Open);
    assert_eq!(rejection.executed(), Executed::Unknown);
    let (result, _) = finish_by_wakes(&clock, pipeline.call(|_| ready(Reply::Ok(1))), 0, |_| ());
    let Err(Error::Rejected(rejection)) = result else {
        panic!("{result:?}");
    };
    assert_eq!(rejection.executed(), Executed::No);
}

#[test]
fn pl1g_a_call_that_has_ended_has_nothing_more_to_say() {
    let (pipeline, clock) = pipeline(config());
    let before = |pipeline: &Pipeline| {
        (
            pipeline.retry().unwrap().totals(),
            pipeline.total_timeout().totals(),
            pipeline.attempt_timeout().totals(),
            pipeline.bulkhead().unwrap().totals(),
            pipeline.circuit_breaker().unwrap().totals(),
        )
    };
    for end in 0..8 {
        let isolated = (end < 5).then(|| pipeline.parts().nth(end).unwrap().isolate());
        let mut call = pin!(pipeline.call(|_| async move {
            match end {
                5 => Ok(1),
                6 => Err("down"),
                _ => pending::<Reply>().await,
            }
        }));
        while poll(call.as_mut()).is_pending() {
            clock.advance(MS);
        }
        let totals = before(&pipeline);
        for _ in 0..3 {
            clock.advance(10 * SECOND);
            assert!(poll(call.as_mut()).is_pending());
        }
        assert_eq!(before(&pipeline), totals, "{end}");
        assert_eq!(pipeline.bulkhead().unwrap().in_flight(), 0, "{end}");
        drop(isolated);
    }
    assert_eq!(pipeline.bulkhead().unwrap().in_flight(), 0);
}

/// Panics when it is dropped, once.
struct Bomb<'a>(&'a Cell<bool>);
impl Drop for Bomb<'_> {
    fn drop(&mut self) {
        assert!(!self.0.replace(false), "a drop panics");
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    Operation(u32),
    Poll(u32),
    Classify,
    Decide,
    ValueDrop,
    ErrorDrop,
    FutureDropAtTheEnd,
    FutureDropInTime,
    FutureDropByTheTotal,
}

struct Judge(Cell<Option<At>>);
impl backstop::kernel::outcome::Classifier<(u8, Bomb<'_>), Bomb<'_>> for Judge {
    fn classify(
        &self,
        result: Result<&(u8, Bomb<'_>), &Bomb<'_>>,
    ) -> backstop::kernel::outcome::Verdict {
        assert_ne!(self.0.get(), Some(At::Classify), "the classifier panics");
        if result.is_ok() {
            Outcome::Success.into()
        } else {
            Outcome::Failure.into()
        }
    }
}
impl backstop::policy::retry::RetryWhen<(u8, Bomb<'_>), Bomb<'_>> for Judge {
    fn decide(
        &self,
        result: Result<&(u8, Bomb<'_>), &Bomb<'_>>,
    ) -> backstop::policy::retry::Decision {
        assert_ne!(self.0.get(), Some(At::Decide), "the predicate panics");
        match result {
            Ok((number, _)) => (*number < 3).into(),
            Err(_) => true.into(),
        }
    }
}

#[test]
fn pl1g_a_panic_anywhere_gives_everything_back() {
    for at in [
        At::Operation(1),
        At::Operation(2),
        At::Poll(1),
        At::Poll(2),
        At::Classify,
        At::Decide,
        At::ValueDrop,
        At::ErrorDrop,
        At::FutureDropAtTheEnd,
        At::FutureDropInTime,
        At::FutureDropByTheTotal,
    ] {
        let budget = BudgetConfig::in_flight(0.1, 1);
        let mut config = config().retry(
            RetryConfig::default()
                .backoff(Backoff::constant(100 * MS))
                .budget(budget),
        );
        if at == At::FutureDropByTheTotal {
            config = config
                .total_timeout(500 * MS)
                .attempt_timeout(500 * MS)
                .without_attempt_timeout();
        }
        let (plain, clock) = pipeline(config);
        let armed = Cell::new(true);
        let judged = plain.clone().with_classifier(Judge(Cell::new(Some(at))));
        let off = Cell::new(false);
        let (armed, off) = (&armed, &off);
        let mut call = Box::pin(judged.call(|attempt| {
            let number = attempt.number;
            assert_ne!(at, At::Operation(number), "the operation panics");
            let in_future = matches!(
                at,
                At::FutureDropAtTheEnd | At::FutureDropInTime | At::FutureDropByTheTotal
            );
            let bomb = Bomb(if in_future { armed } else { off });
            poll_fn(move |_| {
                let _ = &bomb;
                assert_ne!(at, At::Poll(number), "the call panics");
                match at {
                    At::ValueDrop => Poll::Ready(Ok((1, Bomb(armed)))),
                    At::ErrorDrop => Poll::Ready(Err(Bomb(armed))),
                    At::FutureDropInTime | At::FutureDropByTheTotal => Poll::Pending,
                    _ => Poll::Ready(Err(Bomb(off))),
                }
            })
        }));
        let mut panicked = false;
        for _ in 0..2_000 {
            match catch_unwind(AssertUnwindSafe(|| poll(call.as_mut()))) {
                Err(_) => {
                    panicked = true;
                    break;
                }
                Ok(Poll::Ready(_)) => break,
                Ok(Poll::Pending) => clock.advance(MS),
            }
        }
        assert!(panicked, "{at:?}");
        // Whoever polls on, against all advice, does not hang.
        for _ in 0..20 {
            let _ = catch_unwind(AssertUnwindSafe(|| poll(call.as_mut())));
            clock.advance(100 * MS);
        }
        drop(catch_unwind(AssertUnwindSafe(|| drop(call))));
        assert_eq!(plain.bulkhead().unwrap().in_flight(), 0, "{at:?}");
        let retry = plain.retry().unwrap();
        let totals = retry.totals();
        assert_eq!(totals.calls(), 1, "{at:?} {totals:?}");
        assert_eq!(retry.budget_balance(), Some(1), "{at:?}");
        let breaker = plain.circuit_breaker().unwrap().totals();
        assert_eq!(
            breaker.success + breaker.failure + breaker.ignored + breaker.dropped,
            breaker.admitted(),
            "{at:?} {breaker:?}"
        );
        // What ran was an attempt to both.
        assert_eq!(
            breaker.admitted(),
            totals.attempts,
            "{at:?} {breaker:?} {totals:?}"
        );
    }
}

#[test]
fn pl2a_a_limit_of_zero_is_refused_by_the_name_that_it_has_here() {
    for (config, name) in [
        (config().total_timeout(Duration::ZERO), "total_timeout"),
        (config().attempt_timeout(Duration::ZERO), "attempt_timeout"),
    ] {
        assert_eq!(
            Pipeline::new("p", config).unwrap_err().to_string(),
            format!("{name}: 0s is not allowed; it must be above 0s; `off` is no limit")
        );
    }
}

#[test]
fn pl2c_parts_on_another_clock_than_the_total_timeout_are_refused() {
    let (one, other) = (Clock::manual(), Clock::manual());
    let timeout = |clock: &ManualClock| Timeout::with_clock("t", SECOND, clock).unwrap();
    let retry =
        |clock: &ManualClock| Retry::with_clock("r", RetryConfig::default(), clock).unwrap();
    let parts = || PipelineParts::new().total_timeout(timeout(&one));
    for (parts, field) in [
        (parts().attempt_timeout(timeout(&other)), "attempt_timeout"),
        (parts().retry(retry(&other)), "retry"),
    ] {
        let refused = Pipeline::of("p", parts).unwrap_err();
        assert_eq!(
            refused.to_string(),
            format!(
                "{field}: Clock::manual() is not allowed; \
                 it must be on the clock of the total_timeout (Clock::manual())"
            )
        );
    }
    let system = Timeout::with_clock("t", SECOND, Clock::system()).unwrap();
    assert!(Pipeline::of("p", parts().attempt_timeout(system)).is_err());
    let same = parts().attempt_timeout(timeout(&one)).retry(retry(&one));
    assert!(Pipeline::of("p", same).is_ok());
    let no_total = PipelineParts::new()
        .attempt_timeout(timeout(&one))
        .retry(retry(&other));
    assert!(Pipeline::of("p", no_total).is_ok());
}

#[test]
fn pl1e_a_call_that_is_not_tried_again_is_not_timed_if_it_fails_at_once() {
    for config in [
        config().without_retry(),
        config().retry(RetryConfig::default().max_attempts(1)),
    ] {
        let (pipeline, _clock) = pipeline(config);
        let mut call = pin!(pipeline.call(|_| ready(Reply::Err("down"))));
        assert!(poll(call.as_mut()).is_ready());
        assert_eq!(pipeline.total_timeout().totals().armed, 0);
    }
}

#[test]
fn pl1h_a_part_that_refuses_puts_all_back() {
    let (pipeline, _clock) = pipeline(config());
    let budget = |n: u32| RetryConfig::default().budget(BudgetConfig::in_flight(0.5, n));
    for n in 1..16 {
        pipeline.reconfigure(config().retry(budget(n))).unwrap();
    }
    let before = pipeline.config();
    let other = config()
        .total_timeout(2 * SECOND)
        .bulkhead(BulkheadConfig::default().max_concurrent(3))
        .circuit_breaker(CircuitBreakerConfig::default().probes(2))
        .retry(budget(99));
    let refused = pipeline.reconfigure(other).unwrap_err();
    assert_eq!((refused.part(), refused.field()), (Some("retry"), "budget"));
    assert_eq!(pipeline.config(), before);
}

#[test]
fn pl1h_a_change_and_an_isolation_in_mid_call() {
    let (pipeline, clock) = pipeline(config());
    let mut call = pin!(pipeline.call(|_| pending::<Reply>()));
    assert!(poll(call.as_mut()).is_pending());
    pipeline
        .reconfigure(config().total_timeout(SECOND).attempt_timeout(500 * MS))
        .unwrap();
    clock.advance(999 * MS);
    assert!(poll(call.as_mut()).is_pending());
    clock.advance(MS);
    assert!(
        poll(call.as_mut()).is_pending(),
        "the first attempt had its second"
    );
    let isolated: Vec<_> = pipeline.parts().map(|part| part.isolate()).collect();
    clock.advance(100 * MS);
    let Poll::Ready(Err(Error::Rejected(rejection))) = poll(call.as_mut()) else {
        panic!("the second attempt is refused");
    };
    assert_eq!(
        (rejection.kind(), rejection.executed()),
        (RejectionKind::ForcedOpen, Executed::Unknown)
    );
    drop(isolated);
    assert_eq!(pipeline.bulkhead().unwrap().in_flight(), 0);
}

#[test]
fn pl1a_limits_at_the_edges_and_clocks_that_jump() {
    for (total, attempt) in [
        (Duration::MAX, Duration::MAX),
        (Duration::MAX, MS),
        (Duration::from_nanos(1), Duration::from_nanos(1)),
        (SECOND, Duration::from_nanos(1)),
    ] {
        let (pipeline, clock) = pipeline(config().total_timeout(total).attempt_timeout(attempt));
        let mut call = pin!(pipeline.call(|_| pending::<Reply>()));
        assert!(poll(call.as_mut()).is_pending());
        clock.step_back(3600 * SECOND);
        assert!(poll(call.as_mut()).is_pending());
        clock.step_back(Duration::MAX);
        assert!(poll(call.as_mut()).is_pending());
        clock.advance(Duration::MAX);
        let mut polls = 0;
        while poll(call.as_mut()).is_pending() {
            polls += 1;
            clock.advance(SECOND);
            assert!(polls < 10);
        }
        assert_eq!(pipeline.bulkhead().unwrap().in_flight(), 0);
    }
}

#[test]
fn pl1f_what_an_attempt_holds_goes_before_its_end_is_heard_of() {
    struct Held<'a>(&'a Pipeline, &'a Cell<Option<u64>>);
    impl Drop for Held<'_> {
        fn drop(&mut self) {
            let breaker = self.0.circuit_breaker().expect("it is on");
            self.1.set(Some(breaker.totals().failure));
        }
    }
    let (pipeline, clock) = pipeline(config().without_retry());
    let failures = Cell::new(None);
    let mut call = pin!(pipeline.call(|_| {
        let held = Held(&pipeline, &failures);
        async move {
            let _held = held;
            pending::<Reply>().await
        }
    }));
    assert!(poll(call.as_mut()).is_pending());
    clock.advance(SECOND);
    assert!(poll(call.as_mut()).is_ready());
    assert_eq!(failures.get(), Some(0));
}

#[test]
fn pl1a_totals_add_up_under_64_threads() {
    const CALLS: u32 = 400;
    const THREADS: u64 = 64;
    let budget = BudgetConfig::in_flight(0.2, 3);
    let retry = RetryConfig::default()
        .waits(|| std::iter::repeat(Duration::ZERO))
        .budget(budget);
    let breaks = CircuitBreakerConfig::consecutive(200);
    let bulkhead = BulkheadConfig::default().max_concurrent(24);
    let (pipeline, _clock) = pipeline(
        config()
            .retry(retry)
            .circuit_breaker(breaks)
            .bulkhead(bulkhead),
    );
    let [ended, dropped, panicked, full, ran] = [const { AtomicU32::new(0) }; 5];
    let count = |counter: &AtomicU32| counter.fetch_add(1, Ordering::Relaxed);
    std::thread::scope(|scope| {
        for seed in 0..THREADS {
            let (pipeline, count) = (&pipeline, &count);
            let (ended, dropped, panicked, full, ran) = (&ended, &dropped, &panicked, &full, &ran);
            scope.spawn(move || {
                let rng = Cell::new(fastrand::Rng::with_seed(seed));
                let roll = || {
                    let mut own = rng.take();
                    let roll = own.u8(..100);
                    rng.set(own);
                    roll
                };
                for _ in 0..CALLS {
                    let mut call = Box::pin(pipeline.call(|_| {
                        count(ran);
                        let (fate, mut waits) = (roll(), roll() % 3);
                        poll_fn(move |_| {
                            if waits > 0 {
                                waits -= 1;
                                return Poll::Pending;
                            }
                            assert_ne!(fate, 0, "one call in a hundred panics");
                            Poll::Ready(if fate < 40 { Err("down") } else { Reply::Ok(1) })
                        })
                    }));
                    loop {
                        let polled = catch_unwind(AssertUnwindSafe(|| poll(call.as_mut())));
                        match polled {
                            Err(_) => count(panicked),
                            Ok(Poll::Pending) if roll() < 10 => count(dropped),
                            Ok(Poll::Pending) => {
                                std::thread::yield_now();
                                continue;
                            }
                            Ok(Poll::Ready(Err(Error::Rejected(rejection))))
                                if rejection.kind() == RejectionKind::Full =>
                            {
                                count(full)
                            }
                            Ok(Poll::Ready(_)) => count(ended),
                        };
                        break;
                    }
                }
            });
        }
    });
    let [ended, dropped, panicked, full, ran] =
        [ended, dropped, panicked, full, ran].map(|counter| u64::from(counter.into_inner()));
    assert_eq!(
        ended + dropped + panicked + full,
        THREADS * u64::from(CALLS)
    );
    let slots = pipeline.bulkhead().unwrap();
    assert_eq!((slots.in_flight(), slots.totals().refused_full), (0, full));
    assert_eq!(slots.totals().finished, ended + dropped + panicked);
    let retry = pipeline.retry().unwrap();
    let totals = retry.totals();
    assert_eq!(
        (totals.calls(), totals.dropped, totals.panicked),
        (ended + dropped + panicked, dropped, panicked)
    );
    assert_eq!(retry.budget_balance(), Some(3));
    let breaker = pipeline.circuit_breaker().unwrap().totals();
    assert_eq!(breaker.admitted(), ran);
    assert_eq!(
        totals.attempts,
        ran + breaker.rejected_open + breaker.rejected_probes_full
    );
}
