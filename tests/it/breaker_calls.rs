//! What a call counts as: outcomes, panics, drops, rejections further in.

use crate::rig::{MS, Rig, SECOND, config};
use backstop::kernel::outcome::{Outcome, Verdict};
use backstop::kernel::rejection::{Error as CallError, Rejection, RejectionKind};
use backstop::policy::circuit_breaker::{DroppedCalls, State, Window};
use backstop::{CircuitBreakerConfig, Error};
use futures::FutureExt;
use std::future::{pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};

type Reply = Result<u8, &'static str>;

#[tokio::test]
async fn g1a_an_err_is_a_failure_by_default() {
    let rig = Rig::new(config());
    assert_eq!(rig.breaker.call(|| ready(Reply::Ok(1))).await.unwrap(), 1);
    let error = rig
        .breaker
        .call(|| ready(Reply::Err("no")))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Inner("no")));
    assert!(matches!(
        rig.breaker.call_blocking(|| Reply::Err("no")),
        Err(Error::Inner("no"))
    ));
    let totals = rig.breaker.totals();
    assert_eq!((totals.success, totals.failure), (1, 2));
}

#[tokio::test]
async fn g1a_an_inner_rejection_counts_as_its_kind_says() {
    let kinds = [
        (RejectionKind::Open, Outcome::Ignored),
        (RejectionKind::ForcedOpen, Outcome::Ignored),
        (RejectionKind::ProbesFull, Outcome::Ignored),
        (RejectionKind::Full, Outcome::Ignored),
        (RejectionKind::Shed, Outcome::Ignored),
        (RejectionKind::RateLimited, Outcome::Ignored),
        (RejectionKind::Restarting, Outcome::Ignored),
        (RejectionKind::TimedOut, Outcome::Failure),
    ];
    for (kind, expected) in kinds {
        let rig = Rig::new(config());
        let inner = Rejection::new("inner", "inner".into(), kind);
        let error = rig
            .breaker
            .call_in(|| ready(Err::<(), _>(CallError::<u8>::Rejected(inner))))
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Rejected(rejection) if rejection.policy() == "inner"));
        let totals = rig.breaker.totals();
        let expected = match expected {
            Outcome::Failure => (1, 0),
            _ => (0, 1),
        };
        assert_eq!((totals.failure, totals.ignored), expected, "{kind:?}");
    }
}

#[tokio::test]
async fn g1a_a_classifier_has_the_last_word() {
    let rig = Rig::new(config());
    let by_value = |result: Result<&u8, &&str>| match result {
        Ok(5..) => Outcome::Failure,
        Ok(_) => Outcome::Success,
        Err(_) => Outcome::Ignored,
    };
    for (reply, expected) in [
        (Ok(1), (1, 0, 0)),
        (Ok(9), (1, 1, 0)),
        (Err("x"), (1, 1, 1)),
    ] {
        let _ = rig.breaker.call_with(by_value, || ready(reply)).await;
        let totals = rig.breaker.totals();
        assert_eq!((totals.success, totals.failure, totals.ignored), expected);
    }
    let _ = rig.breaker.call_blocking_with(by_value, || Reply::Ok(9));
    assert_eq!(rig.breaker.totals().failure, 2);
}

#[test]
fn g1b_ignored_is_neutral() {
    for window in [Window::count(100), Window::time(SECOND, 10)] {
        let rig = Rig::new(config().window(window));
        rig.succeed(10);
        rig.fail(5);
        let before = rig.breaker.snapshot();
        (0..1_000).for_each(|_| rig.record(Verdict::ignored()));
        assert_eq!(rig.breaker.snapshot(), before);
        assert_eq!(rig.breaker.totals().ignored, 1_000);
    }
    let rig = Rig::new(config().consecutive_failures(3));
    rig.fail(2);
    rig.record(Verdict::ignored());
    rig.fail(1);
    assert_eq!(
        rig.state(),
        State::Open,
        "ignored does not end a row of failures"
    );
}

#[tokio::test]
async fn g2a_a_panic_is_one_failure_and_goes_on() {
    let rig = Rig::new(config());
    let in_future = rig.breaker.call(|| async {
        let reply: Reply = std::hint::black_box(Err("in the future"));
        Reply::Ok(reply.unwrap())
    });
    assert!(AssertUnwindSafe(in_future).catch_unwind().await.is_err());
    assert_eq!(rig.breaker.totals().failure, 1);
    let in_operation = rig
        .breaker
        .call(|| -> std::future::Ready<Reply> { panic!("in the operation") });
    assert!(AssertUnwindSafe(in_operation).catch_unwind().await.is_err());
    assert_eq!(rig.breaker.totals().failure, 2);
    let classifier = |_: Result<&u8, &&str>| -> Outcome { panic!("in the classifier") };
    let in_classifier = rig.breaker.call_with(classifier, || ready(Reply::Ok(1)));
    assert!(
        AssertUnwindSafe(in_classifier)
            .catch_unwind()
            .await
            .is_err()
    );
    assert_eq!(rig.breaker.totals().failure, 3);
    let blocking = || {
        rig.breaker
            .call_blocking(|| -> Reply { panic!("in blocking code") })
    };
    assert!(catch_unwind(AssertUnwindSafe(blocking)).is_err());
    let permit = || {
        let _permit = rig.breaker.try_acquire().unwrap();
        panic!("with a permit");
    };
    assert!(catch_unwind(AssertUnwindSafe(permit)).is_err());
    let totals = rig.breaker.totals();
    assert_eq!((totals.failure, totals.admitted()), (5, 5));
    assert_eq!(rig.counts().failed, 5);
}

#[tokio::test]
async fn g2b_a_call_dropped_by_a_neighbours_panic_is_dropped() {
    let rig = Rig::new(config());
    let both = async {
        let neighbour = async {
            tokio::task::yield_now().await;
            panic!("the neighbour");
        };
        futures::join!(rig.breaker.call(pending::<Reply>), neighbour)
    };
    assert!(AssertUnwindSafe(both).catch_unwind().await.is_err());
    let totals = rig.breaker.totals();
    assert_eq!((totals.failure, totals.dropped), (0, 1));
}

fn dropped_after(config: CircuitBreakerConfig, time: std::time::Duration) -> (u64, u64, u64) {
    let rig = Rig::new(config);
    let mut call = Box::pin(rig.breaker.call(pending::<Reply>));
    assert!((&mut call).now_or_never().is_none());
    rig.clock.advance(time);
    drop(call);
    let totals = rig.breaker.totals();
    assert_eq!(totals.admitted(), 1);
    (totals.dropped, totals.failure, totals.slow)
}

#[test]
fn g2b_a_dropped_call_counts_as_the_setting_says() {
    let slow = || config().slow_calls(SECOND, 0.5);
    assert_eq!(dropped_after(slow(), 9 * SECOND), (1, 0, 0));
    let failure = config().dropped_calls(DroppedCalls::Failure);
    assert_eq!(dropped_after(failure, MS), (0, 1, 0));
    let if_slow = || slow().dropped_calls(DroppedCalls::FailureIfSlow);
    assert_eq!(
        dropped_after(if_slow(), SECOND),
        (1, 0, 0),
        "the limit itself is not slow"
    );
    assert_eq!(dropped_after(if_slow(), SECOND + MS), (0, 1, 1));
    assert_eq!(
        dropped_after(if_slow().window(Window::time(SECOND, 10)), 2 * SECOND),
        (0, 1, 1)
    );
}

#[test]
fn g2b_a_dropped_probe_counts_as_the_setting_says() {
    let if_slow = config()
        .probes(1)
        .slow_calls(SECOND, 0.5)
        .dropped_calls(DroppedCalls::FailureIfSlow);
    let rig = Rig::new(if_slow);
    rig.trip_and_wait();
    let probe = rig.breaker.try_acquire().unwrap();
    rig.clock.advance(SECOND);
    drop(probe);
    assert_eq!(rig.state(), State::HalfOpen);
    let probe = rig.breaker.try_acquire().unwrap();
    rig.clock.advance(2 * SECOND);
    drop(probe);
    assert_eq!(rig.state(), State::Open);
}

#[tokio::test]
async fn a_call_that_is_never_polled_asks_for_nothing() {
    let rig = Rig::new(config());
    rig.trip_and_wait();
    drop(rig.breaker.call(|| ready(Reply::Ok(1))));
    assert_eq!(rig.state(), State::Open);
    assert_eq!(rig.breaker.totals().dropped, 0);
}

#[tokio::test]
async fn a_rejected_call_runs_nothing() {
    let rig = Rig::new(config());
    rig.breaker.force_open();
    let mut ran = false;
    let call = rig.breaker.call(|| {
        ran = true;
        ready(Reply::Ok(1))
    });
    assert!(matches!(call.await, Err(Error::Rejected(_))));
    assert!(!ran);
    let error = rig
        .breaker
        .call_in(|| ready(Ok::<_, Error<u8>>(1)))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Rejected(rejection) if rejection.name().as_str() == "rig"));
}

#[test]
fn durations_are_kept_on_request() {
    let rig = Rig::new(config());
    rig.take(SECOND);
    assert!(rig.breaker.durations().is_none());
    let rig = Rig::new(config().durations(true).window(Window::time(SECOND, 10)));
    (1..=100).for_each(|n| rig.take(n * MS));
    rig.breaker.force_open();
    rig.breaker.release_force_open();
    rig.trip_and_wait();
    rig.take(500 * MS);
    let durations = rig.breaker.durations().unwrap();
    assert_eq!(durations.count(), 100 + 20 + 1);
    assert!(durations.quantile(1.0).unwrap() >= 500 * MS);
}
