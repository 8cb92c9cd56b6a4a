//! The inner service of the contract tests: it does what the request says, and asserts the
//! contract on whoever calls it.

use backstop::Error;
use backstop::kernel::name::Name;
use backstop::kernel::rejection::{Rejection, RejectionKind};
use futures::task::{ArcWake, waker};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use tower::Service;

/// What a call does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    /// So often its future is pending, without waking anybody.
    pub(crate) pendings: u32,
    /// Then it ends like this.
    pub(crate) end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Succeed,
    Fail,
    /// As an inner policy would.
    Reject,
    Panic,
    /// In `call`, not in the future.
    PanicInCall,
}

pub(crate) fn request(pendings: u32, end: End) -> Request {
    Request { pendings, end }
}

/// What `poll_ready` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    Ready,
    Pending,
    Fail,
    Panic,
}

/// The call's own error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failed;

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the call failed")
    }
}

impl std::error::Error for Failed {}

/// What a test sees of the mock and its clones, and tells them.
#[derive(Debug)]
pub(crate) struct Stage {
    readiness: Mutex<Readiness>,
    wakers: Mutex<Vec<Waker>>,
    asked: AtomicUsize,
    calls: AtomicUsize,
    running: AtomicUsize,
}

impl Stage {
    /// What `poll_ready` says from now on.
    pub(crate) fn set(&self, readiness: Readiness) {
        *self.readiness.lock().unwrap() = readiness;
    }

    /// How often `poll_ready` was asked.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// How often `call` was called.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// How many futures are alive.
    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    /// Wakes everybody who was told to wait.
    pub(crate) fn wake(&self) {
        let wakers = std::mem::take(&mut *self.wakers.lock().unwrap());
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Forgets who was told to wait.
    pub(crate) fn forget(&self) {
        self.wakers.lock().unwrap().clear();
    }

    fn wait(&self, cx: &Context<'_>) {
        self.wakers.lock().unwrap().push(cx.waker().clone());
    }
}

/// The inner service. Only an instance that was polled ready takes a call, and only one.
#[derive(Debug)]
pub(crate) struct Mock {
    stage: Arc<Stage>,
    ready: bool,
}

impl Mock {
    pub(crate) fn new() -> (Self, Arc<Stage>) {
        let stage = Arc::new(Stage {
            readiness: Mutex::new(Readiness::Ready),
            wakers: Mutex::default(),
            asked: AtomicUsize::new(0),
            calls: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
        });
        let mock = Self {
            stage: stage.clone(),
            ready: false,
        };
        (mock, stage)
    }
}

/// A clone was not polled, so it is not ready.
impl Clone for Mock {
    fn clone(&self) -> Self {
        Self {
            stage: self.stage.clone(),
            ready: false,
        }
    }
}

impl Service<Request> for Mock {
    type Response = &'static str;
    type Error = Error<Failed>;
    type Future = MockFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.stage.asked.fetch_add(1, Ordering::Relaxed);
        let readiness = *self.stage.readiness.lock().unwrap();
        match readiness {
            Readiness::Ready => {
                self.ready = true;
                Poll::Ready(Ok(()))
            }
            Readiness::Pending => {
                self.stage.wait(cx);
                Poll::Pending
            }
            Readiness::Fail => Poll::Ready(Err(Error::Inner(Failed))),
            Readiness::Panic => panic!("a panic in `poll_ready`, as ordered"),
        }
    }

    fn call(&mut self, request: Request) -> MockFuture {
        assert!(
            std::mem::take(&mut self.ready),
            "called on an instance that was not polled ready"
        );
        self.stage.calls.fetch_add(1, Ordering::Relaxed);
        assert!(
            request.end != End::PanicInCall,
            "a panic in `call`, as ordered"
        );
        self.stage.running.fetch_add(1, Ordering::Relaxed);
        MockFuture {
            stage: self.stage.clone(),
            pendings: request.pendings,
            end: Some(request.end),
        }
    }
}

#[derive(Debug)]
pub(crate) struct MockFuture {
    stage: Arc<Stage>,
    pendings: u32,
    /// None once it ended.
    end: Option<End>,
}

impl Future for MockFuture {
    type Output = Result<&'static str, Error<Failed>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.pendings > 0 {
            self.pendings -= 1;
            self.stage.wait(cx);
            return Poll::Pending;
        }
        match self.end.take().expect("not polled after it ended") {
            End::Succeed => Poll::Ready(Ok("done")),
            End::Fail => Poll::Ready(Err(Error::Inner(Failed))),
            End::Reject => {
                let inner = Name::from("inner");
                let rejection = Rejection::new("bulkhead", inner, RejectionKind::Full);
                Poll::Ready(Err(rejection.into()))
            }
            End::Panic | End::PanicInCall => panic!("a panic in the future, as ordered"),
        }
    }
}

impl Drop for MockFuture {
    fn drop(&mut self) {
        self.stage.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A waker that counts.
#[derive(Debug, Default)]
pub(crate) struct Wakes(AtomicUsize);

impl ArcWake for Wakes {
    fn wake_by_ref(this: &Arc<Self>) {
        this.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Wakes {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn waker(self: &Arc<Self>) -> Waker {
        waker(self.clone())
    }
}
