//! What may cross threads, and what a panic may pass through, pinned: losing it is a breaking change.

use backstop::kernel::clock::{Clock, ManualClock, Sleep};
use backstop::kernel::event::Subscriber;
use backstop::kernel::keyed::Keyed;
use backstop::kernel::managed::Isolation;
use backstop::kernel::outcome::{DefaultClassifier, Verdict};
use backstop::policy::circuit_breaker::{
    CircuitBreakerEvent, CircuitBreakerFuture, CircuitBreakerService, CircuitBreakerSnapshot,
    OwnedPermit, Permit, Totals,
};
use backstop::policy::timeout::{self, Deadline, TimeoutFuture, TimeoutService};
use backstop::{
    CircuitBreaker, CircuitBreakerConfig, CircuitBreakerLayer, ConfigError, Error, Rejection,
    Timeout, TimeoutConfig, TimeoutLayer,
};
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
fn handles_are_cloneable() {
    is_cloneable::<CircuitBreaker>();
    is_cloneable::<CircuitBreakerLayer>();
    is_cloneable::<Keyed<String, CircuitBreaker>>();
    is_cloneable::<Clock>();
    is_cloneable::<Rejection>();
    is_cloneable::<Timeout>();
    is_cloneable::<TimeoutLayer>();
    is_cloneable::<TimeoutService<()>>();
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
