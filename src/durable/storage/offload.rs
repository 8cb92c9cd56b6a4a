//! Blocking work, waited for by async code.

use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// Runs work that blocks, such as calls of a [`Storage`](super::Storage), where it keeps no async task from
/// running: on tokio's threads for blocking work. It is under way when this returns, whether the
/// future is polled or not.
///
/// The same under any clock: a thread of our own would let a paused clock run ahead of the work.
/// It costs one hop to another thread and back.
///
/// # Errors
///
/// The future ends with [`NotRun`] outside a tokio runtime, and if the runtime shut down before the work
/// began.
///
/// # Panics
///
/// A panic of the work goes on in who awaits it. tokio panics here if it has no thread for blocking work
/// and the system gives it none; its `max_blocking_threads` is no such case, it queues.
///
/// # Cancel safety
///
/// Dropping the future does not stop the work; what it returns is dropped.
///
/// ```
/// use backstop::durable::storage::{MemoryStorage, Storage, offload};
/// use std::{path::Path, sync::Arc};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
/// let there = Arc::clone(&storage);
/// offload(move || there.create_new(Path::new("notes"))?.sync()).await??;
/// assert_eq!(storage.list(Path::new(""))?.len(), 1);
/// # Ok(())
/// # }
/// ```
pub fn offload<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Offload<T> {
    let task = Handle::try_current().map(|runtime| runtime.spawn_blocking(work));
    Offload { task: task.ok() }
}

pin_project! {
    /// The future of [`offload`].
    #[must_use = "the work is under way, and what it comes to is lost with this"]
    pub struct Offload<T> {
        #[pin]
        task: Option<JoinHandle<T>>,
    }
}

/// Blocking work never began: there was no tokio runtime, or it shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotRun;

impl<T> Future for Offload<T> {
    type Output = Result<T, NotRun>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(task) = self.project().task.as_pin_mut() else {
            return Poll::Ready(Err(NotRun));
        };
        task.poll(cx).map(|done| {
            done.map_err(|error| match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_cancelled) => NotRun,
            })
        })
    }
}

impl<T> fmt::Debug for Offload<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offload").finish_non_exhaustive()
    }
}

impl fmt::Display for NotRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("blocking work was not run: there is no tokio runtime, or it shut down")
    }
}

impl std::error::Error for NotRun {}
