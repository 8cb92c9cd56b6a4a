//! The layer that queues: a thin user of the handle.

use super::acquire::AcquireOwned;
use super::config::Ask;
use super::handle::Bulkhead;
use super::permit::OwnedPermit;
use crate::kernel::rejection::Rejection;
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tower_layer::Layer;
use tower_service::Service;

/// Limits the calls that run at once in a service that can be cloned, and whose error can hold a
/// [`Rejection`]; the others wait in the bulkhead's queue, if it has one.
///
/// ```
/// use backstop::policy::bulkhead::{Bulkhead, BulkheadConfig, QueueingBulkheadLayer};
/// use std::time::Duration;
/// use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let config = BulkheadConfig::default()
///     .max_concurrent(1)
///     .queue(10, Duration::from_secs(1));
/// let bulkhead = Bulkhead::new("greeter", config)?;
/// let mut greeter = ServiceBuilder::new()
///     .layer(QueueingBulkheadLayer::new(bulkhead.clone()))
///     .service(service_fn(|name: String| async move { Ok::<_, BoxError>(format!("hello {name}")) }));
///
/// let elsewhere = bulkhead.try_acquire_owned()?;
/// let waits = tokio::spawn(greeter.ready().await?.call("tower".into()));
/// drop(elsewhere);
/// assert_eq!(waits.await??, "hello tower");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct QueueingBulkheadLayer<A = Ask> {
    bulkhead: Bulkhead,
    asks: A,
}

/// How a request asks for its slot: one [`Ask`] for all, or a closure of the request.
///
/// ```
/// use backstop::kernel::priority::Priority;
/// use backstop::policy::bulkhead::{Ask, AskFor, QueueingBulkheadLayer};
/// # use backstop::{Bulkhead, BulkheadConfig};
///
/// # let bulkhead = Bulkhead::new("x", BulkheadConfig::default()).unwrap();
/// let layer = QueueingBulkheadLayer::new(bulkhead).asking(|path: &String| {
///     match path.starts_with("/report") {
///         true => Ask::from(Priority::Sheddable),
///         false => Ask::default(),
///     }
/// });
/// # let _ = layer;
/// ```
pub trait AskFor<Request> {
    /// How this request asks.
    fn ask_for(&self, request: &Request) -> Ask;
}

impl<Request> AskFor<Request> for Ask {
    fn ask_for(&self, _request: &Request) -> Ask {
        *self
    }
}

impl<Request, F: Fn(&Request) -> Ask> AskFor<Request> for F {
    fn ask_for(&self, request: &Request) -> Ask {
        self(request)
    }
}

impl QueueingBulkheadLayer {
    /// A layer around this bulkhead. Hand over a `&'static` one where there is one: its services
    /// count no references.
    pub fn new(bulkhead: impl Into<Bulkhead>) -> Self {
        Self {
            bulkhead: bulkhead.into(),
            asks: Ask::default(),
        }
    }
}

impl<A> QueueingBulkheadLayer<A> {
    /// Asks for the slots of requests like this: one [`Ask`] for all, or a closure of the request.
    pub fn asking<B>(self, asks: B) -> QueueingBulkheadLayer<B> {
        QueueingBulkheadLayer {
            bulkhead: self.bulkhead,
            asks,
        }
    }
}

impl<S, A: Clone> Layer<S> for QueueingBulkheadLayer<A> {
    type Service = QueueingBulkheadService<S, A>;

    fn layer(&self, inner: S) -> Self::Service {
        QueueingBulkheadService {
            inner,
            bulkhead: self.bulkhead.clone(),
            asks: self.asks.clone(),
        }
    }
}

impl<A> fmt::Debug for QueueingBulkheadLayer<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueingBulkheadLayer")
            .field("bulkhead", &self.bulkhead)
            .finish_non_exhaustive()
    }
}

/// A service behind a bulkhead with a queue.
///
/// * It is always ready. The future of a call takes its slot first, and only then makes a clone of
///   the inner service ready and calls it, so that no readiness of the inner service (a permit of a
///   `ConcurrencyLimit`, a connection) waits in the queue. What the inner `poll_ready` has to say is
///   said by the call.
/// * The place in the queue is taken at the first poll of the call's future, not by `call`.
/// * An idle service holds nothing.
#[derive(Clone)]
pub struct QueueingBulkheadService<S, A = Ask> {
    inner: S,
    bulkhead: Bulkhead,
    asks: A,
}

impl<S, A> QueueingBulkheadService<S, A> {
    /// The bulkhead.
    pub fn bulkhead(&self) -> &Bulkhead {
        &self.bulkhead
    }

    /// The service behind it, which is cloned for each call.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S, A, Request> Service<Request> for QueueingBulkheadService<S, A>
where
    S: Service<Request> + Clone,
    S::Error: From<Rejection>,
    A: AskFor<Request>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = QueueingBulkheadFuture<S, Request>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let ask = self.asks.ask_for(&request);
        QueueingBulkheadFuture {
            state: CallState::Waiting {
                acquire: self.bulkhead.acquire_owned(ask),
                parts: Some((self.inner.clone(), request)),
            },
        }
    }
}

impl<S, A> fmt::Debug for QueueingBulkheadService<S, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueingBulkheadService")
            .field("bulkhead", &self.bulkhead)
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// The future of a call through a [`QueueingBulkheadService`].
    ///
    /// # Cancel safety
    ///
    /// Dropping it leaves the queue, or drops the call; a slot that it had is given back.
    #[must_use = "futures do nothing unless polled"]
    pub struct QueueingBulkheadFuture<S, Request>
    where
        S: Service<Request>,
    {
        #[pin]
        state: CallState<S, Request, S::Future>,
    }
}

pin_project! {
    #[project = CallStateProjection]
    enum CallState<S, Request, F> {
        Waiting { #[pin] acquire: AcquireOwned, parts: Option<(S, Request)> },
        // In this order: what the call holds is dropped while the slot is still taken.
        Readying { inner: S, request: Option<Request>, permit: Option<OwnedPermit> },
        Called { #[pin] future: F, permit: Option<OwnedPermit> },
        Over,
    }
}

impl<S, Request> Future for QueueingBulkheadFuture<S, Request>
where
    S: Service<Request>,
    S::Error: From<Rejection>,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                CallStateProjection::Waiting { acquire, parts } => {
                    let acquired = ready!(acquire.poll(cx));
                    let Some((inner, request)) = parts.take() else {
                        return Poll::Pending;
                    };
                    match acquired {
                        Ok(permit) => state.set(CallState::Readying {
                            inner,
                            request: Some(request),
                            permit: Some(permit),
                        }),
                        Err(rejection) => {
                            state.set(CallState::Over);
                            return Poll::Ready(Err(rejection.into()));
                        }
                    }
                }
                CallStateProjection::Readying {
                    inner,
                    request,
                    permit,
                } => {
                    if let Err(error) = ready!(inner.poll_ready(cx)) {
                        state.set(CallState::Over);
                        return Poll::Ready(Err(error));
                    }
                    // If this panics the slot stays with the state, and goes back with it.
                    let Some(request) = request.take() else {
                        return Poll::Pending;
                    };
                    let future = inner.call(request);
                    let permit = permit.take();
                    state.set(CallState::Called { future, permit });
                }
                // Polled again after it ended: it has no slot to run in.
                CallStateProjection::Called { permit, .. } if permit.is_none() => {
                    return Poll::Pending;
                }
                CallStateProjection::Called { future, permit } => {
                    let result = ready!(future.poll(cx));
                    *permit = None;
                    return Poll::Ready(result);
                }
                // Polled again after it ended: there is nothing more to say.
                CallStateProjection::Over => return Poll::Pending,
            }
        }
    }
}

impl<S: Service<Request>, Request> fmt::Debug for QueueingBulkheadFuture<S, Request> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueingBulkheadFuture")
            .finish_non_exhaustive()
    }
}
