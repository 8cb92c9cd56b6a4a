//! Its own trait takes `&self` and boxes nothing; through tower each policy boxes its future.

use std::time::Duration;

use layered::{Execute, Stack};
use seatbelt::breaker::{Breaker, BreakerLayer};
use seatbelt::retry::{Retry, RetryLayer};
use seatbelt::timeout::{Timeout, TimeoutLayer};
use seatbelt::typestates::Set;
use seatbelt::{RecoveryInfo, ResilienceContext};
use tower::limit::ConcurrencyLimitLayer;
use tower::{Layer, ServiceBuilder};

use crate::call::{Ask, Backend, Fault, Peer, Seen, Tower, at_once, backend};
use crate::ours::{CLONED, CLONED_NO_BUDGET, TIME, TOWER, TOWER_NO_BUDGET, TOWER_TIME};
use crate::scenario::{Family, Load};
use crate::settings::{
    ATTEMPT_LIMIT, ATTEMPTS, CONCURRENT, MINIMUM, OPEN_WAIT, RATE, TOTAL_LIMIT, WAIT,
};
use crate::suite::{Row, Suite, Window};

const TOWER_ROW: &str = "seatbelt-tower";
const LAYERED_ROW: &str = "seatbelt-layered";

pub(super) fn rows(suite: &mut Suite<'_>) {
    let span = suite.plan.window;
    let tower = |window, ours| Row::new(TOWER_ROW, window).like(ours);
    let layered = |window, ours| Row::new(LAYERED_ROW, window).like(ours);
    match (suite.scenario.family, suite.scenario.load) {
        (Family::Breaker, _) => {
            suite.row(tower(Window::Span, TOWER_TIME), || {
                Tower(breaker(span).layer(Backend))
            });
            suite.row(layered(Window::Span, TIME), || {
                Layered((breaker(span), Execute::new(backend)).into_service())
            });
        }
        (Family::Bulkhead, _) => {}
        (Family::Timeout, _) => {
            suite.row(tower(Window::None, TOWER), || {
                Tower(timeout(ATTEMPT_LIMIT).layer(Backend))
            });
            suite.row(layered(Window::None, CLONED), || {
                Layered((timeout(ATTEMPT_LIMIT), Execute::new(backend)).into_service())
            });
        }
        (Family::Retry, load) => {
            let wait = if load == Load::FailsOnce {
                Duration::ZERO
            } else {
                WAIT
            };
            suite.row(tower(Window::None, TOWER_NO_BUDGET), || {
                Tower(retry(wait).layer(Backend))
            });
            suite.row(layered(Window::None, CLONED_NO_BUDGET), || {
                Layered((retry(wait), Execute::new(backend)).into_service())
            });
        }
        (Family::Stack, _) => {
            suite.row(tower(Window::Span, TOWER), || tower_stack(span));
            let row = Row::new("seatbelt-layered-of-four", Window::Span);
            suite.row(row.like(CLONED), || layered_stack(span));
        }
    }
}

#[derive(Clone)]
struct Layered<S>(S);

impl<S> Peer for Layered<S>
where
    S: layered::Service<Ask, Out = Result<u64, Fault>> + Clone + 'static,
{
    fn call(&mut self, ask: Ask) -> Seen {
        at_once(self.0.execute(ask))
    }
}

type Out = Result<u64, Fault>;

fn context() -> ResilienceContext<Ask, Out> {
    ResilienceContext::new(tick::Clock::new_tokio())
}

fn recovery(result: &Out) -> RecoveryInfo {
    if result.is_ok() {
        RecoveryInfo::never()
    } else {
        RecoveryInfo::retry()
    }
}

fn breaker(window: Duration) -> BreakerLayer<Ask, Out> {
    Breaker::layer("compare", &context())
        .recovery_with(|result, _| recovery(result))
        .rejected_input_error(|_, _| Fault::Rejected)
        .failure_threshold(RATE as f32)
        .min_throughput(MINIMUM)
        .sampling_duration(window)
        .break_duration(OPEN_WAIT)
}

fn timeout(limit: Duration) -> TimeoutLayer<Ask, Out, Set, Set> {
    Timeout::layer("compare", &context())
        .timeout_error(|_| Fault::TimedOut)
        .timeout(limit)
}

fn retry(wait: Duration) -> RetryLayer<Ask, Out, Set, Set> {
    Retry::layer("compare", &context())
        .clone_input()
        .recovery_with(|result, _| recovery(result))
        .max_retry_attempts(ATTEMPTS - 1)
        .base_delay(wait)
}

/// The bulkhead is tower's: seatbelt has none.
fn tower_stack(window: Duration) -> impl Peer {
    let stack = ServiceBuilder::new()
        .layer(timeout(TOTAL_LIMIT))
        .layer(ConcurrencyLimitLayer::new(CONCURRENT))
        .layer(retry(WAIT))
        .layer(breaker(window))
        .layer(timeout(ATTEMPT_LIMIT))
        .service(Backend);
    Tower(stack)
}

fn layered_stack(window: Duration) -> impl Peer {
    let stack = (
        timeout(TOTAL_LIMIT),
        retry(WAIT),
        breaker(window),
        timeout(ATTEMPT_LIMIT),
        Execute::new(backend),
    );
    Layered(stack.into_service())
}
