//! One call: the work behind every breaker, and how it is made through any of them.

use std::fmt;
use std::future::{Ready, poll_fn, ready};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use tower::Service;

/// What a caller sees of one call, whatever the peer's own error type is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Done,
    Failed,
    Rejected,
}

/// A breaker with the backend behind it. A clone is another handle on the same breaker.
pub(crate) trait Peer: Clone + Send + 'static {
    /// One call, polled where it is made: nothing but the peer's own future is between caller and backend.
    fn call(&mut self, fail: bool) -> Seen;

    /// For a peer whose call can be pending while another thread calls.
    fn call_pending(&mut self, fail: bool) -> impl Future<Output = Seen> + Send {
        async move { self.call(fail) }
    }
}

/// The outcome of a future that must be ready at its first poll.
pub(crate) fn at_once<T, E: Into<Seen>>(future: impl Future<Output = Result<T, E>>) -> Seen {
    seen(expect_ready(
        pin!(future).poll(&mut Context::from_waker(Waker::noop())),
    ))
}

fn expect_ready<T>(poll: Poll<T>) -> T {
    match poll {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a ready call was pending"),
    }
}

fn seen<T, E: Into<Seen>>(result: Result<T, E>) -> Seen {
    result.map_or_else(Into::into, |_| Seen::Done)
}

/// The backend's error; peers that make the caller supply the error of a rejection use `Rejected`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Backend,
    Rejected,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl std::error::Error for Fault {}

/// The work behind every breaker: a future that is ready at its first poll.
pub(crate) fn backend(fail: bool) -> Ready<Result<u64, Fault>> {
    ready(if fail { Err(Fault::Backend) } else { Ok(7) })
}

/// The same work as a tower service.
#[derive(Clone, Copy)]
pub(crate) struct Backend;

impl Service<bool> for Backend {
    type Response = u64;
    type Error = Fault;
    type Future = Ready<Result<u64, Fault>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, fail: bool) -> Self::Future {
        backend(fail)
    }
}

impl From<Fault> for Seen {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Backend => Seen::Failed,
            Fault::Rejected => Seen::Rejected,
        }
    }
}

/// Any peer that is a tower layer, polled ready before each call as tower asks for.
#[derive(Clone)]
pub(crate) struct Tower<S>(pub(crate) S);

impl<S> Peer for Tower<S>
where
    S: Service<bool, Error: Into<Seen>, Future: Send> + Clone + Send + 'static,
{
    fn call(&mut self, fail: bool) -> Seen {
        let ready = self.0.poll_ready(&mut Context::from_waker(Waker::noop()));
        if let Err(error) = expect_ready(ready) {
            return error.into();
        }
        at_once(self.0.call(fail))
    }

    async fn call_pending(&mut self, fail: bool) -> Seen {
        if let Err(error) = poll_fn(|cx| self.0.poll_ready(cx)).await {
            return error.into();
        }
        seen(self.0.call(fail).await)
    }
}

/// One counter that every clone adds to.
#[derive(Clone)]
pub(crate) struct FetchAdd(pub(crate) &'static AtomicU64);

impl Peer for FetchAdd {
    fn call(&mut self, _: bool) -> Seen {
        self.0.fetch_add(1, Ordering::Relaxed);
        Seen::Done
    }
}
