//! Appending and syncing from a task.

use super::engine::Core;
use super::queue::Refused;
use super::refusal::AppendError;
use super::runtime::Runtime;
use super::waiters::{Ending, Hand, Place, Waiter};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

/// The future of [`Journal::append_async`](super::Journal::append_async).
#[must_use = "a future does nothing unless it is polled"]
pub struct AppendFuture<'a> {
    task: Task<'a>,
    kind: u32,
    payload: &'a [u8],
    /// What the record got when it came into the buffer.
    sequence: Option<u64>,
}

/// The future of [`Journal::sync_async`](super::Journal::sync_async).
#[must_use = "a future does nothing unless it is polled"]
pub struct SyncFuture<'a> {
    task: Task<'a>,
    target: u64,
}

/// A task that may have to wait.
struct Task<'a> {
    core: &'a Core,
    place: Option<Place>,
    is_over: bool,
    #[cfg(test)]
    runtime: Option<Runtime>,
}

impl<'a> Task<'a> {
    fn new(core: &'a Core) -> Self {
        Self {
            core,
            place: None,
            is_over: false,
            #[cfg(test)]
            runtime: None,
        }
    }

    #[cfg_attr(
        not(test),
        expect(clippy::unused_self, reason = "a test has a runtime of its own")
    )]
    fn runtime(&self) -> Result<Runtime, AppendError> {
        #[cfg(test)]
        if let Some(runtime) = &self.runtime {
            return Ok(runtime.clone());
        }
        Runtime::current()
    }

    /// Wakers and runtimes are not our code: they are cloned before a lock is taken.
    fn prepare(&self, cx: &Context<'_>) -> Result<(Waker, Runtime), AppendError> {
        Ok((cx.waker().clone(), self.runtime()?))
    }

    /// Calls a thread of this runtime to lead, unless somebody leads or was called.
    fn call(&self) {
        if let Ok(runtime) = self.runtime() {
            let ticket = self.core.queue.lock().call_runtime();
            if let Some(ticket) = ticket {
                self.core.call(&runtime, ticket);
            }
        }
    }

    /// Whether its wait has ended, and how.
    fn poll_place(&mut self, cx: &Context<'_>, place: Place) -> Poll<Ending> {
        let waker = cx.waker().clone();
        let mut queue = self.core.queue.lock();
        if let Some(ending) = queue.look(place) {
            drop(queue);
            self.place = None;
            return Poll::Ready(ending);
        }
        let old = queue
            .waiter(place)
            .and_then(|waiter| waiter.waker.replace(waker));
        let is_uncalled = queue.is_uncalled();
        drop(queue);
        drop(old);
        if is_uncalled {
            // A runtime that was called is gone.
            self.call();
        }
        Poll::Pending
    }
}

/// The waiter goes, and leaves its record to whoever leads.
impl Drop for Task<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            let left = self.core.queue.lock().leave(place);
            drop(left);
        }
    }
}

fn waiter(waker: Waker, target: u64, runtime: &Runtime) -> Waiter {
    Waiter {
        waker: Some(waker),
        target,
        hand: Hand::Runtime(runtime.clone()),
    }
}

impl<'a> AppendFuture<'a> {
    pub(super) fn new(core: &'a Core, kind: u32, payload: &'a [u8]) -> Self {
        Self {
            task: Task::new(core),
            kind,
            payload,
            sequence: None,
        }
    }

    /// Puts the record into the buffer, or waits for room there; ready if that was all.
    fn begin(&mut self, cx: &Context<'_>) -> Poll<Result<u64, AppendError>> {
        let core = self.task.core;
        let length = core.length(self.payload)?;
        let wall_nanos = core.wall_nanos();
        let mut prepared = if core.is_buffered {
            None
        } else {
            Some(self.task.prepare(cx)?)
        };
        loop {
            let mut queue = core.queue.lock();
            let pushed = queue.push(length, self.kind, wall_nanos, self.payload);
            let sequence = match pushed {
                Ok(sequence) if core.is_buffered => {
                    let is_large = queue.is_large();
                    let rings = core.rings(&mut queue);
                    drop(queue);
                    if rings {
                        core.ring();
                    }
                    if is_large {
                        self.task.call();
                    }
                    return Poll::Ready(Ok(sequence));
                }
                Ok(sequence) => Some(sequence),
                Err(Refused::For(error)) => return Poll::Ready(Err(error)),
                Err(Refused::NoRoom) => None,
            };
            let Some((waker, runtime)) = prepared.take() else {
                drop(queue);
                prepared = Some(self.task.prepare(cx)?);
                continue;
            };
            let waiter = waiter(waker, sequence.unwrap_or(0), &runtime);
            self.task.place = Some(match sequence {
                Some(_) => queue.wait(waiter),
                None => queue.wait_for_room(waiter),
            });
            self.sequence = sequence;
            let ticket = queue.call_runtime();
            drop(queue);
            if let Some(ticket) = ticket {
                core.call(&runtime, ticket);
            }
            return Poll::Pending;
        }
    }

    fn advance(&mut self, cx: &Context<'_>) -> Poll<Result<u64, AppendError>> {
        loop {
            let Some(place) = self.task.place else {
                return self.begin(cx);
            };
            ready!(self.task.poll_place(cx, place))?;
            if let Some(sequence) = self.sequence {
                return Poll::Ready(Ok(sequence));
            }
        }
    }
}

impl Future for AppendFuture<'_> {
    type Output = Result<u64, AppendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.task.is_over {
            return Poll::Pending;
        }
        let output = ready!(self.advance(cx));
        self.task.is_over = true;
        Poll::Ready(output)
    }
}

impl<'a> SyncFuture<'a> {
    pub(super) fn new(core: &'a Core) -> Self {
        Self {
            task: Task::new(core),
            target: 0,
        }
    }

    fn begin(&mut self, cx: &Context<'_>) -> Poll<Result<u64, AppendError>> {
        let core = self.task.core;
        if let Some(durable) = core.is_synced(&core.queue.lock())? {
            return Poll::Ready(Ok(durable));
        }
        let (waker, runtime) = self.task.prepare(cx)?;
        let mut queue = core.queue.lock();
        if let Some(durable) = core.is_synced(&queue)? {
            return Poll::Ready(Ok(durable));
        }
        self.target = queue.last();
        queue.want_sync();
        self.task.place = Some(queue.wait(waiter(waker, self.target, &runtime)));
        let ticket = queue.call_runtime();
        drop(queue);
        if let Some(ticket) = ticket {
            core.call(&runtime, ticket);
        }
        Poll::Pending
    }
}

impl Future for SyncFuture<'_> {
    type Output = Result<u64, AppendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.task.is_over {
            return Poll::Pending;
        }
        let output = match self.task.place {
            None => ready!(self.begin(cx)),
            Some(place) => ready!(self.task.poll_place(cx, place)).map(|()| self.target),
        };
        self.task.is_over = true;
        Poll::Ready(output)
    }
}

impl fmt::Debug for AppendFuture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppendFuture")
            .field("kind", &self.kind)
            .field("bytes", &self.payload.len())
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SyncFuture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncFuture")
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

/// On a runtime of a test's.
#[cfg(test)]
impl AppendFuture<'_> {
    pub(super) fn on(mut self, runtime: Runtime) -> Self {
        self.task.runtime = Some(runtime);
        self
    }
}
