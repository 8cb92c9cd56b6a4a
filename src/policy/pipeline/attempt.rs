//! One attempt of a call through a pipeline: past the breaker, until it ends or is cut off.

#![expect(
    clippy::inline_always,
    reason = "a poll that is called stores the future in narrow words and reads it back in wide ones"
)]

use super::classifier::Judged;
use super::parts::Parts;
use crate::kernel::outcome::Classifier;
use crate::kernel::rejection::{Error, Rejection};
use crate::policy::circuit_breaker::{Machine, Observed};
use crate::policy::retry::{Attempt, StartAttempt};
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// What is called, and what every attempt of it goes through.
pub(super) struct Guarded<'a, O, C> {
    pub(super) parts: &'a Parts<C>,
    pub(super) operation: O,
}

pin_project! {
    /// An attempt under way. The time that it has is kept by the call, where it does not move.
    #[project = AttemptProjection]
    pub(super) enum AttemptFuture<'a, F, C> {
        Watched { #[pin] call: Observed<&'a Machine, Cut<F>, Judged<'a, C>> },
        Unwatched { #[pin] call: Cut<F> },
        // By the breaker, or by the attempt's timeout, which is isolated.
        Rejected { rejection: Option<Rejection> },
    }
}

pin_project! {
    /// An attempt that ends with a rejection once it is cut off. The parts around it see that: the
    /// breaker as a timeout of the callee, the retry as a reason for another attempt.
    pub(super) struct Cut<F> {
        // None after it was dropped.
        #[pin]
        future: Option<F>,
        rejection: Option<Box<Rejection>>,
    }
}

impl<F> Cut<F> {
    #[inline]
    fn new(future: F) -> Self {
        Self {
            future: Some(future),
            rejection: None,
        }
    }
}

impl<F, C> AttemptFuture<'_, F, C> {
    /// Ends the attempt at its next poll.
    pub(super) fn cut_off(self: Pin<&mut Self>, rejection: Rejection) {
        let cut = match self.project() {
            AttemptProjection::Watched { call } => Some(call.future()),
            AttemptProjection::Unwatched { call } => Some(call),
            AttemptProjection::Rejected { .. } => None,
        };
        if let Some(cut) = cut {
            *cut.project().rejection = Some(Box::new(rejection));
        }
    }
}

impl<F, T, E> Future for Cut<F>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<T, Error<E>>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(rejection) = this.rejection.take() {
            // What the attempt holds goes before anybody hears of its end.
            this.future.set(None);
            return Poll::Ready(Err(Error::Rejected(*rejection)));
        }
        match this.future.as_pin_mut() {
            Some(future) => match future.poll(cx) {
                Poll::Ready(Ok(value)) => Poll::Ready(Ok(value)),
                Poll::Ready(Err(error)) => Poll::Ready(Err(Error::Inner(error))),
                Poll::Pending => Poll::Pending,
            },
            // Polled again after it ended: there is nothing more to say.
            None => Poll::Pending,
        }
    }
}

impl<'a, O, F, C, T, E> StartAttempt<T, Error<E>> for Guarded<'a, O, C>
where
    O: FnMut(Attempt<'_, Error<E>>) -> F,
    F: Future<Output = Result<T, E>>,
    C: Classifier<T, E>,
{
    type Future = AttemptFuture<'a, F, C>;

    #[inline]
    fn start(&mut self, attempt: Attempt<'_, Error<E>>, mut place: Pin<&mut Option<Self::Future>>) {
        let Self { parts, operation } = self;
        let parts: &'a Parts<C> = parts;
        let timeout = parts.attempt_timeout.machine();
        if let Err(refused) = timeout.admit() {
            return reject(place, timeout.reject(refused));
        }
        let Some(breaker) = &parts.circuit_breaker else {
            let call = Cut::new(operation(attempt));
            return place.set(Some(AttemptFuture::Unwatched { call }));
        };
        let make = || Cut::new(operation(attempt));
        breaker.start(Judged(&parts.classifier), make, |started| match started {
            Ok(call) => place.set(Some(AttemptFuture::Watched { call })),
            Err(rejection) => reject(place, rejection),
        });
    }
}

#[cold]
#[inline(never)]
fn reject<F, C>(mut place: Pin<&mut Option<AttemptFuture<'_, F, C>>>, rejection: Rejection) {
    let rejection = Some(rejection);
    place.set(Some(AttemptFuture::Rejected { rejection }));
}

impl<F, C, T, E> Future for AttemptFuture<'_, F, C>
where
    F: Future<Output = Result<T, E>>,
    C: Classifier<T, E>,
{
    type Output = Result<T, Error<E>>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            AttemptProjection::Watched { call } => call.poll(cx),
            AttemptProjection::Unwatched { call } => call.poll(cx),
            AttemptProjection::Rejected { rejection } => match rejection.take() {
                Some(rejection) => Poll::Ready(Err(rejection.into())),
                // Polled again after it ended: there is nothing more to say.
                None => Poll::Pending,
            },
        }
    }
}
