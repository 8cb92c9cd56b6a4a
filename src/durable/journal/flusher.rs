//! Syncing what is buffered, `interval` after the first record of it came.

use super::append::SyncFuture;
use super::bell::{Bell, Closed};
use super::engine::{Core, Engine};
use super::refusal::AppendError;
use crate::kernel::clock::{Clock, unparker};
use crate::kernel::sync::park;
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::runtime::Handle;

/// One for a journal with an interval. It keeps no journal open.
struct Flusher {
    engine: Weak<Engine>,
    bell: Arc<Bell>,
    clock: Clock,
    interval: Duration,
}

/// Starts it: a task where tokio's clock counts the interval, and otherwise a thread.
pub(super) fn start(
    engine: Weak<Engine>,
    bell: Arc<Bell>,
    clock: Clock,
    interval: Duration,
) -> io::Result<()> {
    let is_tokios = clock.is_tokios();
    let flusher = Flusher {
        engine,
        bell,
        clock,
        interval,
    };
    match Handle::try_current() {
        Ok(handle) if is_tokios => {
            let task = OnTask(Some(flusher));
            drop(handle.spawn(task.run()));
            Ok(())
        }
        _ => flusher.spawn_thread(),
    }
}

impl Flusher {
    fn spawn_thread(self) -> io::Result<()> {
        std::thread::Builder::new()
            .name("backstop-journal".to_owned())
            .spawn(move || self.run())
            .map(drop)
    }

    fn run(&self) {
        let waker = unparker();
        let mut is_rung = false;
        loop {
            while !is_rung {
                match self.bell.poll_rung(&Context::from_waker(&waker)) {
                    Poll::Ready(Ok(())) => is_rung = true,
                    Poll::Ready(Err(Closed)) => return,
                    Poll::Pending => park(),
                }
            }
            let deadline = self.clock.now() + self.interval;
            let closed = self
                .clock
                .park_on(deadline, &waker, |cx| self.bell.poll_closed(cx));
            if closed == Some(Closed) {
                return;
            }
            let Some(core) = self.engine.upgrade().map(Core) else {
                return;
            };
            match again(&core.flush()) {
                Some(again) => is_rung = again,
                None => return,
            }
        }
    }
}

/// Whether a flush is to be tried again after the interval; `None`: never again.
fn again(flushed: &Result<u64, AppendError>) -> Option<bool> {
    match flushed {
        Ok(_) => Some(false),
        // It is being closed, and stays open if that fails; when it is done, the bell says so.
        Err(AppendError::Closed) => Some(true),
        Err(error) if error.is_final() => None,
        Err(_) => Some(true),
    }
}

/// The flusher as a task. If its runtime goes before the journal, a thread goes on with it.
struct OnTask(Option<Flusher>);

impl OnTask {
    async fn run(mut self) {
        if let Some(flusher) = &self.0 {
            if flusher.run_on_task().await.is_ok() {
                self.0 = None;
            }
        }
    }
}

impl Drop for OnTask {
    fn drop(&mut self) {
        if let Some(flusher) = self.0.take() {
            if !flusher.bell.is_closed() {
                // Without a thread what is buffered waits for who syncs, or for the last handle.
                let _ = flusher.spawn_thread();
            }
        }
    }
}

/// There are no timers here.
struct NoTimers;

impl Flusher {
    async fn run_on_task(&self) -> Result<(), NoTimers> {
        let mut is_rung = false;
        loop {
            if !is_rung && poll_fn(|cx| self.bell.poll_rung(cx)).await.is_err() {
                return Ok(());
            }
            let deadline = self.clock.now() + self.interval;
            self.clock
                .sleep_until(deadline)
                .map_err(|_| NoTimers)?
                .await;
            if self.bell.is_closed() {
                return Ok(());
            }
            let Some(core) = self.engine.upgrade().map(Core) else {
                return Ok(());
            };
            core.expect_ring();
            let flushed = SyncFuture::new(&core).await;
            match again(&flushed) {
                Some(again) => is_rung = again,
                None => return Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jn2e_a_close_that_may_fail_does_not_end_the_flushes() {
        assert_eq!(again(&Ok(1)), Some(false));
        assert_eq!(again(&Err(AppendError::Closed)), Some(true));
        let error = io::Error::other("a disk that fails");
        let error = crate::durable::storage::StorageError::new(
            crate::durable::storage::Operation::Sync,
            "segment",
            error,
        );
        let poisoned = super::super::refusal::Poisoned::by_sync(error.clone());
        assert_eq!(again(&Err(AppendError::Storage(error))), Some(true));
        assert_eq!(again(&Err(AppendError::Poisoned(poisoned))), None);
    }
}
