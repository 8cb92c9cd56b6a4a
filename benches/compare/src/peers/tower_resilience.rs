use std::sync::Arc;
use std::time::Duration;

use tower::{Layer, ServiceBuilder};
use tower_resilience::bulkhead::{
    BulkheadConfigBuilder as BulkheadBuilder, BulkheadLayer, BulkheadServiceError,
};
use tower_resilience::circuitbreaker::{
    CircuitBreakerError, CircuitBreakerLayer, SlidingWindowType,
};
use tower_resilience::retry::{RetryBudget, RetryBudgetBuilder, RetryLayer};
use tower_resilience::timelimiter::{TimeLimiterError, TimeLimiterLayer};

use crate::call::{Ask, Backend, Fault, Peer, Seen, Tower};
use crate::ours::{TOWER, TOWER_NO_BUDGET, TOWER_TIME};
use crate::scenario::{Family, Load};
use crate::settings::{
    ATTEMPT_LIMIT, ATTEMPTS, BUDGET_RATE, CALLS, CONCURRENT, MINIMUM, OPEN_WAIT, RATE, TOTAL_LIMIT,
    WAIT,
};
use crate::suite::{Row, Suite, Window};

pub(super) fn rows(suite: &mut Suite<'_>) {
    let row = |name, window| Row::new(name, window).like(TOWER);
    let plain = |name| row(name, Window::None);
    match (suite.scenario.family, suite.scenario.load) {
        (Family::Breaker, _) => {
            let span = suite.plan.window;
            let count = row("tower-resilience-count", Window::Calls).pends();
            suite.row(count, || Tower(breaker(None).layer(Backend)));
            let time = Row::new("tower-resilience-time", Window::Log).pends();
            suite.row(time.like(TOWER_TIME), || {
                Tower(breaker(Some(span)).layer(Backend))
            });
        }
        // What it calls a refusal at once waits for a timer.
        (Family::Bulkhead, Load::Refused) => {}
        (Family::Bulkhead, _) => {
            suite.row(plain("tower-resilience"), || {
                bulkhead(|builder| builder.reject_when_full())
            });
            suite.row(plain("tower-resilience-waits"), || {
                bulkhead(|builder| builder)
            });
            suite.row(plain("tower-resilience-pressure"), || {
                bulkhead(|builder| builder.backpressure())
            });
        }
        (Family::Timeout, _) => suite.row(plain("tower-resilience"), || {
            Tower(time_limiter(ATTEMPT_LIMIT).layer(Backend))
        }),
        // A wait of no time waits for a timer too.
        (Family::Retry, Load::FailsOnce) => {}
        (Family::Retry, _) => {
            suite.row(plain("tower-resilience"), || {
                Tower(retry::<Fault>(Some(budget())).layer(Backend))
            });
            suite.row(
                plain("tower-resilience-no-budget").like(TOWER_NO_BUDGET),
                || Tower(retry::<Fault>(None).layer(Backend)),
            );
        }
        (Family::Stack, _) => {
            suite.row(row("tower-resilience", Window::Calls).pends(), stack);
        }
    }
}

impl<E: Into<Seen>> From<CircuitBreakerError<E>> for Seen {
    fn from(error: CircuitBreakerError<E>) -> Self {
        match error {
            CircuitBreakerError::OpenCircuit => Seen::Rejected,
            CircuitBreakerError::Inner(error) => error.into(),
        }
    }
}

impl<E: Into<Seen>> From<BulkheadServiceError<E>> for Seen {
    fn from(error: BulkheadServiceError<E>) -> Self {
        match error {
            BulkheadServiceError::Bulkhead(_) => Seen::Rejected,
            BulkheadServiceError::Inner(error) => error.into(),
        }
    }
}

impl<E: Into<Seen>> From<TimeLimiterError<E>> for Seen {
    fn from(error: TimeLimiterError<E>) -> Self {
        match error {
            TimeLimiterError::Timeout => Seen::Failed,
            TimeLimiterError::Inner(error) => error.into(),
        }
    }
}

/// `window` is the time window; without it the count window is used.
fn breaker(window: Option<Duration>) -> CircuitBreakerLayer {
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
    builder.build().expect("a valid configuration")
}

fn bulkhead(mode: impl Fn(BulkheadBuilder) -> BulkheadBuilder) -> impl Peer {
    let builder = BulkheadLayer::builder().max_concurrent_calls(CONCURRENT);
    let layer = mode(builder).build().expect("a valid configuration");
    Tower(layer.layer(Backend))
}

fn time_limiter(limit: Duration) -> TimeLimiterLayer {
    TimeLimiterLayer::builder().timeout_duration(limit).build()
}

/// Its token bucket earns one token for each success: a share of the calls is not to be had.
fn budget() -> Arc<dyn RetryBudget> {
    RetryBudgetBuilder::new()
        .token_bucket()
        .tokens_per_second(f64::from(BUDGET_RATE))
        .max_tokens(100)
        .build()
        .expect("a valid configuration")
}

fn retry<E>(budget: Option<Arc<dyn RetryBudget>>) -> RetryLayer<Ask, u64, E> {
    let builder = RetryLayer::builder()
        .max_attempts(ATTEMPTS as usize)
        .exponential_backoff(WAIT);
    match budget {
        Some(budget) => builder.budget(budget).build(),
        None => builder.build(),
    }
}

fn stack() -> impl Peer {
    let stack = ServiceBuilder::new()
        .layer(time_limiter(TOTAL_LIMIT))
        .layer(
            BulkheadLayer::builder()
                .max_concurrent_calls(CONCURRENT)
                .reject_when_full()
                .build()
                .expect("a valid configuration"),
        )
        .layer(retry(Some(budget())))
        .layer(breaker(None))
        .layer(time_limiter(ATTEMPT_LIMIT))
        .service(Backend);
    Tower(stack)
}
