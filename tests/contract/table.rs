//! The table of services.

use crate::laws;
use crate::mock::{Failed, Request};
use crate::row::{Ledger, Row, Subject};
use backstop::chaos::fault::{FaultCounts, FaultInjector, FaultLayer};
use backstop::health::calls::{CallHealth, CallHealthConfig, HealthLayer, HealthService};
use backstop::health::check::Status;
use backstop::health::tree::HealthTree;
use backstop::kernel::clock::Clock;
use backstop::policy::bulkhead::{
    BulkheadSnapshot, CompartmentConfig, Compartments, CompartmentsConfig, QueueingBulkheadLayer,
    Totals,
};
use backstop::policy::circuit_breaker::{CircuitBreakerService, State};
#[cfg(feature = "axum")]
use backstop::policy::errors::RejectionResponseLayer;
use backstop::policy::errors::WrapErrorsLayer;
use backstop::policy::retry::{RetryService, RetryTotals};
use backstop::supervise::microreboot::{CallsSeen, Gate, GateConfig, GateLayer};
use backstop::{
    Bulkhead, BulkheadConfig, BulkheadLayer, CircuitBreaker, CircuitBreakerConfig,
    CircuitBreakerLayer, Error, Retry, RetryConfig, RetryLayer, Timeout, TimeoutLayer,
};
use std::time::Duration;
use tower::Layer;

/// Makes a test of each law for each service.
macro_rules! table {
    ($($(#[$attribute:meta])* $service:ident: $row:expr;)*) => {$(
        $(#[$attribute])*
        fn $service() -> Row<impl Subject> {
            $row
        }

        $(#[$attribute])*
        mod $service {
            crate::table::laws_of!($service:
                a_call_ends_as_the_inner_one,
                a_call_can_be_dropped_at_any_poll,
                calls_interleave,
                a_clone_is_polled_itself,
                readiness_is_kept,
                an_inner_service_that_is_not_ready_is_waited_for,
                an_inner_service_that_fails_in_poll_ready_is_heard,
                a_panic_within_leaks_nothing,
                a_rejection_is_an_outcome_of_call,
                an_idle_ready_clone_holds_no_capacity,
                counters_are_exact_after_a_bad_day,
            );
        }
    )*};
}

macro_rules! laws_of {
    ($service:ident: $($law:ident,)*) => {$(
        #[test]
        fn $law() {
            super::laws::$law(&super::$service());
        }
    )*};
}
pub(crate) use laws_of;

table! {
    circuit_breaker: breaker(&closed());
    circuit_breaker_half_open: breaker(&half_open(64)).capacity(|ledger| 64 - recorded(ledger));
    bulkhead: refusing_bulkhead(16).capacity(|_| 16);
    bulkhead_with_room: refusing_bulkhead(100_000);
    bulkhead_queueing: queueing_bulkhead(16).capacity(|_| 16);
    bulkhead_queueing_with_room: queueing_bulkhead(100_000);
    compartment: shared_slots(16).capacity(|_| 16);
    compartment_with_room: shared_slots(100_000);
    wrap_errors: Row::new(|mock| WrapErrorsLayer::new().layer(mock));
    #[cfg(feature = "axum")]
    rejection_response: Row::new(|mock| RejectionResponseLayer::new().layer(mock));
    fault_without_faults: quiet_fault();
    timeout: limited();
    health_of_calls: counted();
    retry_of_one_attempt: retry(RetryConfig::default().max_attempts(1), |totals| totals.exhausted);
    retry_that_has_nothing_to_repeat: unrepeated();
    retry_in_flight: retry(in_flight(), |totals| totals.exhausted);
    gate: gated(GateConfig::default());
    gate_without_draining: gated(GateConfig::default().without_drain());
    stack: several();
}

/// A closed circuit that no test opens.
fn closed() -> CircuitBreaker {
    let config = CircuitBreakerConfig::default()
        .failure_rate(1.0)
        .minimum_calls(100);
    CircuitBreaker::with_clock("closed", config, Clock::manual()).expect("a valid configuration")
}

/// A half-open circuit that decides nothing before `probes` are in.
fn half_open(probes: u32) -> CircuitBreaker {
    let config = CircuitBreakerConfig::default().probes(probes);
    let breaker = CircuitBreaker::with_clock("half_open", config, Clock::manual())
        .expect("a valid configuration");
    for state in [State::Open, State::HalfOpen] {
        breaker.transition_to(state).expect("allowed by hand");
    }
    breaker
}

fn breaker(breaker: &CircuitBreaker) -> Row<CircuitBreakerService<crate::mock::Mock>> {
    let checked = breaker.clone();
    let refusing = closed();
    refusing.force_open();
    let layer = CircuitBreakerLayer::new(breaker.clone());
    let refusing = CircuitBreakerLayer::new(refusing);
    Row::new(move |mock| layer.layer(mock))
        .refusing(move |mock| refusing.layer(mock))
        .check(move |ledger| check_breaker(&checked, ledger))
}

/// Calls that are counted, and others that are shed.
fn counted() -> Row<HealthService<crate::mock::Mock>> {
    let calls =
        || CallHealth::new("mock", CallHealthConfig::default()).expect("a valid configuration");
    let (counted, refusing) = (calls(), calls());
    let tree = HealthTree::builder("mock").build().expect("an empty tree");
    tree.root().set_status(Status::OutOfService);
    let layer = HealthLayer::new(&counted);
    let refusing = HealthLayer::new(&refusing).shed(tree.root());
    Row::new(move |mock| layer.layer(mock))
        .refusing(move |mock| refusing.layer(mock))
        .check(move |ledger| {
            let totals = counted.totals();
            let failed = ledger.failed + ledger.panicked + ledger.unready;
            assert_eq!(totals.success, ledger.succeeded, "{ledger:?}");
            assert_eq!(totals.failure, failed, "{ledger:?}");
        })
}

/// The probes that are in.
fn recorded(ledger: &Ledger) -> usize {
    let recorded = ledger.succeeded + ledger.failed + ledger.panicked + ledger.unready;
    usize::try_from(recorded).expect("a handful")
}

fn check_breaker(breaker: &CircuitBreaker, ledger: &Ledger) {
    let totals = breaker.totals();
    let failed = ledger.failed + ledger.panicked + ledger.unready;
    assert_eq!(totals.success, ledger.succeeded, "{ledger:?}");
    assert_eq!(totals.failure, failed, "{ledger:?}");
    assert_eq!(totals.ignored, ledger.rejected_within, "{ledger:?}");
    assert_eq!(totals.dropped, ledger.dropped, "{ledger:?}");
    assert_eq!(totals.rejected(), ledger.rejected, "{ledger:?}");
    assert_eq!(totals.late, 0, "{ledger:?}");
}

fn slots(slots: u32) -> Bulkhead {
    let config = BulkheadConfig::default().max_concurrent(slots);
    Bulkhead::with_clock("slots", config, Clock::manual()).expect("a valid configuration")
}

fn refusing_bulkhead(limit: u32) -> Row<impl Subject> {
    let bulkhead = slots(limit);
    let layer = BulkheadLayer::new(bulkhead.clone());
    let refusing = BulkheadLayer::new(slots(0));
    Row::new(move |mock| layer.layer(mock))
        .refusing(move |mock| refusing.layer(mock))
        .check(move |ledger| check_bulkhead(&bulkhead, ledger))
}

fn queueing_bulkhead(limit: u32) -> Row<impl Subject> {
    let bulkhead = slots(limit);
    let layer = QueueingBulkheadLayer::new(bulkhead.clone());
    let refusing = QueueingBulkheadLayer::new(slots(0));
    Row::new(move |mock| layer.layer(mock))
        .calling_late()
        .refusing(move |mock| refusing.layer(mock))
        .check(move |ledger| check_bulkhead(&bulkhead, ledger))
}

fn check_bulkhead(bulkhead: &Bulkhead, ledger: &Ledger) {
    check_slots(bulkhead.totals(), bulkhead.snapshot(), ledger);
}

fn check_slots(totals: Totals, snapshot: BulkheadSnapshot, ledger: &Ledger) {
    let ran = ledger.succeeded + ledger.failed + ledger.panicked + ledger.dropped;
    assert_eq!(totals.finished, ran + ledger.rejected_within, "{ledger:?}");
    assert_eq!(totals.refused(), ledger.rejected, "{ledger:?}");
    assert_eq!((snapshot.in_flight, snapshot.waiting), (0, 0), "{ledger:?}");
}

/// Of a set with a total and guarantees, none of which is in the way.
fn shared_slots(limit: u32) -> Row<impl Subject> {
    let set = |limit| {
        let share = CompartmentConfig::new(limit).guaranteed(limit);
        let config = CompartmentsConfig::new()
            .total(limit + 1)
            .compartment("used", share)
            .compartment("other", CompartmentConfig::new(1).guaranteed(1));
        Compartments::with_clock("set", config, Clock::manual()).expect("a valid configuration")
    };
    let used = set(limit).require("used").expect("it is there");
    let layer = used.layer();
    let refusing = set(0).require("used").expect("it is there").layer();
    Row::new(move |mock| layer.layer(mock))
        .refusing(move |mock| refusing.layer(mock))
        .check(move |ledger| check_slots(used.totals(), used.snapshot(), ledger))
}

fn quiet_fault() -> Row<impl Subject> {
    let injector = FaultInjector::with_clock(7, Clock::manual());
    let layer = FaultLayer::new(injector.clone(), |_: &Request| Error::Inner(Failed));
    Row::new(move |mock| layer.layer(mock)).check(move |_| {
        assert_eq!(injector.counts(), FaultCounts::default());
    })
}

/// Limits of time that are never reached.
fn limited() -> Row<impl Subject> {
    let new = || {
        Timeout::with_clock("limited", Duration::from_secs(1), Clock::manual()).expect("above zero")
    };
    let (timeout, refusing) = (new(), new());
    let isolation = refusing.isolate();
    let layer = TimeoutLayer::new(timeout.clone());
    let refusing_layer = TimeoutLayer::new(refusing.clone());
    Row::new(move |mock| layer.layer(mock))
        .refusing(move |mock| {
            let _held = &isolation;
            refusing_layer.layer(mock)
        })
        .check(move |ledger| {
            let (totals, refused) = (timeout.totals(), refusing.totals());
            assert_eq!(totals.rejected(), 0, "{ledger:?}");
            assert_eq!(refused.rejected_forced_open, ledger.rejected, "{ledger:?}");
            assert_eq!((refused.armed, refused.timed_out), (0, 0), "{ledger:?}");
        })
}

fn in_flight() -> RetryConfig {
    let budget = backstop::kernel::budget::BudgetConfig::in_flight(0.2, 3);
    RetryConfig::default().max_attempts(1).budget(budget)
}

/// What becomes of failed calls is told by `stopped`.
fn retry(
    config: RetryConfig,
    stopped: fn(&RetryTotals) -> u64,
) -> Row<RetryService<crate::mock::Mock>> {
    let new = |config| Retry::with_clock("contract", config, Clock::manual()).expect("valid");
    let (retry, refusing) = (new(config.clone()), new(config));
    let isolation = refusing.isolate();
    let (layer, refusing) = (RetryLayer::new(retry.clone()), RetryLayer::new(refusing));
    Row::new(move |mock| layer.layer(mock))
        .refusing(move |mock| {
            let _held = &isolation;
            refusing.layer(mock)
        })
        .check(move |ledger| check_retry(&retry, ledger, stopped))
}

/// The layer's whole way, without a second attempt.
fn unrepeated() -> Row<impl Subject> {
    let retry = Retry::with_clock("contract", RetryConfig::default(), Clock::manual());
    let retry = retry.expect("valid");
    let layer = RetryLayer::new(retry.clone()).repeat(|_: &Request, _: u32| None);
    Row::new(move |mock| layer.layer(mock))
        .check(move |ledger| check_retry(&retry, ledger, |totals| totals.not_repeatable))
}

fn check_retry(retry: &Retry, ledger: &Ledger, stopped: fn(&RetryTotals) -> u64) {
    let totals = retry.totals();
    assert_eq!(totals.success, ledger.succeeded, "{ledger:?}");
    assert_eq!(stopped(&totals), ledger.failed, "{ledger:?}");
    assert_eq!(totals.failed, ledger.rejected_within, "{ledger:?}");
    assert_eq!(totals.panicked, ledger.panicked, "{ledger:?}");
    assert_eq!(totals.dropped, ledger.dropped, "{ledger:?}");
    assert_eq!(totals.retries, 0, "{ledger:?}");
    assert_eq!(totals.attempts, totals.calls(), "{ledger:?}");
}

/// A gate that no test shuts, and one before a component that is being rebooted.
fn gated(config: GateConfig) -> Row<impl Subject> {
    let new = || Gate::with_clock("contract", config, Clock::manual()).expect("valid");
    let (gate, shut) = (new(), new());
    let reboot = shut.begin_reboot();
    let (layer, refusing) = (GateLayer::new(gate.clone()), GateLayer::new(shut.clone()));
    Row::new(move |mock| layer.layer(mock))
        .refusing(move |mock| {
            let _held = &reboot;
            refusing.layer(mock)
        })
        .check(move |ledger| {
            let bad = ledger.failed + ledger.panicked;
            let good = ledger.succeeded + ledger.dropped + ledger.rejected_within;
            let seen = CallsSeen {
                bad,
                all: bad + good,
            };
            assert_eq!(gate.seen(), seen, "{ledger:?}");
            assert_eq!(shut.seen().bad, ledger.rejected, "{ledger:?}");
            assert_eq!(gate.in_flight() + shut.in_flight(), 0, "{ledger:?}");
        })
}

/// Several around each other keep the contract too.
fn several() -> Row<impl Subject> {
    let breaker = closed();
    let faults = FaultInjector::with_clock(7, Clock::manual());
    let layer = tower::ServiceBuilder::new()
        .layer(CircuitBreakerLayer::new(breaker.clone()))
        .layer(FaultLayer::new(faults, |_: &Request| Error::Inner(Failed)))
        .layer(CircuitBreakerLayer::new(closed()))
        .into_inner();
    Row::new(move |mock| layer.layer(mock)).check(move |ledger| check_breaker(&breaker, ledger))
}
