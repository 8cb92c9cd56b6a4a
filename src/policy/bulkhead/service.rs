//! The layer that refuses at once: a thin user of the handle.

use super::compartments_handle::Compartment;
use super::handle::Bulkhead;
use super::permit::OwnedPermit;
use crate::kernel::rejection::Rejection;
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tower_layer::Layer;
use tower_service::Service;

/// Limits the calls that run at once in a service whose error can hold a [`Rejection`]; the others
/// are refused at once, also if the bulkhead has a queue.
///
/// All services that one layer makes share its bulkhead. For a queue there is
/// [`QueueingBulkheadLayer`](super::QueueingBulkheadLayer).
///
/// ```
/// use backstop::{Bulkhead, BulkheadConfig, BulkheadLayer};
/// use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let bulkhead = Bulkhead::new("greeter", BulkheadConfig::default().max_concurrent(1))?;
/// let mut greeter = ServiceBuilder::new()
///     .layer(BulkheadLayer::new(bulkhead.clone()))
///     .service(service_fn(|name: String| async move { Ok::<_, BoxError>(format!("hello {name}")) }));
/// assert_eq!(greeter.ready().await?.call("tower".into()).await?, "hello tower");
///
/// let _elsewhere = bulkhead.try_acquire()?;
/// let refused = greeter.ready().await?.call("tower".into()).await.unwrap_err();
/// assert_eq!(refused.to_string(), "bulkhead `greeter` is full: the limit is 1");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct BulkheadLayer<B = Bulkhead> {
    bulkhead: B,
}

impl BulkheadLayer {
    /// A layer around this bulkhead. Hand over a `&'static` one where there is one: its services
    /// count no references.
    pub fn new(bulkhead: impl Into<Bulkhead>) -> Self {
        Self {
            bulkhead: bulkhead.into(),
        }
    }
}

impl BulkheadLayer<Compartment> {
    /// A layer around a compartment: [`Compartment::layer`].
    pub(super) fn around(compartment: Compartment) -> Self {
        Self {
            bulkhead: compartment,
        }
    }
}

/// What a [`BulkheadLayer`] can be around: a [`Bulkhead`] or a [`Compartment`].
pub trait Slots: sealed::Slots {}

impl Slots for Bulkhead {}
impl Slots for Compartment {}

pub(super) mod sealed {
    use crate::kernel::rejection::Rejection;

    pub trait Slots: Clone {
        type Permit;

        /// Whether everything is refused, whoever comes and whoever goes.
        fn is_shut(&self) -> bool;

        /// The refusal of a call over an inner service that was not asked.
        fn refuse_unready(&self) -> Rejection;

        fn try_acquire_owned(&self) -> Result<Self::Permit, Rejection>;
    }
}

impl sealed::Slots for Bulkhead {
    type Permit = OwnedPermit;

    #[inline]
    fn is_shut(&self) -> bool {
        self.is_shut()
    }

    fn refuse_unready(&self) -> Rejection {
        self.refuse_unready()
    }

    #[inline]
    fn try_acquire_owned(&self) -> Result<OwnedPermit, Rejection> {
        self.try_acquire_owned()
    }
}

impl<S, B: Slots> Layer<S> for BulkheadLayer<B> {
    type Service = BulkheadService<S, B>;

    fn layer(&self, inner: S) -> Self::Service {
        BulkheadService {
            inner,
            bulkhead: self.bulkhead.clone(),
            inner_is_ready: false,
        }
    }
}

/// A service behind a bulkhead that refuses at once.
///
/// * A slot is taken by `call` and given back when its future ends or is dropped. An idle, ready
///   service holds none.
/// * A full bulkhead is ready; the refusal is the outcome of the call. Who wants to be held back
///   puts tower's `ConcurrencyLimit` there instead.
/// * While the bulkhead is isolated, or its limit is 0, it is ready without asking the inner
///   service. A call that finds it open again, over an inner service that was not asked, is refused
///   once more.
pub struct BulkheadService<S, B = Bulkhead> {
    inner: S,
    bulkhead: B,
    /// The inner service said that it is ready, and was not called since.
    inner_is_ready: bool,
}

impl<S, B> BulkheadService<S, B> {
    /// The bulkhead, or the compartment.
    pub fn bulkhead(&self) -> &B {
        &self.bulkhead
    }

    /// The service behind it.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S, B, Request> Service<Request> for BulkheadService<S, B>
where
    S: Service<Request>,
    S::Error: From<Rejection>,
    B: Slots,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BulkheadFuture<S::Future, B::Permit>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner_is_ready = false;
        if self.bulkhead.is_shut() {
            return Poll::Ready(Ok(()));
        }
        let polled = self.inner.poll_ready(cx);
        self.inner_is_ready = matches!(polled, Poll::Ready(Ok(())));
        polled
    }

    #[inline]
    fn call(&mut self, request: Request) -> Self::Future {
        if !self.inner_is_ready {
            return BulkheadFuture::refused(self.bulkhead.refuse_unready());
        }
        match self.bulkhead.try_acquire_owned() {
            Ok(permit) => {
                self.inner_is_ready = false;
                // A panic of the inner `call` gives the slot back.
                let future = self.inner.call(request);
                let permit = Some(permit);
                BulkheadFuture {
                    state: CallState::Called { future, permit },
                }
            }
            Err(rejection) => BulkheadFuture::refused(rejection),
        }
    }
}

/// A clone is not ready: readiness belongs to the instance that was polled.
impl<S: Clone, B: Clone> Clone for BulkheadService<S, B> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            bulkhead: self.bulkhead.clone(),
            inner_is_ready: false,
        }
    }
}

impl<S, B: fmt::Debug> fmt::Debug for BulkheadService<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BulkheadService")
            .field("bulkhead", &self.bulkhead)
            .field("inner_is_ready", &self.inner_is_ready)
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// The future of a call through a [`BulkheadService`].
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the call and gives its slot back.
    #[must_use = "futures do nothing unless polled"]
    pub struct BulkheadFuture<F, P = OwnedPermit> {
        #[pin]
        state: CallState<F, P>,
    }
}

pin_project! {
    #[project = CallStateProjection]
    enum CallState<F, P> {
        // In this order: what the call holds is dropped while the slot is still taken.
        Called { #[pin] future: F, permit: Option<P> },
        Refused { rejection: Option<Rejection> },
    }
}

impl<F, P> BulkheadFuture<F, P> {
    #[cold]
    fn refused(rejection: Rejection) -> Self {
        let rejection = Some(rejection);
        Self {
            state: CallState::Refused { rejection },
        }
    }
}

impl<F, P, T, E> Future for BulkheadFuture<F, P>
where
    F: Future<Output = Result<T, E>>,
    E: From<Rejection>,
{
    type Output = Result<T, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            // Polled again after it ended: it has no slot to run in.
            CallStateProjection::Called { permit, .. } if permit.is_none() => Poll::Pending,
            CallStateProjection::Called { future, permit } => {
                let polled = future.poll(cx);
                if polled.is_ready() {
                    *permit = None;
                }
                polled
            }
            CallStateProjection::Refused { rejection } => match rejection.take() {
                Some(rejection) => Poll::Ready(Err(rejection.into())),
                // Polled again after it ended: there is nothing more to say.
                None => Poll::Pending,
            },
        }
    }
}

impl<F, P> fmt::Debug for BulkheadFuture<F, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BulkheadFuture").finish_non_exhaustive()
    }
}
