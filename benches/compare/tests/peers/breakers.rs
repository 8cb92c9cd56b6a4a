//! When breakers open: each has a window of 100 calls or ten seconds, opens at 50 % and stays open for an hour.

use std::task::Poll;
use std::time::Duration;

use circuitbreaker_rs::{CircuitBreaker, DefaultPolicy};
use failsafe::failure_policy::success_rate_over_time_window;
use failsafe::futures::CircuitBreaker as _;
use tower::{Layer, Service};
use tower_resilience::circuitbreaker::CircuitBreakerLayer;

use crate::{Answers, Failed, poll_once, runtime};

const HOUR: Duration = Duration::from_secs(3600);

/// Makes calls through `call`, which is told whether the call is to fail and tells whether it was made.
struct Calls<F>(F);

impl<F: FnMut(bool) -> bool> Calls<F> {
    fn succeed(&mut self, calls: u32) {
        (0..calls).for_each(|_| assert!((self.0)(false), "it is open"));
    }

    /// How many of so many failing calls were made.
    fn fail(&mut self, calls: u32) -> u32 {
        (0..calls).map(|_| u32::from((self.0)(true))).sum()
    }
}

fn made<T, E>(poll: Poll<Result<T, E>>, rejected: impl Fn(&E) -> bool) -> bool {
    match poll {
        Poll::Ready(Ok(_)) => true,
        Poll::Ready(Err(error)) => !rejected(&error),
        Poll::Pending => panic!("a ready call was pending"),
    }
}

fn tower_resilience() -> Calls<impl FnMut(bool) -> bool> {
    let mut service = CircuitBreakerLayer::builder()
        .failure_rate_threshold(0.5)
        .sliding_window_size(100)
        .minimum_number_of_calls(20)
        .wait_duration_in_open(HOUR)
        .build()
        .expect("a valid configuration")
        .layer(Answers::default());
    Calls(move |fails| {
        made(poll_once(service.call(fails)), |error| {
            error.is_circuit_open()
        })
    })
}

#[test]
fn the_window_of_tower_resilience_does_not_slide_and_has_no_minimum_below_its_size() {
    let runtime = runtime();
    let _entered = runtime.enter();
    assert_eq!(tower_resilience().fail(99), 99, "20 were the minimum");
    assert_eq!(tower_resilience().fail(200), 100);
    let mut calls = tower_resilience();
    calls.succeed(1_000);
    assert_eq!(calls.fail(500), 500, "the last 100 all failed");
}

#[test]
fn recloser_decides_from_the_call_after_a_full_window_on() {
    let breaker: recloser::AsyncRecloser = recloser::Recloser::custom()
        .error_rate(0.5)
        .closed_len(100)
        .open_wait(HOUR)
        .build()
        .into();
    let mut calls = Calls(|fails| {
        let call = breaker.call(std::future::ready(if fails { Err(Failed) } else { Ok(()) }));
        made(poll_once(call), |error| {
            matches!(error, recloser::Error::Rejected)
        })
    });
    assert_eq!(calls.fail(200), 101);
}

#[test]
fn failsafe_opens_for_nothing_before_its_window_is_over() {
    let wait = failsafe::backoff::constant(HOUR);
    let policy = success_rate_over_time_window(0.5, 20, Duration::from_secs(10), wait);
    let breaker = failsafe::Config::new().failure_policy(policy).build();
    let mut calls = Calls(|fails| {
        let call = breaker.call(std::future::ready(if fails { Err(Failed) } else { Ok(()) }));
        made(poll_once(call), |error| {
            matches!(error, failsafe::Error::Rejected)
        })
    });
    assert_eq!(calls.fail(1_000), 1_000);
}

#[test]
fn circuitbreaker_rs_counts_since_it_was_made() {
    let breaker = CircuitBreaker::<DefaultPolicy, Failed>::builder()
        .failure_threshold(0.5)
        .min_throughput(20)
        .consecutive_failures(u64::MAX)
        .cooldown(HOUR)
        .build();
    let mut calls = Calls(|fails| {
        let call =
            breaker.call_async(|| std::future::ready(if fails { Err(Failed) } else { Ok(()) }));
        made(poll_once(call), |error| {
            matches!(error, circuitbreaker_rs::BreakerError::Open)
        })
    });
    calls.succeed(1_000);
    assert_eq!(calls.fail(2_000), 1_000);
}
