//! A call at the gate.

#![expect(
    clippy::inline_always,
    reason = "a call that is not inlined moves its ticket through memory: 30 instructions more"
)]

use super::config::Idempotence;
use super::machine::{Admitted, Machine};
use super::stripe::{Cut, Ticket};
use super::waiting::Waiting;
use super::wakers::Key;
use crate::kernel::outcome::Outcome;
use crate::kernel::rejection::Rejection;
use crate::kernel::shared::Shared;
use std::fmt;
use std::mem::replace;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Waker};

/// A call at the gate: what it holds there is given back when this is dropped, once.
///
/// What it holds is one value, which is moved out before anything is called that is not inlined: so
/// the drop of a call is small enough to be inlined, and a call whose address nobody else knows need
/// not be in memory.
pub(super) struct Visit<H: Deref<Target = Machine>> {
    handle: H,
    stands: Stands<H>,
}

pub(super) type Outside<H> = Pin<Box<Waiting<H>>>;

/// Where a call stands.
enum Stands<H: Deref<Target = Machine>> {
    /// It has not asked yet, or it has ended.
    Away,
    /// In a box: most calls never wait, and none should have room for it.
    Outside(Outside<H>),
    Inside(Inside),
}

/// A place inside.
#[derive(Clone, Copy)]
struct Inside {
    admitted: Admitted,
    // What becomes of it if it is dropped now.
    polled: Polled,
    waits: Option<Waits>,
}

/// Whether user code runs: a panic is told from a drop by this, not by whether the thread unwinds.
///
/// A whole word: a future is moved in words, and a byte that was just written would stall that.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
enum Polled {
    No,
    Yes,
}

/// A call that waits for something.
#[derive(Clone, Copy)]
struct Waits {
    key: Option<Key>,
    waker: (usize, usize),
}

/// Tells wakers apart without a lock. One of them is kept, so that its address is nobody else's.
fn identity(waker: &Waker) -> (usize, usize) {
    let vtable: *const _ = waker.vtable();
    (waker.data().addr(), vtable.addr())
}

impl<H: Deref<Target = Machine>> Visit<H> {
    /// Of a call that has not asked yet.
    #[inline(always)]
    pub(super) fn new(handle: H) -> Self {
        let stands = Stands::Away;
        Self { handle, stands }
    }

    /// Of a call that went in, and whose future is about to be made.
    #[inline(always)]
    pub(super) fn inside(handle: H, admitted: Admitted) -> Self {
        let mut visit = Self::new(handle);
        visit.go_in(admitted);
        visit
    }

    #[inline(always)]
    pub(super) fn handle(&self) -> &H {
        &self.handle
    }

    #[inline(always)]
    pub(super) fn is_outside(&self) -> bool {
        matches!(self.stands, Stands::Outside(_))
    }

    /// It waits there no longer, if it did.
    pub(super) fn take_outside(&mut self) -> Option<Outside<H>> {
        match replace(&mut self.stands, Stands::Away) {
            Stands::Outside(outside) => Some(outside),
            inside => {
                self.stands = inside;
                None
            }
        }
    }

    #[inline(always)]
    pub(super) fn wait_outside(&mut self, outside: Outside<H>) {
        self.stands = Stands::Outside(outside);
    }

    /// Went in; its future is about to be made.
    #[inline(always)]
    pub(super) fn go_in(&mut self, admitted: Admitted) {
        self.stands = Stands::Inside(Inside {
            admitted,
            polled: Polled::Yes,
            waits: None,
        });
    }

    /// User code is about to run: not if the call was cut since it began to wait. None if it is not
    /// inside.
    #[inline(always)]
    pub(super) fn begin_poll(&mut self) -> Option<Result<(), Cut>> {
        let Stands::Inside(inside) = &mut self.stands else {
            return None;
        };
        inside.polled = Polled::Yes;
        if inside.waits.is_some() && self.handle.stripes.is_cut(inside.admitted.ticket) {
            return Some(Err(Cut));
        }
        Some(Ok(()))
    }

    /// No user code runs any more.
    #[inline(always)]
    pub(super) fn end_poll(&mut self) {
        if let Stands::Inside(inside) = &mut self.stands {
            inside.polled = Polled::No;
        }
    }

    #[inline(always)]
    pub(super) fn end(&mut self, outcome: Outcome) {
        let Stands::Inside(inside) = &self.stands else {
            return;
        };
        // Field by field, as they were written: one wide read would wait for both writes.
        let &Admitted {
            ticket: Ticket { stripe, generation },
            asked,
        } = &inside.admitted;
        let ticket = Ticket { stripe, generation };
        let admitted = Admitted { ticket, asked };
        let failed = outcome == Outcome::Failure;
        if let Some(waits) = inside.waits {
            self.stands = Stands::Away;
            self.handle.leave_waiting(admitted, waits, failed);
        } else {
            self.stands = Stands::Away;
            self.handle.leave(admitted, failed);
        }
    }

    fn is_cut(&self) -> bool {
        match &self.stands {
            Stands::Inside(inside) => self.handle.stripes.is_cut(inside.admitted.ticket),
            _ => false,
        }
    }

    /// The call waits for something: its task is to be woken if it is cut.
    #[inline(always)]
    pub(super) fn wait(&mut self, cx: &Context<'_>) -> Result<(), Cut> {
        if let Stands::Inside(Inside {
            admitted, waits, ..
        }) = &mut self.stands
        {
            // Others are never cut.
            if admitted.ticket.is_counted() {
                let waker = cx.waker();
                *waits = Some(self.handle.wait(admitted.ticket, *waits, waker)?);
            }
        }
        Ok(())
    }

    /// What a call is told that was cut and is dropped by now.
    #[inline(always)]
    pub(super) fn cut_off(&mut self, idempotence: Idempotence) -> Rejection {
        self.end(Outcome::Failure);
        self.handle.cut_off(idempotence)
    }
}

impl<H: Deref<Target = Machine>> Drop for Visit<H> {
    #[inline(always)]
    fn drop(&mut self) {
        if !matches!(self.stands, Stands::Away) {
            drop_out(&self.handle, replace(&mut self.stands, Stands::Away));
        }
    }
}

/// A call is dropped before it has ended.
#[cold]
#[inline(never)]
#[expect(
    clippy::needless_pass_by_value,
    reason = "a reference into the call would put all of it in memory"
)]
fn drop_out<H: Deref<Target = Machine>>(machine: &Machine, stands: Stands<H>) {
    if let Stands::Inside(inside) = stands {
        let failed = inside.polled == Polled::Yes;
        match inside.waits {
            None => machine.leave(inside.admitted, failed),
            Some(waits) => machine.leave_waiting(inside.admitted, waits, failed),
        }
    }
}

impl Machine {
    /// Looks whether a call that waits is cut, and leaves its waker if it is not.
    #[inline(never)]
    fn wait(&self, ticket: Ticket, waits: Option<Waits>, waker: &Waker) -> Result<Waits, Cut> {
        let identity = identity(waker);
        let mut key = match waits {
            Some(waits) if waits.waker == identity => {
                return if self.stripes.is_cut(ticket) {
                    Err(Cut)
                } else {
                    Ok(waits)
                };
            }
            Some(waits) => waits.key,
            None => None,
        };
        self.stripes.wait(ticket, &mut key, waker)?;
        let waker = identity;
        Ok(Waits { key, waker })
    }

    /// The end of a call that waited for something.
    #[inline(never)]
    fn leave_waiting(&self, admitted: Admitted, waits: Waits, failed: bool) {
        // Also if who waits for an empty gate has a waker that panics.
        struct Forget<'a>(&'a Machine, Ticket, Key);
        impl Drop for Forget<'_> {
            fn drop(&mut self) {
                self.0.stripes.forget(self.1, self.2);
            }
        }
        let _forget = waits.key.map(|key| Forget(self, admitted.ticket, key));
        // First, as the waker may panic when it is dropped.
        self.leave(admitted, failed);
    }
}

/// A place inside a gate, for what is no future: blocking work, or the body of a response. A reboot
/// waits for it within its bound, and then no longer.
///
/// Dropping it gives the place back without an outcome.
#[must_use = "dropping it gives the place back"]
pub struct Pass(Visit<Shared<Machine>>);

impl Pass {
    pub(super) fn new(mut inside: Visit<Shared<Machine>>) -> Self {
        inside.end_poll();
        Self(inside)
    }

    /// The call ended like this.
    pub fn end(mut self, outcome: Outcome) {
        self.0.end(outcome);
    }

    /// Whether a reboot waits for it no longer: what is done from here on is done beside a component
    /// that was stopped. Never, if the gate does not count calls.
    pub fn is_cut(&self) -> bool {
        self.0.is_cut()
    }
}

impl fmt::Debug for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pass").finish_non_exhaustive()
    }
}
