//! The work of a call on its way to another thread and back.

use super::permit::OwnedPermit;
use crate::kernel::sync::{AtomicU8, Ordering};
use pin_project_lite::pin_project;
use std::any::Any;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::oneshot;

/// The work panicked; this is the cause of the rejection that says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkPanicked {
    message: String,
}

impl WorkPanicked {
    fn new(payload: &(dyn Any + Send)) -> Self {
        let text = payload
            .downcast_ref::<&'static str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Self {
            message: text.unwrap_or("a panic without a message").to_owned(),
        }
    }

    /// What it panicked with, if that was text.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for WorkPanicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for WorkPanicked {}

/// What the work came to.
pub(super) type Came<R> = Result<R, WorkPanicked>;

/// Whether the work begins or its caller leaves first: one of them only, so that who is told that
/// nothing was executed can rely on it.
#[derive(Debug, Default)]
struct Start(AtomicU8);

const OPEN: u8 = 0;
const BEGUN: u8 = 1;
const CALLED_OFF: u8 = 2;

impl Start {
    /// The work begins, unless it was called off.
    fn begin(&self) -> bool {
        self.become_one(BEGUN)
    }

    /// The caller leaves; false if the work has begun.
    fn call_off(&self) -> bool {
        self.become_one(CALLED_OFF)
    }

    fn become_one(&self, state: u8) -> bool {
        let changed = self
            .0
            .compare_exchange(OPEN, state, Ordering::AcqRel, Ordering::Acquire);
        changed.is_ok()
    }
}

/// The caller's end.
#[derive(Debug)]
pub(super) struct Returns<R> {
    pub(super) result: oneshot::Receiver<Came<R>>,
    start: Arc<Start>,
}

impl<R> Returns<R> {
    /// The caller leaves; false if the work has begun.
    pub(super) fn call_off(&self) -> bool {
        self.start.call_off()
    }
}

/// The worker's end: what the work holds while it runs.
///
/// The slot goes with the work, whatever becomes of the caller; and it comes back before the
/// result does, so that who has the result finds the slot free.
#[derive(Debug)]
pub(super) struct Errand<R> {
    permit: Option<OwnedPermit>,
    start: Arc<Start>,
    reply: Option<oneshot::Sender<Came<R>>>,
}

impl<R> Errand<R> {
    pub(super) fn new(permit: OwnedPermit) -> (Self, Returns<R>) {
        let (reply, result) = oneshot::channel();
        let start = Arc::new(Start::default());
        let errand = Self {
            permit: Some(permit),
            start: start.clone(),
            reply: Some(reply),
        };
        (errand, Returns { result, start })
    }

    fn finish(&mut self, result: std::thread::Result<R>) {
        let result = result.map_err(|payload| {
            let panicked = WorkPanicked::new(&*payload);
            // The payload is the user's, and its drop may panic in turn.
            let _ = catch_unwind(AssertUnwindSafe(move || drop(payload)));
            panicked
        });
        self.permit = None;
        if let Some(reply) = self.reply.take() {
            // Nobody waits: the result is dropped here.
            drop(reply.send(result));
        }
    }

    /// Runs blocking work, unless its caller left before it began.
    pub(super) fn run(mut self, work: impl FnOnce() -> R) {
        if self.start.begin() {
            self.finish(catch_unwind(AssertUnwindSafe(work)));
        } else {
            // Its drop may take long, and is part of the work.
            drop(work);
        }
    }

    /// Runs async work, made when it is first polled.
    pub(super) fn drive<O, F>(self, operation: O) -> Driven<R, O, F>
    where
        O: FnOnce() -> F,
        F: Future<Output = R>,
    {
        Driven {
            operation: Some(operation),
            future: None,
            errand: self,
        }
    }
}

pin_project! {
    /// Async work under way. Dropped where it runs, it drops the work first, then the slot.
    pub(super) struct Driven<R, O, F> {
        operation: Option<O>,
        #[pin]
        future: Option<F>,
        errand: Errand<R>,
    }
}

impl<R, O, F> Future for Driven<R, O, F>
where
    O: FnOnce() -> F,
    F: Future<Output = R>,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let polled = catch_unwind(AssertUnwindSafe(|| {
            if let Some(operation) = this.operation.take() {
                if !this.errand.start.begin() {
                    // Called off: dropped as a whole, in the order of the fields.
                    return None;
                }
                this.future.set(Some(operation()));
            }
            let future = this.future.as_mut().as_pin_mut();
            Some(future.map_or(Poll::Pending, |future| future.poll(cx)))
        }));
        let result = match polled {
            Ok(None) => return Poll::Ready(()),
            Ok(Some(Poll::Pending)) => return Poll::Pending,
            Ok(Some(Poll::Ready(result))) => Ok(result),
            Err(payload) => Err(payload),
        };
        // What the work holds goes before the slot; a panic there is the work's, too.
        let dropped = catch_unwind(AssertUnwindSafe(|| this.future.set(None)));
        this.errand.finish(dropped.and(result));
        Poll::Ready(())
    }
}
