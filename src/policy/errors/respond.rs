//! A rejection becomes a response.

use crate::kernel::rejection::{Error, Rejection, RejectionKind};
use axum::http::{HeaderValue, StatusCode, header::RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tower_layer::Layer;
use tower_service::Service;

/// Answers with a response where the service would end with a rejection.
///
/// It takes the rejections out of the error type: around a service whose error is
/// [`Error<E>`] it makes one whose error is `E`, and passes each [`Error::Inner`] on. With
/// `E = Infallible`, as in axum, no error is left. The statuses are in the table of the
/// [room](super); a [`retry_after`](Rejection::retry_after) becomes a `Retry-After` in seconds,
/// rounded up, so that nobody comes back early, and at least 1.
///
/// The body says in plain text what the status means and nothing else: no names, no figures, no
/// cause. The [`Rejection`] itself is among the response's extensions, for a layer further out that
/// logs or counts; extensions are not sent.
///
/// ```
/// use axum::{Router, body::Body, extract::Request, response::Response, routing::get};
/// use backstop::kernel::outcome::Outcome;
/// use backstop::policy::errors::{RejectionResponseLayer, WrapErrorsLayer};
/// use backstop::{CircuitBreaker, CircuitBreakerConfig, CircuitBreakerLayer, Error};
/// use std::convert::Infallible;
/// use tower::{ServiceBuilder, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // A route of axum never ends with an error, so its failures are told by their status.
/// let by_status = |result: Result<&Response, &Error<Infallible>>| match result {
///     Ok(response) if response.status().is_server_error() => Outcome::Failure,
///     _ => Outcome::Success,
/// };
/// let breaker = CircuitBreaker::new("reports", CircuitBreakerConfig::default())?;
/// let app = Router::new().route("/reports", get(|| async { "all is well" })).route_layer(
///     ServiceBuilder::new()
///         .layer(RejectionResponseLayer::new())
///         .layer(CircuitBreakerLayer::new(breaker.clone()).with_classifier(by_status))
///         .layer(WrapErrorsLayer::new()),
/// );
///
/// let request = || Request::get("/reports").body(Body::empty());
/// assert_eq!(app.clone().oneshot(request()?).await?.status(), 200);
/// breaker.force_open();
/// assert_eq!(app.clone().oneshot(request()?).await?.status(), 503);
/// # Ok(())
/// # }
/// ```
///
/// A handler that works with a handle and not with a layer needs neither: [`Rejection`], and
/// [`Error<E>`] if `E` is, are `IntoResponse`.
///
/// ```
/// use axum::{Router, extract::State, http::StatusCode, routing::get};
/// use backstop::{CircuitBreaker, CircuitBreakerConfig, Error};
///
/// async fn price(State(breaker): State<CircuitBreaker>) -> Result<String, Error<StatusCode>> {
///     breaker.call(|| async { Ok(String::from("3.50")) }).await
/// }
///
/// let breaker = CircuitBreaker::new("prices", CircuitBreakerConfig::default())?;
/// let app: Router = Router::new().route("/price", get(price)).with_state(breaker);
/// # let _ = app;
/// # Ok::<(), backstop::kernel::config::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct RejectionResponseLayer {
    _private: (),
}

impl RejectionResponseLayer {
    /// The layer; there is nothing to set.
    pub const fn new() -> Self {
        Self { _private: () }
    }
}

impl<S> Layer<S> for RejectionResponseLayer {
    type Service = RejectionResponse<S>;

    fn layer(&self, inner: S) -> RejectionResponse<S> {
        RejectionResponse {
            inner,
            refusal: None,
        }
    }
}

/// A service whose rejections have become responses.
///
/// Its own policies reject by the outcome of a call. Should a foreign service put a rejection into
/// its `poll_ready`, this one is ready, and answers the next call with it.
#[derive(Debug)]
pub struct RejectionResponse<S> {
    inner: S,
    /// What the inner `poll_ready` ended with; the next call is answered with it.
    refusal: Option<Rejection>,
}

impl<S> RejectionResponse<S> {
    /// The service behind it.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service behind it, unwrapped.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

/// A clone is not ready: readiness belongs to the instance that was polled.
impl<S: Clone> Clone for RejectionResponse<S> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            refusal: None,
        }
    }
}

impl<S, Request, E> Service<Request> for RejectionResponse<S>
where
    S: Service<Request, Error = Error<E>>,
    S::Response: IntoResponse,
{
    type Response = Response;
    type Error = E;
    type Future = RejectionResponseFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        if self.refusal.is_some() {
            return Poll::Ready(Ok(()));
        }
        match self.inner.poll_ready(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
            Poll::Ready(Err(Error::Inner(error))) => Poll::Ready(Err(error)),
            Poll::Ready(Err(Error::Rejected(rejection))) => {
                self.refusal = Some(rejection);
                Poll::Ready(Ok(()))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    #[inline]
    fn call(&mut self, request: Request) -> Self::Future {
        let state = match self.refusal.take() {
            None => Answer::Called {
                future: self.inner.call(request),
            },
            refusal => Answer::Refused { refusal },
        };
        RejectionResponseFuture { state }
    }
}

pin_project! {
    /// The future of a call through [`RejectionResponse`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct RejectionResponseFuture<F> {
        #[pin]
        state: Answer<F>,
    }
}

pin_project! {
    #[project = AnswerProjection]
    #[derive(Debug)]
    enum Answer<F> {
        Called { #[pin] future: F },
        Refused { refusal: Option<Rejection> },
    }
}

impl<F, T, E> Future for RejectionResponseFuture<F>
where
    F: Future<Output = Result<T, Error<E>>>,
    T: IntoResponse,
{
    type Output = Result<Response, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            AnswerProjection::Called { future } => match future.poll(cx) {
                Poll::Ready(Ok(response)) => Poll::Ready(Ok(response.into_response())),
                Poll::Ready(Err(Error::Rejected(rejection))) => {
                    Poll::Ready(Ok(rejection.into_response()))
                }
                Poll::Ready(Err(Error::Inner(error))) => Poll::Ready(Err(error)),
                Poll::Pending => Poll::Pending,
            },
            AnswerProjection::Refused { refusal } => match refusal.take() {
                Some(rejection) => Poll::Ready(Ok(rejection.into_response())),
                // Polled again after it ended: there is nothing more to say.
                None => Poll::Pending,
            },
        }
    }
}

/// Says that, and when, to come back; see [`RejectionResponseLayer`].
impl IntoResponse for Rejection {
    #[cold]
    fn into_response(self) -> Response {
        let (status, body) = match self.kind() {
            RejectionKind::Open
            | RejectionKind::ForcedOpen
            | RejectionKind::ProbesFull
            | RejectionKind::Full
            | RejectionKind::Shed
            | RejectionKind::Restarting => {
                (StatusCode::SERVICE_UNAVAILABLE, "temporarily unavailable\n")
            }
            RejectionKind::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "too many requests\n"),
            RejectionKind::TimedOut => (StatusCode::GATEWAY_TIMEOUT, "timed out\n"),
            RejectionKind::NoRuntime | RejectionKind::Panicked => {
                (StatusCode::INTERNAL_SERVER_ERROR, "internal error\n")
            }
        };
        let mut response = (status, body).into_response();
        if let Some(after) = self.retry_after() {
            let seconds = HeaderValue::from(whole_seconds(after));
            response.headers_mut().insert(RETRY_AFTER, seconds);
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// The rejection's response, or that of the call's own error.
impl<E: IntoResponse> IntoResponse for Error<E> {
    fn into_response(self) -> Response {
        match self {
            Self::Rejected(rejection) => rejection.into_response(),
            Self::Inner(error) => error.into_response(),
        }
    }
}

/// Rounded up, so that it is never early, and at least 1: "now" is what the caller just did.
fn whole_seconds(after: Duration) -> u64 {
    let begun = u64::from(after.subsec_nanos() > 0);
    after.as_secs().saturating_add(begun).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::name::Name;
    use std::sync::Arc;

    fn rejection(kind: RejectionKind) -> Rejection {
        Rejection::new("circuit_breaker", Name::from("ledger"), kind).with_cause(Some(Arc::new(
            std::io::Error::other("password was hunter2"),
        )))
    }

    #[test]
    fn each_kind_has_its_status() {
        for (kind, status) in [
            (RejectionKind::Open, 503),
            (RejectionKind::ForcedOpen, 503),
            (RejectionKind::ProbesFull, 503),
            (RejectionKind::Full, 503),
            (RejectionKind::Shed, 503),
            (RejectionKind::Restarting, 503),
            (RejectionKind::RateLimited, 429),
            (RejectionKind::TimedOut, 504),
            (RejectionKind::NoRuntime, 500),
            (RejectionKind::Panicked, 500),
        ] {
            let response = rejection(kind).into_response();
            assert_eq!(response.status().as_u16(), status, "{kind:?}");
            assert!(!response.headers().contains_key(RETRY_AFTER));
            let kept = response.extensions().get::<Rejection>();
            assert_eq!(kept.map(Rejection::kind), Some(kind));
        }
    }

    #[test]
    fn nobody_is_told_to_come_back_early() {
        for (after, seconds) in [
            (Duration::ZERO, "1"),
            (Duration::from_nanos(1), "1"),
            (Duration::from_secs(1), "1"),
            (Duration::new(1, 1), "2"),
            (Duration::from_millis(59_999), "60"),
            (Duration::MAX, "18446744073709551615"),
        ] {
            let rejection = rejection(RejectionKind::Open).with_retry_after(Some(after));
            let response = rejection.into_response();
            assert_eq!(response.headers()[RETRY_AFTER], seconds, "{after:?}");
        }
    }

    /// A foreign service that rejects the first time it is asked whether it is ready.
    #[derive(Clone, Default)]
    struct RejectsOnce(bool);

    impl Service<()> for RejectsOnce {
        type Response = &'static str;
        type Error = Error<&'static str>;
        type Future = std::future::Ready<Result<&'static str, Self::Error>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            if std::mem::replace(&mut self.0, true) {
                Poll::Ready(Ok(()))
            } else {
                Poll::Ready(Err(rejection(RejectionKind::Full).into()))
            }
        }

        fn call(&mut self, (): ()) -> Self::Future {
            std::future::ready(Ok("done"))
        }
    }

    #[test]
    fn a_rejection_by_a_foreign_poll_ready_answers_the_next_call() {
        use futures::FutureExt;
        let mut service = RejectionResponseLayer::new().layer(RejectsOnce::default());
        let mut cx = Context::from_waker(futures::task::noop_waker_ref());
        let mut status = |service: &mut RejectionResponse<RejectsOnce>| {
            assert!(matches!(service.poll_ready(&mut cx), Poll::Ready(Ok(()))));
            assert!(matches!(service.poll_ready(&mut cx), Poll::Ready(Ok(()))));
            let mut call = Box::pin(service.call(()));
            let response = call.as_mut().now_or_never().expect("it ends at once");
            assert_eq!(service.refusal.as_ref().map(Rejection::kind), None);
            response.expect("no error is left").status().as_u16()
        };
        assert_eq!(status(&mut service.clone()), 503);
        assert_eq!(status(&mut service), 503);
        assert_eq!(status(&mut service), 200);
        let asked = service.clone();
        assert_eq!(status(&mut { asked }), 200);
    }

    #[tokio::test]
    async fn the_body_tells_nothing_of_the_inside() {
        use http_body_util::BodyExt;
        let response = Error::<StatusCode>::from(rejection(RejectionKind::Open)).into_response();
        let kind = response.headers()["content-type"].clone();
        assert_eq!(kind, "text/plain; charset=utf-8");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "temporarily unavailable\n");
        let own = Error::Inner(StatusCode::IM_A_TEAPOT).into_response();
        assert_eq!(own.status(), 418);
    }
}
