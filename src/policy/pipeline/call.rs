//! The future of a call through a pipeline.
//!
//! Written by hand, and not as an `async fn`, as the calls of its parts are: it embeds them, so
//! that nothing is allocated while nothing goes wrong.

#![expect(
    clippy::inline_always,
    reason = "a poll that is called stores the future in narrow words and reads it back in wide ones"
)]

use super::attempt::{AttemptFuture, Guarded};
use super::classifier::Judged;
use super::limits::{Limits, Over};
use super::parts::Parts;
use crate::kernel::outcome::Classifier;
use crate::kernel::outlet::AsIs;
use crate::kernel::rejection::{Error, Executed, Rejection};
use crate::policy::bulkhead::{Acquire, Ask, Permit};
use crate::policy::retry::{self, Attempt, RetryWhen, Retrying};
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// The calls of an operation, attempt by attempt.
type Attempts<'a, O, F, C, E> = Retrying<
    &'a retry::Machine,
    Guarded<'a, O, C>,
    Judged<'a, C>,
    AttemptFuture<'a, F, C>,
    Error<E>,
    AsIs,
>;

pin_project! {
    /// A call under its limits, which it keeps itself: so the retry within can be told the time at
    /// which it will end.
    ///
    /// It is built whole, and nothing of it moves from one stage to the next.
    pub(super) struct Call<'a, O, F, C, E> {
        // Before the slot: what the attempts hold is dropped while it is still taken. None once the
        // call was cut off.
        #[pin]
        attempts: Option<Attempts<'a, O, F, C, E>>,
        slot: Option<Permit<'a>>,
        // While the call waits for a slot.
        #[pin]
        waiting: Option<Acquire<'a>>,
        #[pin]
        limits: Limits,
        stage: Stage,
        parts: &'a Parts<C>,
        ask: Ask,
    }
}

/// A whole word, as in the calls of the parts.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
enum Stage {
    Start,
    Waiting,
    Running,
    Over,
}

impl<'a, O, F, C, E> Call<'a, O, F, C, E> {
    #[inline]
    pub(super) fn new(parts: &'a Parts<C>, ask: Ask, operation: O) -> Self {
        let guarded = Guarded { parts, operation };
        let judge = Judged(&parts.classifier);
        let attempts = Retrying::new(&**parts.retry.machine(), guarded, judge, None, AsIs);
        Self {
            attempts: Some(attempts),
            slot: None,
            waiting: None,
            limits: Limits::new(),
            stage: Stage::Start,
            parts,
            ask,
        }
    }
}

impl<O, F, C, T, E> Future for Call<'_, O, F, C, E>
where
    O: FnMut(Attempt<'_, Error<E>>) -> F,
    F: Future<Output = Result<T, E>>,
    C: Classifier<T, E> + RetryWhen<T, E>,
{
    type Output = Result<T, Error<E>>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.stage != Stage::Running && !self.as_mut().enters_at_once() {
            match self.as_mut().enter(cx) {
                Entered::Runs => {}
                Entered::Rejected(rejection) => return end(rejection),
                Entered::Waits => {
                    let this = self.as_mut().project();
                    let over = ready!(this.limits.poll(*this.parts, None, cx));
                    let (Over::Call(rejection) | Over::Attempt(rejection)) = over;
                    // Nothing of the call ran yet.
                    return self.cut_off(rejection.with_executed(Executed::No));
                }
                Entered::IsOver => return Poll::Pending,
            }
        }
        let mut this = self.as_mut().project();
        let parts = *this.parts;
        loop {
            let Some(attempts) = this.attempts.as_mut().as_pin_mut() else {
                return Poll::Pending;
            };
            let mut limits = this.limits.as_mut();
            match attempts.poll_within(cx, || limits.as_mut().end(parts)) {
                // A value is never put beside an error: that would move it through memory.
                Poll::Ready(Ok(value)) => {
                    *this.stage = Stage::Over;
                    *this.slot = None;
                    return Poll::Ready(Ok(value));
                }
                Poll::Ready(Err(error)) => {
                    *this.stage = Stage::Over;
                    *this.slot = None;
                    return self.fail(error);
                }
                Poll::Pending => {
                    let attempts = this.attempts.as_mut().as_pin_mut();
                    let (number, attempt) = attempts.and_then(Retrying::attempt).unzip();
                    match ready!(this.limits.as_mut().poll(parts, number, cx)) {
                        Over::Call(rejection) => {
                            return self.cut_off(rejection);
                        }
                        Over::Attempt(rejection) => {
                            if let Some(attempt) = attempt {
                                attempt.cut_off(rejection);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Whether a call may run.
enum Entered {
    Runs,
    Rejected(Rejection),
    Waits,
    /// Polled again after it ended: there is nothing more to say.
    IsOver,
}

impl<'a, O, F, C, E> Call<'a, O, F, C, E> {
    /// Past the total timeout and into the bulkhead, if nothing is in the way. If something is,
    /// [`enter`](Self::enter) says what.
    #[inline]
    fn enters_at_once(self: Pin<&mut Self>) -> bool {
        let parts: &'a Parts<C> = self.parts;
        if self.stage != Stage::Start || parts.total_timeout.machine().is_isolated() {
            return false;
        }
        let this = self.project();
        if let Some(bulkhead) = &parts.bulkhead {
            *this.slot = bulkhead.take_if_free();
            if this.slot.is_none() {
                return false;
            }
        }
        *this.stage = Stage::Running;
        true
    }

    #[cold]
    #[inline(never)]
    fn enter(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Entered {
        let parts: &'a Parts<C> = self.parts;
        let mut this = self.project();
        if *this.stage == Stage::Start {
            let total = parts.total_timeout.machine();
            if let Err(refused) = total.admit() {
                *this.stage = Stage::Over;
                return Entered::Rejected(total.reject(refused));
            }
            let Some(bulkhead) = &parts.bulkhead else {
                *this.stage = Stage::Running;
                return Entered::Runs;
            };
            *this.stage = Stage::Waiting;
            this.waiting.set(Some(bulkhead.acquire(*this.ask)));
        }
        let Some(acquire) = this.waiting.as_mut().as_pin_mut() else {
            return Entered::IsOver;
        };
        let Poll::Ready(taken) = acquire.poll(cx) else {
            return Entered::Waits;
        };
        this.waiting.set(None);
        match taken {
            Ok(permit) => {
                *this.slot = Some(permit);
                *this.stage = Stage::Running;
                Entered::Runs
            }
            Err(rejection) => {
                *this.stage = Stage::Over;
                Entered::Rejected(rejection)
            }
        }
    }

    /// Ends a call with an error. A rejection that refused a further attempt only speaks of that one;
    /// those before it ran.
    #[cold]
    #[inline(never)]
    fn fail<T>(self: Pin<&mut Self>, error: Error<E>) -> Poll<Result<T, Error<E>>> {
        let attempts = self.project().attempts.as_pin_mut();
        let attempts = attempts.map_or(1, Retrying::attempts);
        Poll::Ready(Err(match error {
            Error::Rejected(rejection) if attempts > 1 => {
                rejection.with_executed(Executed::Unknown).into()
            }
            error => error,
        }))
    }

    /// Ends a call whose time is over.
    #[cold]
    #[inline(never)]
    fn cut_off<T>(self: Pin<&mut Self>, rejection: Rejection) -> Poll<Result<T, Error<E>>> {
        let mut this = self.project();
        *this.stage = Stage::Over;
        // If the drop of one panics, the others go with the call, and it is counted all the same.
        this.waiting.set(None);
        this.attempts.set(None);
        *this.slot = None;
        end(rejection)
    }
}

#[cold]
#[inline(never)]
fn end<T, E>(rejection: Rejection) -> Poll<Result<T, Error<E>>> {
    Poll::Ready(Err(rejection.into()))
}
