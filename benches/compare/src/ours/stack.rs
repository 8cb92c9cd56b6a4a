//! The five of ours in one pipeline, each by its own handle, or each by its layer.

use backstop::policy::bulkhead::BulkheadLayer;
use backstop::policy::errors::WrapErrorsLayer;
use backstop::policy::retry::RetryLayer;
use backstop::policy::timeout::TimeoutLayer;
use backstop::{
    Bulkhead, BulkheadConfig, CircuitBreaker, CircuitBreakerLayer, Pipeline, PipelineConfig, Retry,
    Timeout,
};
use tower::ServiceBuilder;

use super::{CLONED, STATIC, STATIC_TOWER, TOWER, breaker, bulkhead, fixed, retry, timeout};
use crate::call::{Ask, Backend, Peer, Seen, Tower, at_once, backend};
use crate::settings::{ATTEMPT_LIMIT, CONCURRENT, TOTAL_LIMIT};
use crate::suite::{Row, Suite, Window};

#[derive(Clone)]
struct Whole(Pipeline);

impl Peer for Whole {
    fn call(&mut self, ask: Ask) -> Seen {
        at_once(self.0.call(|_| backend(ask)))
    }
}

fn pipeline() -> Pipeline {
    let config = PipelineConfig::default()
        .total_timeout(TOTAL_LIMIT)
        .bulkhead(BulkheadConfig::default().max_concurrent(CONCURRENT as u32))
        .retry(retry::config())
        .circuit_breaker(breaker::count())
        .attempt_timeout(ATTEMPT_LIMIT);
    Pipeline::new("compare", config).expect("a valid configuration")
}

#[derive(Clone)]
struct Handles {
    total: Timeout,
    bulkhead: Bulkhead,
    retry: Retry,
    breaker: CircuitBreaker,
    attempt: Timeout,
}

impl Peer for Handles {
    fn call(&mut self, ask: Ask) -> Seen {
        let Self {
            total,
            bulkhead,
            retry,
            breaker,
            attempt,
        } = self;
        at_once(total.call_in(|| {
            bulkhead
                .call_in(|| retry.call_in(|_| breaker.call_in(|| attempt.call(|| backend(ask)))))
        }))
    }
}

impl Handles {
    fn cloned() -> Self {
        Self {
            total: timeout::timeout(TOTAL_LIMIT),
            bulkhead: bulkhead::bulkhead(CONCURRENT),
            retry: retry::retry(retry::config()),
            breaker: breaker::counting(),
            attempt: timeout::timeout(ATTEMPT_LIMIT),
        }
    }

    fn fixed() -> Self {
        let handles = Self::cloned();
        Self {
            total: fixed(handles.total),
            bulkhead: fixed(handles.bulkhead),
            retry: fixed(handles.retry),
            breaker: fixed(handles.breaker),
            attempt: fixed(handles.attempt),
        }
    }

    fn tower(self) -> impl Peer {
        let stack = ServiceBuilder::new()
            .layer(TimeoutLayer::new(self.total))
            .layer(BulkheadLayer::new(self.bulkhead))
            .layer(RetryLayer::new(self.retry))
            .layer(CircuitBreakerLayer::new(self.breaker))
            .layer(TimeoutLayer::new(self.attempt))
            .layer(WrapErrorsLayer::new())
            .service(Backend);
        Tower(stack)
    }
}

pub(super) fn rows(suite: &mut Suite<'_>) {
    let row = |name| Row::new(name, Window::Calls);
    suite.row(row(STATIC), || Whole(fixed(pipeline())));
    suite.row(row(CLONED), || Whole(pipeline()));
    suite.row(row("backstop-static-handles"), Handles::fixed);
    suite.row(row("backstop-cloned-handles"), Handles::cloned);
    suite.row(row(STATIC_TOWER), || Handles::fixed().tower());
    suite.row(row(TOWER), || Handles::cloned().tower());
}
