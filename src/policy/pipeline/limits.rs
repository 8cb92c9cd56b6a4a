//! The time that a call and its attempt have: two limits, and one timer while one is enough.

use super::parts::Parts;
use crate::kernel::instant::Instant;
use crate::kernel::rejection::Rejection;
use crate::policy::timeout::call::Alarm;
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

pin_project! {
    /// It stays where it is for the life of the call; an attempt that carried its own timer would be
    /// moved with it.
    pub(super) struct Limits {
        #[pin]
        total: Alarm,
        #[pin]
        attempt: Alarm,
        // The number of the attempt whose time that is.
        number: u32,
    }
}

/// Whose time is over.
pub(super) enum Over {
    Call(Rejection),
    Attempt(Rejection),
}

impl Limits {
    #[inline]
    pub(super) fn new() -> Self {
        Self {
            total: Alarm::Idle,
            attempt: Alarm::Idle,
            number: 0,
        }
    }

    /// The time at which the call ends, which counts from now on in any case.
    pub(super) fn end<C>(self: Pin<&mut Self>, parts: &Parts<C>) -> Option<Instant> {
        self.project().total.deadline(parts.total_timeout.machine())
    }

    /// For a call that is pending: in its attempt of this number, or outside of any.
    #[inline(never)]
    pub(super) fn poll<C>(
        self: Pin<&mut Self>,
        parts: &Parts<C>,
        attempt: Option<u32>,
        cx: &mut Context<'_>,
    ) -> Poll<Over> {
        let mut this = self.project();
        if *this.number != attempt.unwrap_or(0) {
            *this.number = attempt.unwrap_or(0);
            this.attempt.set(Alarm::Idle);
        }
        let total = parts.total_timeout.machine();
        let end = this.total.as_mut().deadline(total);
        if attempt.is_some() {
            let machine = parts.attempt_timeout.machine();
            if let Poll::Ready(refused) = this.attempt.as_mut().poll(machine, cx) {
                return Poll::Ready(Over::Attempt(machine.reject(refused)));
            }
            let attempt_ends = this.attempt.as_mut().deadline(machine);
            // The timer of the attempt goes off first, and the call is asked again then.
            if attempt_ends.is_some_and(|ends| end.is_none_or(|end| ends <= end)) {
                return Poll::Pending;
            }
        }
        let refused = ready!(this.total.as_mut().poll(total, cx));
        Poll::Ready(Over::Call(total.reject(refused)))
    }
}
