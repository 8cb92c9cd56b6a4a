//! Timeouts, rule by rule, on a manual clock and under paused tokio.

use crate::rig::{MS, SECOND};
use backstop::kernel::clock::{Clock, ManualClock};
use backstop::kernel::instant::Instant;
use backstop::kernel::managed::Managed;
use backstop::kernel::rejection::{Executed, Facts, RejectionKind};
use backstop::policy::circuit_breaker::State;
use backstop::{
    CircuitBreaker, CircuitBreakerConfig, Error, Rejection, Timeout, TimeoutConfig, TimeoutLayer,
};
use futures::FutureExt;
use std::cell::Cell;
use std::future::{Future, pending, poll_fn, ready};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Barrier;
use std::task::{Context, Poll};
use std::time::Duration;
use tower::{Layer, Service};

type Reply = Result<u8, Error<u8>>;

const NANO: Duration = Duration::from_nanos(1);

fn timeout(limit: Duration) -> (Timeout, ManualClock) {
    on(Clock::manual(), limit)
}

fn on(clock: ManualClock, limit: Duration) -> (Timeout, ManualClock) {
    let timeout = Timeout::with_clock("t", limit, &clock).expect("above zero");
    (timeout, clock)
}

/// Pending so often, and wakes nobody.
fn after(pendings: u32) -> impl Future<Output = Result<u8, u8>> {
    let mut left = pendings;
    poll_fn(move |_| {
        if left == 0 {
            return Poll::Ready(Ok(1));
        }
        left -= 1;
        Poll::Pending
    })
}

fn never() -> impl Future<Output = Result<u8, u8>> {
    pending()
}

fn poll<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut Context::from_waker(futures::task::noop_waker_ref())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

#[track_caller]
fn rejection(reply: Option<Reply>) -> Rejection {
    match reply {
        Some(Err(Error::Rejected(rejection))) => rejection,
        other => panic!("a rejection was expected: {other:?}"),
    }
}

fn since(start: Instant) -> Duration {
    Clock::tokio().now().saturating_duration_since(start)
}

/// How long a call that never ends lasts: to the nanosecond, from the end of its first poll.
fn lasts(timeout: &Timeout, clock: &ManualClock, step: Duration) -> Duration {
    let mut call = pin!(timeout.call(never));
    let mut lasted = Duration::ZERO;
    while poll(call.as_mut()).is_none() {
        clock.advance(step);
        lasted += step;
    }
    lasted
}

#[test]
fn to1a_time_counts_from_the_first_pending() {
    let (timeout, clock) = timeout(SECOND);
    let mut call = pin!(timeout.call(|| {
        clock.advance(3_600 * SECOND);
        poll_fn(|_| {
            if timeout.totals().armed == 0 {
                clock.advance(3_600 * SECOND);
            }
            Poll::<Result<u8, u8>>::Pending
        })
    }));
    clock.advance(3_600 * SECOND);
    assert!(poll(call.as_mut()).is_none());
    clock.advance(SECOND - NANO);
    assert!(poll(call.as_mut()).is_none());
    clock.advance(NANO);
    assert!(poll(call.as_mut()).is_some());
    assert_eq!(timeout.totals().armed, 1);
}

#[tokio::test(start_paused = true)]
async fn to1a_a_call_under_tokio_is_woken_when_its_time_is_over() {
    let timeout = Timeout::with_clock("t", 2 * SECOND, Clock::tokio()).unwrap();
    let start = Clock::tokio().now();
    let reply = timeout.call(never).await;
    assert_eq!(since(start), 2 * SECOND);
    assert_eq!(rejection(Some(reply)).kind(), RejectionKind::TimedOut);
    let slow = || async {
        let until = Clock::tokio().now() + (2 * SECOND - MS);
        Clock::tokio().sleep_until(until).expect("timers").await;
        Ok::<_, u8>(7)
    };
    assert!(matches!(timeout.call(slow).await, Ok(7)));
}

#[test]
fn to1b_a_call_that_is_ready_at_once_makes_no_timer() {
    // Where a timer cannot be made, whoever makes one gets an error.
    let timeout = Timeout::with_clock("t", SECOND, Clock::system()).unwrap();
    assert!(matches!(
        timeout.call(|| after(0)).now_or_never(),
        Some(Ok(1))
    ));
    let failed = timeout.call(|| ready(Err::<u8, u8>(2))).now_or_never();
    assert!(matches!(failed, Some(Err(Error::Inner(2)))));
    let mut service = TimeoutLayer::new(timeout.clone()).layer(Echo::default());
    assert!(matches!(call(&mut service), Some(Ok(1))));
    assert_eq!(timeout.totals(), Timeout::none("x").totals());
}

#[test]
fn to1c_nothing_ends_early() {
    for grain in [Duration::ZERO, 4 * MS, 10 * MS] {
        for limit in [NANO, MS, 4 * MS, 79 * MS, 80 * MS, 200 * MS, SECOND] {
            for into_grain in [Duration::ZERO, NANO, 3 * MS, 4 * MS - NANO] {
                let (timeout, clock) = on(Clock::manual_with_grain(grain), limit);
                clock.advance(into_grain);
                let lasted = lasts(&timeout, &clock, (limit / 100).max(NANO));
                let latest = if limit >= 20 * grain {
                    limit + grain
                } else {
                    limit
                };
                let what = format!("{limit:?}, grain {grain:?}, at {into_grain:?}: {lasted:?}");
                assert!(lasted >= limit, "early: {what}");
                assert!(lasted <= latest + limit / 100, "late: {what}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn to1c_a_limit_below_the_grain_of_a_timer_is_not_early() {
    for limit in [NANO, 999 * NANO, MS / 2, MS + NANO] {
        let timeout = Timeout::with_clock("t", limit, Clock::tokio()).unwrap();
        let start = Clock::tokio().now();
        assert!(timeout.call(never).await.is_err());
        let lasted = since(start);
        assert!(
            lasted >= limit && lasted <= limit + 2 * MS,
            "{limit:?}: {lasted:?}"
        );
    }
}

#[test]
fn to1d_the_rejection_names_its_policy_and_limit() {
    let clock = Clock::manual();
    let total = Timeout::with_clock("total", 3 * SECOND, &clock).unwrap();
    let attempt = Timeout::with_clock("attempt", SECOND, &clock).unwrap();
    let mut call = pin!(total.call_in(|| attempt.call(never)));
    assert!(poll(call.as_mut()).is_none());
    clock.advance(SECOND);
    let first = rejection(poll(call.as_mut()));
    assert_eq!(
        (first.policy(), first.name().as_str()),
        ("timeout", "attempt")
    );
    assert_eq!(first.kind(), RejectionKind::TimedOut);
    assert_eq!(first.executed(), Executed::Unknown);
    assert_eq!(first.facts(), Facts::Time { limit: SECOND });
    assert_eq!(first.retry_after(), None);
    assert!(first.cause().is_none());
    assert_eq!(
        first.to_string(),
        "timeout `attempt` timed out: the limit is 1s"
    );

    attempt.reconfigure(9 * SECOND).unwrap();
    let mut call = pin!(total.call_in(|| attempt.call(never)));
    assert!(poll(call.as_mut()).is_none());
    clock.advance(3 * SECOND);
    let second = rejection(poll(call.as_mut()));
    assert_eq!(second.name().as_str(), "total");
    assert_eq!(second.facts(), Facts::Time { limit: 3 * SECOND });
    // The attempt was dropped by the other, so it did not time out.
    assert_eq!(attempt.totals().timed_out, 1);
}

#[test]
fn to1e_a_cancelled_call_is_no_timeout() {
    let (timeout, clock) = timeout(SECOND);
    for polls in 0..3 {
        let mut call = Box::pin(timeout.call(never));
        for _ in 0..polls {
            assert!(poll(call.as_mut()).is_none());
        }
        clock.advance(3_600 * SECOND);
        drop(call);
    }
    let totals = timeout.totals();
    assert_eq!((totals.armed, totals.rejected()), (2, 0));
}

#[test]
fn to1f_a_result_wins_over_a_time_that_is_over() {
    let (timeout, clock) = timeout(SECOND);
    let mut call = pin!(timeout.call(|| after(1)));
    assert!(poll(call.as_mut()).is_none());
    clock.advance(3_600 * SECOND);
    assert!(matches!(poll(call.as_mut()), Some(Ok(1))));
    let totals = timeout.totals();
    assert_eq!((totals.armed, totals.timed_out), (1, 0));
}

/// Never ends, and says that it was dropped; a panic may come with it.
struct Held {
    dropped: Rc<Cell<u32>>,
    panics: bool,
}

impl Future for Held {
    type Output = Result<u8, u8>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Pending
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.dropped.set(self.dropped.get() + 1);
        assert!(!self.panics, "a panic in drop, as ordered");
    }
}

#[test]
fn to1g_a_call_that_is_ended_is_dropped_before_its_rejection() {
    let (timeout, clock) = timeout(SECOND);
    let dropped = Rc::default();
    let held = Held {
        dropped: Rc::clone(&dropped),
        panics: false,
    };
    let mut call = pin!(timeout.call(|| held));
    assert!(poll(call.as_mut()).is_none());
    clock.advance(SECOND);
    let ended = poll(call.as_mut());
    assert_eq!(dropped.get(), 1, "the future outlives its rejection");
    assert_eq!(rejection(ended).kind(), RejectionKind::TimedOut);
    assert!(poll(call.as_mut()).is_none(), "it has ended");
    assert_eq!(dropped.get(), 1);
}

#[test]
fn to1g_what_an_ended_call_held_is_free_when_the_caller_hears_of_it() {
    let (timeout, clock) = timeout(SECOND);
    let config = CircuitBreakerConfig::default().probes(1);
    let breaker = CircuitBreaker::with_clock("b", config, &clock).unwrap();
    breaker.transition_to(State::Open).unwrap();
    breaker.transition_to(State::HalfOpen).unwrap();
    let mut call = pin!(timeout.call_in(|| breaker.call(never)));
    assert!(poll(call.as_mut()).is_none());
    assert!(breaker.try_acquire().is_err(), "the only probe is out");
    clock.advance(SECOND);
    assert_eq!(
        rejection(poll(call.as_mut())).kind(),
        RejectionKind::TimedOut
    );
    assert!(breaker.try_acquire().is_ok());
}

#[test]
fn to1g_a_panic_in_the_drop_of_an_ended_call_leaves_no_wrong_state() {
    let (timeout, clock) = timeout(SECOND);
    let dropped = Rc::default();
    let held = Held {
        dropped: Rc::clone(&dropped),
        panics: true,
    };
    let mut call = Box::pin(timeout.call(|| held));
    assert!(poll(call.as_mut()).is_none());
    clock.advance(SECOND);
    let ended = catch_unwind(AssertUnwindSafe(|| poll(call.as_mut())));
    assert!(ended.is_err(), "the panic is the caller's");
    assert_eq!(timeout.totals().timed_out, 1);
    assert!(poll(call.as_mut()).is_none(), "it has ended");
    drop(call);
    assert_eq!(dropped.get(), 1, "it is not dropped twice");
    assert_eq!(timeout.totals().timed_out, 1);
}

#[test]
fn to1h_without_a_runtime_a_pending_call_ends_with_an_error() {
    let no_timers = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    for clock in [Clock::system(), Clock::tokio()] {
        let timeout = Timeout::with_clock("t", SECOND, clock).unwrap();
        let dropped = Rc::default();
        let held = || Held {
            dropped: Rc::clone(&dropped),
            panics: false,
        };
        let mut outside = pin!(timeout.call(held));
        let outside = rejection(poll(outside.as_mut()));
        let within = rejection(Some(no_timers.block_on(timeout.call(held))));
        for rejection in [outside, within] {
            assert_eq!(rejection.kind(), RejectionKind::NoRuntime);
            assert_eq!(rejection.executed(), Executed::Unknown);
            let cause = rejection.cause().expect("the clock's error").to_string();
            assert!(cause.contains("enable_time"), "{cause}");
        }
        assert_eq!(dropped.get(), 2);
        let totals = timeout.totals();
        assert_eq!((totals.armed, totals.timed_out), (0, 0));
        assert_eq!(totals.rejected_no_runtime, 2);
    }
}

#[test]
fn to1i_a_deadline_is_over_when_its_time_is() {
    let (timeout, clock) = timeout(SECOND);
    let deadline = timeout.deadline();
    timeout.reconfigure(9 * SECOND).unwrap();
    clock.advance(SECOND - NANO);
    assert_eq!(deadline.remaining(), Some(NANO));
    assert!(!deadline.is_over() && deadline.check().is_ok());
    clock.advance(NANO);
    assert!(deadline.is_over());
    assert_eq!(deadline.remaining(), Some(Duration::ZERO));
    let rejection = deadline.check().unwrap_err();
    assert_eq!(rejection.kind(), RejectionKind::TimedOut);
    assert_eq!(rejection.executed(), Executed::Unknown);
    assert_eq!(rejection.facts(), Facts::Time { limit: SECOND });
    assert!(deadline.check().is_err());
    let totals = timeout.totals();
    assert_eq!((totals.armed, totals.timed_out), (1, 1));
    assert!(format!("{deadline:?}").contains("remaining: Some(0ns)"));
}

#[test]
fn to1i_a_deadline_needs_no_runtime_and_may_be_none() {
    let timeout = Timeout::with_clock("t", 3_600 * SECOND, Clock::system()).unwrap();
    let left = timeout.deadline().remaining().expect("it has a limit");
    assert!(left > 3_599 * SECOND && left <= 3_601 * SECOND, "{left:?}");
    let unlimited = Timeout::none("t").deadline();
    assert_eq!(unlimited.remaining(), None);
    assert!(unlimited.check().is_ok() && !unlimited.is_over());
}

#[test]
fn to1i_a_deadline_made_under_isolation_is_over() {
    let (timeout, _clock) = timeout(SECOND);
    let before = timeout.deadline();
    let isolation = timeout.isolate();
    let deadline = timeout.deadline();
    drop(isolation);
    assert!(before.check().is_ok(), "what is under way goes on");
    assert_eq!(deadline.remaining(), Some(Duration::ZERO));
    for _ in 0..2 {
        let rejection = deadline.check().unwrap_err();
        assert_eq!(rejection.kind(), RejectionKind::ForcedOpen);
    }
    assert_eq!(timeout.totals().rejected_forced_open, 1);
    assert_eq!(timeout.totals().armed, 1);
}

#[tokio::test(start_paused = true)]
async fn to1j_a_call_that_uses_up_its_tasks_budget_is_ended() {
    let timeout = Timeout::with_clock("t", SECOND, Clock::tokio()).unwrap();
    let polls = Rc::new(Cell::new(0_u32));
    let greedy = || {
        let polls = polls.clone();
        async move {
            let mut use_up = Box::pin(async {
                loop {
                    tokio::task::consume_budget().await;
                }
            });
            poll_fn(|cx| {
                polls.set(polls.get() + 1);
                let _: Poll<()> = use_up.as_mut().poll(cx);
                match polls.get() {
                    // So that the test ends if the timeout does not do it.
                    1_000.. => Poll::Ready(Ok(1)),
                    _ => Poll::Pending,
                }
            })
            .await
        }
    };
    let mut call = pin!(timeout.call(greedy));
    let ended = tokio::select! {
        biased;
        reply = &mut call => reply,
        () = tokio::time::advance(2 * SECOND) => call.await,
    };
    assert_eq!(rejection(Some(ended)).kind(), RejectionKind::TimedOut);
    assert!(polls.get() < 10, "{}", polls.get());
}

#[test]
fn to1k_a_clock_that_steps_back_ends_nothing_early() {
    let (timeout, clock) = timeout(SECOND);
    let mut call = pin!(timeout.call(never));
    let deadline = timeout.deadline();
    assert!(poll(call.as_mut()).is_none());
    clock.step_back(3_600 * SECOND);
    clock.advance(3_600 * SECOND + SECOND - NANO);
    assert!(poll(call.as_mut()).is_none());
    assert!(!deadline.is_over());
    clock.step_back(Duration::MAX);
    assert!(poll(call.as_mut()).is_none());
    assert!(deadline.remaining().is_some_and(|left| left > SECOND));
    // A call that begins there has its own time.
    assert_eq!(lasts(&timeout, &clock, SECOND), SECOND);
}

#[test]
fn to1k_a_limit_beyond_the_end_of_time_is_never_reached() {
    let (timeout, clock) = timeout(Duration::MAX);
    assert_eq!(timeout.config(), TimeoutConfig::new(Duration::MAX));
    let deadline = timeout.deadline();
    let mut call = pin!(timeout.call(never));
    assert!(poll(call.as_mut()).is_none());
    clock.advance(Duration::from_secs(100 * 365 * 86_400));
    assert!(poll(call.as_mut()).is_none());
    assert!(deadline.check().is_ok());
}

#[tokio::test(start_paused = true)]
async fn to1k_tokios_timers_take_a_limit_beyond_the_end_of_time() {
    for clock in [Clock::tokio(), Clock::system()] {
        let timeout = Timeout::with_clock("t", Duration::MAX, clock).unwrap();
        assert!(timeout.call(never).now_or_never().is_none());
        assert_eq!(timeout.totals().armed, 1);
    }
}

/// A service that answers at once, and counts how often it was asked whether it is ready.
#[derive(Clone, Default)]
struct Echo {
    asked: Rc<Cell<u32>>,
}

impl Service<()> for Echo {
    type Response = u8;
    type Error = Error<u8>;
    type Future = std::future::Ready<Reply>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.asked.set(self.asked.get() + 1);
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        ready(Ok(1))
    }
}

fn make_ready<S: Service<(), Response = u8, Error = Error<u8>>>(service: &mut S) {
    let mut cx = Context::from_waker(futures::task::noop_waker_ref());
    assert!(matches!(service.poll_ready(&mut cx), Poll::Ready(Ok(()))));
}

fn call<S: Service<(), Response = u8, Error = Error<u8>>>(service: &mut S) -> Option<Reply> {
    make_ready(service);
    service.call(()).now_or_never()
}

#[test]
fn to1l_an_isolated_timeout_starts_no_call() {
    let (timeout, clock) = timeout(SECOND);
    let mut under_way = pin!(timeout.call(|| after(1)));
    assert!(poll(under_way.as_mut()).is_none());
    let first = timeout.isolate();
    let second = Managed::isolate(&timeout);
    let asked = Rc::default();
    let echo = Echo {
        asked: Rc::clone(&asked),
    };
    let mut service = TimeoutLayer::new(timeout.clone()).layer(echo);
    let rejects = |service: &mut _| {
        let calls = Cell::new(0);
        let refused = timeout.call(|| {
            calls.set(1);
            after(0)
        });
        for refused in [refused.now_or_never(), call(service)] {
            let refused = rejection(refused);
            assert_eq!(refused.kind(), RejectionKind::ForcedOpen);
            assert_eq!(refused.executed(), Executed::No);
        }
        assert_eq!((calls.get(), asked.get()), (0, 0));
    };
    rejects(&mut service);
    assert_eq!(Managed::snapshot(&timeout).state, "forced_open");
    drop(first);
    rejects(&mut service);
    Managed::reset(&timeout);
    rejects(&mut service);
    // The inner service is not called on a readiness that nobody asked it for.
    make_ready(&mut service);
    drop(second);
    let late = rejection(service.call(()).now_or_never());
    assert_eq!(late.kind(), RejectionKind::ForcedOpen);
    assert!(matches!(call(&mut service), Some(Ok(1))));
    assert_eq!(asked.get(), 1);
    clock.advance(SECOND / 2);
    assert!(matches!(poll(under_way.as_mut()), Some(Ok(1))));
    let totals = timeout.totals();
    assert_eq!((totals.rejected_forced_open, totals.timed_out), (7, 0));
}

#[test]
fn to1m_g4a_a_new_limit_holds_for_calls_whose_time_has_not_begun() {
    let (timeout, clock) = timeout(SECOND);
    let mut begun = pin!(timeout.call(never));
    let mut unpolled = pin!(timeout.call(never));
    assert!(poll(begun.as_mut()).is_none());
    timeout.reconfigure(3 * SECOND).unwrap();
    assert!(poll(unpolled.as_mut()).is_none());
    clock.advance(SECOND);
    let facts = |reply| rejection(reply).facts();
    assert_eq!(facts(poll(begun)), Facts::Time { limit: SECOND });
    clock.advance(SECOND);
    assert!(poll(unpolled.as_mut()).is_none());
    clock.advance(SECOND);
    let three = Facts::Time { limit: 3 * SECOND };
    assert_eq!(facts(poll(unpolled)), three);

    timeout.reconfigure(TimeoutConfig::none()).unwrap();
    let mut unlimited = pin!(timeout.call(never));
    assert!(poll(unlimited.as_mut()).is_none());
    timeout.reconfigure(SECOND).unwrap();
    clock.advance(3_600 * SECOND);
    assert!(poll(unlimited).is_none());
}

#[test]
fn g4b_a_limit_that_cannot_be_is_refused_and_the_old_one_stays() {
    let (timeout, clock) = timeout(SECOND);
    let refused = timeout.reconfigure(Duration::ZERO).unwrap_err();
    assert_eq!((refused.field(), refused.value()), ("limit", "0s"));
    let managed: &dyn Managed = &timeout;
    let zero = TimeoutConfig::new(Duration::ZERO);
    assert!(managed.reconfigure(&zero).is_err());
    let foreign = managed.reconfigure(&CircuitBreakerConfig::default());
    assert_eq!(foreign.unwrap_err().field(), "config");
    assert_eq!(timeout.config(), TimeoutConfig::new(SECOND));
    assert_eq!(lasts(&timeout, &clock, SECOND), SECOND);
    managed
        .reconfigure(&TimeoutConfig::new(2 * SECOND))
        .unwrap();
    let config = managed.config();
    assert_eq!(config.downcast_ref(), Some(&TimeoutConfig::new(2 * SECOND)));
    assert_eq!(lasts(&timeout, &clock, SECOND), 2 * SECOND);
}

#[test]
fn g6_a_limit_of_zero_is_refused_and_none_is_no_limit() {
    let refused = Timeout::new("t", Duration::ZERO).unwrap_err();
    assert_eq!((refused.field(), refused.value()), ("limit", "0s"));
    let timeout = Timeout::none("t");
    assert_eq!(timeout.config(), TimeoutConfig::none());
    // No runtime is needed for a timer that is not there.
    assert!(timeout.call(never).now_or_never().is_none());
    assert_eq!(timeout.totals().armed, 0);
    let snapshot = Managed::snapshot(&timeout);
    assert_eq!((snapshot.policy, snapshot.state), ("timeout", "unlimited"));
}

#[test]
fn g1a_g2a_what_ends_a_call_passes_through() {
    let (timeout, clock) = timeout(SECOND);
    let panicking = timeout.call(|| poll_fn(|_| -> Poll<Result<u8, u8>> { panic!("as ordered") }));
    assert!(catch_unwind(AssertUnwindSafe(|| panicking.now_or_never())).is_err());
    assert_eq!(timeout.totals(), Timeout::none("x").totals());

    // A breaker around it takes a timeout for a failure, and an isolation for none.
    let breaker = CircuitBreaker::with_clock("b", CircuitBreakerConfig::default(), &clock).unwrap();
    let mut call = pin!(breaker.call_in(|| timeout.call(never)));
    assert!(poll(call.as_mut()).is_none());
    clock.advance(SECOND);
    assert!(poll(call.as_mut()).is_some());
    assert_eq!(breaker.totals().failure, 1);
    let isolation = timeout.isolate();
    assert!(
        breaker
            .call_in(|| timeout.call(never))
            .now_or_never()
            .is_some()
    );
    drop(isolation);
    let system = Timeout::with_clock("t", SECOND, Clock::system()).unwrap();
    assert!(
        breaker
            .call_in(|| system.call(never))
            .now_or_never()
            .is_some()
    );
    assert_eq!((breaker.totals().failure, breaker.totals().ignored), (1, 2));
}

/// Uses it when it is polled and when it is dropped.
struct Uses<F: Fn()>(F);
impl<F: Fn()> Future for Uses<F> {
    type Output = Result<u8, u8>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        (self.0)();
        Poll::Pending
    }
}
impl<F: Fn()> Drop for Uses<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn callbacks_may_use_the_timeout() {
    let (timeout, clock) = timeout(SECOND);
    let use_it = {
        let timeout = timeout.clone();
        move || {
            timeout.reconfigure(2 * SECOND).unwrap();
            drop(timeout.isolate());
            let _ = (
                timeout.totals(),
                timeout.config(),
                timeout.deadline().check(),
            );
            assert!(timeout.call(|| after(0)).now_or_never().is_some());
        }
    };
    let mut call = pin!(timeout.call(|| {
        use_it();
        Uses(&use_it)
    }));
    assert!(poll(call.as_mut()).is_none());
    clock.advance(2 * SECOND);
    assert!(poll(call.as_mut()).is_some());
}

#[test]
fn a_static_handle_shares_limit_and_counters() {
    let clock = Clock::manual();
    let leaked: &'static Timeout =
        Box::leak(Box::new(Timeout::with_clock("t", SECOND, &clock).unwrap()));
    let copied = Timeout::from(leaked);
    assert_eq!(lasts(&copied, &clock, SECOND), SECOND);
    assert_eq!(leaked.totals().timed_out, 1);
    leaked.reconfigure(2 * SECOND).unwrap();
    assert_eq!(lasts(&copied, &clock, SECOND), 2 * SECOND);
    assert_eq!(copied.name().as_str(), "t");
    assert!(format!("{copied:?}").contains("limit: Some(2s)"));
}

#[test]
fn many_threads_count_exactly() {
    let (timeout, clock) = timeout(SECOND);
    let barrier = Barrier::new(64);
    std::thread::scope(|scope| {
        for thread in 0..64 {
            let (timeout, clock, barrier) = (&timeout, &clock, &barrier);
            scope.spawn(move || {
                for round in 0..50 {
                    let mut call = pin!(timeout.call(never));
                    assert!(poll(call.as_mut()).is_none());
                    if barrier.wait().is_leader() {
                        clock.advance(SECOND);
                    }
                    barrier.wait();
                    if (thread + round) % 2 == 0 {
                        assert!(poll(call.as_mut()).is_some());
                    }
                }
            });
        }
    });
    let totals = timeout.totals();
    assert_eq!(totals.armed, 64 * 50);
    assert_eq!(totals.timed_out, 64 * 25);
}

#[test]
fn any_error_type_of_a_stack_will_do() {
    let (timeout, clock) = timeout(SECOND);
    let mut call = pin!(
        timeout.call_in(|| { pending::<Result<(), Box<dyn std::error::Error + Send + Sync>>>() })
    );
    assert!(poll(call.as_mut()).is_none());
    clock.advance(SECOND);
    let error = poll(call).expect("it is over").unwrap_err();
    assert!(error.downcast_ref::<Rejection>().is_some());
    let foreign = timeout.call(|| ready(Err::<(), _>(io::Error::other("broken"))));
    let error = foreign.now_or_never().expect("it is ready").unwrap_err();
    assert_eq!(error.to_string(), "broken");
}
