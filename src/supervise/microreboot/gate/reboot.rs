//! The side of the one who reboots.

use super::machine::Machine;
use super::wakers::Key;
use crate::kernel::clock::Sleep;
use crate::kernel::instant::Instant;
use crate::kernel::shared::Shared;
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A reboot under way: while it is held, nobody goes in through the gate.
///
/// 1. [`Gate::begin_reboot`](super::Gate::begin_reboot) shuts the gate.
/// 2. [`drain`](Self::drain) waits for the calls in flight, and cuts those that are late.
/// 3. The component is stopped and started.
/// 4. [`succeed`](Self::succeed) opens the gate, or [`fail`](Self::fail) leaves it shut.
///
/// Dropped without a word it has failed: nobody knows how the component stands.
#[must_use = "dropping it is a reboot that failed"]
pub struct Reboot {
    machine: Shared<Machine>,
    began: Instant,
    is_over: bool,
}

impl Reboot {
    pub(super) fn new(machine: Shared<Machine>) -> Self {
        let began = machine.now();
        machine.begin();
        Self {
            machine,
            began,
            is_over: false,
        }
    }

    /// Waits until no call is in flight, at most as long as the gate's configuration says; then the
    /// others are dropped, as [`cut`](Self::cut) does. Ready at once if the gate does not count
    /// calls.
    ///
    /// Where the clock has no timers nothing is waited for.
    ///
    /// # Cancel safety
    ///
    /// Dropping it cuts nobody; it can be asked for again.
    pub fn drain(&self) -> Drain<'_> {
        Drain {
            machine: &self.machine,
            key: None,
            bound: None,
            is_over: false,
        }
    }

    /// Drops the calls that are in flight: each is woken, drops what it runs, and ends with a
    /// rejection that says that nobody knows how far it got. Returns how many there were.
    ///
    /// A call that is being polled goes on until it returns, and is not cut if it is ready then.
    pub fn cut(&self) -> u64 {
        self.machine.cut()
    }

    /// The component is well again: the gate is opened, who waits outside goes in, and how long it
    /// took is remembered for what callers are told next time.
    ///
    /// If another reboot of the same gate is under way, that one opens the gate.
    pub fn succeed(mut self) {
        self.is_over = true;
        let now = self.machine.now();
        let took = now.saturating_duration_since(self.began);
        self.machine.end(Some(took));
    }

    /// The component is not well. Who waits outside is refused; the gate stays shut until another
    /// reboot succeeds, or somebody [reopens](super::Gate::reopen) it.
    ///
    /// If another reboot of the same gate is under way, that one decides.
    pub fn fail(self) {
        drop(self);
    }
}

impl Drop for Reboot {
    fn drop(&mut self) {
        if !self.is_over {
            self.machine.end(None);
        }
    }
}

impl fmt::Debug for Reboot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reboot")
            .field("gate", &self.machine.name)
            .finish_non_exhaustive()
    }
}

/// What became of the calls that were in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// So many were not gone in time, and were dropped.
    pub cut: u64,
}

pin_project! {
    /// The future of [`Reboot::drain`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Drain<'a> {
        machine: &'a Machine,
        key: Option<Key>,
        #[pin]
        bound: Option<Sleep>,
        is_over: bool,
    }

    impl PinnedDrop for Drain<'_> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let Some(key) = this.key.take() {
                this.machine.stripes.forget_drainer(key);
            }
        }
    }
}

impl Future for Drain<'_> {
    type Output = Drained;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Drained> {
        let mut this = self.project();
        if *this.is_over {
            return Poll::Pending;
        }
        let machine = *this.machine;
        if machine.stripes.poll_empty(this.key, cx).is_ready() {
            *this.is_over = true;
            return Poll::Ready(Drained { cut: 0 });
        }
        if this.bound.is_none() {
            let bound = machine.control.lock().config.drain.unwrap_or_default();
            let sleep = machine.clock.sleep_until(machine.now() + bound);
            this.bound.set(sleep.ok());
        }
        let is_time = match this.bound.as_mut().as_pin_mut() {
            Some(bound) => bound.poll(cx).is_ready(),
            None => true,
        };
        if !is_time {
            return Poll::Pending;
        }
        *this.is_over = true;
        Poll::Ready(Drained { cut: machine.cut() })
    }
}

impl fmt::Debug for Drain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain").finish_non_exhaustive()
    }
}
