//! The gate before a component (MR8).

mod calls;
mod counts;
mod reboots;
mod tower_service;

use backstop::Error;
use backstop::kernel::clock::{Clock, ManualClock};
use backstop::kernel::ratio::Ratio;
use backstop::kernel::rejection::{Executed, Rejection, RejectionKind};
use backstop::supervise::microreboot::{Gate, GateConfig};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) type Reply = Result<u8, Error<u8>>;

/// The default without jitter, so that times are exact.
pub(crate) fn config() -> GateConfig {
    GateConfig::default().jitter(Ratio::new(0.0).unwrap())
}

pub(crate) fn gate(config: GateConfig) -> (Gate, ManualClock) {
    let clock = Clock::manual();
    (Gate::with_clock("index", config, &clock).unwrap(), clock)
}

/// A future that is polled by hand, and whether it was woken.
pub(crate) struct Task<'a, T> {
    future: Pin<Box<dyn Future<Output = T> + 'a>>,
    woken: Arc<Woken>,
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl<'a, T> Task<'a, T> {
    pub(crate) fn new(future: impl Future<Output = T> + 'a) -> Self {
        Self {
            future: Box::pin(future),
            woken: Arc::default(),
        }
    }

    pub(crate) fn poll(&mut self) -> Poll<T> {
        self.woken.0.store(0, Ordering::SeqCst);
        let waker = Waker::from(self.woken.clone());
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }

    pub(crate) fn is_woken(&self) -> bool {
        self.woken.0.load(Ordering::SeqCst) > 0
    }

    #[track_caller]
    pub(crate) fn is_pending(&mut self) {
        assert!(self.poll().is_pending());
    }

    /// Polls it as a runtime would: only if it was woken.
    #[track_caller]
    pub(crate) fn ready(&mut self) -> T {
        assert!(self.is_woken(), "nobody woke it");
        match self.poll() {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("it waits"),
        }
    }
}

/// The rejection of a call that was refused or cut: kind, whether it ran, when to come back.
#[track_caller]
pub(crate) fn rejected<T: std::fmt::Debug, E: std::fmt::Debug>(
    reply: Result<T, Error<E>>,
) -> (RejectionKind, Executed, Option<Duration>) {
    match reply {
        Err(Error::Rejected(rejection)) => told(&rejection),
        other => panic!("not rejected: {other:?}"),
    }
}

pub(crate) fn told(rejection: &Rejection) -> (RejectionKind, Executed, Option<Duration>) {
    (
        rejection.kind(),
        rejection.executed(),
        rejection.retry_after(),
    )
}

pub(crate) const REFUSED: (RejectionKind, Executed, Option<Duration>) =
    (RejectionKind::Restarting, Executed::No, None);
pub(crate) const CUT: (RejectionKind, Executed, Option<Duration>) =
    (RejectionKind::Restarting, Executed::Unknown, None);

pub(crate) const fn refused_for(wait: Duration) -> (RejectionKind, Executed, Option<Duration>) {
    (RejectionKind::Restarting, Executed::No, Some(wait))
}
