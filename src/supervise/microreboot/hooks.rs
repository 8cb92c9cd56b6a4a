//! Runs what a component's author wrote: it may fail, panic, hang, or block its thread.

use super::record::PhaseResult;
use crate::kernel::clock::Clock;
use std::any::Any;
use std::error::Error;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::task::JoinError;

/// A boxed future, for what is done once in a reboot.
pub(crate) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The error of a hook.
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// A phase of a component, as its author gave it.
pub(crate) type Hook = Arc<dyn Fn() -> Boxed<'static, Result<(), BoxError>> + Send + Sync>;

/// How long what was aborted may take to be gone, before it is an orphan.
const GRACE: Duration = Duration::from_millis(100);

/// Runs a hook in a task of its own, for at most `limit`. Whatever it does, this comes back.
pub(crate) async fn run(clock: &Clock, limit: Duration, hook: Hook) -> PhaseResult {
    // The hook is called inside of the task: it may panic or block before there is a future.
    let mut task = tokio::spawn(async move { hook().await });
    let came = within(clock, limit, &mut task).await;
    match came {
        Some(Ok(Ok(()))) => PhaseResult::Done,
        Some(Ok(Err(error))) => PhaseResult::Failed(text_of(&error)),
        Some(Err(error)) => of_join(error),
        None => {
            task.abort();
            match within(clock, GRACE, &mut task).await {
                Some(_) => PhaseResult::TimedOut,
                None => PhaseResult::Orphaned,
            }
        }
    }
}

/// What the future comes to, unless the clock is faster, also while code that blocks holds up the
/// timers of the runtime. A clock without timers has no limits.
pub(crate) async fn within<F: Future + Unpin>(
    clock: &Clock,
    limit: Duration,
    future: &mut F,
) -> Option<F::Output> {
    let Ok(mut alarm) = clock.outside_alarm() else {
        return Some(future.await);
    };
    alarm.set(Some(clock.now() + limit));
    let mut future = pin!(future);
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        alarm.poll_ring(cx).map(|()| None)
    })
    .await
}

fn of_join(error: JoinError) -> PhaseResult {
    match error.try_into_panic() {
        Ok(payload) => PhaseResult::Panicked(panic_text(payload)),
        Err(_) => PhaseResult::Failed("the runtime is shutting down".to_owned()),
    }
}

/// An error's own text: its `Display` is user code, too.
pub(crate) fn text_of(error: &BoxError) -> String {
    catch_unwind(AssertUnwindSafe(|| error.to_string()))
        .unwrap_or_else(|_| "an error whose text panics".to_owned())
}

/// The message of a panic; the payload's drop may panic, and nobody is left to tell.
pub(crate) fn panic_text(payload: Box<dyn Any + Send>) -> String {
    let text = payload
        .downcast_ref::<&'static str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a text".to_owned());
    let dropped = catch_unwind(AssertUnwindSafe(move || drop(payload)));
    if let Err(again) = dropped {
        std::mem::forget(again);
    }
    text
}
