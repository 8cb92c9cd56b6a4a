//! One attempt of a call through a pipeline: past the breaker, under the attempt's timeout.

#![expect(
    clippy::inline_always,
    reason = "a poll that is called stores the future in narrow words and reads it back in wide ones"
)]

use super::classifier::Judged;
use super::parts::Parts;
use crate::kernel::outcome::Classifier;
use crate::kernel::outlet::Wrapped;
use crate::kernel::rejection::{Error, Rejection};
use crate::policy::circuit_breaker::{self, Started};
use crate::policy::retry::{Attempt, StartAttempt};
use crate::policy::timeout::call::Timed;
use crate::policy::timeout::machine::Machine as TimeoutMachine;
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// What is called, and what every attempt of it goes through.
pub(super) struct Guarded<'a, O, C> {
    pub(super) parts: &'a Parts<C>,
    pub(super) operation: O,
}

type Cut<'a, F> = Timed<&'a TimeoutMachine, F, Wrapped>;

pin_project! {
    /// An attempt under way.
    #[project = AttemptProjection]
    pub(super) enum AttemptFuture<'a, F, C> {
        Watched { #[pin] call: Started<&'a circuit_breaker::Machine, Cut<'a, F>, Judged<'a, C>> },
        Unwatched { #[pin] call: Cut<'a, F> },
        // By the attempt's timeout, which is isolated.
        Rejected { rejection: Option<Rejection> },
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
    fn start(&mut self, attempt: Attempt<'_, Error<E>>) -> Self::Future {
        let Self { parts, operation } = self;
        let timeout: &'a TimeoutMachine = parts.attempt_timeout.machine();
        if let Err(refused) = timeout.admit() {
            let rejection = Some(timeout.reject(refused));
            return AttemptFuture::Rejected { rejection };
        }
        let mut make = || Timed::new(timeout, Some(operation(attempt)), Wrapped);
        match &parts.circuit_breaker {
            Some(breaker) => AttemptFuture::Watched {
                call: breaker.start(Judged(&parts.classifier), make),
            },
            None => AttemptFuture::Unwatched { call: make() },
        }
    }
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
