//! The future of a call: it takes a slot when it is first polled, or waits for one; then runs.
//!
//! Written by hand, and not as `async fn`: see the circuit breaker's calls.

#![expect(
    clippy::inline_always,
    reason = "a poll that is called stores the future in narrow words and reads it back in wide ones, which stalls"
)]

use super::acquire::Acquiring;
use super::config::Ask;
use super::machine::Machine;
use super::permit::Held;
use crate::kernel::outlet::Outlet;
use pin_project_lite::pin_project;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

pin_project! {
    /// A call on a borrowed handle.
    pub(super) struct Call<'a, O, F, W> {
        #[pin]
        stage: Stage<'a, O, F>,
        outlet: PhantomData<fn() -> W>,
    }
}

pin_project! {
    #[project = StageProjection]
    enum Stage<'a, O, F> {
        Start { start: Option<(&'a Machine, Ask, O)> },
        Waiting { #[pin] acquiring: Acquiring<&'a Machine>, operation: Option<O> },
        // In this order: what the call holds is dropped while the slot is still taken.
        Running { #[pin] future: F, held: Option<Held<&'a Machine>> },
        Over,
    }
}

impl<'a, O, F, W> Call<'a, O, F, W> {
    #[inline]
    pub(super) fn new(machine: &'a Machine, ask: Ask, operation: O, _outlet: W) -> Self {
        let start = Some((machine, ask, operation));
        Self {
            stage: Stage::Start { start },
            outlet: PhantomData,
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
        let mut stage = self.project().stage;
        loop {
            match stage.as_mut().project() {
                StageProjection::Start { start } => {
                    let Some((machine, ask, operation)) = start.take() else {
                        return Poll::Pending;
                    };
                    match machine.try_take() {
                        Ok(()) => {
                            let held = Held::new(machine);
                            // A panic while the future is made gives the slot back.
                            let future = operation();
                            let held = Some(held);
                            stage.set(Stage::Running { future, held });
                        }
                        Err(word) if Machine::must_refuse(word, ask) => {
                            let refusal = Machine::refusal(word);
                            return Poll::Ready(Err(machine.refuse(refusal).into()));
                        }
                        Err(_) => {
                            let operation = Some(operation);
                            let acquiring = Acquiring::new(machine, ask);
                            stage.set(Stage::Waiting {
                                acquiring,
                                operation,
                            });
                        }
                    }
                }
                StageProjection::Waiting {
                    acquiring,
                    operation,
                } => match (acquiring.poll(cx), operation) {
                    (Poll::Ready(Ok(held)), operation @ Some(_)) => {
                        let Some(operation) = operation.take() else {
                            return Poll::Pending;
                        };
                        let future = operation();
                        let held = Some(held);
                        stage.set(Stage::Running { future, held });
                    }
                    (Poll::Ready(Err(rejection)), _) => {
                        stage.set(Stage::Over);
                        return Poll::Ready(Err(rejection.into()));
                    }
                    // After a panic of the operation's own, or while it waits.
                    (Poll::Ready(Ok(_)), None) | (Poll::Pending, _) => return Poll::Pending,
                },
                StageProjection::Running { future, held } => {
                    // Polled again after it ended: it has no slot to run in.
                    if held.is_none() {
                        return Poll::Pending;
                    }
                    return match future.poll(cx) {
                        Poll::Pending => Poll::Pending,
                        Poll::Ready(result) => {
                            *held = None;
                            match result {
                                Ok(value) => Poll::Ready(Ok(value)),
                                Err(error) => Poll::Ready(Err(W::inner(error))),
                            }
                        }
                    };
                }
                // Polled again after it ended: there is nothing more to say.
                StageProjection::Over => return Poll::Pending,
            }
        }
    }
}
