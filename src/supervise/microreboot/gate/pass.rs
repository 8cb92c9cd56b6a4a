//! A call that is inside.

#![expect(
    clippy::inline_always,
    reason = "a call that is not inlined moves its ticket through memory: 30 instructions more"
)]

use super::config::Idempotence;
use super::machine::{Admitted, Machine};
use super::stripe::Cut;
use super::wakers::Key;
use crate::kernel::outcome::Outcome;
use crate::kernel::rejection::Rejection;
use crate::kernel::shared::Shared;
use std::fmt;
use std::ops::Deref;
use std::task::{Context, Waker};

/// A place inside: it is given back when this is dropped, once.
pub(super) struct Inside<H: Deref<Target = Machine>> {
    handle: H,
    // Until it has ended.
    admitted: Option<Admitted>,
    // What becomes of it if it is dropped now: a panic is told from a drop by whether the call was
    // being polled, not by whether the thread unwinds.
    is_running: bool,
    waits: Option<Waits>,
}

/// A call that waits for something.
struct Waits {
    key: Option<Key>,
    waker: (usize, usize),
}

/// Tells wakers apart without a lock. One of them is kept, so that its address is nobody else's.
fn identity(waker: &Waker) -> (usize, usize) {
    let vtable: *const _ = waker.vtable();
    (waker.data().addr(), vtable.addr())
}

impl<H: Deref<Target = Machine>> Inside<H> {
    /// Of a call that went in, and whose future is about to be made.
    #[inline(always)]
    pub(super) fn new(handle: H, admitted: Admitted) -> Self {
        Self {
            handle,
            admitted: Some(admitted),
            is_running: true,
            waits: None,
        }
    }

    #[inline(always)]
    pub(super) fn is_over(&self) -> bool {
        self.admitted.is_none()
    }

    /// User code begins or ends.
    #[inline(always)]
    pub(super) fn set_running(&mut self, is_running: bool) {
        self.is_running = is_running;
    }

    #[inline(always)]
    pub(super) fn end(&mut self, outcome: Outcome) {
        if self.waits.is_some() {
            self.forget();
        }
        if let Some(admitted) = self.admitted.take() {
            self.handle.leave(admitted, outcome == Outcome::Failure);
        }
    }

    #[cold]
    fn forget(&mut self) {
        let key = self.waits.take().and_then(|waits| waits.key);
        if let (Some(key), Some(admitted)) = (key, self.admitted) {
            self.handle.stripes.forget(admitted.ticket, key);
        }
    }

    /// Whether the call was cut since it began to wait.
    #[inline(always)]
    pub(super) fn is_cut(&self) -> bool {
        self.waits.is_some() && self.is_cut_now()
    }

    fn is_cut_now(&self) -> bool {
        self.admitted
            .is_some_and(|admitted| self.handle.stripes.is_cut(admitted.ticket))
    }

    /// The call waits for something: its task is to be woken if it is cut.
    #[inline(never)]
    pub(super) fn wait(&mut self, cx: &Context<'_>) -> Result<(), Cut> {
        let Some(Admitted { ticket, .. }) = self.admitted else {
            return Ok(());
        };
        if !ticket.is_counted() {
            return Ok(());
        }
        let waker = identity(cx.waker());
        let mut key = match &self.waits {
            Some(waits) if waits.waker == waker => {
                return if self.is_cut_now() { Err(Cut) } else { Ok(()) };
            }
            Some(waits) => waits.key,
            None => None,
        };
        let waits = self.handle.stripes.wait(ticket, &mut key, cx.waker());
        self.waits = Some(Waits { key, waker });
        waits
    }

    /// What a call is told that was cut and is dropped by now.
    #[cold]
    pub(super) fn cut_off(&mut self, idempotence: Idempotence) -> Rejection {
        self.end(Outcome::Failure);
        self.handle.cut_off(idempotence)
    }
}

impl<H: Deref<Target = Machine>> Drop for Inside<H> {
    #[inline]
    fn drop(&mut self) {
        if self.admitted.is_some() {
            self.end(if self.is_running {
                Outcome::Failure
            } else {
                Outcome::Ignored
            });
        }
    }
}

/// A place inside a gate, for what is no future: blocking work, or the body of a response. A reboot
/// waits for it within its bound, and then no longer.
///
/// Dropping it gives the place back without an outcome.
#[must_use = "dropping it gives the place back"]
pub struct Pass(Inside<Shared<Machine>>);

impl Pass {
    pub(super) fn new(mut inside: Inside<Shared<Machine>>) -> Self {
        inside.set_running(false);
        Self(inside)
    }

    /// The call ended like this.
    pub fn end(mut self, outcome: Outcome) {
        self.0.end(outcome);
    }

    /// Whether a reboot waits for it no longer: what is done from here on is done beside a component
    /// that was stopped. Never, if the gate does not count calls.
    pub fn is_cut(&self) -> bool {
        self.0.is_cut_now()
    }
}

impl fmt::Debug for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pass").finish_non_exhaustive()
    }
}
