//! The tower layer: a thin user of the handle.

use super::admission::{Refused, Ticket};
use super::call::{Making, Started};
use super::event::State;
use super::handle::CircuitBreaker;
use super::machine::Machine;
use crate::kernel::outcome::{Classifier, DefaultClassifier, Tidings};
use crate::kernel::rejection::Rejection;
use crate::kernel::shared::Shared;
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tower_layer::Layer;
use tower_service::Service;

/// Puts a circuit breaker around a service whose error can hold a [`Rejection`].
///
/// All services that one layer makes share its breaker.
///
/// ```
/// use backstop::{CircuitBreaker, CircuitBreakerConfig, CircuitBreakerLayer};
/// use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let breaker = CircuitBreaker::new("greeter", CircuitBreakerConfig::default())?;
/// let mut greeter = ServiceBuilder::new()
///     .layer(CircuitBreakerLayer::new(breaker.clone()))
///     .service(service_fn(|name: String| async move { Ok::<_, BoxError>(format!("hello {name}")) }));
/// assert_eq!(greeter.ready().await?.call("tower".into()).await?, "hello tower");
/// assert_eq!(breaker.totals().success, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct CircuitBreakerLayer<C = DefaultClassifier> {
    breaker: CircuitBreaker,
    classifier: C,
}

impl CircuitBreakerLayer {
    /// A layer around this breaker, with the default classifier. Hand over a `&'static` breaker
    /// where there is one: its services count no references.
    pub fn new(breaker: impl Into<CircuitBreaker>) -> Self {
        Self {
            breaker: breaker.into(),
            classifier: DefaultClassifier,
        }
    }
}

impl<C> CircuitBreakerLayer<C> {
    /// Judges results by `classifier` instead. It is cloned for each call.
    pub fn with_classifier<D>(self, classifier: D) -> CircuitBreakerLayer<D> {
        CircuitBreakerLayer {
            breaker: self.breaker,
            classifier,
        }
    }
}

impl<S, C: Clone> Layer<S> for CircuitBreakerLayer<C> {
    type Service = CircuitBreakerService<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        CircuitBreakerService {
            inner,
            breaker: self.breaker.clone(),
            classifier: self.classifier.clone(),
            inner_is_ready: false,
        }
    }
}

impl<C> fmt::Debug for CircuitBreakerLayer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreakerLayer")
            .field("breaker", &self.breaker)
            .finish_non_exhaustive()
    }
}

/// A service behind a circuit breaker.
///
/// * While the circuit is open and not due it is always ready, without asking the inner service,
///   and `call` rejects: a rejection is the outcome of a call, never of `poll_ready`.
/// * An idle, ready service holds nothing of the breaker's: a probe's place is taken by `call`.
/// * An error of the inner `poll_ready` is recorded as a failure; a panic in it is not counted.
/// * A task that waits for the inner service is not woken when the circuit opens meanwhile.
/// * What the inner service reserved when it became ready (a permit of a `ConcurrencyLimit`, say) it
///   keeps while calls are rejected, until it is called or dropped.
/// * A call that finds the circuit due although `poll_ready` did not ask the inner service is
///   rejected once more.
pub struct CircuitBreakerService<S, C = DefaultClassifier> {
    inner: S,
    breaker: CircuitBreaker,
    classifier: C,
    /// The inner service said that it is ready, and was not called since.
    inner_is_ready: bool,
}

impl<S, C> CircuitBreakerService<S, C> {
    /// The breaker.
    pub fn breaker(&self) -> &CircuitBreaker {
        &self.breaker
    }

    /// The service behind it.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service behind it, unwrapped.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, C, Request> Service<Request> for CircuitBreakerService<S, C>
where
    S: Service<Request>,
    S::Error: From<Rejection>,
    C: Classifier<S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = CircuitBreakerFuture<S::Future, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // Readiness that was asked for before an outage says nothing after it, so it is asked for
        // each time, and forgotten while the circuit is shut.
        self.inner_is_ready = false;
        let machine = self.breaker.machine();
        if machine.is_shut() {
            return Poll::Ready(Ok(()));
        }
        let polled = self.inner.poll_ready(cx);
        match &polled {
            Poll::Ready(Ok(())) => self.inner_is_ready = true,
            Poll::Ready(Err(_)) => {
                // Counted as a failed call; where no call is admitted, there is nothing to count.
                if let Ok(ticket) = machine.admit() {
                    machine.fail(ticket, Tidings::default());
                }
            }
            Poll::Pending => {}
        }
        polled
    }

    #[inline]
    fn call(&mut self, request: Request) -> Self::Future {
        let machine = self.breaker.machine();
        let ticket = match machine.admit() {
            Ok(ticket) if self.inner_is_ready => ticket,
            Ok(ticket) => return turn_away(machine, ticket),
            Err(refused) => return machine.reject(refused, CircuitBreakerFuture::rejected),
        };
        self.inner_is_ready = false;
        // A panic of the inner `call`, or of the classifier's clone, is a failure.
        let (classifier, future) = Making::new(machine, ticket)
            .make(|| (self.classifier.clone(), self.inner.call(request)));
        CircuitBreakerFuture {
            started: Started::called(machine.clone(), ticket, classifier, future),
        }
    }
}

/// Rejects a call that became due between `poll_ready`, which did not ask the inner service, and
/// `call`.
#[cold]
#[inline(never)]
fn turn_away<F, C>(machine: &Machine, ticket: Ticket) -> CircuitBreakerFuture<F, C> {
    machine.withdraw(ticket);
    if ticket.word.state() == State::Disabled {
        CircuitBreakerFuture::rejected(machine.rejection(Refused::due()))
    } else {
        machine.reject(Refused::due(), CircuitBreakerFuture::rejected)
    }
}

/// A clone is not ready: readiness belongs to the instance that was polled.
impl<S: Clone, C: Clone> Clone for CircuitBreakerService<S, C> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            breaker: self.breaker.clone(),
            classifier: self.classifier.clone(),
            inner_is_ready: false,
        }
    }
}

impl<S, C> fmt::Debug for CircuitBreakerService<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreakerService")
            .field("breaker", &self.breaker)
            .field("inner_is_ready", &self.inner_is_ready)
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// The future of a call through a [`CircuitBreakerService`].
    ///
    /// Dropping it drops the call, as with [`CircuitBreaker::call`].
    #[must_use = "futures do nothing unless polled"]
    pub struct CircuitBreakerFuture<F, C = DefaultClassifier> {
        #[pin]
        started: Started<Shared<Machine>, F, C>,
    }
}

impl<F, C> CircuitBreakerFuture<F, C> {
    fn rejected(rejection: Rejection) -> Self {
        Self {
            started: Started::rejected(rejection),
        }
    }
}

impl<F, C, T, E> Future for CircuitBreakerFuture<F, C>
where
    F: Future<Output = Result<T, E>>,
    C: Classifier<T, E>,
    E: From<Rejection>,
{
    type Output = Result<T, E>;

    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "see `call`: a poll that is called stalls"
    )]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().started.poll(cx)
    }
}

impl<F, C> fmt::Debug for CircuitBreakerFuture<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreakerFuture")
            .finish_non_exhaustive()
    }
}
