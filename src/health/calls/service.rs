//! The tower layer.

use super::handle::CallHealth;
use crate::health::check::Status;
use crate::health::tree::ComponentHandle;
use crate::kernel::outcome::{Classifier, DefaultClassifier, Outcome};
use crate::kernel::rejection::{Rejection, RejectionKind};
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tower_layer::Layer;
use tower_service::Service;

/// Counts what calls through a service come to, and, if asked, refuses them while a component is not ready.
///
/// See the [room](super) for an example.
#[derive(Clone)]
pub struct HealthLayer<C = DefaultClassifier> {
    calls: CallHealth,
    classifier: C,
    shed: Option<ComponentHandle>,
}

impl HealthLayer {
    /// A layer that counts for `calls`, with the default classifier, and refuses nothing.
    pub fn new(calls: &CallHealth) -> Self {
        Self {
            calls: calls.clone(),
            classifier: DefaultClassifier,
            shed: None,
        }
    }
}

impl<C> HealthLayer<C> {
    /// Judges results by `classifier` instead. It is cloned for each call.
    pub fn with_classifier<D>(self, classifier: D) -> HealthLayer<D> {
        HealthLayer {
            calls: self.calls,
            classifier,
            shed: self.shed,
        }
    }

    /// Refuses calls with [`Shed`](RejectionKind::Shed) while `component` is not ready: neither `Healthy` nor
    /// `Degraded`. A component that is not known to be well is not ready: one whose checks have not run yet,
    /// or no longer run, gets no calls.
    ///
    /// The layer and its services keep the component's tree alive.
    #[must_use]
    pub fn shed(mut self, component: ComponentHandle) -> Self {
        self.shed = Some(component);
        self
    }
}

impl<S, C: Clone> Layer<S> for HealthLayer<C> {
    type Service = HealthService<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        HealthService {
            inner,
            layer: self.clone(),
            inner_is_ready: false,
        }
    }
}

impl<C> fmt::Debug for HealthLayer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthLayer")
            .field("calls", &self.calls)
            .field("shed", &self.shed)
            .finish_non_exhaustive()
    }
}

/// A service whose calls feed a check.
///
/// While it sheds it is ready without asking the inner service, and `call` rejects, also once more if
/// the component becomes ready between the two.
pub struct HealthService<S, C = DefaultClassifier> {
    inner: S,
    layer: HealthLayer<C>,
    /// The inner service said that it is ready, and was not called since.
    inner_is_ready: bool,
}

impl<S, C> HealthService<S, C> {
    /// What it counts for.
    pub fn calls(&self) -> &CallHealth {
        &self.layer.calls
    }

    /// The service behind it.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service behind it, unwrapped.
    pub fn into_inner(self) -> S {
        self.inner
    }

    #[inline]
    fn sheds(&self) -> bool {
        let component = self.layer.shed.as_ref();
        component.is_some_and(|of| !matches!(of.status(), Status::Healthy | Status::Degraded))
    }
}

impl<S, C, Request> Service<Request> for HealthService<S, C>
where
    S: Service<Request>,
    S::Error: From<Rejection>,
    C: Classifier<S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = HealthFuture<S::Future, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner_is_ready = false;
        if self.sheds() {
            return Poll::Ready(Ok(()));
        }
        let ready = ready!(self.inner.poll_ready(cx));
        match &ready {
            Ok(()) => self.inner_is_ready = true,
            Err(_) => self.layer.calls.record(Outcome::Failure),
        }
        Poll::Ready(ready)
    }

    #[inline]
    fn call(&mut self, request: Request) -> Self::Future {
        if !self.inner_is_ready || self.sheds() {
            return shed(&self.layer.calls);
        }
        self.inner_is_ready = false;
        let counted = Counted(&self.layer.calls);
        let classifier = self.layer.classifier.clone();
        let call = self.inner.call(request);
        std::mem::forget(counted);
        HealthFuture {
            state: CallState::Called {
                call,
                calls: self.layer.calls.clone(),
                classifier,
            },
        }
    }
}

/// Counts a failure when it is dropped: what follows panicked.
struct Counted<'a>(&'a CallHealth);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.record(Outcome::Failure);
    }
}

#[cold]
#[inline(never)]
fn shed<F, C>(calls: &CallHealth) -> HealthFuture<F, C> {
    calls.shed();
    HealthFuture {
        state: CallState::Rejected {
            rejection: Some(Rejection::new(
                "health",
                calls.name().clone(),
                RejectionKind::Shed,
            )),
        },
    }
}

/// A clone is not ready: readiness belongs to the instance that was polled.
impl<S: Clone, C: Clone> Clone for HealthService<S, C> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            layer: self.layer.clone(),
            inner_is_ready: false,
        }
    }
}

impl<S, C> fmt::Debug for HealthService<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthService")
            .field("layer", &self.layer)
            .field("inner_is_ready", &self.inner_is_ready)
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// The future of a call through a [`HealthService`].
    ///
    /// Dropping it drops the call, and counts as nothing.
    #[must_use = "futures do nothing unless polled"]
    pub struct HealthFuture<F, C = DefaultClassifier> {
        #[pin]
        state: CallState<F, C>,
    }
}

pin_project! {
    #[project = CallStateProjection]
    #[project_replace = CallStateOwned]
    enum CallState<F, C> {
        Called { #[pin] call: F, calls: CallHealth, classifier: C },
        Rejected { rejection: Option<Rejection> },
    }
}

impl<F, C, T, E> Future for HealthFuture<F, C>
where
    F: Future<Output = Result<T, E>>,
    C: Classifier<T, E>,
    E: From<Rejection>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        let result = match state.as_mut().project() {
            CallStateProjection::Called {
                call,
                calls,
                classifier,
            } => {
                let counted = Counted(calls);
                let polled = call.poll(cx);
                if let Poll::Ready(result) = &polled {
                    let outcome = classifier.classify(result.as_ref()).outcome();
                    std::mem::forget(counted);
                    calls.record(outcome);
                } else {
                    std::mem::forget(counted);
                }
                ready!(polled)
            }
            CallStateProjection::Rejected { rejection } => match rejection.take() {
                Some(rejection) => return Poll::Ready(Err(rejection.into())),
                // Polled again after it ended: there is nothing more to say.
                None => return Poll::Pending,
            },
        };
        // The call is dropped with its result, as everywhere: what it holds is not held by who keeps the
        // finished future.
        state.project_replace(CallState::Rejected { rejection: None });
        Poll::Ready(result)
    }
}

impl<F, C> fmt::Debug for HealthFuture<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthFuture").finish_non_exhaustive()
    }
}
