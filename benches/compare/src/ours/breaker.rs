use backstop::policy::circuit_breaker::Window as Kept;
use backstop::policy::errors::WrapErrorsLayer;
use backstop::{CircuitBreaker, CircuitBreakerConfig, CircuitBreakerLayer};
use tower::Layer;

use super::{CLONED, STATIC, STATIC_TOWER, TIME, TOWER, TOWER_TIME, fixed};
use crate::call::{Ask, Backend, Peer, Seen, Tower, at_once, backend};
use crate::settings::{CALLS, MINIMUM, OPEN_WAIT, RATE};
use crate::suite::{Row, Suite, Window};

#[derive(Clone)]
struct Handle(CircuitBreaker);

impl Peer for Handle {
    fn call(&mut self, ask: Ask) -> Seen {
        at_once(self.0.call(|| backend(ask)))
    }
}

fn config(window: Kept) -> CircuitBreakerConfig {
    CircuitBreakerConfig::default()
        .window(window)
        .failure_rate(RATE)
        .minimum_calls(MINIMUM)
        .open_wait(OPEN_WAIT, 1.0, OPEN_WAIT)
        .open_wait_jitter(0.0)
}

fn breaker(config: CircuitBreakerConfig) -> CircuitBreaker {
    CircuitBreaker::new("compare", config).expect("a valid configuration")
}

pub(super) fn count() -> CircuitBreakerConfig {
    config(Kept::count(CALLS as u32))
}

pub(super) fn counting() -> CircuitBreaker {
    breaker(count())
}

fn tower(breaker: CircuitBreaker) -> impl Peer {
    Tower(CircuitBreakerLayer::new(breaker).layer(WrapErrorsLayer::new().layer(Backend)))
}

pub(super) fn rows(suite: &mut Suite<'_>) {
    let time = Kept::time(suite.plan.window, 10);
    let counted = |name| Row::new(name, Window::Calls);
    let timed = |name| Row::new(name, Window::Span);

    suite.row(counted(STATIC), || Handle(fixed(counting())));
    suite.row(counted("backstop-static-no-totals"), || {
        Handle(fixed(breaker(
            config(Kept::count(CALLS as u32)).totals(false),
        )))
    });
    suite.row(counted(CLONED), || Handle(counting()));
    suite.row(counted(STATIC_TOWER), || tower(fixed(counting())));
    suite.row(counted(TOWER), || tower(counting()));
    suite.row(timed("backstop-static-time"), || {
        Handle(fixed(breaker(config(time))))
    });
    suite.row(timed(TIME), || Handle(breaker(config(time))));
    suite.row(timed(TOWER_TIME), || tower(breaker(config(time))));
}
