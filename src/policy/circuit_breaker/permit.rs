//! Leave to make one call, and the duty to say how it went.

use super::handle::CircuitBreaker;
use super::machine::{Machine, Ticket, Tidings};
use crate::kernel::outcome::{Outcome, Verdict};
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
    breaker: CircuitBreaker,
    ticket: Option<Ticket>,
}

/// How a call can end, for the futures that hold either permit.
pub(super) trait Settle {
    fn settle(self, verdict: Verdict);
    fn panicked(self);
    fn abandoned(self);
}

impl<'a> Permit<'a> {
    #[inline]
    pub(super) fn new(machine: &'a Machine, ticket: Ticket) -> Self {
        Self {
            machine,
            ticket: Some(ticket),
        }
    }

    #[inline]
    fn take(&mut self) -> Option<(&Machine, Ticket)> {
        self.ticket.take().map(|ticket| (self.machine, ticket))
    }
}

impl OwnedPermit {
    #[inline]
    pub(super) fn new(breaker: CircuitBreaker, ticket: Ticket) -> Self {
        Self {
            breaker,
            ticket: Some(ticket),
        }
    }

    /// Gives it back as if it had not been asked for.
    pub(super) fn withdraw(mut self) {
        if let Some((machine, ticket)) = self.take() {
            machine.withdraw(ticket);
        }
    }

    #[inline]
    fn take(&mut self) -> Option<(&Machine, Ticket)> {
        let ticket = self.ticket.take();
        ticket.map(|ticket| (self.breaker.machine(), ticket))
    }
}

#[inline]
fn settle(taken: Option<(&Machine, Ticket)>, verdict: Verdict) {
    let Some((machine, ticket)) = taken else { return };
    match verdict.outcome {
        Outcome::Success => machine.succeed(ticket),
        Outcome::Failure => machine.fail(
            ticket,
            Tidings {
                hint: verdict.hint,
                cause: verdict.cause,
            },
        ),
        Outcome::Ignored => machine.ignore(ticket),
    }
}

#[cold]
fn abandon(taken: Option<(&Machine, Ticket)>, panicked: bool) {
    match taken {
        Some((machine, ticket)) if panicked => machine.fail(ticket, Tidings::default()),
        Some((machine, ticket)) => machine.abandon(ticket),
        None => {}
    }
}

macro_rules! permit {
    ($permit:ident $(<$life:lifetime>)?) => {
        impl $permit $(<$life>)? {
            /// The call succeeded.
            #[inline]
            pub fn success(mut self) {
                settle(self.take(), Verdict::success());
            }

            /// The call failed.
            pub fn failure(mut self) {
                settle(self.take(), Verdict::failure());
            }

            /// The call says nothing about the callee.
            pub fn ignore(mut self) {
                settle(self.take(), Verdict::ignored());
            }

            /// The call ended as a classifier says.
            #[inline]
            pub fn record(mut self, verdict: Verdict) {
                settle(self.take(), verdict);
            }
        }

        impl Settle for $permit $(<$life>)? {
            #[inline]
            fn settle(mut self, verdict: Verdict) {
                settle(self.take(), verdict);
            }

            fn panicked(mut self) {
                abandon(self.take(), true);
            }

            fn abandoned(mut self) {
                abandon(self.take(), false);
            }
        }

        impl Drop for $permit $(<$life>)? {
            #[inline]
            fn drop(&mut self) {
                if self.ticket.is_some() {
                    abandon(self.take(), std::thread::panicking());
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
