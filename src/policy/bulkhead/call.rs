//! The future of a call: it takes a slot when it is first polled, or waits for one; then runs.
//!
//! Written by hand, and not as `async fn`: see the circuit breaker's calls. What the way without a
//! wait does not need (how the call asks) is not moved on it.

#![expect(
    clippy::inline_always,
    reason = "a poll that is called stores the future in narrow words and reads it back in wide ones, which stalls"
)]

use super::acquire::Acquiring;
use super::config::Ask;
use super::machine::{Machine, Refusal};
use super::permit::Held;
use super::word::Word;
use crate::kernel::outlet::Outlet;
use crate::kernel::rejection::Rejection;
use pin_project_lite::pin_project;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

pin_project! {
    /// A call on a borrowed handle.
    pub(super) struct Call<'a, O, F, W> {
        machine: &'a Machine,
        ask: Ask,
        #[pin]
        stage: Stage<'a, O, F>,
        outlet: PhantomData<fn() -> W>,
    }
}

pin_project! {
    #[project = StageProjection]
    enum Stage<'a, O, F> {
        Start { operation: Option<O> },
        Waiting { #[pin] acquiring: Acquiring<&'a Machine>, operation: Option<O> },
        // In this order: what the call holds is dropped while the slot is still taken.
        Running { #[pin] future: F, held: Option<Held<&'a Machine>> },
        Over,
    }
}

impl<'a, O, F, W> Call<'a, O, F, W> {
    #[inline]
    pub(super) fn new(machine: &'a Machine, ask: Ask, operation: O, _outlet: W) -> Self {
        let operation = Some(operation);
        Self {
            machine,
            ask,
            stage: Stage::Start { operation },
            outlet: PhantomData,
        }
    }
}

impl<'a, O: FnOnce() -> F, F> Stage<'a, O, F> {
    /// Begins to run in a slot that was taken. A panic of the operation gives it back.
    #[inline(always)]
    fn run(mut this: Pin<&mut Self>, operation: O, held: Held<&'a Machine>) {
        let future = operation();
        let held = Some(held);
        this.set(Stage::Running { future, held });
    }

    /// Begins to wait, or says why it cannot.
    #[cold]
    #[inline(never)]
    fn wait(
        mut this: Pin<&mut Self>,
        operation: O,
        (machine, ask, word): (&'a Machine, Ask, Word),
    ) -> Result<(), Refusal> {
        if Machine::must_refuse(word, ask) {
            return Err(Machine::refusal(word));
        }
        let acquiring = Acquiring::new(machine, ask);
        let operation = Some(operation);
        this.set(Stage::Waiting {
            acquiring,
            operation,
        });
        Ok(())
    }

    /// Waits on; ready when it runs, or will not.
    #[cold]
    #[inline(never)]
    fn poll_wait(mut this: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        let StageProjection::Waiting {
            acquiring,
            operation,
        } = this.as_mut().project()
        else {
            return Poll::Ready(Ok(()));
        };
        match (acquiring.poll(cx), operation.take()) {
            (Poll::Ready(Ok(held)), Some(operation)) => {
                Self::run(this, operation, held);
                Poll::Ready(Ok(()))
            }
            (Poll::Ready(Err(rejection)), _) => {
                this.set(Stage::Over);
                Poll::Ready(Err(rejection))
            }
            (Poll::Pending, waits) => {
                *operation = waits;
                Poll::Pending
            }
            // After a panic of the operation's own.
            (Poll::Ready(Ok(_)), None) => Poll::Pending,
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
        if let StageProjection::Start { operation } = stage.as_mut().project() {
            let Some(operation) = operation.take() else {
                return Poll::Pending;
            };
            match this.machine.try_take() {
                Ok(()) => Stage::run(stage.as_mut(), operation, Held::new(*this.machine)),
                Err(word) => {
                    let waits =
                        Stage::wait(stage.as_mut(), operation, (*this.machine, *this.ask, word));
                    if let Err(refusal) = waits {
                        return Poll::Ready(Err(this.machine.refuse(refusal).into()));
                    }
                }
            }
        }
        if let StageProjection::Waiting { .. } = stage.as_mut().project() {
            match Stage::poll_wait(stage.as_mut(), cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(rejection)) => return Poll::Ready(Err(rejection.into())),
                Poll::Pending => return Poll::Pending,
            }
        }
        let StageProjection::Running { future, held } = stage.project() else {
            return Poll::Pending;
        };
        // Polled again after it ended: there is no slot to run in, and nothing more to say.
        if held.is_none() {
            return Poll::Pending;
        }
        match future.poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(result) => {
                *held = None;
                match result {
                    Ok(value) => Poll::Ready(Ok(value)),
                    Err(error) => Poll::Ready(Err(W::inner(error))),
                }
            }
        }
    }
}
