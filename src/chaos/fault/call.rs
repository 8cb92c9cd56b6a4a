//! The futures of a call: what is injected before it, or instead of it.

use super::counts::{Counters, bump};
use super::machine::{Active, Draw, Machine, Then};
use crate::kernel::clock::{Clock, Sleep};
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// How an ordeal ends, unless it panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The call is made.
    Proceed,
    /// It ends with the injected error.
    Fail,
}

pin_project! {
    /// What a call that was hit goes through: latency, then a hang, a panic or an error.
    pub(super) struct Ordeal {
        clock: Clock,
        counters: Arc<Counters>,
        // Until it has begun.
        latency: Option<Duration>,
        then: Then,
        hung: Option<Hung>,
        #[pin]
        sleep: Option<Sleep>,
    }
}

impl Ordeal {
    /// In a box of its own, so that a call that is not hit does not carry its size.
    pub(super) fn new(machine: &Machine, draw: Draw) -> Pin<Box<Self>> {
        Box::pin(Self {
            clock: machine.clock.clone(),
            counters: machine.counters.clone(),
            latency: (!draw.latency.is_zero()).then_some(draw.latency),
            then: draw.then,
            hung: None,
            sleep: None,
        })
    }
}

impl Future for Ordeal {
    type Output = Fate;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Fate> {
        let mut this = self.project();
        if let Some(latency) = this.latency.take() {
            match this.clock.sleep_until(this.clock.now() + latency) {
                Ok(sleep) => {
                    bump(&this.counters.latency);
                    this.sleep.set(Some(sleep));
                }
                Err(_) => bump(&this.counters.skipped),
            }
        }
        if this.hung.is_none() {
            if let Some(sleep) = this.sleep.as_mut().as_pin_mut() {
                ready!(sleep.poll(cx));
                this.sleep.set(None);
            }
            match std::mem::take(this.then) {
                Then::Proceed => return Poll::Ready(Fate::Proceed),
                Then::Error => {
                    bump(&this.counters.error);
                    return Poll::Ready(Fate::Fail);
                }
                Then::Panic(fault) => panic_as(&fault, this.counters),
                Then::Hang(fault) => match Hung::begin(fault, this.clock, this.counters) {
                    Some((hung, until)) => {
                        *this.hung = Some(hung);
                        this.sleep.set(until);
                    }
                    None => return Poll::Ready(Fate::Proceed),
                },
            }
        }
        let released = this
            .hung
            .as_mut()
            .is_none_or(|hung| hung.poll(cx).is_ready());
        let ran_out = this.sleep.as_mut().as_pin_mut().map(|sleep| sleep.poll(cx));
        if released || ran_out.is_some_and(|polled| polled.is_ready()) {
            *this.hung = None;
            this.sleep.set(None);
            return Poll::Ready(Fate::Proceed);
        }
        Poll::Pending
    }
}

/// The injected panic.
pub(super) fn panic_as(fault: &Active, counters: &Counters) -> ! {
    bump(&counters.panic);
    panic!("injected fault {} ({})", fault.id, fault.fault.label());
}

/// A call's place among those that hang on a fault.
struct Hung {
    fault: Arc<Active>,
    place: Option<u64>,
}

impl Hung {
    /// Begins to hang, if the fault has not ended meanwhile; with it, the timer of the fault's end.
    fn begin(
        fault: Arc<Active>,
        clock: &Clock,
        counters: &Counters,
    ) -> Option<(Self, Option<Sleep>)> {
        if fault.gate.is_open() || fault.is_over(clock.now()) {
            return None;
        }
        let Ok(until) = fault.end.map(|end| clock.sleep_until(end)).transpose() else {
            bump(&counters.skipped);
            return None;
        };
        bump(&counters.hang);
        Some((Self { fault, place: None }, until))
    }

    fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        self.fault.gate.poll(&mut self.place, cx)
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        self.fault.gate.leave(self.place);
    }
}

pin_project! {
    /// A call that draws when it is first polled.
    pub(super) struct Call<'a, O, M, F> {
        machine: &'a Machine,
        drawn: bool,
        ordeal: Option<Pin<Box<Ordeal>>>,
        // Operation and maker of errors, until one of them runs.
        start: Option<(O, M)>,
        #[pin]
        future: Option<F>,
    }
}

impl<'a, O, M, F> Call<'a, O, M, F> {
    #[inline]
    pub(super) fn new(machine: &'a Machine, operation: O, make_error: M) -> Self {
        Self {
            machine,
            drawn: false,
            ordeal: None,
            start: Some((operation, make_error)),
            future: None,
        }
    }
}

impl<O, M, F, T, E> Future for Call<'_, O, M, F>
where
    O: FnOnce() -> F,
    M: FnOnce() -> E,
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<T, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if this.start.is_some() {
            if !*this.drawn {
                *this.drawn = true;
                let draw = this.machine.draw();
                *this.ordeal = draw.map(|draw| Ordeal::new(this.machine, draw));
            }
            let fate = ready!(poll_ordeal(this.ordeal, cx));
            if let Some((operation, make_error)) = this.start.take() {
                match fate {
                    Fate::Proceed => this.future.set(Some(operation())),
                    Fate::Fail => return Poll::Ready(Err(make_error())),
                }
            }
        }
        match this.future.as_pin_mut() {
            Some(future) => future.poll(cx),
            // Polled again after it ended: there is nothing more to say.
            None => Poll::Pending,
        }
    }
}

/// Polls an ordeal, if there is one, and drops it when it is over.
#[inline]
pub(super) fn poll_ordeal(
    ordeal: &mut Option<Pin<Box<Ordeal>>>,
    cx: &mut Context<'_>,
) -> Poll<Fate> {
    let Some(running) = ordeal else {
        return Poll::Ready(Fate::Proceed);
    };
    let fate = ready!(running.as_mut().poll(cx));
    *ordeal = None;
    Poll::Ready(fate)
}
