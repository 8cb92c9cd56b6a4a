//! The tower layer: a thin user of the handle.

use super::call::{Fate, Ordeal, poll_ordeal};
use super::handle::FaultInjector;
use super::machine::Then;
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tower_layer::Layer;
use tower_service::Service;

/// Puts an injector around a service.
///
/// All services that one layer makes share its injector, and so its faults, draws and counters.
///
/// ```
/// use backstop::chaos::fault::{Fault, FaultInjector, FaultLayer};
/// use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let injector = FaultInjector::new(42);
/// let mut greeter = ServiceBuilder::new()
///     .layer(
///         FaultLayer::new(injector.clone(), |name: &String| BoxError::from(format!("no {name}")))
///             .only(|name: &String| name != "admin"),
///     )
///     .service(service_fn(|name: String| async move { Ok::<_, BoxError>(format!("hello {name}")) }));
///
/// injector.inject(Fault::error())?;
/// assert_eq!(greeter.ready().await?.call("admin".into()).await?, "hello admin");
/// let failed = greeter.ready().await?.call("guest".into()).await;
/// assert_eq!(failed.unwrap_err().to_string(), "no guest");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct FaultLayer<M, P = EveryRequest> {
    injector: FaultInjector,
    make_error: M,
    select: P,
}

impl<M> FaultLayer<M> {
    /// A layer around this injector; `make_error` makes the injected error from the request.
    pub fn new(injector: FaultInjector, make_error: M) -> Self {
        Self {
            injector,
            make_error,
            select: EveryRequest,
        }
    }
}

impl<M, P> FaultLayer<M, P> {
    /// Lets all other requests pass untouched; faults do not draw for them.
    pub fn only<Q>(self, select: Q) -> FaultLayer<M, Q> {
        FaultLayer {
            injector: self.injector,
            make_error: self.make_error,
            select,
        }
    }
}

impl<S, M: Clone, P: Clone> Layer<S> for FaultLayer<M, P> {
    type Service = FaultService<S, M, P>;

    fn layer(&self, inner: S) -> Self::Service {
        FaultService {
            inner,
            injector: self.injector.clone(),
            make_error: self.make_error.clone(),
            select: self.select.clone(),
        }
    }
}

impl<M, P> fmt::Debug for FaultLayer<M, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultLayer")
            .field("injector", &self.injector)
            .finish_non_exhaustive()
    }
}

/// Says which requests may be hit. Closures do:
///
/// ```
/// use backstop::chaos::fault::Select;
///
/// let writes = |path: &String| path.starts_with("/write");
/// assert!(writes.selects(&String::from("/write/1")));
/// ```
pub trait Select<Request> {
    /// Whether this request may be hit.
    fn selects(&self, request: &Request) -> bool;
}

impl<Request, F: Fn(&Request) -> bool> Select<Request> for F {
    #[inline]
    fn selects(&self, request: &Request) -> bool {
        self(request)
    }
}

/// Selects all requests.
#[derive(Clone, Copy, Debug, Default)]
pub struct EveryRequest;

impl<Request> Select<Request> for EveryRequest {
    #[inline]
    fn selects(&self, _request: &Request) -> bool {
        true
    }
}

/// A service whose calls may be hit.
///
/// * It is ready when the inner service is. Faults draw in `call`, and act while the future is
///   polled: an injected panic is none of `call`.
/// * Tower's contract binds a call to the instance that is ready now, so the inner `call` is made
///   at once, and its future is first polled when latencies and hangs are over. What a service does
///   in `call` itself is not delayed.
/// * With an injected error or panic the inner `call` is not made; the inner service stays ready
///   for the next one.
#[derive(Clone)]
pub struct FaultService<S, M, P = EveryRequest> {
    inner: S,
    injector: FaultInjector,
    make_error: M,
    select: P,
}

impl<S, M, P> FaultService<S, M, P> {
    /// The injector.
    pub fn injector(&self) -> &FaultInjector {
        &self.injector
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

impl<S, M, P, Request> Service<Request> for FaultService<S, M, P>
where
    S: Service<Request>,
    M: Fn(&Request) -> S::Error,
    P: Select<Request>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = FaultFuture<S::Future, S::Error>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request) -> Self::Future {
        let machine = self.injector.machine();
        let may_be_hit = !machine.is_quiet() && self.select.selects(&request);
        let draw = if may_be_hit { machine.draw() } else { None };
        let Some(draw) = draw else {
            return FaultFuture {
                ordeal: None,
                end: End::Call {
                    future: self.inner.call(request),
                },
            };
        };
        let end = match draw.then {
            Then::Proceed | Then::Hang(_) => End::Call {
                future: self.inner.call(request),
            },
            Then::Error => End::Error {
                error: Some((self.make_error)(&request)),
            },
            Then::Panic(_) => End::Error { error: None },
        };
        FaultFuture {
            ordeal: Some(Ordeal::new(machine, draw)),
            end,
        }
    }
}

impl<S, M, P> fmt::Debug for FaultService<S, M, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultService")
            .field("injector", &self.injector)
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// The future of a call through a [`FaultService`].
    ///
    /// Dropping it drops the call. A call that is hit allocates once; any other does not.
    #[must_use = "futures do nothing unless polled"]
    pub struct FaultFuture<F, E> {
        ordeal: Option<Pin<Box<Ordeal>>>,
        #[pin]
        end: End<F, E>,
    }
}

pin_project! {
    #[project = EndProjection]
    enum End<F, E> {
        Call { #[pin] future: F },
        // None if the call is to panic, and once the error was handed out.
        Error { error: Option<E> },
    }
}

impl<F, T, E> Future for FaultFuture<F, E>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<T, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let fate = ready!(poll_ordeal(this.ordeal, cx));
        match this.end.project() {
            EndProjection::Call { future } => future.poll(cx),
            EndProjection::Error { error } => match error.take() {
                Some(error) if fate == Fate::Fail => Poll::Ready(Err(error)),
                // Polled again after it ended: there is nothing more to say.
                _ => Poll::Pending,
            },
        }
    }
}

impl<F, E> fmt::Debug for FaultFuture<F, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultFuture")
            .field("is_hit", &self.ordeal.is_some())
            .finish_non_exhaustive()
    }
}
