//! A check that is fed by calls, and a layer that sheds them.

use backstop::health::calls::{CallHealth, CallHealthConfig, HealthLayer, HealthService};
use backstop::health::check::{Check, CheckConfig, Level, Status};
use backstop::health::tree::{Component, HealthTree};
use backstop::kernel::outcome::Outcome;
use backstop::kernel::ratio::Ratio;
use backstop::{Error, Rejection, RejectionKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tower::{Layer, Service, ServiceExt, service_fn};

const PERIOD: Duration = Duration::from_secs(10);

fn calls() -> CallHealth {
    CallHealth::new("payments", CallHealthConfig::default()).unwrap()
}

/// A check that one period decides.
fn at_once(check: Check) -> Check {
    check.config(CheckConfig::default().period(PERIOD).failure_threshold(1))
}

fn tree(calls: &CallHealth) -> HealthTree {
    let check = at_once(calls.check(Level::Critical));
    let tree = HealthTree::builder("shop")
        .component(Component::new("payments").check(check))
        .build()
        .unwrap();
    tree.start().unwrap();
    tree
}

fn record(calls: &CallHealth, success: u32, failure: u32) {
    for _ in 0..success {
        calls.record(Outcome::Success);
    }
    for _ in 0..failure {
        calls.record(Outcome::Failure);
    }
}

/// Into the next period, with its check done.
async fn next_period(clock: &mut tokio::time::Interval) {
    clock.tick().await;
}

fn periods() -> tokio::time::Interval {
    // In the middle between two runs of the check.
    let mut periods = tokio::time::interval(PERIOD);
    periods.reset_after(PERIOD / 2);
    periods
}

#[tokio::test(start_paused = true)]
async fn hc7a_a_period_with_too_many_failures_fails_the_check() {
    let calls = calls();
    let tree = tree(&calls);
    let mut periods = periods();
    next_period(&mut periods).await;
    assert_eq!(tree.status(), Status::Healthy, "nothing speaks against it");
    for (success, failure, status) in [
        (5, 5, Status::Unhealthy),
        (6, 5, Status::Healthy),
        (0, 9, Status::Healthy),
        (0, 10, Status::Unhealthy),
        (0, 0, Status::Healthy),
        (1_000, 999, Status::Healthy),
        (999, 1_000, Status::Unhealthy),
    ] {
        record(&calls, success, failure);
        next_period(&mut periods).await;
        assert_eq!(tree.status(), status, "{success} and {failure}");
    }
    let snapshot = tree.snapshot();
    let told = format!("{snapshot:?}");
    assert!(
        told.contains("1000 of 1999 calls of payments failed"),
        "{told}"
    );
}

#[tokio::test(start_paused = true)]
async fn hc7a_what_was_before_the_check_is_not_held_against_it() {
    let calls = calls();
    record(&calls, 0, 100);
    let tree = tree(&calls);
    let mut periods = periods();
    next_period(&mut periods).await;
    assert_eq!(tree.status(), Status::Healthy);
}

#[test]
fn hc7a_a_configuration_that_cannot_be_is_refused() {
    let config = CallHealthConfig::default;
    for (config, field) in [
        (config().minimum_calls(0), "minimum_calls"),
        (
            config().failure_ratio(Ratio::new(0.0).unwrap()),
            "failure_ratio",
        ),
    ] {
        assert_eq!(CallHealth::new("x", config).unwrap_err().field(), field);
    }
}

type Reply = Result<u32, Error<&'static str>>;

/// Answers what it is asked for, and counts.
fn service(
    layer: &HealthLayer,
    asked: &Arc<AtomicU64>,
) -> HealthService<impl Service<Reply, Response = u32, Error = Error<&'static str>> + Clone + use<>>
{
    let asked = asked.clone();
    layer.layer(service_fn(move |reply: Reply| {
        asked.fetch_add(1, Ordering::Relaxed);
        async move { reply }
    }))
}

#[tokio::test]
async fn hc7b_each_call_counts_once_by_its_result() {
    let calls = calls();
    let asked = Arc::new(AtomicU64::new(0));
    let mut service = service(&HealthLayer::new(&calls), &asked);
    let rejection = Rejection::new("bulkhead", "inner".into(), RejectionKind::Full);
    for (reply, success, failure) in [
        (Ok(7), 1, 0),
        (Err(Error::Inner("no")), 1, 1),
        (Err(Error::Rejected(rejection)), 1, 1),
    ] {
        let _ = service.ready().await.unwrap().call(reply).await;
        let totals = calls.totals();
        assert_eq!((totals.success, totals.failure), (success, failure));
    }
    drop(service.ready().await.unwrap().call(Ok(7)));
    assert_eq!(calls.totals().success, 1, "it was never polled");
    assert_eq!(asked.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn hc7c_calls_are_shed_while_the_component_is_not_ready() {
    let calls = calls();
    let tree = HealthTree::builder("shop").build().unwrap();
    let root = tree.root();
    let asked = Arc::new(AtomicU64::new(0));
    let mut shedding = service(&HealthLayer::new(&calls).shed(root.clone()), &asked);
    let mut open = service(&HealthLayer::new(&calls), &asked);
    for status in [
        Status::Starting,
        Status::Unknown,
        Status::Unhealthy,
        Status::OutOfService,
    ] {
        root.set_status(status);
        let error = shedding
            .ready()
            .await
            .unwrap()
            .call(Ok(1))
            .await
            .unwrap_err();
        let rejection =
            backstop::PolicyError::rejection(&error).expect("not the service's own error");
        assert_eq!(rejection.kind(), RejectionKind::Shed, "{status}");
        assert!(rejection.to_string().contains("payments"), "{rejection}");
        open.ready().await.unwrap().call(Ok(1)).await.unwrap();
    }
    assert_eq!((asked.load(Ordering::Relaxed), calls.totals().shed), (4, 4));
    for status in [Status::Healthy, Status::Degraded] {
        root.set_status(status);
        shedding.ready().await.unwrap().call(Ok(1)).await.unwrap();
    }
    // It became ready after the service inside was not asked whether it is.
    root.set_status(Status::Unhealthy);
    let ready = shedding.ready().await.unwrap();
    root.set_status(Status::Healthy);
    assert!(ready.call(Ok(1)).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn hc7d_what_is_shed_comes_back() {
    let calls = calls();
    let tree = tree(&calls);
    let component = tree.component("payments").unwrap();
    let asked = Arc::new(AtomicU64::new(0));
    let mut service = service(&HealthLayer::new(&calls).shed(component), &asked);
    let mut periods = periods();
    next_period(&mut periods).await;
    for _ in 0..20 {
        let _ = service
            .ready()
            .await
            .unwrap()
            .call(Err(Error::Inner("no")))
            .await;
    }
    next_period(&mut periods).await;
    assert_eq!(tree.status(), Status::Unhealthy);
    for _ in 0..20 {
        assert!(service.ready().await.unwrap().call(Ok(1)).await.is_err());
    }
    assert_eq!(
        (asked.load(Ordering::Relaxed), calls.totals().shed),
        (20, 20)
    );
    next_period(&mut periods).await;
    service.ready().await.unwrap().call(Ok(1)).await.unwrap();
}
