use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tower::{Layer, Service};
use tower_resilience::bulkhead::BulkheadLayer;
use tower_resilience::circuitbreaker::CircuitBreakerLayer;
use tower_resilience::retry::{RetryBudgetBuilder, RetryLayer};
use tower_resilience::timelimiter::TimeLimiterLayer;

use crate::{Answers, Failed, allocations, poll_once, poll_ready, runtime};

#[test]
fn a_full_bulkhead_that_refuses_at_once_waits_for_a_timer() {
    let runtime = runtime();
    let bulkhead = BulkheadLayer::builder()
        .max_concurrent_calls(1)
        .reject_when_full()
        .build()
        .expect("a valid configuration");
    runtime.block_on(async {
        let hangs = tower::service_fn(|hangs: bool| async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            Ok::<_, Failed>(())
        });
        let mut service = bulkhead.layer(hangs);
        let mut running = Box::pin(service.call(true));
        assert!(poll_once(&mut running).is_pending());
        let mut refused = service.call(false);
        assert!(poll_once(&mut refused).is_pending(), "not at once");
        assert!(refused.await.is_err());
    });
}

#[test]
fn a_wait_of_no_time_waits_for_a_timer() {
    let runtime = runtime();
    let _entered = runtime.enter();
    let retry = RetryLayer::<bool, (), Failed>::builder()
        .fixed_backoff(Duration::ZERO)
        .build();
    let mut service = retry.layer(Answers::default());
    assert!(poll_once(service.call(true)).is_pending());
    assert!(poll_once(service.call(false)).is_ready());
}

#[test]
fn its_budget_earns_a_whole_retry_with_each_success() {
    let budget = RetryBudgetBuilder::new()
        .token_bucket()
        .tokens_per_second(0.0)
        .initial_tokens(0)
        .build()
        .expect("a valid configuration");
    for _ in 0..1000 {
        assert!(!budget.try_withdraw());
        budget.deposit();
        assert!(budget.try_withdraw());
    }
}

#[test]
fn with_back_pressure_an_idle_clone_that_was_polled_ready_holds_a_permit() {
    let bulkhead = BulkheadLayer::builder().max_concurrent_calls(1);
    let layer = bulkhead.backpressure().build().expect("valid");
    let mut idle = layer.layer(Answers::default());
    let mut caller = idle.clone();
    assert!(poll_ready(&mut idle).is_ready());
    assert!(poll_ready(&mut caller).is_pending(), "no call runs");
}

#[test]
fn a_timeout_needs_a_runtime_even_for_a_call_that_is_ready() {
    let mut limiter = TimeLimiterLayer::builder()
        .build()
        .layer(Answers::default());
    let call = move || poll_once(limiter.call(false)).is_ready();
    assert!(catch_unwind(AssertUnwindSafe(call)).is_err());
}

#[test]
fn what_a_call_allocates() {
    let runtime = runtime();
    let _entered = runtime.enter();
    let breaker = CircuitBreakerLayer::builder().build().expect("valid");
    let bulkhead = BulkheadLayer::builder().reject_when_full();
    let bulkhead = bulkhead.build().expect("valid");
    let retry = RetryLayer::<bool, (), Failed>::builder().build();
    let limiter = TimeLimiterLayer::builder().build();
    let mut breaker = breaker.layer(Answers::default());
    let mut bulkhead = bulkhead.layer(Answers::default());
    let mut retry = retry.layer(Answers::default());
    let mut limiter = limiter.layer(Answers::default());
    let counts = [
        allocations(|| assert!(poll_once(breaker.call(false)).is_ready())),
        allocations(|| assert!(poll_once(bulkhead.call(false)).is_ready())),
        allocations(|| assert!(poll_once(retry.call(false)).is_ready())),
        allocations(|| assert!(poll_once(limiter.call(false)).is_ready())),
    ];
    assert_eq!(counts, [3, 3, 2, 2]);
}
