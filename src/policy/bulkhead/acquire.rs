//! Waiting for a slot: as a future with a deadline, and on a thread.

#![expect(
    clippy::inline_always,
    reason = "a poll that is called moves what it returns through memory"
)]

use super::config::Ask;
use super::machine::{Entered, Machine, Refusal};
use super::permit::{Held, OwnedPermit, Permit};
use super::queue::Place;
use super::totals::Counter;
use crate::kernel::clock::Sleep;
use crate::kernel::rejection::Rejection;
use crate::kernel::shared::Shared;
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

pin_project! {
    /// Takes a slot when it is first polled, or waits for one.
    pub(super) struct Acquiring<H>
    where
        H: Deref<Target = Machine>,
    {
        // Until it has ended.
        handle: Option<H>,
        ask: Ask,
        // While it waits.
        place: Option<Place>,
        #[pin]
        deadline: Option<Sleep>,
    }

    impl<H> PinnedDrop for Acquiring<H>
    where
        H: Deref<Target = Machine>,
    {
        #[inline]
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let (Some(place), Some(handle)) = (this.place.take(), this.handle.as_ref()) {
                handle.cancel(place);
            }
        }
    }
}

impl<H: Deref<Target = Machine>> Acquiring<H> {
    #[inline]
    pub(super) fn new(handle: H, ask: Ask) -> Self {
        Self {
            handle: Some(handle),
            ask,
            place: None,
            deadline: None,
        }
    }

    /// How it ended for a call that found no free slot.
    #[inline(never)]
    fn poll_slow(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        let mut this = self.project();
        let Some(machine) = this.handle.as_deref() else {
            return Poll::Pending;
        };
        let place = match *this.place {
            Some(place) => {
                if let Poll::Ready(news) = machine.look(place, cx) {
                    *this.place = None;
                    this.deadline.set(None);
                    return Poll::Ready(after_a_wait(machine, news));
                }
                place
            }
            None => match machine.enter(*this.ask, cx.waker()) {
                Entered::Served => return Poll::Ready(Ok(())),
                Entered::Refused(refusal) => return Poll::Ready(Err(refusal)),
                Entered::Waits(place, max_wait) => {
                    *this.place = Some(place);
                    let deadline = machine.clock.now() + max_wait;
                    if let Ok(sleep) = machine.clock.sleep_until(deadline) {
                        this.deadline.set(Some(sleep));
                    }
                    place
                }
            },
        };
        let refusal = match this.deadline.as_mut().as_pin_mut() {
            Some(deadline) => {
                ready!(deadline.poll(cx));
                Refusal::WaitOver
            }
            None => Refusal::NoRuntime,
        };
        *this.place = None;
        this.deadline.set(None);
        let news = machine.give_up(place, refusal);
        Poll::Ready(after_a_wait(machine, news))
    }
}

fn after_a_wait(machine: &Machine, news: Result<(), Refusal>) -> Result<(), Refusal> {
    if news.is_ok() {
        machine.count(Counter::Waited);
    }
    news
}

impl<H: Deref<Target = Machine>> Future for Acquiring<H> {
    type Output = Result<Held<H>, Rejection>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.as_mut().project();
        // Polled again after it ended: there is nothing more to say.
        let Some(machine) = this.handle.as_deref() else {
            return Poll::Pending;
        };
        if this.place.is_some() || machine.try_take().is_err() {
            match self.as_mut().poll_slow(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(refusal)) => return self.end(refusal),
            }
        }
        match self.project().handle.take() {
            Some(handle) => Poll::Ready(Ok(Held::new(handle))),
            None => Poll::Pending,
        }
    }
}

impl<H: Deref<Target = Machine>> Acquiring<H> {
    #[cold]
    #[inline(never)]
    fn end(self: Pin<&mut Self>, refusal: Refusal) -> Poll<Result<Held<H>, Rejection>> {
        match self.project().handle.take() {
            Some(machine) => Poll::Ready(Err(machine.refuse(refusal))),
            None => Poll::Pending,
        }
    }
}

/// Waits for a slot on this thread.
pub(super) fn acquire_blocking(machine: &Machine, ask: Ask) -> Result<Held<&Machine>, Rejection> {
    let taken = match machine.try_take() {
        Ok(()) => Ok(()),
        Err(word) if Machine::must_refuse(word, ask) => Err(Machine::refusal(word)),
        Err(_) => wait_blocking(machine, ask),
    };
    match taken {
        Ok(()) => Ok(Held::new(machine)),
        Err(refusal) => Err(machine.refuse(refusal)),
    }
}

#[cold]
fn wait_blocking(machine: &Machine, ask: Ask) -> Result<(), Refusal> {
    /// Gives its place up if this thread unwinds.
    struct Waiting<'a>(&'a Machine, Option<Place>);
    impl Drop for Waiting<'_> {
        fn drop(&mut self) {
            if let Some(place) = self.1.take() {
                self.0.cancel(place);
            }
        }
    }
    let mut waiting = Waiting(machine, None);
    let waker = crate::kernel::clock::unparker();
    let (place, max_wait) = match machine.enter(ask, &waker) {
        Entered::Served => return Ok(()),
        Entered::Refused(refusal) => return Err(refusal),
        Entered::Waits(place, max_wait) => (place, max_wait),
    };
    waiting.1 = Some(place);
    let deadline = machine.clock.now() + max_wait;
    let look = |cx: &mut Context<'_>| machine.look(place, cx);
    let news = machine.clock.park_on(deadline, &waker, look);
    waiting.1 = None;
    let news = news.unwrap_or_else(|| machine.give_up(place, Refusal::WaitOver));
    after_a_wait(machine, news)
}

macro_rules! acquire {
    ($(#[$doc:meta])* $acquire:ident $(<$life:lifetime>)?, $handle:ty, $permit:ty) => {
        pin_project! {
            $(#[$doc])*
            ///
            /// # Cancel safety
            ///
            /// Dropping it gives the place in the queue up, and a slot that it was given meanwhile
            /// goes on to the next waiter.
            #[must_use = "futures do nothing unless polled"]
            pub struct $acquire $(<$life>)? {
                #[pin]
                acquiring: Acquiring<$handle>,
            }
        }

        impl $(<$life>)? $acquire $(<$life>)? {
            #[inline]
            pub(super) fn new(handle: $handle, ask: Ask) -> Self {
                let acquiring = Acquiring::new(handle, ask);
                Self { acquiring }
            }
        }

        impl $(<$life>)? Future for $acquire $(<$life>)? {
            type Output = Result<$permit, Rejection>;

            #[inline(always)]
            fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
                match self.project().acquiring.poll(cx) {
                    Poll::Ready(Ok(held)) => Poll::Ready(Ok(<$permit>::new(held))),
                    Poll::Ready(Err(rejection)) => Poll::Ready(Err(rejection)),
                    Poll::Pending => Poll::Pending,
                }
            }
        }

        impl $(<$life>)? fmt::Debug for $acquire $(<$life>)? {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($acquire)).finish_non_exhaustive()
            }
        }
    };
}

acquire! {
    /// The future of [`Bulkhead::acquire`](super::Bulkhead::acquire).
    Acquire<'a>, &'a Machine, Permit<'a>
}
acquire! {
    /// The future of [`Bulkhead::acquire_owned`](super::Bulkhead::acquire_owned).
    AcquireOwned, Shared<Machine>, OwnedPermit
}
