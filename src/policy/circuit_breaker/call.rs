//! The futures of a call: one that is admitted when it is first polled, one that was admitted.
//!
//! Written by hand, and not as `async fn`: the state machine that the compiler makes of the same
//! steps moves them through memory several times, which cost 25 ns where these cost 2.

#![expect(
    clippy::inline_always,
    reason = "a poll that is called stores the future in narrow words and reads it back in wide ones, which stalls: 15 ns instead of 5"
)]

use super::admission::Ticket;
use super::machine::Machine;
use super::permit::{abandon, settle};
use crate::kernel::outcome::Classifier;
use crate::kernel::outlet::Outlet;
use crate::kernel::rejection::Rejection;
use pin_project_lite::pin_project;
use std::future::Future;
use std::marker::PhantomData;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll};

pin_project! {
    /// Drives an admitted call and records how it ended.
    ///
    /// A panic is told from a drop by whether the call was being polled, not by whether the thread
    /// unwinds: a neighbour's panic drops this future too, and is no failure of this call.
    pub(crate) struct Observed<H, F, C>
    where
        H: Deref<Target = Machine>,
    {
        handle: H,
        ticket: Option<Ticket>,
        phase: Phase,
        classifier: C,
        #[pin]
        future: F,
    }

    impl<H, F, C> PinnedDrop for Observed<H, F, C>
    where
        H: Deref<Target = Machine>,
    {
        #[inline]
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let Some(ticket) = this.ticket.take() {
                abandon(this.handle, ticket, *this.phase == Phase::Polling);
            }
        }
    }
}

/// A whole word: a future is moved in words, and a byte that was just written would stall that.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
enum Phase {
    Idle,
    Polling,
}

impl<H: Deref<Target = Machine>, F, C> Observed<H, F, C> {
    #[inline]
    pub(super) fn new(handle: H, ticket: Ticket, classifier: C, future: F) -> Self {
        Self {
            handle,
            ticket: Some(ticket),
            phase: Phase::Idle,
            classifier,
            future,
        }
    }

    /// The call.
    pub(crate) fn future(self: Pin<&mut Self>) -> Pin<&mut F> {
        self.project().future
    }
}

impl<'a, F, C> Observed<&'a Machine, F, C> {
    /// Asks for admission, and makes the call's future if it is given. A panic while it is made is a
    /// failure of the call.
    ///
    /// `place` puts away what it comes to: a call that was returned beside a rejection would be
    /// moved through memory.
    #[inline(always)]
    pub(super) fn start<R>(
        machine: &'a Machine,
        classifier: C,
        make: impl FnOnce() -> F,
        place: impl FnOnce(Result<Self, Rejection>) -> R,
    ) -> R {
        match machine.admit() {
            Ok(ticket) => {
                let future = Making::new(machine, ticket).make(make);
                place(Ok(Self::new(machine, ticket, classifier, future)))
            }
            Err(refused) => machine.reject(refused, |rejection| place(Err(rejection))),
        }
    }
}

impl<H, F, C, T, E> Future for Observed<H, F, C>
where
    H: Deref<Target = Machine>,
    F: Future<Output = Result<T, E>>,
    C: Classifier<T, E>,
{
    type Output = Result<T, E>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        *this.phase = Phase::Polling;
        // A value is never put beside an error: that would move it through memory. Still marked as
        // polling: a classifier that panics makes the call a failure.
        let (result, verdict) = match this.future.poll(cx) {
            Poll::Ready(Ok(value)) => {
                let verdict = this.classifier.classify(Ok(&value));
                if let Some(ticket) = this.ticket.take() {
                    settle(this.handle, ticket, verdict);
                }
                return Poll::Ready(Ok(value));
            }
            Poll::Ready(Err(error)) => {
                let verdict = this.classifier.classify(Err(&error));
                (Err(error), verdict)
            }
            Poll::Pending => {
                *this.phase = Phase::Idle;
                return Poll::Pending;
            }
        };
        if let Some(ticket) = this.ticket.take() {
            settle(this.handle, ticket, verdict);
        }
        Poll::Ready(result)
    }
}

pin_project! {
    /// A call that has asked for admission: it runs, or it was rejected.
    #[project = StartedProjection]
    pub(super) enum Started<H, F, C>
    where
        H: Deref<Target = Machine>,
    {
        Called { #[pin] call: Observed<H, F, C> },
        Rejected { rejection: Option<Rejection> },
    }
}

impl<H: Deref<Target = Machine>, F, C> Started<H, F, C> {
    #[inline]
    pub(super) fn called(handle: H, ticket: Ticket, classifier: C, future: F) -> Self {
        let call = Observed::new(handle, ticket, classifier, future);
        Self::Called { call }
    }

    pub(super) fn rejected(rejection: Rejection) -> Self {
        let rejection = Some(rejection);
        Self::Rejected { rejection }
    }
}

impl<H, F, C, T, E> Future for Started<H, F, C>
where
    H: Deref<Target = Machine>,
    F: Future<Output = Result<T, E>>,
    C: Classifier<T, E>,
    E: From<Rejection>,
{
    type Output = Result<T, E>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            StartedProjection::Called { call } => call.poll(cx),
            StartedProjection::Rejected { rejection } => match rejection.take() {
                Some(rejection) => Poll::Ready(Err(rejection.into())),
                // Polled again after it ended: there is nothing more to say.
                None => Poll::Pending,
            },
        }
    }
}

pin_project! {
    /// A call that asks for admission when it is first polled.
    pub(super) struct Call<'a, O, F, C, W> {
        // Where to ask, operation and classifier, until the call is admitted.
        start: Option<(&'a Machine, O, C)>,
        #[pin]
        admitted: Option<Observed<&'a Machine, F, C>>,
        outlet: PhantomData<fn() -> W>,
    }
}

impl<'a, O, F, C, W> Call<'a, O, F, C, W> {
    #[inline]
    pub(super) fn new(machine: &'a Machine, operation: O, classifier: C, _outlet: W) -> Self {
        Self {
            start: Some((machine, operation, classifier)),
            admitted: None,
            outlet: PhantomData,
        }
    }
}

impl<O, F, C, W, T, E> Future for Call<'_, O, F, C, W>
where
    O: FnOnce() -> F,
    F: Future<Output = Result<T, E>>,
    C: Classifier<T, E>,
    W: Outlet<E>,
{
    type Output = Result<T, W::Error>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some((machine, operation, classifier)) = this.start.take() {
            let ticket = match machine.admit() {
                Ok(ticket) => ticket,
                Err(refused) => return machine.reject(refused, rejected),
            };
            // A panic while the future is made is a failure of the call.
            let future = Making::new(machine, ticket).make(operation);
            this.admitted
                .set(Some(Observed::new(machine, ticket, classifier, future)));
        }
        match this.admitted.as_pin_mut() {
            Some(call) => match call.poll(cx) {
                Poll::Ready(Ok(value)) => Poll::Ready(Ok(value)),
                Poll::Ready(Err(error)) => Poll::Ready(Err(W::inner(error))),
                Poll::Pending => Poll::Pending,
            },
            // Polled again after a rejection: there is nothing more to say.
            None => Poll::Pending,
        }
    }
}

fn rejected<T, E: From<Rejection>>(rejection: Rejection) -> Poll<Result<T, E>> {
    Poll::Ready(Err(rejection.into()))
}

/// Holds the admission while user code makes the future.
pub(super) struct Making<'a> {
    machine: &'a Machine,
    ticket: Option<Ticket>,
}

impl<'a> Making<'a> {
    #[inline]
    pub(super) fn new(machine: &'a Machine, ticket: Ticket) -> Self {
        let ticket = Some(ticket);
        Self { machine, ticket }
    }

    #[inline]
    pub(super) fn make<O: FnOnce() -> F, F>(mut self, operation: O) -> F {
        let future = operation();
        self.ticket = None;
        future
    }
}

impl Drop for Making<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            abandon(self.machine, ticket, true);
        }
    }
}
