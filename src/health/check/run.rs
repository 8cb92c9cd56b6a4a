//! Runs the user's code in a task of its own, within a time.

use super::finding::panic_message;
use crate::kernel::clock::{Clock, Sleep};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

pub(crate) type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Makes the future of one run. It is called in the run's own task, and the guard is to be kept for
/// as long as anything of the run goes on.
pub(crate) type Work<T> = Arc<dyn Fn(Inside) -> Boxed<T> + Send + Sync>;

/// Where at most one run is at a time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lane(Arc<Place>);

#[derive(Debug, Default)]
struct Place {
    is_taken: AtomicBool,
    /// It was left.
    left: Notify,
}

/// A run is in its lane for as long as it has this.
#[derive(Debug)]
pub(crate) struct Inside(Arc<Place>);

impl Lane {
    fn try_enter(&self) -> Option<Inside> {
        // Acquire: what the run before has done is seen by this one.
        let was_taken = self.0.is_taken.swap(true, Ordering::Acquire);
        (!was_taken).then(|| Inside(self.0.clone()))
    }

    /// Waits `until` then for the run before to leave: one that was aborted just now is gone only
    /// once its task has been polled.
    async fn enter(&self, mut until: Pin<&mut Sleep>) -> Option<Inside> {
        loop {
            if let Some(inside) = self.try_enter() {
                return Some(inside);
            }
            // Who left since has put a permit there.
            let mut left = pin!(self.0.left.notified());
            let is_left = poll_fn(|cx| {
                if left.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(true);
                }
                until.as_mut().poll(cx).map(|()| false)
            });
            if !is_left.await {
                return None;
            }
        }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.is_taken.store(false, Ordering::Release);
        self.0.left.notify_one();
    }
}

/// How a run ended.
#[derive(Debug)]
pub(crate) enum Ran<T> {
    Done(T),
    Panicked(Arc<str>),
    TimedOut,
    /// The run before did not end in time, so this one did not begin.
    Busy,
    /// The runtime is shutting down, or has no timers.
    Cancelled,
}

struct Aborts<T>(JoinHandle<T>);

impl<T> Drop for Aborts<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// One run of `work`, aborted after `limit` or when this future is dropped. Waiting for the run before
/// to be gone is part of its time.
///
/// What blocks its thread cannot be aborted; it stays in its lane until it returns.
pub(crate) async fn run<T: Send + 'static>(
    work: &Work<T>,
    lane: &Lane,
    clock: &Clock,
    limit: Duration,
) -> Ran<T> {
    let (Ok(sleep), Ok(runtime)) = (
        clock.sleep_until(clock.now() + limit),
        Handle::try_current(),
    ) else {
        return Ran::Cancelled;
    };
    let mut sleep = pin!(sleep);
    let Some(inside) = lane.enter(sleep.as_mut()).await else {
        return Ran::Busy;
    };
    let work = work.clone();
    let mut task = Aborts(runtime.spawn(async move { work(inside).await }));
    poll_fn(|cx| {
        if let Poll::Ready(ended) = Pin::new(&mut task.0).poll(cx) {
            return Poll::Ready(match ended {
                Ok(value) => Ran::Done(value),
                Err(error) if error.is_panic() => Ran::Panicked(panic_message(error.into_panic())),
                Err(_) => Ran::Cancelled,
            });
        }
        sleep.as_mut().poll(cx).map(|()| Ran::TimedOut)
    })
    .await
}

/// Work out of an async closure.
pub(crate) fn asynchronous<T, F>(make: impl Fn() -> F + Send + Sync + 'static) -> Work<T>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let make = Arc::new(make);
    Arc::new(move |inside| {
        let make = make.clone();
        Box::pin(async move {
            // Bound before the future, so dropped after it.
            let _inside = inside;
            make().await
        })
    })
}

/// Work out of a blocking closure, which runs on the runtime's blocking threads.
pub(crate) fn blocking<T>(work: impl Fn() -> T + Send + Sync + 'static) -> Work<T>
where
    T: Send + 'static,
{
    let work = Arc::new(work);
    Arc::new(move |inside| {
        let work = work.clone();
        Box::pin(async move {
            let task = tokio::task::spawn_blocking(move || {
                let _inside = inside;
                work()
            });
            match task.await {
                Ok(value) => value,
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                // The runtime is shutting down, and this task with it.
                Err(_) => std::future::pending().await,
            }
        })
    })
}
