//! The future of a call: it goes in when it is first polled, or waits outside; then runs.
//!
//! Written by hand, and not as `async fn`: see the circuit breaker's calls.

#![expect(
    clippy::inline_always,
    reason = "a poll that is called stores the future in narrow words and reads it back in wide ones, which stalls"
)]

use super::config::Idempotence;
use super::control::Parked;
use super::machine::{Admitted, Machine};
use super::pass::{Outside, Visit};
use super::stripe::Shut;
use super::waiting::Waiting;
use crate::kernel::outcome::{AnyError, Classifier};
use crate::kernel::outlet::Outlet;
use crate::kernel::rejection::Rejection;
use pin_project_lite::pin_project;
use std::future::Future;
use std::marker::PhantomData;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll};

pin_project! {
    /// Drives a call that is inside, until it ends or is cut.
    pub(super) struct Guarded<H, F, C>
    where
        H: Deref<Target = Machine>,
    {
        // In this order: what the call holds is dropped while it is still counted. None before it was
        // made, and if it was cut.
        #[pin]
        future: Option<F>,
        visit: Visit<H>,
        idempotence: Idempotence,
        classifier: C,
    }
}

impl<H: Deref<Target = Machine>, F, C> Guarded<H, F, C> {
    #[inline(always)]
    pub(super) fn new(
        future: F,
        mut visit: Visit<H>,
        idempotence: Idempotence,
        classifier: C,
    ) -> Self {
        // It is made, and may be dropped before it is polled.
        visit.end_poll();
        Self {
            future: Some(future),
            visit,
            idempotence,
            classifier,
        }
    }

    #[inline(always)]
    pub(super) fn poll_call<W, T, E>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<T, W::Error>>
    where
        F: Future<Output = Result<T, E>>,
        C: Classifier<T, E>,
        W: Outlet<E>,
    {
        let mut this = self.project();
        let visit = this.visit;
        // Polled again after it ended: it has no place, and nothing more to say.
        let Some(begun) = visit.begin_poll() else {
            return Poll::Pending;
        };
        // Nor has it where the operation panicked.
        let Some(future) = this.future.as_mut().as_pin_mut() else {
            return Poll::Pending;
        };
        if begun.is_ok() {
            match future.poll(cx) {
                Poll::Ready(Ok(value)) => {
                    let verdict = this.classifier.classify(Ok(&value));
                    visit.end(verdict.outcome());
                    return Poll::Ready(Ok(value));
                }
                Poll::Ready(Err(error)) => {
                    let verdict = this.classifier.classify(Err(&error));
                    visit.end(verdict.outcome());
                    return Poll::Ready(Err(W::inner(error)));
                }
                Poll::Pending => {
                    if visit.wait(cx).is_ok() {
                        visit.end_poll();
                        return Poll::Pending;
                    }
                }
            }
        }
        // It is cut: what runs is dropped while the call still holds its place, then that is given
        // back.
        this.future.set(None);
        Poll::Ready(Err(visit.cut_off(*this.idempotence).into()))
    }
}

pin_project! {
    /// A call on a borrowed handle.
    pub(super) struct Call<'a, O, F, W> {
        // Until it runs.
        operation: Option<O>,
        #[pin]
        guarded: Guarded<&'a Machine, F, AnyError>,
        outlet: PhantomData<fn() -> W>,
    }
}

impl<'a, O, F, W> Call<'a, O, F, W> {
    #[inline]
    pub(super) fn new(
        machine: &'a Machine,
        idempotence: Idempotence,
        operation: O,
        _outlet: W,
    ) -> Self {
        Self {
            operation: Some(operation),
            guarded: Guarded {
                future: None,
                visit: Visit::new(machine),
                idempotence,
                classifier: AnyError,
            },
            outlet: PhantomData,
        }
    }
}

/// What came of asking at a shut gate.
enum Asked<'a> {
    GoesIn(Admitted),
    Waits(Outside<&'a Machine>),
    Refused(Rejection),
}

/// A call that met a shut gate, or waits at it.
#[cold]
#[inline(never)]
fn ask_again<'a>(
    machine: &'a Machine,
    idempotence: Idempotence,
    outside: Option<Outside<&'a Machine>>,
    cx: &mut Context<'_>,
) -> Asked<'a> {
    let mut outside = match outside {
        Some(outside) => outside,
        None if idempotence == Idempotence::Unknown => {
            return Asked::Refused(machine.refuse(idempotence));
        }
        None => {
            let asked = machine.asked();
            let place = match machine.park(cx.waker()) {
                Parked::Waits(place) => Some(place),
                Parked::Open => None,
                Parked::Refused => return Asked::Refused(machine.refuse(idempotence)),
            };
            Box::pin(Waiting::new(machine, asked, place))
        }
    };
    loop {
        match outside.as_mut().poll_open(cx) {
            Poll::Pending => return Asked::Waits(outside),
            Poll::Ready(Err(rejection)) => return Asked::Refused(rejection),
            Poll::Ready(Ok(())) => {}
        }
        // Unless it was shut again meanwhile: then it waits on.
        if let Ok(admitted) = outside.enter() {
            return Asked::GoesIn(admitted);
        }
    }
}

impl<O, F, W, T, E> Future for Call<'_, O, F, W>
where
    O: FnOnce() -> F,
    F: Future<Output = Result<T, E>>,
    W: Outlet<E>,
{
    type Output = Result<T, W::Error>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        // Not there after a refusal, or a panic of its own.
        if let Some(operation) = this.operation.take() {
            let mut call = this.guarded.as_mut().project();
            let machine = *call.visit.handle();
            let entered = if call.visit.is_outside() {
                Err(Shut)
            } else {
                machine.enter()
            };
            let admitted = match entered {
                Ok(admitted) => admitted,
                Err(Shut) => {
                    match ask_again(machine, *call.idempotence, call.visit.take_outside(), cx) {
                        Asked::GoesIn(admitted) => admitted,
                        Asked::Waits(outside) => {
                            call.visit.wait_outside(outside);
                            *this.operation = Some(operation);
                            return Poll::Pending;
                        }
                        Asked::Refused(rejection) => return Poll::Ready(Err(rejection.into())),
                    }
                }
            };
            // A panic while the future is made is a failure of the call.
            call.visit.go_in(admitted);
            call.future.set(Some(operation()));
        }
        this.guarded.poll_call::<W, T, E>(cx)
    }
}
