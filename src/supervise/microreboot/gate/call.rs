//! The future of a call: it goes in when it is first polled, or waits outside; then runs.
//!
//! Written by hand, and not as `async fn`: see the circuit breaker's calls.

#![expect(
    clippy::inline_always,
    reason = "a poll that is called stores the future in narrow words and reads it back in wide ones, which stalls"
)]

use super::config::Idempotence;
use super::machine::Machine;
use super::pass::Inside;
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
        // In this order: what the call holds is dropped while it is still counted. None if it was cut.
        #[pin]
        future: Option<F>,
        inside: Inside<H>,
        idempotence: Idempotence,
        classifier: C,
    }
}

impl<H: Deref<Target = Machine>, F, C> Guarded<H, F, C> {
    #[inline]
    pub(super) fn new(
        future: F,
        mut inside: Inside<H>,
        idempotence: Idempotence,
        classifier: C,
    ) -> Self {
        // It is made, and may be dropped before it is polled.
        inside.set_running(false);
        Self {
            future: Some(future),
            inside,
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
        // Polled again after it ended: it has no place, and there is nothing more to say.
        if this.inside.is_over() {
            return Poll::Pending;
        }
        if this.inside.is_cut() {
            let rejection = Self::cut(this.future, this.inside, *this.idempotence);
            return Poll::Ready(Err(rejection.into()));
        }
        let Some(future) = this.future.as_mut().as_pin_mut() else {
            return Poll::Pending;
        };
        this.inside.set_running(true);
        match future.poll(cx) {
            Poll::Ready(Ok(value)) => {
                let verdict = this.classifier.classify(Ok(&value));
                this.inside.end(verdict.outcome());
                Poll::Ready(Ok(value))
            }
            Poll::Ready(Err(error)) => {
                let verdict = this.classifier.classify(Err(&error));
                this.inside.end(verdict.outcome());
                Poll::Ready(Err(W::inner(error)))
            }
            Poll::Pending => {
                if this.inside.wait(cx).is_err() {
                    let rejection = Self::cut(this.future, this.inside, *this.idempotence);
                    return Poll::Ready(Err(rejection.into()));
                }
                this.inside.set_running(false);
                Poll::Pending
            }
        }
    }

    /// Drops what runs while the call still holds its place, then gives that back.
    #[cold]
    #[inline(never)]
    fn cut(
        mut future: Pin<&mut Option<F>>,
        inside: &mut Inside<H>,
        idempotence: Idempotence,
    ) -> Rejection {
        inside.set_running(true);
        future.set(None);
        inside.cut_off(idempotence)
    }
}

pin_project! {
    /// A call on a borrowed handle.
    pub(super) struct Call<'a, O, F, W> {
        machine: &'a Machine,
        idempotence: Idempotence,
        #[pin]
        stage: Stage<'a, O, F>,
        outlet: PhantomData<fn() -> W>,
    }
}

pin_project! {
    #[project = StageProjection]
    enum Stage<'a, O, F> {
        Start { operation: Option<O> },
        Waiting { #[pin] waiting: Waiting<&'a Machine>, asked: u64, operation: Option<O> },
        Running { #[pin] call: Guarded<&'a Machine, F, AnyError> },
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
        let operation = Some(operation);
        Self {
            machine,
            idempotence,
            stage: Stage::Start { operation },
            outlet: PhantomData,
        }
    }
}

impl<'a, O: FnOnce() -> F, F> Stage<'a, O, F> {
    /// Begins to run. A panic of the operation is a failure of the call.
    #[inline(always)]
    fn run(
        mut this: Pin<&mut Self>,
        operation: O,
        inside: Inside<&'a Machine>,
        idempotence: Idempotence,
    ) {
        let future = operation();
        let call = Guarded::new(future, inside, idempotence, AnyError);
        this.set(Stage::Running { call });
    }

    /// Waits on; ready when it runs, or will not.
    #[cold]
    #[inline(never)]
    fn poll_wait(
        mut this: Pin<&mut Self>,
        cx: &mut Context<'_>,
        idempotence: Idempotence,
    ) -> Poll<Result<(), Rejection>> {
        loop {
            let StageProjection::Waiting {
                mut waiting,
                asked,
                operation,
            } = this.as_mut().project()
            else {
                return Poll::Ready(Ok(()));
            };
            // After it was refused, or its operation panicked.
            if operation.is_none() {
                return Poll::Pending;
            }
            match waiting.as_mut().poll_open(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(rejection)) => {
                    *operation = None;
                    return Poll::Ready(Err(rejection));
                }
                Poll::Ready(Ok(())) => {}
            }
            let machine = *waiting.handle();
            // Shut again meanwhile: it waits on.
            let Ok(admitted) = machine.enter(*asked) else {
                continue;
            };
            let inside = Inside::new(machine, admitted);
            if let Some(operation) = operation.take() {
                Self::run(this.as_mut(), operation, inside, idempotence);
            }
            return Poll::Ready(Ok(()));
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
        let this = self.project();
        let mut stage = this.stage;
        let (machine, idempotence) = (*this.machine, *this.idempotence);
        if let StageProjection::Start { operation } = stage.as_mut().project() {
            // After a refusal, or a panic of the operation's own.
            let Some(operation) = operation.take() else {
                return Poll::Pending;
            };
            let asked = machine.asked();
            match machine.enter(asked) {
                Ok(admitted) => {
                    let inside = Inside::new(machine, admitted);
                    Stage::run(stage.as_mut(), operation, inside, idempotence);
                }
                Err(_) if idempotence == Idempotence::Unknown => {
                    return Poll::Ready(Err(machine.refuse(idempotence).into()));
                }
                Err(_) => stage.set(Stage::Waiting {
                    waiting: Waiting::new(machine),
                    asked,
                    operation: Some(operation),
                }),
            }
        }
        if let StageProjection::Waiting { .. } = stage.as_mut().project() {
            match Stage::poll_wait(stage.as_mut(), cx, idempotence) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(rejection)) => return Poll::Ready(Err(rejection.into())),
                Poll::Pending => return Poll::Pending,
            }
        }
        let StageProjection::Running { call } = stage.project() else {
            return Poll::Pending;
        };
        call.poll_call::<W, T, E>(cx)
    }
}
