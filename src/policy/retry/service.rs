//! The tower layer: a thin user of the handle.

use super::attempt::{Attempt, StartAttempt};
use super::call::Retrying;
use super::flight::Flight;
use super::handle::Retry;
use super::machine::Machine;
use super::repeat::{ByClone, Repeat};
use super::when::{DefaultRetry, RetryWhen};
use crate::kernel::outlet::AsIs;
use crate::kernel::rejection::Rejection;
use crate::kernel::shared::Shared;
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tower_layer::Layer;
use tower_service::Service;

/// Puts a retry around a service that is `Clone` and whose error can hold a [`Rejection`].
///
/// All services that one layer makes share its retry.
///
/// ```
/// use backstop::{Retry, RetryConfig, RetryLayer};
/// use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let retry = Retry::new("greeter", RetryConfig::default())?;
/// let mut greeter = ServiceBuilder::new()
///     .layer(RetryLayer::new(retry.clone()))
///     .service(service_fn(|name: String| async move { Ok::<_, BoxError>(format!("hello {name}")) }));
/// assert_eq!(greeter.ready().await?.call("tower".into()).await?, "hello tower");
/// assert_eq!(retry.totals().success, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RetryLayer<P = DefaultRetry, R = ByClone> {
    retry: Retry,
    when: P,
    repeat: R,
}

impl RetryLayer {
    /// A layer around this retry, with the default predicate, for requests that are `Clone`. Hand
    /// over a `&'static` retry where there is one: its services count no references.
    pub fn new(retry: impl Into<Retry>) -> Self {
        Self {
            retry: retry.into(),
            when: DefaultRetry,
            repeat: ByClone,
        }
    }
}

impl<P, R> RetryLayer<P, R> {
    /// Tries again when `when` says so. It is cloned for each call.
    pub fn when<Q>(self, when: Q) -> RetryLayer<Q, R> {
        RetryLayer {
            retry: self.retry,
            when,
            repeat: self.repeat,
        }
    }

    /// Copies requests by `repeat`. It is cloned for each call.
    pub fn repeat<Q>(self, repeat: Q) -> RetryLayer<P, Q> {
        RetryLayer {
            retry: self.retry,
            when: self.when,
            repeat,
        }
    }
}

impl<S, P: Clone, R: Clone> Layer<S> for RetryLayer<P, R> {
    type Service = RetryService<S, P, R>;

    fn layer(&self, inner: S) -> Self::Service {
        RetryService {
            inner,
            retry: self.retry.clone(),
            when: self.when.clone(),
            repeat: self.repeat.clone(),
        }
    }
}

impl<P, R> fmt::Debug for RetryLayer<P, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryLayer")
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}

/// A service whose failed calls are made again.
///
/// * It is ready when the inner service is; the first attempt runs on the instance that was polled.
/// * Each further attempt runs on a fresh clone, which it polls ready itself. An error of that
///   `poll_ready` is the attempt's.
/// * A call costs a copy of the request and a clone of the inner service, which the retries would
///   be made with; a call that has no copy, or only one attempt, clones no service.
#[derive(Clone)]
pub struct RetryService<S, P = DefaultRetry, R = ByClone> {
    inner: S,
    retry: Retry,
    when: P,
    repeat: R,
}

impl<S, P, R> RetryService<S, P, R> {
    /// The retry.
    pub fn retry(&self) -> &Retry {
        &self.retry
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

impl<S, P, R, Request> Service<Request> for RetryService<S, P, R>
where
    S: Service<Request> + Clone,
    S::Error: From<Rejection>,
    P: RetryWhen<S::Response, S::Error> + Clone,
    R: Repeat<Request> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = RetryFuture<S, Request, P, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request) -> Self::Future {
        let mut flight = Flight::new(self.retry.machine().clone(), None);
        if !flight.begin() {
            return RetryFuture::rejected(flight.machine().reject());
        }
        // From here on a panic is one of this call.
        flight.enter_user_code();
        let spare = if flight.is_single() {
            None
        } else {
            self.repeat.repeat(&request, 2)
        };
        // Only a clone that was not polled is left behind for the retries: it holds no readiness.
        let service = spare.as_ref().map(|_| self.inner.clone());
        let resend = Resend {
            service,
            spare,
            repeat: self.repeat.clone(),
        };
        let when = self.when.clone();
        let first = Sending::Sent {
            future: self.inner.call(request),
        };
        flight.leave_user_code();
        RetryFuture {
            state: CallState::Called {
                call: Retrying::started(flight, first, resend, when, AsIs),
            },
        }
    }
}

impl<S, P, R> fmt::Debug for RetryService<S, P, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryService")
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}

/// Sends copies of a request through clones of a service.
struct Resend<S, R, Request> {
    /// None if there is no spare request.
    service: Option<S>,
    spare: Option<Request>,
    repeat: R,
}

impl<S, R, Request> StartAttempt<S::Response, S::Error> for Resend<S, R, Request>
where
    S: Service<Request> + Clone,
    R: Repeat<Request>,
{
    type Future = Sending<S, Request>;

    fn can_repeat(&self) -> bool {
        self.spare.is_some()
    }

    fn start(&mut self, attempt: Attempt<'_, S::Error>, mut place: Pin<&mut Option<Self::Future>>) {
        let request = self.spare.take();
        let next = attempt.number.saturating_add(1);
        self.spare = request
            .as_ref()
            .and_then(|request| self.repeat.repeat(request, next));
        place.set(Some(Sending::Waiting {
            service: self.service.clone(),
            request,
        }));
    }
}

pin_project! {
    /// An attempt: waits for its service, if it must, and sends.
    #[project = SendingProjection]
    enum Sending<S, Request>
    where
        S: Service<Request>,
    {
        Waiting { service: Option<S>, request: Option<Request> },
        Sent { #[pin] future: S::Future },
    }
}

impl<S, Request> Future for Sending<S, Request>
where
    S: Service<Request>,
{
    type Output = Result<S::Response, S::Error>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match self.as_mut().project() {
                SendingProjection::Sent { future } => return future.poll(cx),
                SendingProjection::Waiting { service, request } => {
                    let Some(ready) = service else {
                        return Poll::Pending;
                    };
                    ready!(ready.poll_ready(cx))?;
                    // Both are there until here, and the state changes with their use.
                    let Some(request) = request.take() else {
                        return Poll::Pending;
                    };
                    let future = ready.call(request);
                    self.set(Self::Sent { future });
                }
            }
        }
    }
}

pin_project! {
    /// The future of a call through a [`RetryService`].
    ///
    /// Dropping it drops the call, as with [`Retry::call`].
    #[must_use = "futures do nothing unless polled"]
    pub struct RetryFuture<S, Request, P = DefaultRetry, R = ByClone>
    where
        S: Service<Request>,
    {
        #[pin]
        state: CallState<S, Request, P, R>,
    }
}

/// A call through a service.
type Call<S, Request, P, R> = Retrying<
    Shared<Machine>,
    Resend<S, R, Request>,
    P,
    Sending<S, Request>,
    <S as Service<Request>>::Error,
    AsIs,
>;

pin_project! {
    #[project = CallStateProjection]
    enum CallState<S, Request, P, R>
    where
        S: Service<Request>,
    {
        Called { #[pin] call: Call<S, Request, P, R> },
        Rejected { rejection: Option<Rejection> },
    }
}

impl<S, Request, P, R> RetryFuture<S, Request, P, R>
where
    S: Service<Request>,
{
    #[cold]
    fn rejected(rejection: Rejection) -> Self {
        Self {
            state: CallState::Rejected {
                rejection: Some(rejection),
            },
        }
    }
}

impl<S, Request, P, R> Future for RetryFuture<S, Request, P, R>
where
    S: Service<Request> + Clone,
    S::Error: From<Rejection>,
    P: RetryWhen<S::Response, S::Error>,
    R: Repeat<Request>,
{
    type Output = Result<S::Response, S::Error>;

    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "see the circuit breaker's calls: a poll that is called stalls"
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

impl<S, Request, P, R> fmt::Debug for RetryFuture<S, Request, P, R>
where
    S: Service<Request>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryFuture").finish_non_exhaustive()
    }
}
