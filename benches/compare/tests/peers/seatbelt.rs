use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use layered::{Execute, Service as _, Stack};
use seatbelt::retry::{Retry, RetryLayer};
use seatbelt::timeout::{Timeout, TimeoutLayer};
use seatbelt::typestates::Set;
use seatbelt::{RecoveryInfo, ResilienceContext};
use tick::{Clock, ClockControl};
use tower::limit::ConcurrencyLimit;
use tower::{Layer, Service};

use crate::{Answers, Bell, Failed, allocations, poll_once, poll_ready};

type Out = Result<(), Failed>;

fn retry(clock: Clock) -> RetryLayer<bool, Out, Set, Set> {
    Retry::layer("retry", &ResilienceContext::new(clock))
        .clone_input()
        .recovery_with(|result: &Out, _| match result {
            Ok(()) => RecoveryInfo::never(),
            Err(_) => RecoveryInfo::retry(),
        })
}

fn timeout(clock: Clock) -> TimeoutLayer<bool, Out, Set, Set> {
    Timeout::layer("timeout", &ResilienceContext::new(clock))
        .timeout_error(|_| Failed)
        .timeout(Duration::from_secs(1))
}

#[test]
fn through_tower_a_retry_calls_a_clone_that_was_never_polled_ready() {
    let limit = ConcurrencyLimit::new(Answers::default(), 1);
    let mut retry = retry(Clock::new_frozen()).layer(limit);
    assert!(poll_ready(&mut retry).is_ready());
    let call = || poll_once(retry.call(false)).is_ready();
    assert!(
        catch_unwind(AssertUnwindSafe(call)).is_err(),
        "tower's limit panics at that"
    );
}

#[test]
fn a_timeout_wakes_the_task_that_polled_it_first_and_no_other() {
    let control = ClockControl::new();
    let hangs = Execute::new(|_: bool| std::future::pending::<Out>());
    let service = (timeout(control.to_clock()), hangs).into_service();
    let mut call = pin!(service.execute(false));
    let [first, second] = [(); 2].map(|()| Arc::new(Bell::default()));
    for bell in [&first, &second] {
        let waker = Arc::clone(bell).into();
        assert!(
            call.as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
    }
    control.advance(Duration::from_secs(2));
    assert_eq!((first.rung(), second.rung()), (1, 0));
    assert!(poll_once(call).is_ready(), "it was due");
}

#[test]
fn through_tower_each_policy_boxes_its_future() {
    let clock = Clock::new_frozen();
    let mut towered = retry(clock.clone()).layer(timeout(clock.clone()).layer(Answers::default()));
    assert_eq!(
        allocations(|| assert!(poll_once(towered.call(false)).is_ready())),
        2
    );
    let answers = Execute::new(|_: bool| std::future::ready(Ok(())));
    let layered = (retry(clock.clone()), timeout(clock), answers).into_service();
    assert_eq!(
        allocations(|| assert!(poll_once(layered.execute(false)).is_ready())),
        0
    );
}

#[test]
fn no_wait_is_none() {
    let mut retry = retry(Clock::new_frozen())
        .base_delay(Duration::ZERO)
        .layer(Answers::default());
    assert!(poll_once(retry.call(true)).is_ready());
}
