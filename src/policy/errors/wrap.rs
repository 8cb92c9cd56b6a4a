//! A foreign error becomes an [`Error<E>`].

use crate::kernel::rejection::Error;
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tower_layer::Layer;
use tower_service::Service;

/// Wraps the error `E` of a service into [`Error<E>`], so that policies can stand around it.
///
/// ```
/// use backstop::policy::errors::WrapErrorsLayer;
/// use backstop::{CircuitBreaker, CircuitBreakerConfig, CircuitBreakerLayer, Error};
/// use std::io;
/// use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), backstop::kernel::config::ConfigError> {
/// let breaker = CircuitBreaker::new("disk", CircuitBreakerConfig::consecutive(1))?;
/// let mut disk = ServiceBuilder::new()
///     .layer(CircuitBreakerLayer::new(breaker))
///     .layer(WrapErrorsLayer::new())
///     .service(service_fn(|_: ()| async { Err::<(), _>(io::Error::other("it is full")) }));
///
/// let failed = disk.ready().await.unwrap().call(()).await.unwrap_err();
/// assert!(matches!(failed, Error::Inner(error) if error.kind() == io::ErrorKind::Other));
/// let refused = disk.ready().await.unwrap().call(()).await.unwrap_err();
/// assert!(matches!(refused, Error::Rejected(_)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct WrapErrorsLayer {
    _private: (),
}

impl WrapErrorsLayer {
    /// The layer; there is nothing to set.
    pub const fn new() -> Self {
        Self { _private: () }
    }
}

impl<S> Layer<S> for WrapErrorsLayer {
    type Service = WrapErrors<S>;

    fn layer(&self, inner: S) -> WrapErrors<S> {
        WrapErrors { inner }
    }
}

/// A service whose errors are wrapped, those of `poll_ready` too.
#[derive(Clone, Copy, Debug)]
pub struct WrapErrors<S> {
    inner: S,
}

impl<S> WrapErrors<S> {
    /// The service behind it.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service behind it, unwrapped.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, Request> Service<Request> for WrapErrors<S>
where
    S: Service<Request>,
{
    type Response = S::Response;
    type Error = Error<S::Error>;
    type Future = WrapErrorsFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Error::Inner)
    }

    #[inline]
    fn call(&mut self, request: Request) -> Self::Future {
        WrapErrorsFuture {
            future: self.inner.call(request),
        }
    }
}

pin_project! {
    /// The future of a call through [`WrapErrors`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct WrapErrorsFuture<F> {
        #[pin]
        future: F,
    }
}

impl<F, T, E> Future for WrapErrorsFuture<F>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<T, Error<E>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().future.poll(cx).map_err(Error::Inner)
    }
}
