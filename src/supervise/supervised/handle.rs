//! The callers' side: a handle that is a tower service.

use super::calls::Calls;
use super::config::SupervisedConfig;
use super::desk::{Core, Outcome};
use crate::kernel::clock::Clock;
use crate::kernel::config::ConfigError;
use crate::kernel::name::Name;
use crate::kernel::rejection::{Error, Rejection};
use crate::kernel::shared::Shared;
use crate::supervise::child::{BoxError, ChildContext, ChildSpec};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::sync::oneshot;
use tower_service::Service;

/// A service whose worker is a supervised child: calls go through a bounded queue to whatever incarnation
/// of it is there. Clones are the same service.
///
/// See the [room](super) for an example.
pub struct Supervised<Q: 'static, T: 'static, E: 'static> {
    core: Shared<Core<Q, T, E>>,
}

impl<Q, T, E> Supervised<Q, T, E> {
    /// A service that is down until a worker comes.
    ///
    /// # Errors
    ///
    /// A queue without room or above 1,000,000, an expected time outside 1 ms to 1 h, a jitter outside 0
    /// to 1.
    pub fn new(name: impl Into<Name>, config: SupervisedConfig) -> Result<Self, ConfigError> {
        Self::with_clock(name, config, Clock::default())
    }

    /// The same by a clock of your own, which times restarts.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_clock(
        name: impl Into<Name>,
        config: SupervisedConfig,
        clock: impl Into<Clock>,
    ) -> Result<Self, ConfigError> {
        let core = Core::new(name.into(), config.checked()?, clock.into());
        let core = Shared::new(core);
        Ok(Self { core })
    }

    /// A child whose factory is called with the calls for each start. The service is up from then on. A
    /// worker that has something to do first, or has checkpoints, takes its [`calls`](Self::calls) itself.
    pub fn child<F, W, R>(&self, factory: F) -> ChildSpec
    where
        F: Fn(ChildContext, Calls<Q, T, E>) -> W + Send + Sync + 'static,
        W: Future<Output = Result<(), R>> + Send + 'static,
        R: Into<BoxError> + 'static,
        Q: Send,
        T: Send,
        E: Send,
    {
        let service = self.clone();
        ChildSpec::new(self.name().clone(), move |cx| factory(cx, service.calls()))
    }

    /// The calls, for a worker. If there is one already, this one takes over, with all that waits.
    pub fn calls(&self) -> Calls<Q, T, E> {
        Calls::new(self.core.clone())
    }

    /// The name, as it stands in rejections.
    pub fn name(&self) -> &Name {
        self.core.name()
    }

    /// Whether there is a worker.
    pub fn is_up(&self) -> bool {
        self.core.state().0
    }

    /// How many calls wait for it.
    pub fn waiting(&self) -> usize {
        self.core.state().1
    }

    /// Calls the worker.
    ///
    /// # Errors
    ///
    /// [`Error::Inner`] is the worker's own. [`Error::Rejected`] is of kind
    /// [`Restarting`](crate::RejectionKind::Restarting) while there is no worker, with the time after which
    /// to come back if the call was given to none, and with
    /// [`Executed::Unknown`](crate::kernel::rejection::Executed) and without a time if the worker had it; or
    /// of kind [`Full`](crate::RejectionKind::Full).
    ///
    /// # Cancel safety
    ///
    /// The call is in the queue when this returns. Dropping the future takes it out, unless a worker has
    /// it, who can see that nobody waits.
    pub fn call(
        &self,
        request: Q,
    ) -> impl Future<Output = Result<T, Error<E>>> + Unpin + use<Q, T, E> {
        let mut waiting = Waiting::new(&self.core, request);
        poll_fn(move |cx| {
            waiting.poll(cx).map(|outcome| match outcome {
                Ok(result) => result.map_err(Error::Inner),
                Err(rejection) => Err(Error::Rejected(rejection)),
            })
        })
    }

    /// The same where the worker's error can hold a [`Rejection`].
    pub fn call_in(&self, request: Q) -> SupervisedFuture<Q, T, E>
    where
        E: From<Rejection>,
    {
        SupervisedFuture(Waiting::new(&self.core, request))
    }
}

/// Always ready: a service that is down or full says so as the outcome of a call.
impl<Q, T, E: From<Rejection>> Service<Q> for Supervised<Q, T, E> {
    type Response = T;
    type Error = E;
    type Future = SupervisedFuture<Q, T, E>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Q) -> Self::Future {
        self.call_in(request)
    }
}

impl<Q, T, E> Clone for Supervised<Q, T, E> {
    fn clone(&self) -> Self {
        let core = self.core.clone();
        Self { core }
    }
}

/// A handle whose clones count no references.
impl<Q, T, E> From<&'static Supervised<Q, T, E>> for Supervised<Q, T, E> {
    fn from(service: &'static Supervised<Q, T, E>) -> Self {
        let core = Shared::of_static(&service.core);
        Self { core }
    }
}

impl<Q, T, E> fmt::Debug for Supervised<Q, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (is_up, waiting) = self.core.state();
        f.debug_struct("Supervised")
            .field("name", self.name())
            .field("is_up", &is_up)
            .field("waiting", &waiting)
            .finish()
    }
}

/// The future of a call through a [`Supervised`] service.
#[must_use = "the call is in the queue, and leaves it with this"]
pub struct SupervisedFuture<Q: 'static, T: 'static, E: 'static>(Waiting<Q, T, E>);

impl<Q, T, E: From<Rejection>> Future for SupervisedFuture<Q, T, E> {
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(cx).map(|outcome| match outcome {
            Ok(result) => result,
            Err(rejection) => Err(rejection.into()),
        })
    }
}

impl<Q, T, E> fmt::Debug for SupervisedFuture<Q, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SupervisedFuture").finish_non_exhaustive()
    }
}

/// A call until its outcome.
enum Waiting<Q: 'static, T: 'static, E: 'static> {
    Rejected(Option<Rejection>),
    Taken {
        answer: oneshot::Receiver<Outcome<T, E>>,
        place: Place<Q, T, E>,
    },
}

/// A place in the queue, given back when it is dropped.
struct Place<Q: 'static, T: 'static, E: 'static> {
    core: Shared<Core<Q, T, E>>,
    number: u64,
    is_left: bool,
}

impl<Q, T, E> Drop for Place<Q, T, E> {
    fn drop(&mut self) {
        if !self.is_left {
            self.core.withdraw(self.number);
        }
    }
}

impl<Q, T, E> Waiting<Q, T, E> {
    fn new(core: &Shared<Core<Q, T, E>>, request: Q) -> Self {
        let (reply, answer) = oneshot::channel();
        match core.put(request, reply) {
            Err(rejection) => Self::Rejected(Some(rejection)),
            Ok(number) => Self::Taken {
                answer,
                place: Place {
                    core: core.clone(),
                    number,
                    is_left: false,
                },
            },
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Result<T, E>, Rejection>> {
        match self {
            Self::Rejected(rejection) => match rejection.take() {
                Some(rejection) => Poll::Ready(Err(rejection)),
                // Polled again after it ended: there is nothing more to say.
                None => Poll::Pending,
            },
            Self::Taken { place, .. } if place.is_left => Poll::Pending,
            Self::Taken { answer, place } => {
                let outcome = ready!(Pin::new(answer).poll(cx));
                place.is_left = true;
                Poll::Ready(match outcome {
                    Ok(Outcome::Answered(result)) => Ok(result),
                    Ok(Outcome::NotGiven) => Err(place.core.not_given()),
                    Err(_) => Err(place.core.lost()),
                })
            }
        }
    }
}
