use circuitbreaker_rs::{BreakerError, CircuitBreaker, DefaultPolicy};

use crate::call::{Ask, Fault, Peer, Seen, at_once, backend};
use crate::ours::CLONED;
use crate::scenario::Family;
use crate::settings::{MINIMUM, OPEN_WAIT, RATE};
use crate::suite::{Row, Suite, Window};

#[derive(Clone)]
struct CircuitBreakerRs(CircuitBreaker<DefaultPolicy, Fault>);

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
    fn call(&mut self, ask: Ask) -> Seen {
        at_once(self.0.call_async(|| backend(ask)))
    }
}

pub(super) fn rows(suite: &mut Suite<'_>) {
    if suite.scenario.family == Family::Breaker {
        let row = Row::new("circuitbreaker-rs", Window::Calls).like(CLONED);
        suite.row(row, breaker);
    }
}

fn breaker() -> impl Peer {
    let breaker = CircuitBreaker::<DefaultPolicy, Fault>::builder()
        .failure_threshold(RATE)
        .min_throughput(u64::from(MINIMUM))
        // The other peers have no rule on consecutive failures.
        .consecutive_failures(u64::MAX)
        .cooldown(OPEN_WAIT)
        .build();
    CircuitBreakerRs(breaker)
}
