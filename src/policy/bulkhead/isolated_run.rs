//! A call into an isolated bulkhead: admission, the work elsewhere, its result.

use super::acquire::AcquireOwned;
use super::isolated::{Counter, Isolated};
use super::isolated_place::{NotStarted, Place};
use super::isolated_work::{Errand, Returns, WorkPanicked};
use super::machine::POLICY;
use crate::kernel::clock::Sleep;
use crate::kernel::outlet::Outlet;
use crate::kernel::rejection::{Executed, Facts, Rejection, RejectionKind};
use pin_project_lite::pin_project;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::task::AbortHandle;

/// Sends work to where it runs.
pub(super) trait Launch<R> {
    /// The handle that ends it at its next await, if it has any.
    fn launch(self, place: &Place, errand: Errand<R>) -> Result<Option<AbortHandle>, NotStarted>;
}

/// Makes a future, and runs it.
pub(super) struct Async<O>(pub(super) O);

/// Runs a closure that may block.
pub(super) struct Blocking<O>(pub(super) O);

impl<R, O, F> Launch<R> for Async<O>
where
    R: Send + 'static,
    O: FnOnce() -> F + Send + 'static,
    F: Future<Output = R> + Send + 'static,
{
    fn launch(self, place: &Place, errand: Errand<R>) -> Result<Option<AbortHandle>, NotStarted> {
        place.spawn(errand.drive(self.0)).map(Some)
    }
}

impl<R, O> Launch<R> for Blocking<O>
where
    R: Send + 'static,
    O: FnOnce() -> R + Send + 'static,
{
    fn launch(self, place: &Place, errand: Errand<R>) -> Result<Option<AbortHandle>, NotStarted> {
        place.spawn_blocking(Box::new(move || errand.run(self.0)))?;
        Ok(None)
    }
}

pin_project! {
    /// What the caller waits on. It starts when it is first polled.
    pub(super) struct Run<'a, T, E, L, W> {
        isolated: &'a Isolated,
        #[pin]
        admission: AcquireOwned,
        // Until it is sent.
        work: Option<L>,
        sent: Option<Sent<Result<T, E>>>,
        #[pin]
        timer: Option<Sleep>,
        outlet: PhantomData<fn() -> W>,
    }

    impl<T, E, L, W> PinnedDrop for Run<'_, T, E, L, W> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let Some(sent) = this.sent.take() {
                this.isolated.count(Counter::Abandoned);
                sent.abandon();
            }
        }
    }
}

/// Work that is on its way, or running.
struct Sent<R> {
    returns: Returns<R>,
    abort: Option<AbortHandle>,
    limit: Option<Duration>,
}

impl<R> Sent<R> {
    /// The caller leaves: what has not begun never will, async work ends at its next await.
    fn abandon(self) -> Executed {
        let called_off = self.returns.call_off();
        if let Some(abort) = self.abort {
            abort.abort();
        }
        if called_off {
            Executed::No
        } else {
            Executed::Unknown
        }
    }
}

impl<'a, T, E, L, W> Run<'a, T, E, L, W> {
    pub(super) fn new(isolated: &'a Isolated, work: L, _outlet: W) -> Self {
        Self {
            isolated,
            admission: isolated.admission(),
            work: Some(work),
            sent: None,
            timer: None,
            outlet: PhantomData,
        }
    }
}

impl<T, E, L, W> Run<'_, T, E, L, W>
where
    L: Launch<Result<T, E>>,
{
    /// Sends the work once it is admitted.
    fn poll_start(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        let mut this = self.project();
        if this.work.is_none() {
            return Poll::Ready(Ok(()));
        }
        let admitted = ready!(this.admission.poll(cx));
        let Some(work) = this.work.take() else {
            return Poll::Pending;
        };
        let permit = admitted?;
        let isolated = *this.isolated;
        let limit = isolated.time_limit();
        if let Some(limit) = limit {
            let deadline = isolated.clock.now() + limit;
            let timer = isolated.clock.sleep_until(deadline);
            this.timer
                .set(Some(timer.map_err(|_| isolated.without_runtime())?));
        }
        let (errand, returns) = Errand::new(permit);
        let abort = work
            .launch(&isolated.place, errand)
            .map_err(|why| isolated.not_started(why))?;
        *this.sent = Some(Sent {
            returns,
            abort,
            limit,
        });
        Poll::Ready(Ok(()))
    }

    fn poll_end(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Result<T, E>, Rejection>> {
        let mut this = self.project();
        let isolated = *this.isolated;
        // Polled again after it ended: there is nothing more to say.
        let Some(sent) = this.sent else {
            return Poll::Pending;
        };
        if let Poll::Ready(came) = Pin::new(&mut sent.returns.result).poll(cx) {
            let sent = this.sent.take();
            return Poll::Ready(match came {
                Ok(Ok(result)) => Ok(result),
                Ok(Err(panicked)) => Err(isolated.panicked(panicked)),
                Err(_gone) => {
                    let executed = sent.map_or(Executed::Unknown, Sent::abandon);
                    Err(isolated.without_runtime().with_executed(executed))
                }
            });
        }
        let Some(timer) = this.timer.as_mut().as_pin_mut() else {
            return Poll::Pending;
        };
        ready!(timer.poll(cx));
        let Some(sent) = this.sent.take() else {
            return Poll::Pending;
        };
        let limit = sent.limit.unwrap_or_default();
        let executed = sent.abandon();
        Poll::Ready(Err(isolated.timed_out(limit, executed)))
    }
}

impl<T, E, L, W> Future for Run<'_, T, E, L, W>
where
    L: Launch<Result<T, E>>,
    W: Outlet<E>,
{
    type Output = Result<T, W::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(self.as_mut().poll_start(cx))?;
        Poll::Ready(match ready!(self.poll_end(cx)) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(W::inner(error)),
            Err(rejection) => Err(rejection.into()),
        })
    }
}

impl Isolated {
    fn rejection(&self, kind: RejectionKind) -> Rejection {
        Rejection::new(POLICY, self.name().clone(), kind)
    }

    fn without_runtime(&self) -> Rejection {
        self.rejection(RejectionKind::NoRuntime)
    }

    #[cold]
    fn not_started(&self, why: NotStarted) -> Rejection {
        match why {
            NotStarted::NoRuntime => self.without_runtime(),
            NotStarted::NoThread(error) => self
                .rejection(RejectionKind::Full)
                .with_cause(Some(Arc::new(error))),
        }
    }

    #[cold]
    fn panicked(&self, panicked: WorkPanicked) -> Rejection {
        self.count(Counter::Panicked);
        self.rejection(RejectionKind::Panicked)
            .with_cause(Some(Arc::new(panicked)))
    }

    #[cold]
    fn timed_out(&self, limit: Duration, executed: Executed) -> Rejection {
        self.count(Counter::TimedOut);
        self.rejection(RejectionKind::TimedOut)
            .with_facts(Facts::Time { limit })
            .with_executed(executed)
    }
}
