//! The future of a call, and the loop of a blocking one.
//!
//! Written by hand, and not as an `async fn`, as in the circuit breaker: a call that succeeds at
//! once must not move its state through memory. What only a call needs that is tried again is in a
//! box of its own, so that the others do not carry its size.

use super::attempt::{Attempt, StartAttempt};
use super::event::StopReason;
use super::flight::{Flight, Memory, Next};
use super::machine::Machine;
use super::when::{Decision, RetryWhen};
use crate::kernel::clock::Sleep;
use crate::kernel::instant::Instant;
use crate::kernel::outlet::Outlet;
use crate::kernel::rejection::Error;
use pin_project_lite::pin_project;
use std::future::Future;
use std::marker::PhantomData;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

pin_project! {
    /// Drives a call, attempt by attempt.
    ///
    /// `S` starts attempts whose future is `F`, `P` says which results call for another one, `W`
    /// is what becomes of the call's error. The handle `H` is borrowed or owned.
    #[project = RetryingProjection]
    pub(crate) struct Retrying<H, S, P, F, E, W>
    where
        H: Deref<Target = Machine>,
    {
        // Before the flight: an attempt's future and its place in the budget go before the call's.
        #[pin]
        attempt: Option<F>,
        retries: Second<E>,
        starter: S,
        when: P,
        flight: Flight<H>,
        outlet: PhantomData<fn() -> W>,
    }
}

pin_project! {
    /// What a call has that was tried again.
    struct Retries<E> {
        memory: Option<Memory>,
        // Of the attempt before.
        error: Option<E>,
        #[pin]
        backoff: Option<Sleep>,
    }
}

/// What only a call that is tried again has. To drop it is no part of the way of the others.
struct Second<E>(Option<Pin<Box<Retries<E>>>>);

impl<E> Drop for Second<E> {
    #[inline]
    fn drop(&mut self) {
        if let Some(retries) = self.0.take() {
            discard(retries);
        }
    }
}

#[cold]
#[inline(never)]
fn discard<E>(retries: Pin<Box<Retries<E>>>) {
    drop(retries);
}

impl<E> Retries<E> {
    fn boxed() -> Pin<Box<Self>> {
        Box::pin(Self {
            memory: None,
            error: None,
            backoff: None,
        })
    }
}

impl<H, S, P, F, E, W> Retrying<H, S, P, F, E, W>
where
    H: Deref<Target = Machine>,
{
    /// A call that is let in, and whose first attempt is started, when it is first polled. It gives
    /// up rather than begin an attempt at `limit` or later.
    #[inline]
    pub(crate) fn new(machine: H, starter: S, when: P, limit: Option<Instant>, _outlet: W) -> Self {
        Self {
            attempt: None,
            retries: Second(None),
            starter,
            when,
            flight: Flight::new(machine, limit),
            outlet: PhantomData,
        }
    }

    /// A call that was let in, and whose first attempt is under way.
    #[inline]
    pub(crate) fn started(flight: Flight<H>, first: F, starter: S, when: P, _outlet: W) -> Self {
        Self {
            attempt: Some(first),
            retries: Second(None),
            starter,
            when,
            flight,
            outlet: PhantomData,
        }
    }
}

impl<H, S, P, F, E, W> Retrying<H, S, P, F, E, W>
where
    H: Deref<Target = Machine>,
{
    /// The attempt under way and its number.
    pub(crate) fn attempt(self: Pin<&mut Self>) -> Option<(u32, Pin<&mut F>)> {
        let this = self.project();
        let number = this.flight.attempt();
        this.attempt.as_pin_mut().map(|attempt| (number, attempt))
    }

    /// How many attempts were begun; 1 also before the first one.
    pub(crate) fn attempts(self: Pin<&mut Self>) -> u32 {
        self.project().flight.attempt()
    }

    /// Polls a call that somebody else ends at a time which `limit` tells: it is asked when an
    /// attempt has ended that calls for another one, and not before.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "see the circuit breaker's calls: a poll that is called stalls"
    )]
    pub(crate) fn poll_within<T>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut limit: impl FnMut() -> Option<Instant>,
    ) -> Poll<Result<T, W::Error>>
    where
        S: StartAttempt<T, E, Future = F>,
        P: RetryWhen<T, E>,
        F: Future<Output = Result<T, E>>,
        W: Outlet<E>,
    {
        let mut this = self.as_mut().project();
        if this.flight.is_waiting() {
            if !this.flight.begin() {
                return Poll::Ready(Err(this.flight.machine().reject().into()));
            }
            this.flight.enter_user_code();
            this.starter
                .start(Attempt::new(1, None), this.attempt.as_mut());
        }
        if let Some(attempt) = this.attempt.as_mut().as_pin_mut() {
            this.flight.enter_user_code();
            // A value is never put beside an error: that would move it through memory.
            let ended = match attempt.poll(cx) {
                Poll::Ready(Ok(value)) => {
                    let decision = this.when.decide(Ok(&value));
                    if this.flight.is_first() && decision == Decision::Accept {
                        this.flight.succeed_at_once();
                        return Poll::Ready(Ok(value));
                    }
                    (Ok(value), decision)
                }
                Poll::Ready(Err(error)) => {
                    let decision = this.when.decide(Err(&error));
                    (Err(error), decision)
                }
                Poll::Pending => {
                    this.flight.leave_user_code();
                    return Poll::Pending;
                }
            };
            return go_on(self, Some(ended), cx, &mut limit).map(|it| it.map_err(W::inner));
        }
        go_on(self, None, cx, &mut limit).map(|it| it.map_err(W::inner))
    }
}

impl<H, S, P, F, T, E, W> Future for Retrying<H, S, P, F, E, W>
where
    H: Deref<Target = Machine>,
    S: StartAttempt<T, E, Future = F>,
    P: RetryWhen<T, E>,
    F: Future<Output = Result<T, E>>,
    W: Outlet<E>,
{
    type Output = Result<T, W::Error>;

    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "see the circuit breaker's calls: a poll that is called stalls"
    )]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_within(cx, || None)
    }
}

/// Everything that comes after the end of a first attempt that was no success.
#[cold]
#[inline(never)]
fn go_on<H, S, P, F, T, E, W>(
    call: Pin<&mut Retrying<H, S, P, F, E, W>>,
    mut ended: Option<(Result<T, E>, Decision)>,
    cx: &mut Context<'_>,
    limit: &mut dyn FnMut() -> Option<Instant>,
) -> Poll<Result<T, E>>
where
    H: Deref<Target = Machine>,
    S: StartAttempt<T, E, Future = F>,
    P: RetryWhen<T, E>,
    F: Future<Output = Result<T, E>>,
{
    let mut this = call.project();
    if this.flight.is_over() {
        // Polled again after it ended: there is nothing more to say.
        return Poll::Pending;
    }
    loop {
        if let Some((result, decision)) = ended.take() {
            // The attempt's future goes first, with what it holds.
            this.attempt.set(None);
            // A call of one attempt waits for no other, so the end of its time need not be known.
            if decision != Decision::Accept && !this.flight.is_single() {
                this.flight.keep_to(limit());
            }
            if let Some(result) = settle(&mut this, result, decision) {
                return Poll::Ready(result);
            }
        }
        if this.attempt.is_none() {
            ready!(wait_and_start(&mut this, cx));
        }
        let Some(attempt) = this.attempt.as_mut().as_pin_mut() else {
            return Poll::Pending;
        };
        let Poll::Ready(result) = attempt.poll(cx) else {
            this.flight.leave_user_code();
            return Poll::Pending;
        };
        let decision = this.when.decide(result.as_ref());
        ended = Some((result, decision));
    }
}

/// Decides on an attempt's result; `None` if there will be another attempt.
fn settle<H, S, P, F, T, E, W>(
    this: &mut RetryingProjection<'_, H, S, P, F, E, W>,
    result: Result<T, E>,
    decision: Decision,
) -> Option<Result<T, E>>
where
    H: Deref<Target = Machine>,
    S: StartAttempt<T, E, Future = F>,
    F: Future<Output = Result<T, E>>,
{
    let retries = &mut this.retries.0;
    let mut memory = retries
        .as_mut()
        .and_then(|retries| retries.as_mut().project().memory.take());
    let can_repeat = this.starter.can_repeat();
    let next = this
        .flight
        .settle(decision, result.is_ok(), can_repeat, &mut memory);
    let backoff = match next {
        Next::Finish => return Some(result),
        Next::AttemptNow => None,
        Next::AttemptAt(then) => {
            let Ok(sleep) = this.flight.machine().clock.sleep_until(then) else {
                this.flight.give_up(StopReason::NoTimer);
                return Some(result);
            };
            Some(sleep)
        }
    };
    let mut retries = retries
        .get_or_insert_with(Retries::boxed)
        .as_mut()
        .project();
    *retries.memory = memory;
    // A value that was not accepted is dropped before the wait, with the connection it may hold.
    *retries.error = result.err();
    retries.backoff.set(backoff);
    None
}

/// Waits for the next attempt's turn, and starts it.
fn wait_and_start<H, S, P, F, T, E, W>(
    this: &mut RetryingProjection<'_, H, S, P, F, E, W>,
    cx: &mut Context<'_>,
) -> Poll<()>
where
    H: Deref<Target = Machine>,
    S: StartAttempt<T, E, Future = F>,
    F: Future<Output = Result<T, E>>,
{
    let Some(retries) = &mut this.retries.0 else {
        return Poll::Pending;
    };
    let mut retries = retries.as_mut().project();
    if let Some(backoff) = retries.backoff.as_mut().as_pin_mut() {
        this.flight.leave_user_code();
        ready!(backoff.poll(cx));
        retries.backoff.set(None);
    }
    this.flight.enter_user_code();
    this.flight.begin_retry(retries.memory);
    let attempt = Attempt::new(this.flight.attempt(), retries.error.as_ref());
    this.starter.start(attempt, this.attempt.as_mut());
    *retries.error = None;
    Poll::Ready(())
}

/// Makes a call in this thread, attempt by attempt.
pub(super) fn call_blocking<P, T, E, O>(
    machine: &Machine,
    when: &P,
    mut operation: O,
) -> Result<T, Error<E>>
where
    P: RetryWhen<T, E>,
    O: FnMut(Attempt<'_, E>) -> Result<T, E>,
{
    let mut flight = Flight::new(machine, None);
    if !flight.begin() {
        return Err(machine.reject().into());
    }
    // Nothing but a panic ends it early.
    flight.enter_user_code();
    let mut memory = None;
    let mut previous = None;
    loop {
        let result = operation(Attempt::new(flight.attempt(), previous.as_ref()));
        let decision = when.decide(result.as_ref());
        if flight.is_first() && decision == Decision::Accept && result.is_ok() {
            flight.succeed_at_once();
            return result.map_err(Error::Inner);
        }
        let next = flight.settle(decision, result.is_ok(), true, &mut memory);
        if let Next::Finish = next {
            return result.map_err(Error::Inner);
        }
        previous = result.err();
        if let Next::AttemptAt(then) = next {
            machine.clock.park_until(then);
        }
        flight.begin_retry(&mut memory);
    }
}
