//! The tower layer: a thin user of the handle.

use super::call::Timed;
use super::handle::Timeout;
use super::machine::{Machine, Refused};
use crate::kernel::outlet::AsIs;
use crate::kernel::rejection::Rejection;
use crate::kernel::shared::Shared;
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tower_layer::Layer;
use tower_service::Service;

/// Puts a timeout around a service whose error can hold a [`Rejection`].
///
/// All services that one layer makes share its timeout. The time that a service takes to become
/// ready is not part of a call.
///
/// ```
/// use backstop::{Timeout, TimeoutLayer};
/// use std::time::Duration;
/// use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let timeout = Timeout::new("greeter", Duration::from_secs(2))?;
/// let mut greeter = ServiceBuilder::new()
///     .layer(TimeoutLayer::new(timeout))
///     .service(service_fn(|name: String| async move { Ok::<_, BoxError>(format!("hello {name}")) }));
/// assert_eq!(greeter.ready().await?.call("tower".into()).await?, "hello tower");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TimeoutLayer {
    timeout: Timeout,
}

impl TimeoutLayer {
    /// A layer with this timeout. Hand over a `&'static` one where there is one: its services count
    /// no references.
    pub fn new(timeout: impl Into<Timeout>) -> Self {
        Self {
            timeout: timeout.into(),
        }
    }
}

impl<S> Layer<S> for TimeoutLayer {
    type Service = TimeoutService<S>;

    fn layer(&self, inner: S) -> TimeoutService<S> {
        TimeoutService {
            inner,
            timeout: self.timeout.clone(),
            inner_is_ready: false,
        }
    }
}

/// A service whose calls have a time limit.
///
/// While the timeout is isolated it is ready without asking the inner service, and `call` rejects,
/// also once more if the isolation ends between the two.
pub struct TimeoutService<S> {
    inner: S,
    timeout: Timeout,
    /// The inner service said that it is ready, and was not called since.
    inner_is_ready: bool,
}

impl<S> TimeoutService<S> {
    /// The timeout.
    pub fn timeout(&self) -> &Timeout {
        &self.timeout
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

impl<S, Request> Service<Request> for TimeoutService<S>
where
    S: Service<Request>,
    S::Error: From<Rejection>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = TimeoutFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        // What was ready before an isolation need not be so after it.
        self.inner_is_ready = false;
        if self.timeout.machine().is_isolated() {
            return Poll::Ready(Ok(()));
        }
        let polled = self.inner.poll_ready(cx);
        self.inner_is_ready = matches!(polled, Poll::Ready(Ok(())));
        polled
    }

    #[inline]
    fn call(&mut self, request: Request) -> Self::Future {
        let machine = self.timeout.machine();
        if let Err(refused) = machine.admit() {
            return TimeoutFuture::rejected(machine, refused);
        }
        if !std::mem::take(&mut self.inner_is_ready) {
            return TimeoutFuture::rejected(machine, machine.isolated());
        }
        let future = self.inner.call(request);
        TimeoutFuture {
            state: CallState::Called {
                call: Timed::new(machine.clone(), Some(future), AsIs),
            },
        }
    }
}

/// A clone is not ready: readiness belongs to the instance that was polled.
impl<S: Clone> Clone for TimeoutService<S> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            timeout: self.timeout.clone(),
            inner_is_ready: false,
        }
    }
}

impl<S> fmt::Debug for TimeoutService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimeoutService")
            .field("timeout", &self.timeout)
            .field("inner_is_ready", &self.inner_is_ready)
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// The future of a call through a [`TimeoutService`].
    ///
    /// Dropping it drops the call, as with [`Timeout::call`].
    #[must_use = "futures do nothing unless polled"]
    pub struct TimeoutFuture<F> {
        #[pin]
        state: CallState<F>,
    }
}

pin_project! {
    #[project = CallStateProjection]
    enum CallState<F> {
        Called { #[pin] call: Timed<Shared<Machine>, F, AsIs> },
        Rejected { rejection: Option<Rejection> },
    }
}

impl<F> TimeoutFuture<F> {
    #[cold]
    #[inline(never)]
    fn rejected(machine: &Machine, refused: Refused) -> Self {
        Self {
            state: CallState::Rejected {
                rejection: Some(machine.reject(refused)),
            },
        }
    }
}

impl<F, T, E> Future for TimeoutFuture<F>
where
    F: Future<Output = Result<T, E>>,
    E: From<Rejection>,
{
    type Output = Result<T, E>;

    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "see `call`: a poll that is called stalls"
    )]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            CallStateProjection::Called { call } => call.poll(cx),
            CallStateProjection::Rejected { rejection } => match rejection.take() {
                Some(rejection) => Poll::Ready(Err(rejection.into())),
                // Polled again after it ended: there is nothing more to say.
                None => Poll::Pending,
            },
        }
    }
}

impl<F> fmt::Debug for TimeoutFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimeoutFuture").finish_non_exhaustive()
    }
}
