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

#[derive(Clone, Copy, PartialEq, Eq)]
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
        if self.stage != Stage::Running {
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
            match attempts.poll_within(cx, || this.limits.as_mut().end(parts)) {
                Poll::Ready(result) => {
                    *this.stage = Stage::Over;
                    *this.slot = None;
                    if let Err(Error::Rejected(_)) = result {
                        return self.behind_attempts(result);
                    }
                    return Poll::Ready(result);
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
    /// Past the total timeout and into the bulkhead.
    #[inline]
    fn enter(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Entered {
        if self.stage != Stage::Start {
            return self.wait(cx);
        }
        let parts: &'a Parts<C> = self.parts;
        let total = parts.total_timeout.machine();
        let this = self.project();
        *this.stage = Stage::Over;
        if let Err(refused) = total.admit() {
            return Entered::Rejected(total.reject(refused));
        }
        let Some(bulkhead) = &parts.bulkhead else {
            *this.stage = Stage::Running;
            return Entered::Runs;
        };
        *this.slot = bulkhead.take_if_free();
        if this.slot.is_some() {
            *this.stage = Stage::Running;
            return Entered::Runs;
        }
        *this.stage = Stage::Waiting;
        let mut waiting = this.waiting;
        waiting.set(Some(bulkhead.acquire(*this.ask)));
        // Not through `self` again: that would be a second way to the same code.
        poll_slot(this.stage, this.slot, waiting, cx)
    }

    #[cold]
    #[inline(never)]
    fn wait(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Entered {
        let this = self.project();
        poll_slot(this.stage, this.slot, this.waiting, cx)
    }

    /// Of a call that ended with a rejection. One that refused a further attempt only speaks of that
    /// one; those before it ran.
    #[cold]
    #[inline(never)]
    fn behind_attempts<T>(
        self: Pin<&mut Self>,
        result: Result<T, Error<E>>,
    ) -> Poll<Result<T, Error<E>>> {
        let attempts = self.project().attempts.as_pin_mut();
        let attempts = attempts.map_or(1, Retrying::attempts);
        Poll::Ready(match result {
            Err(Error::Rejected(rejection)) if attempts > 1 => {
                Err(rejection.with_executed(Executed::Unknown).into())
            }
            result => result,
        })
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

#[inline(never)]
fn poll_slot<'a>(
    stage: &mut Stage,
    slot: &mut Option<Permit<'a>>,
    mut waiting: Pin<&mut Option<Acquire<'a>>>,
    cx: &mut Context<'_>,
) -> Entered {
    let Some(acquire) = waiting.as_mut().as_pin_mut() else {
        return Entered::IsOver;
    };
    let Poll::Ready(taken) = acquire.poll(cx) else {
        return Entered::Waits;
    };
    waiting.set(None);
    match taken {
        Ok(permit) => {
            *slot = Some(permit);
            *stage = Stage::Running;
            Entered::Runs
        }
        Err(rejection) => {
            *stage = Stage::Over;
            Entered::Rejected(rejection)
        }
    }
}

#[cold]
#[inline(never)]
fn end<T, E>(rejection: Rejection) -> Poll<Result<T, Error<E>>> {
    Poll::Ready(Err(rejection.into()))
}
