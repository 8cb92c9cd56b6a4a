//! Leave to make one call, and the duty to say how it went.

use super::admission::Ticket;
use super::machine::Machine;
use crate::kernel::outcome::{Outcome, Tidings, Verdict};
use crate::kernel::shared::Shared;
use std::fmt;

/// Leave to make one call. Dropping it without a word drops the call: it counts as
/// [`dropped_calls`](super::CircuitBreakerConfig::dropped_calls) says, or, while the thread
/// unwinds, as a failure.
#[must_use = "dropping it drops the call"]
pub struct Permit<'a> {
    machine: &'a Machine,
    ticket: Option<Ticket>,
}

/// A [`Permit`] that owns its handle, so that it can move into a task.
#[must_use = "dropping it drops the call"]
pub struct OwnedPermit {
    machine: Shared<Machine>,
    ticket: Option<Ticket>,
}

impl<'a> Permit<'a> {
    #[inline]
    pub(super) fn new(machine: &'a Machine, ticket: Ticket) -> Self {
        Self {
            machine,
            ticket: Some(ticket),
        }
    }
}

impl OwnedPermit {
    #[inline]
    pub(super) fn new(machine: Shared<Machine>, ticket: Ticket) -> Self {
        Self {
            machine,
            ticket: Some(ticket),
        }
    }
}

/// Records how a call ended.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "a success must not carry its verdict through memory"
)]
pub(super) fn settle(machine: &Machine, ticket: Ticket, verdict: Verdict) {
    match verdict.outcome() {
        Outcome::Success => machine.succeed(ticket),
        Outcome::Failure => fail(machine, ticket, verdict),
        Outcome::Ignored => machine.ignore(ticket),
    }
}

#[cold]
#[inline(never)]
fn fail(machine: &Machine, ticket: Ticket, verdict: Verdict) {
    machine.fail(ticket, verdict.into_tidings());
}

/// Records a call that ended without a word, by a panic of its own or by being dropped.
#[cold]
#[inline(never)]
pub(super) fn abandon(machine: &Machine, ticket: Ticket, panicked: bool) {
    if panicked {
        machine.fail(ticket, Tidings::default());
    } else {
        machine.abandon(ticket);
    }
}

macro_rules! permit {
    ($permit:ident $(<$life:lifetime>)?) => {
        impl $permit $(<$life>)? {
            /// The call succeeded.
            #[inline]
            pub fn success(self) {
                self.record(Verdict::success());
            }

            /// The call failed.
            pub fn failure(self) {
                self.record(Verdict::failure());
            }

            /// The call says nothing about the callee.
            pub fn ignore(self) {
                self.record(Verdict::ignored());
            }

            /// The call ended as a classifier says.
            #[inline]
            pub fn record(mut self, verdict: Verdict) {
                if let Some(ticket) = self.ticket.take() {
                    settle(&self.machine, ticket, verdict);
                }
            }
        }

        impl Drop for $permit $(<$life>)? {
            #[inline]
            fn drop(&mut self) {
                if let Some(ticket) = self.ticket.take() {
                    abandon(&self.machine, ticket, std::thread::panicking());
                }
            }
        }

        impl fmt::Debug for $permit $(<$life>)? {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($permit)).finish_non_exhaustive()
            }
        }
    };
}

permit!(Permit<'_>);
permit!(OwnedPermit);
