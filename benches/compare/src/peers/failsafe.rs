use std::time::Duration;

use failsafe::failure_policy::{SuccessRateOverTimeWindow, success_rate_over_time_window};
use failsafe::futures::CircuitBreaker as _;

use crate::call::{Ask, Fault, Peer, Seen, at_once, backend};
use crate::ours::TIME;
use crate::scenario::Family;
use crate::settings::{MINIMUM, OPEN_WAIT, RATE};
use crate::suite::{Row, Suite, Window};

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
    fn call(&mut self, ask: Ask) -> Seen {
        at_once(self.0.call(backend(ask)))
    }
}

pub(super) fn rows(suite: &mut Suite<'_>) {
    if suite.scenario.family == Family::Breaker {
        let span = suite.plan.window;
        suite.row(Row::new("failsafe", Window::Span).like(TIME), || {
            breaker(span)
        });
    }
}

fn breaker(window: Duration) -> impl Peer {
    let wait = failsafe::backoff::constant(OPEN_WAIT);
    let policy = success_rate_over_time_window(1.0 - RATE, MINIMUM, window, wait);
    Failsafe(failsafe::Config::new().failure_policy(policy).build())
}
