//! One call: the work behind every policy, and how it is made through any of them.

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::future::{Ready, poll_fn, ready};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use tower::{BoxError, Service};

/// What a caller sees of one call, whatever the peer's own error type is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Done,
    Failed,
    Rejected,
}

/// The request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Succeed,
    Fail,
    /// The first attempt fails, the next succeeds.
    FailOnce,
}

/// A policy with the backend behind it. A clone is another handle on the same policy.
pub(crate) trait Peer: Clone + Send + 'static {
    /// One call, polled where it is made: nothing but the peer's own future is between caller and backend.
    fn call(&mut self, ask: Ask) -> Seen;

    /// For a peer whose call can be pending while another thread calls.
    fn call_pending(&mut self, ask: Ask) -> impl Future<Output = Seen> + Send {
        async move { self.call(ask) }
    }
}

/// The outcome of a future that must be ready at its first poll. Inlined: a call would move the future, and some are big.
#[inline(always)]
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

/// The backend's error; peers that make the caller supply the error of a refusal use the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Backend,
    Rejected,
    TimedOut,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Error for Fault {}

impl From<Fault> for Seen {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Backend | Fault::TimedOut => Seen::Failed,
            Fault::Rejected => Seen::Rejected,
        }
    }
}

/// tower's own layers box their errors.
impl From<BoxError> for Seen {
    fn from(error: BoxError) -> Self {
        if error.is::<tower::load_shed::error::Overloaded>() {
            Seen::Rejected
        } else {
            Seen::Failed
        }
    }
}

/// The work behind every policy: a future that is ready at its first poll.
pub(crate) fn backend(ask: Ask) -> Ready<Result<u64, Fault>> {
    let fails = match ask {
        Ask::Succeed => false,
        Ask::Fail => true,
        Ask::FailOnce => fails_this_time(),
    };
    ready(if fails { Err(Fault::Backend) } else { Ok(7) })
}

/// Every other time. Kept by the thread: a policy clones the service for each attempt, or the request.
fn fails_this_time() -> bool {
    thread_local! {
        static FAILED: Cell<bool> = const { Cell::new(false) };
    }
    FAILED.set(!FAILED.get());
    FAILED.get()
}

/// The same work as a tower service.
#[derive(Clone, Copy)]
pub(crate) struct Backend;

impl Service<Ask> for Backend {
    type Response = u64;
    type Error = Fault;
    type Future = Ready<Result<u64, Fault>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, ask: Ask) -> Self::Future {
        backend(ask)
    }
}

/// Any peer that is a tower layer, polled ready before each call as tower asks for.
#[derive(Clone)]
pub(crate) struct Tower<S>(pub(crate) S);

impl<S> Peer for Tower<S>
where
    S: Service<Ask, Error: Into<Seen>, Future: Send> + Clone + Send + 'static,
{
    fn call(&mut self, ask: Ask) -> Seen {
        let ready = self.0.poll_ready(&mut Context::from_waker(Waker::noop()));
        if let Err(error) = expect_ready(ready) {
            return error.into();
        }
        at_once(self.0.call(ask))
    }

    async fn call_pending(&mut self, ask: Ask) -> Seen {
        if let Err(error) = poll_fn(|cx| self.0.poll_ready(cx)).await {
            return error.into();
        }
        seen(self.0.call(ask).await)
    }
}

/// A retry without a policy: a call that failed is made once more.
#[derive(Clone)]
pub(crate) struct Again<P>(pub(crate) P);

impl<P: Peer> Peer for Again<P> {
    fn call(&mut self, ask: Ask) -> Seen {
        match self.0.call(ask) {
            Seen::Failed => self.0.call(ask),
            seen => seen,
        }
    }
}

/// One counter that every clone adds to.
#[derive(Clone)]
pub(crate) struct FetchAdd(pub(crate) &'static AtomicU64);

impl Peer for FetchAdd {
    fn call(&mut self, _: Ask) -> Seen {
        self.0.fetch_add(1, Ordering::Relaxed);
        Seen::Done
    }
}
