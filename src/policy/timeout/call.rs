//! The futures of a call under a timeout, and the alarm that ends it.
//!
//! Written by hand for the reasons that stand in the circuit breaker's `call.rs`.

#![expect(
    clippy::inline_always,
    reason = "a poll that is called stores the future in narrow words and reads it back in wide ones"
)]

use super::machine::{Machine, Refused};
use super::totals::Counter;
use crate::kernel::clock::{NoRuntime, Sleep};
use crate::kernel::instant::Instant;
use crate::kernel::outlet::Outlet;
use crate::kernel::rejection::Rejection;
use pin_project_lite::pin_project;
use std::future::Future;
use std::marker::PhantomData;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

pin_project! {
    /// What ends a pending call.
    ///
    /// It is polled after the call, each time that this is pending, and begins to count then; or
    /// when somebody within the call asks for its deadline first.
    #[project = AlarmProjection]
    pub(crate) enum Alarm {
        // The time does not count yet.
        Idle,
        // There is no limit.
        Never,
        // The time counts, and there is no timer yet.
        Due { limit: Duration, deadline: Instant },
        Armed { limit: Duration, deadline: Instant, #[pin] timer: Sleep },
    }
}

impl Alarm {
    /// The time at which it will go off, from now on in any case; `None` if it never does.
    pub(crate) fn deadline(mut self: Pin<&mut Self>, machine: &Machine) -> Option<Instant> {
        if let Self::Idle = *self {
            let due = |limit| {
                machine.totals.bump(Counter::Armed as usize);
                Self::Due {
                    limit,
                    deadline: machine.clock.deadline(limit),
                }
            };
            self.set(machine.limit().duration().map_or(Self::Never, due));
        }
        match *self {
            Self::Idle | Self::Never => None,
            Self::Due { deadline, .. } | Self::Armed { deadline, .. } => Some(deadline),
        }
    }

    /// Ready when the call must end, and counted then.
    #[inline(never)]
    pub(crate) fn poll(
        mut self: Pin<&mut Self>,
        machine: &Machine,
        cx: &mut Context<'_>,
    ) -> Poll<Refused> {
        if let Self::Idle | Self::Due { .. } = *self {
            let Ok(alarm) = self.arm(machine) else {
                machine.totals.bump(Counter::RejectedNoRuntime as usize);
                return Poll::Ready(Refused::NoRuntime);
            };
            self.set(alarm);
        }
        let AlarmProjection::Armed { limit, timer, .. } = self.project() else {
            return Poll::Pending;
        };
        // A call that uses up its task's budget at each poll must not keep the timer from going off.
        let mut timer = tokio::task::unconstrained(timer);
        ready!(Pin::new(&mut timer).poll(cx));
        machine.totals.bump(Counter::TimedOut as usize);
        Poll::Ready(Refused::TimedOut(*limit))
    }

    fn arm(&self, machine: &Machine) -> Result<Self, NoRuntime> {
        let (limit, deadline, timer) = if let Self::Due { limit, deadline } = *self {
            // It was counted when its time began to count.
            (limit, deadline, machine.clock.sleep_until(deadline)?)
        } else {
            let Some(limit) = machine.limit().duration() else {
                return Ok(Self::Never);
            };
            let (deadline, timer) = machine.clock.alarm(limit)?;
            machine.totals.bump(Counter::Armed as usize);
            (limit, deadline, timer)
        };
        Ok(Self::Armed {
            limit,
            deadline,
            timer,
        })
    }
}

pin_project! {
    /// A call that was admitted, and its alarm.
    ///
    /// The call is polled first: if it is ready in the poll in which its time is over, its result
    /// wins. If it is not, it is dropped before the rejection is made, so that what it holds is
    /// given back by the time that anybody hears of it.
    pub(crate) struct Timed<H, F, W> {
        handle: H,
        // None before it is made, and after it was dropped.
        #[pin]
        future: Option<F>,
        #[pin]
        alarm: Alarm,
        outlet: PhantomData<fn() -> W>,
    }
}

impl<H, F, W> Timed<H, F, W> {
    #[inline]
    pub(crate) fn new(handle: H, future: Option<F>, _outlet: W) -> Self {
        Self {
            handle,
            future,
            alarm: Alarm::Idle,
            outlet: PhantomData,
        }
    }
}

impl<H, F, W, T, E> Future for Timed<H, F, W>
where
    H: Deref<Target = Machine>,
    F: Future<Output = Result<T, E>>,
    W: Outlet<E>,
{
    type Output = Result<T, W::Error>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(future) = this.future.as_mut().as_pin_mut() else {
            // Polled again after it ended: there is nothing more to say.
            return Poll::Pending;
        };
        match future.poll(cx) {
            Poll::Ready(Ok(value)) => Poll::Ready(Ok(value)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(W::inner(error))),
            Poll::Pending => {
                let refused = ready!(this.alarm.as_mut().poll(this.handle, cx));
                // If its drop panics, it is gone nevertheless, and counted.
                this.future.set(None);
                this.alarm.set(Alarm::Idle);
                end(this.handle, refused)
            }
        }
    }
}

/// Made as what the poll returns, so that the error is built where it is wanted.
#[cold]
#[inline(never)]
fn end<T, E: From<Rejection>>(machine: &Machine, refused: Refused) -> Poll<Result<T, E>> {
    Poll::Ready(Err(machine.reject(refused).into()))
}

pin_project! {
    /// A call that starts when it is first polled.
    pub(super) struct Call<'a, O, F, W> {
        // Until the call has started.
        operation: Option<O>,
        #[pin]
        timed: Timed<&'a Machine, F, W>,
    }
}

impl<'a, O, F, W> Call<'a, O, F, W> {
    #[inline]
    pub(super) fn new(machine: &'a Machine, operation: O, outlet: W) -> Self {
        Self {
            operation: Some(operation),
            timed: Timed::new(machine, None, outlet),
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
        if let Some(operation) = this.operation.take() {
            let timed = this.timed.as_mut().project();
            if let Err(refused) = timed.handle.admit() {
                return end(timed.handle, refused);
            }
            let mut future = timed.future;
            future.set(Some(operation()));
        }
        this.timed.poll(cx)
    }
}
