//! One small adapter per peer, each used as its own documentation shows it.

use std::time::Duration;

use circuitbreaker_rs::{BreakerError, DefaultPolicy};
use failsafe::failure_policy::{SuccessRateOverTimeWindow, success_rate_over_time_window};
use failsafe::futures::CircuitBreaker as _;
use seatbelt::breaker::{Breaker, BreakerLayer};
use seatbelt::{RecoveryInfo, ResilienceContext};
use tower::Layer;
use tower_resilience::circuitbreaker::{
    CircuitBreakerError, CircuitBreakerLayer, SlidingWindowType,
};

use crate::call::{Backend, Fault, Peer, Seen, Tower, at_once, backend};

/// The settings that every peer gets, or the nearest it offers.
pub(crate) const CALLS: usize = 100;
pub(crate) const MINIMUM: u32 = 20;
pub(crate) const RATE: f64 = 0.5;
/// Longer than any measurement: an open breaker stays open, so a closed one was never open.
pub(crate) const OPEN_WAIT: Duration = Duration::from_secs(3600);

// --- tower-resilience

impl From<CircuitBreakerError<Fault>> for Seen {
    fn from(error: CircuitBreakerError<Fault>) -> Self {
        match error {
            CircuitBreakerError::OpenCircuit => Seen::Rejected,
            CircuitBreakerError::Inner(fault) => fault.into(),
        }
    }
}

/// `window` is the time window; without it the count window is used.
pub(crate) fn tower_resilience(window: Option<Duration>) -> impl Peer {
    let builder = CircuitBreakerLayer::builder()
        .failure_rate_threshold(RATE)
        .sliding_window_size(CALLS)
        .minimum_number_of_calls(MINIMUM as usize)
        .wait_duration_in_open(OPEN_WAIT);
    let builder = match window {
        Some(window) => builder
            .sliding_window_type(SlidingWindowType::TimeBased)
            .sliding_window_duration(window),
        None => builder,
    };
    Tower(
        builder
            .build()
            .expect("a valid configuration")
            .layer(Backend),
    )
}

// --- seatbelt

/// Its own trait takes `&self` and boxes nothing; through tower the future is boxed.
#[derive(Clone)]
struct Layered<S>(S);

impl<S> Peer for Layered<S>
where
    S: layered::Service<bool, Out = Result<u64, Fault>> + Clone + 'static,
{
    fn call(&mut self, fail: bool) -> Seen {
        at_once(self.0.execute(fail))
    }
}

fn seatbelt_layer(window: Duration) -> BreakerLayer<bool, Result<u64, Fault>> {
    let context: ResilienceContext<bool, Result<u64, Fault>> =
        ResilienceContext::new(tick::Clock::new_tokio());
    Breaker::layer("compare", &context)
        .recovery_with(|result, _| {
            if result.is_ok() {
                RecoveryInfo::never()
            } else {
                RecoveryInfo::retry()
            }
        })
        .rejected_input_error(|_, _| Fault::Rejected)
        .failure_threshold(RATE as f32)
        .min_throughput(MINIMUM)
        .sampling_duration(window)
        .break_duration(OPEN_WAIT)
}

pub(crate) fn seatbelt_tower(window: Duration) -> impl Peer {
    Tower(seatbelt_layer(window).layer(Backend))
}

pub(crate) fn seatbelt_layered(window: Duration) -> impl Peer {
    Layered(seatbelt_layer(window).layer(layered::Execute::new(backend)))
}

// --- recloser

#[derive(Clone)]
struct Recloser(recloser::AsyncRecloser);

impl From<recloser::Error<Fault>> for Seen {
    fn from(error: recloser::Error<Fault>) -> Self {
        match error {
            recloser::Error::Rejected => Seen::Rejected,
            recloser::Error::Inner(fault) => fault.into(),
        }
    }
}

impl Peer for Recloser {
    fn call(&mut self, fail: bool) -> Seen {
        at_once(self.0.call(backend(fail)))
    }
}

pub(crate) fn recloser() -> impl Peer {
    let breaker = recloser::Recloser::custom()
        .error_rate(RATE as f32)
        .closed_len(CALLS)
        .open_wait(OPEN_WAIT)
        .build();
    Recloser(breaker.into())
}

// --- failsafe

type WindowPolicy = SuccessRateOverTimeWindow<failsafe::backoff::Constant>;

#[derive(Clone)]
struct Failsafe(failsafe::StateMachine<WindowPolicy, ()>);

impl From<failsafe::Error<Fault>> for Seen {
    fn from(error: failsafe::Error<Fault>) -> Self {
        match error {
            failsafe::Error::Rejected => Seen::Rejected,
            failsafe::Error::Inner(fault) => fault.into(),
        }
    }
}

impl Peer for Failsafe {
    fn call(&mut self, fail: bool) -> Seen {
        at_once(self.0.call(backend(fail)))
    }
}

pub(crate) fn failsafe(window: Duration) -> impl Peer {
    let wait = failsafe::backoff::constant(OPEN_WAIT);
    let policy = success_rate_over_time_window(1.0 - RATE, MINIMUM, window, wait);
    Failsafe(failsafe::Config::new().failure_policy(policy).build())
}

// --- circuitbreaker-rs

#[derive(Clone)]
struct CircuitBreakerRs(circuitbreaker_rs::CircuitBreaker<DefaultPolicy, Fault>);

impl From<BreakerError<Fault>> for Seen {
    fn from(error: BreakerError<Fault>) -> Self {
        match error {
            BreakerError::Open => Seen::Rejected,
            BreakerError::Operation(fault) => fault.into(),
            BreakerError::Internal(error) => panic!("the peer failed: {error}"),
        }
    }
}

impl Peer for CircuitBreakerRs {
    fn call(&mut self, fail: bool) -> Seen {
        at_once(self.0.call_async(|| backend(fail)))
    }
}

pub(crate) fn circuitbreaker_rs() -> impl Peer {
    let breaker = circuitbreaker_rs::CircuitBreaker::<DefaultPolicy, Fault>::builder()
        .failure_threshold(RATE)
        .min_throughput(u64::from(MINIMUM))
        // The other peers have no rule on consecutive failures.
        .consecutive_failures(u64::MAX)
        .cooldown(OPEN_WAIT)
        .build();
    CircuitBreakerRs(breaker)
}
