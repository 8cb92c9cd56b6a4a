//! What may cross threads, and what a panic may pass through, pinned: losing it is a breaking change.

use backstop::kernel::budget::{BudgetConfig, BudgetedCall, Withdrawal};
use backstop::kernel::clock::{Clock, ManualClock, Sleep};
use backstop::kernel::event::Subscriber;
use backstop::kernel::keyed::Keyed;
use backstop::kernel::managed::Isolation;
use backstop::kernel::outcome::{DefaultClassifier, Verdict};
use backstop::policy::bulkhead;
use backstop::policy::circuit_breaker::{
    CircuitBreakerEvent, CircuitBreakerFuture, CircuitBreakerService, CircuitBreakerSnapshot,
    OwnedPermit, Permit, Totals,
};
use backstop::policy::retry::{
    Attempt, ByClone, Decision, DefaultRetry, RetryEvent, RetryFuture, RetryService, RetryTotals,
};
use backstop::policy::timeout::{self, Deadline, TimeoutFuture, TimeoutService};
use backstop::{
    Bulkhead, BulkheadConfig, BulkheadLayer, CircuitBreaker, CircuitBreakerConfig,
    CircuitBreakerLayer, ConfigError, Error, Rejection, Timeout, TimeoutConfig, TimeoutLayer,
};
use backstop::{Retry, RetryBudget, RetryConfig, RetryLayer};
use std::fmt::Debug;
use std::future::{Ready, ready};
use std::rc::Rc;

fn is_shareable<T: Send + Sync + Debug>() {}
fn is_cloneable<T: Clone>() {}
fn is_send<T: Send>(_: &T) {}

#[test]
fn handles_and_values_cross_threads() {
    is_shareable::<CircuitBreaker>();
    is_shareable::<CircuitBreakerConfig>();
    is_shareable::<Retry>();
    is_shareable::<RetryConfig>();
    is_shareable::<RetryLayer>();
    is_shareable::<RetryService<()>>();
    is_shareable::<RetryFuture<Quiet, ()>>();
    is_shareable::<RetryEvent>();
    is_shareable::<RetryTotals>();
    is_shareable::<Attempt<'_, std::io::Error>>();
    is_shareable::<Decision>();
    is_shareable::<(ByClone, DefaultRetry)>();
    is_shareable::<RetryBudget>();
    is_shareable::<BudgetConfig>();
    is_shareable::<BudgetedCall<'_>>();
    is_shareable::<Withdrawal>();
    is_shareable::<CircuitBreakerLayer>();
    is_shareable::<CircuitBreakerService<()>>();
    is_shareable::<CircuitBreakerFuture<()>>();
    is_shareable::<CircuitBreakerEvent>();
    is_shareable::<CircuitBreakerSnapshot>();
    is_shareable::<Permit<'_>>();
    is_shareable::<OwnedPermit>();
    is_shareable::<Keyed<String, CircuitBreaker>>();
    is_shareable::<Subscriber<CircuitBreakerEvent>>();
    is_shareable::<Isolation>();
    is_shareable::<Clock>();
    is_shareable::<ManualClock>();
    is_shareable::<Sleep>();
    is_shareable::<ConfigError>();
    is_shareable::<Error<std::io::Error>>();
    is_shareable::<Rejection>();
    is_shareable::<Verdict>();
    is_shareable::<Totals>();
    is_shareable::<DefaultClassifier>();
    is_shareable::<Timeout>();
    is_shareable::<TimeoutConfig>();
    is_shareable::<TimeoutLayer>();
    is_shareable::<TimeoutService<()>>();
    is_shareable::<TimeoutFuture<()>>();
    is_shareable::<Deadline>();
    is_shareable::<timeout::Totals>();
}

#[test]
fn a_bulkhead_and_what_belongs_to_it_cross_threads() {
    is_shareable::<Bulkhead>();
    is_shareable::<BulkheadConfig>();
    is_shareable::<BulkheadLayer>();
    is_shareable::<bulkhead::BulkheadService<()>>();
    is_shareable::<bulkhead::BulkheadFuture<()>>();
    is_shareable::<bulkhead::QueueingBulkheadLayer>();
    is_shareable::<bulkhead::QueueingBulkheadService<()>>();
    is_shareable::<bulkhead::Permit<'_>>();
    is_shareable::<bulkhead::OwnedPermit>();
    is_shareable::<bulkhead::Acquire<'_>>();
    is_shareable::<bulkhead::AcquireOwned>();
    is_shareable::<bulkhead::Ask>();
    is_shareable::<bulkhead::BulkheadEvent>();
    is_shareable::<bulkhead::BulkheadSnapshot>();
    is_shareable::<bulkhead::Totals>();
    is_cloneable::<Bulkhead>();
    is_cloneable::<BulkheadLayer>();
    is_cloneable::<bulkhead::QueueingBulkheadLayer>();
    let bulkhead = Bulkhead::new("x", BulkheadConfig::default()).expect("the default");
    is_send(&bulkhead.call(|| ready(Ok::<u8, u8>(1))));
    is_send(&bulkhead.call_in(|| ready(Ok::<u8, Error<u8>>(1))));
    let local = bulkhead.call(|| -> Ready<Result<Rc<u8>, u8>> { ready(Ok(Rc::new(1))) });
    drop(local);
}

#[test]
fn handles_are_cloneable() {
    is_cloneable::<CircuitBreaker>();
    is_cloneable::<CircuitBreakerLayer>();
    is_cloneable::<Retry>();
    is_cloneable::<RetryLayer>();
    is_cloneable::<RetryService<()>>();
    is_cloneable::<RetryBudget>();
    is_cloneable::<Keyed<String, CircuitBreaker>>();
    is_cloneable::<Clock>();
    is_cloneable::<Rejection>();
    is_cloneable::<Timeout>();
    is_cloneable::<TimeoutLayer>();
    is_cloneable::<TimeoutService<()>>();
}

/// A service whose future is nothing special.
#[derive(Debug)]
struct Quiet;

impl tower::Service<()> for Quiet {
    type Response = ();
    type Error = Error<()>;
    type Future = Ready<Result<(), Error<()>>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Error<()>>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        ready(Ok(()))
    }
}

#[test]
fn a_retried_call_is_as_send_as_what_it_drives() {
    let retry = Retry::new("x", RetryConfig::default()).expect("the default");
    is_send(&retry.call(|_| ready(Ok::<u8, u8>(1))));
    is_send(&retry.call_in(|_| ready(Ok::<u8, Error<u8>>(1))));
    let local = retry.call(|_| -> Ready<Result<Rc<u8>, Rc<u8>>> { ready(Ok(Rc::new(1))) });
    drop(local);
}

#[test]
fn a_call_is_as_send_as_what_it_drives() {
    let breaker = CircuitBreaker::new("x", CircuitBreakerConfig::default()).expect("the default");
    let reply = || ready(Ok::<u8, u8>(1));
    is_send(&breaker.call(reply));
    is_send(&breaker.call_in(|| ready(Ok::<u8, Error<u8>>(1))));
    let timeout = Timeout::none("x");
    is_send(&timeout.call(reply));
    is_send(&timeout.call_in(|| ready(Ok::<u8, Error<u8>>(1))));
    // Neither the call nor its result has to be `Send`.
    let local = timeout.call(|| -> Ready<Result<Rc<u8>, u8>> { ready(Ok(Rc::new(1))) });
    drop(local);
    let local = breaker.call(|| -> Ready<Result<Rc<u8>, u8>> { ready(Ok(Rc::new(1))) });
    drop(local);
}

#[test]
fn compartments_and_what_belongs_to_them_cross_threads() {
    is_shareable::<bulkhead::Compartments>();
    is_shareable::<bulkhead::CompartmentsConfig>();
    is_shareable::<bulkhead::Compartment>();
    is_shareable::<bulkhead::CompartmentConfig>();
    is_shareable::<bulkhead::CompartmentPermit<'_>>();
    is_shareable::<bulkhead::OwnedCompartmentPermit>();
    is_shareable::<bulkhead::AcquireCompartment<'_>>();
    is_shareable::<bulkhead::AcquireCompartmentOwned>();
    is_shareable::<bulkhead::UnknownCompartment>();
    is_shareable::<BulkheadLayer<bulkhead::Compartment>>();
    is_shareable::<bulkhead::BulkheadService<(), bulkhead::Compartment>>();
    is_shareable::<bulkhead::BulkheadFuture<(), bulkhead::OwnedCompartmentPermit>>();
    is_shareable::<bulkhead::IsolatedBulkhead>();
    is_shareable::<bulkhead::IsolatedConfig>();
    is_shareable::<bulkhead::IsolatedCompartments>();
    is_shareable::<bulkhead::IsolatedCompartmentsConfig>();
    is_shareable::<bulkhead::IsolatedTotals>();
    is_shareable::<bulkhead::StartError>();
    is_shareable::<bulkhead::WorkPanicked>();
    is_cloneable::<bulkhead::Compartments>();
    is_cloneable::<bulkhead::Compartment>();
    is_cloneable::<bulkhead::IsolatedBulkhead>();
    is_cloneable::<bulkhead::IsolatedCompartments>();
    is_cloneable::<BulkheadLayer<bulkhead::Compartment>>();
}
