//! From a factory to a task, and from its end to a note.

use super::context::ChildContext;
use super::exit::{ChildExit, discard};
use pin_project_lite::pin_project;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What the futures of children return.
pub(crate) trait IntoExit {
    fn into_exit(self, stopping: bool) -> ChildExit;
}

/// A factory whose futures' type is not named: so the future needs no box of its own.
pub(crate) trait Launch: Send + Sync {
    /// Makes an incarnation and spawns it.
    ///
    /// # Errors
    ///
    /// The factory panicked: the incarnation's end is told by the caller.
    fn launch(&self, cx: ChildContext, blocking: bool) -> Result<Launched, ChildExit>;
}

/// The task of an incarnation.
#[derive(Debug)]
pub(crate) struct Launched {
    task: JoinHandle<()>,
    /// Ends one that runs on a blocking thread, which tokio does not abort once it has begun.
    kill: Option<CancellationToken>,
}

impl Launched {
    pub(crate) fn abort(&self) {
        if let Some(kill) = &self.kill {
            kill.cancel();
        }
        self.task.abort();
    }
}

pub(super) struct Factory<F>(pub(super) F);

impl<F, Fut> Launch for Factory<F>
where
    F: Fn(ChildContext) -> Fut + Send + Sync,
    Fut: Future<Output: IntoExit> + Send + 'static,
{
    fn launch(&self, cx: ChildContext, blocking: bool) -> Result<Launched, ChildExit> {
        let runtime = cx.inner().link.runtime.clone();
        let future =
            catch_unwind(AssertUnwindSafe(|| (self.0)(cx.clone()))).map_err(ChildExit::of_panic)?;
        let run = Run {
            future: Some(future),
            cx: Some(cx),
        };
        if !blocking {
            return Ok(Launched {
                task: runtime.spawn(run),
                kill: None,
            });
        }
        let kill = CancellationToken::new();
        let killed = kill.clone().cancelled_owned();
        let inside = runtime.clone();
        let task = runtime.spawn_blocking(move || {
            inside.block_on(Killable { killed, run });
        });
        Ok(Launched {
            task,
            kill: Some(kill),
        })
    }
}

pin_project! {
    /// A child's future in its task. However it ends, by returning, by a panic or by being dropped,
    /// it is gone before its supervisor hears of it.
    struct Run<F> where F: Future, F::Output: IntoExit {
        #[pin]
        future: Option<F>,
        cx: Option<ChildContext>,
    }

    impl<F> PinnedDrop for Run<F> where F: Future, F::Output: IntoExit {
        fn drop(this: Pin<&mut Self>) {
            this.finish(ChildExit::Killed);
        }
    }
}

impl<F: Future<Output: IntoExit>> Run<F> {
    fn finish(self: Pin<&mut Self>, exit: ChildExit) {
        let mut this = self.project();
        if let Some(cx) = this.cx.take() {
            let dropped = catch_unwind(AssertUnwindSafe(|| this.future.set(None)));
            let exit = match dropped {
                // What it returned counts more than how it was dropped; a kill says less.
                Err(payload) if matches!(exit, ChildExit::Killed) => ChildExit::of_panic(payload),
                Err(payload) => {
                    discard(payload);
                    exit
                }
                Ok(()) => exit,
            };
            cx.end(exit);
        }
    }
}

impl<F: Future<Output: IntoExit>> Future for Run<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<()> {
        let this = self.as_mut().project();
        let (Some(future), Some(cx)) = (this.future.as_pin_mut(), &*this.cx) else {
            return Poll::Ready(());
        };
        let polled = catch_unwind(AssertUnwindSafe(|| {
            // The conversion of an error is the child's, too.
            future
                .poll(task)
                .map(|output| output.into_exit(cx.is_stopping()))
        }));
        let exit = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(exit)) => exit,
            Err(payload) => ChildExit::of_panic(payload),
        };
        self.finish(exit);
        Poll::Ready(())
    }
}

pin_project! {
    struct Killable<K, F> {
        #[pin]
        killed: K,
        #[pin]
        run: F,
    }
}

impl<K: Future<Output = ()>, F: Future<Output = ()>> Future for Killable<K, F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.killed.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        this.run.poll(cx)
    }
}
