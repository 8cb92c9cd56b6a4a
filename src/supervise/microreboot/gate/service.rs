//! The tower layer: a thin user of the handle.

use super::call::Guarded;
use super::config::Idempotence;
use super::handle::Gate;
use super::machine::Machine;
use super::pass::Visit;
use super::waiting::Waiting;
use crate::kernel::outcome::{Classifier, DefaultClassifier};
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

/// Puts a gate before a service whose error can hold a [`Rejection`].
///
/// All services that one layer makes share its gate. No request counts as idempotent unless
/// [`idempotent`](Self::idempotent) says which.
///
/// ```
/// use backstop::supervise::microreboot::{Gate, GateConfig, GateLayer};
/// use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let gate = Gate::new("index", GateConfig::default())?;
/// let mut index = ServiceBuilder::new()
///     .layer(GateLayer::new(gate.clone()).idempotent(|request: &&str| request.starts_with("GET ")))
///     .service(service_fn(|_request: &'static str| async { Ok::<_, BoxError>("found") }));
///
/// let reboot = gate.begin_reboot();
/// assert!(index.ready().await?.call("POST /").await.is_err());
/// let waits = index.ready().await?.call("GET /");
/// reboot.succeed();
/// assert_eq!(waits.await?, "found");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct GateLayer<I = NoneIdempotent, C = DefaultClassifier> {
    gate: Gate,
    idempotent: I,
    classifier: C,
}

/// Says which requests may be repeated. Closures over a request that return whether it may are such.
pub trait IsIdempotent<Request> {
    /// Whether calling twice with this request does no more than calling once.
    fn is_idempotent(&self, request: &Request) -> bool;
}

impl<F: Fn(&Request) -> bool, Request> IsIdempotent<Request> for F {
    #[inline]
    fn is_idempotent(&self, request: &Request) -> bool {
        self(request)
    }
}

/// No request may be repeated: nothing is known of any.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoneIdempotent;

impl<Request> IsIdempotent<Request> for NoneIdempotent {
    #[inline]
    fn is_idempotent(&self, _request: &Request) -> bool {
        false
    }
}

impl GateLayer {
    /// A layer before this gate, with the default classifier. Hand over a `&'static` gate where
    /// there is one: its services count no references.
    pub fn new(gate: impl Into<Gate>) -> Self {
        Self {
            gate: gate.into(),
            idempotent: NoneIdempotent,
            classifier: DefaultClassifier,
        }
    }
}

impl<I, C> GateLayer<I, C> {
    /// Says which requests are idempotent: their callers wait while the component is rebooted. Asked
    /// once per call that meets a shut gate or is counted; a panic in it is the caller's.
    pub fn idempotent<J>(self, idempotent: J) -> GateLayer<J, C> {
        GateLayer {
            gate: self.gate,
            idempotent,
            classifier: self.classifier,
        }
    }

    /// Judges by `classifier` which calls failed, for the blast radius of a recovery. It is cloned
    /// for each call.
    pub fn with_classifier<D>(self, classifier: D) -> GateLayer<I, D> {
        GateLayer {
            gate: self.gate,
            idempotent: self.idempotent,
            classifier,
        }
    }
}

impl<S, I: Clone, C: Clone> Layer<S> for GateLayer<I, C> {
    type Service = GateService<S, I, C>;

    fn layer(&self, inner: S) -> Self::Service {
        GateService {
            inner,
            gate: self.gate.clone(),
            idempotent: self.idempotent.clone(),
            classifier: self.classifier.clone(),
            inner_is_ready: false,
        }
    }
}

impl<I, C> fmt::Debug for GateLayer<I, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GateLayer")
            .field("gate", &self.gate)
            .finish_non_exhaustive()
    }
}

/// A service behind a gate.
///
/// * While the gate is shut it is ready, without asking the inner service, which may be gone; what
///   becomes of a call is the outcome of the call, never of `poll_ready`.
/// * A call that waits outside takes a clone of the inner service with it, and drives it to ready
///   when the gate opens: hence `S: Clone`. What was reserved by readiness stays with the service.
/// * An idle, ready service holds nothing of the gate's: a call goes in by `call`.
/// * A call that finds the gate open although `poll_ready` met it shut, and so did not ask the inner
///   service, is treated as if the gate were still shut: it waits for the inner service if it is
///   idempotent, else it is refused once more.
/// * A task that waits for the inner service is not woken when the gate shuts meanwhile.
pub struct GateService<S, I = NoneIdempotent, C = DefaultClassifier> {
    inner: S,
    gate: Gate,
    idempotent: I,
    classifier: C,
    /// The inner service said that it is ready, and was not called since.
    inner_is_ready: bool,
}

impl<S, I, C> GateService<S, I, C> {
    /// The gate.
    pub fn gate(&self) -> &Gate {
        &self.gate
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

impl<S, I, C, Request> Service<Request> for GateService<S, I, C>
where
    S: Service<Request> + Clone,
    S::Error: From<Rejection>,
    I: IsIdempotent<Request>,
    C: Classifier<S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = GateFuture<S, Request, C>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // Readiness that was asked for before a reboot says nothing after it, so it is asked for each
        // time, and forgotten while the gate is shut. Also if the inner service panics.
        self.inner_is_ready = false;
        if self.gate.is_shut() {
            return Poll::Ready(Ok(()));
        }
        let polled = self.inner.poll_ready(cx);
        self.inner_is_ready = matches!(polled, Poll::Ready(Ok(())));
        polled
    }

    #[inline]
    fn call(&mut self, request: Request) -> Self::Future {
        let machine = self.gate.shared();
        let idempotence = if self.idempotent.is_idempotent(&request) {
            Idempotence::Idempotent
        } else {
            Idempotence::Unknown
        };
        if self.inner_is_ready {
            if let Ok(admitted) = machine.enter() {
                self.inner_is_ready = false;
                let visit = Visit::inside(machine.clone(), admitted);
                // A panic of the inner `call` is a failure and gives the place back.
                let future = self.inner.call(request);
                let call = Guarded::new(future, visit, idempotence, self.classifier.clone());
                return GateFuture {
                    state: State::Called { call },
                };
            }
        }
        self.outside(request, idempotence)
    }
}

impl<S: Clone, I, C: Clone> GateService<S, I, C> {
    #[cold]
    #[inline(never)]
    fn outside<Request>(
        &self,
        request: Request,
        idempotence: Idempotence,
    ) -> GateFuture<S, Request, C>
    where
        S: Service<Request>,
    {
        let machine = self.gate.shared();
        let state = match idempotence {
            Idempotence::Unknown => State::Refused {
                rejection: Some(machine.refuse(idempotence)),
            },
            Idempotence::Idempotent => State::Outside {
                outside: Box::pin(Outside {
                    waiting: Waiting::new(machine.clone(), machine.asked(), None),
                    is_ready: false,
                    held: Some((self.inner.clone(), request, self.classifier.clone())),
                }),
            },
        };
        GateFuture { state }
    }
}

/// A clone is not ready: readiness belongs to the instance that was polled.
impl<S: Clone, I: Clone, C: Clone> Clone for GateService<S, I, C> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            gate: self.gate.clone(),
            idempotent: self.idempotent.clone(),
            classifier: self.classifier.clone(),
            inner_is_ready: false,
        }
    }
}

impl<S, I, C> fmt::Debug for GateService<S, I, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GateService")
            .field("gate", &self.gate)
            .field("inner_is_ready", &self.inner_is_ready)
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// The future of a call through a [`GateService`].
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the call and gives its place back; one that waits outside leaves.
    #[must_use = "futures do nothing unless polled"]
    pub struct GateFuture<S, Request, C = DefaultClassifier>
    where
        S: Service<Request>,
    {
        #[pin]
        state: State<S, Request, C>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, Request, C>
    where
        S: Service<Request>,
    {
        Called { #[pin] call: Guarded<Shared<Machine>, S::Future, C> },
        // In a box: most calls never wait, and none should have room for it.
        Outside { outside: Pin<Box<Outside<S, Request, C>>> },
        Refused { rejection: Option<Rejection> },
    }
}

pin_project! {
    /// A call that waits outside, with the inner service that it will ask.
    #[project = OutsideProjection]
    struct Outside<S, Request, C> {
        #[pin]
        waiting: Waiting<Shared<Machine>>,
        // The inner service said so, since the gate was last seen open.
        is_ready: bool,
        held: Option<(S, Request, C)>,
    }
}

impl<S: Service<Request>, Request, C> State<S, Request, C>
where
    S::Error: From<Rejection>,
{
    /// Waits on; ready when the call is made, or will not be.
    #[cold]
    #[inline(never)]
    fn poll_outside(mut this: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        loop {
            let StateProjection::Outside { outside } = this.as_mut().project() else {
                return Poll::Ready(Ok(()));
            };
            let OutsideProjection {
                mut waiting,
                is_ready,
                held,
            } = outside.as_mut().project();
            // After it was refused, or the inner service panicked.
            let Some((mut inner, request, classifier)) = held.take() else {
                return Poll::Pending;
            };
            if !*is_ready {
                match waiting.as_mut().poll_open(cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(rejection)) => return Poll::Ready(Err(rejection.into())),
                    Poll::Pending => {
                        *held = Some((inner, request, classifier));
                        return Poll::Pending;
                    }
                }
                match inner.poll_ready(cx) {
                    Poll::Ready(Ok(())) => *is_ready = true,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {
                        // The wait for it is a part of the wait, and is over when that is.
                        if let Poll::Ready(rejection) = waiting.as_mut().poll_deadline(cx) {
                            return Poll::Ready(Err(rejection.into()));
                        }
                        *held = Some((inner, request, classifier));
                        return Poll::Pending;
                    }
                }
            }
            let Ok(admitted) = waiting.enter() else {
                // Shut again meanwhile: it waits on, and the inner service is asked anew.
                *is_ready = false;
                *held = Some((inner, request, classifier));
                continue;
            };
            let visit = Visit::inside(waiting.handle().clone(), admitted);
            let future = inner.call(request);
            let call = Guarded::new(future, visit, Idempotence::Idempotent, classifier);
            this.set(State::Called { call });
            return Poll::Ready(Ok(()));
        }
    }
}

impl<S, Request, C> Future for GateFuture<S, Request, C>
where
    S: Service<Request>,
    S::Error: From<Rejection>,
    C: Classifier<S::Response, S::Error>,
{
    type Output = Result<S::Response, S::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        if let StateProjection::Outside { .. } = state.as_mut().project() {
            ready!(State::poll_outside(state.as_mut(), cx))?;
        }
        match state.project() {
            StateProjection::Called { call } => call.poll_call::<AsIs, _, _>(cx),
            StateProjection::Refused { rejection } => match rejection.take() {
                Some(rejection) => Poll::Ready(Err(rejection.into())),
                // Polled again after it ended: there is nothing more to say.
                None => Poll::Pending,
            },
            StateProjection::Outside { .. } => Poll::Pending,
        }
    }
}

impl<S: Service<Request>, Request, C> fmt::Debug for GateFuture<S, Request, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GateFuture").finish_non_exhaustive()
    }
}
