//! The worker's side: the calls, and their answers.

use super::desk::{Core, Outcome, Queued, Reply, Taken};
use crate::kernel::shared::Shared;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The calls of a [`Supervised`](super::Supervised) service, for its worker. While this lives the service
/// is up; when it is dropped, however that comes about, it is down.
pub struct Calls<Q: 'static, T: 'static, E: 'static> {
    core: Shared<Core<Q, T, E>>,
    worker: u64,
}

impl<Q, T, E> Calls<Q, T, E> {
    pub(super) fn new(core: Shared<Core<Q, T, E>>) -> Self {
        let worker = core.come();
        Self { core, worker }
    }

    /// Waits for the next call; `None` once another worker has taken over.
    ///
    /// # Cancel safety
    ///
    /// No call is lost with a dropped future.
    pub fn recv(&mut self) -> Recv<'_, Q, T, E> {
        Recv { calls: self }
    }
}

impl<Q, T, E> Drop for Calls<Q, T, E> {
    fn drop(&mut self) {
        self.core.go(self.worker);
    }
}

impl<Q, T, E> fmt::Debug for Calls<Q, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls")
            .field("of", self.core.name())
            .field("worker", &self.worker)
            .finish()
    }
}

/// The future of [`Calls::recv`].
#[must_use = "futures do nothing unless polled"]
pub struct Recv<'a, Q: 'static, T: 'static, E: 'static> {
    calls: &'a mut Calls<Q, T, E>,
}

impl<Q, T, E> Future for Recv<'_, Q, T, E> {
    type Output = Option<Call<Q, T, E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let calls = &self.calls;
        match calls.core.take(calls.worker, cx.waker().clone()) {
            Taken::Call(Queued { request, reply }) => Poll::Ready(Some(Call {
                request,
                answer: Answer { reply },
            })),
            Taken::NoneYet => Poll::Pending,
            Taken::Over => Poll::Ready(None),
        }
    }
}

impl<Q, T, E> fmt::Debug for Recv<'_, Q, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recv").finish_non_exhaustive()
    }
}

/// A call that the worker was given. If it is dropped without an answer, its caller is told that nobody
/// knows whether it was executed.
pub struct Call<Q, T, E> {
    request: Q,
    answer: Answer<T, E>,
}

impl<Q, T, E> Call<Q, T, E> {
    /// What is asked.
    pub const fn request(&self) -> &Q {
        &self.request
    }

    /// Whether the caller still waits.
    pub fn is_wanted(&self) -> bool {
        self.answer.is_wanted()
    }

    /// Answers it.
    pub fn answer(self, result: Result<T, E>) {
        self.answer.send(result);
    }

    /// The request, and where its answer goes.
    pub fn into_parts(self) -> (Q, Answer<T, E>) {
        (self.request, self.answer)
    }
}

impl<Q: fmt::Debug, T, E> fmt::Debug for Call<Q, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("request", &self.request)
            .finish_non_exhaustive()
    }
}

/// Where the answer to a call goes.
pub struct Answer<T, E> {
    reply: Reply<T, E>,
}

impl<T, E> Answer<T, E> {
    /// Answers. If the caller has gone, the answer is dropped.
    pub fn send(self, result: Result<T, E>) {
        let _gone = self.reply.send(Outcome::Answered(result));
    }

    /// Whether the caller still waits.
    pub fn is_wanted(&self) -> bool {
        !self.reply.is_closed()
    }

    /// Waits until the caller has gone.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn unwanted(&mut self) {
        self.reply.closed().await;
    }
}

impl<T, E> fmt::Debug for Answer<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("is_wanted", &self.is_wanted())
            .finish()
    }
}
