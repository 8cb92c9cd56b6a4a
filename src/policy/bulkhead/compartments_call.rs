//! Waiting for a slot of a compartment, and calls in one. Written by hand: see the circuit
//! breaker's calls.

use super::compartments_book::Waiting;
use super::compartments_seat::{Occupied, Refused, Seat};
use crate::kernel::clock::Sleep;
use crate::kernel::instant::Instant;
use crate::kernel::outlet::Outlet;
use crate::kernel::rejection::Rejection;
use crate::kernel::shared::Shared;
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

pin_project! {
    /// Takes a slot when it is first polled, or waits for one.
    pub(super) struct Seating<H>
    where
        H: Deref<Target = Seat>,
    {
        // Until it has ended.
        seat: Option<H>,
        waiting: Option<Waiting>,
        // The timer, and what it is set to.
        set_to: Option<Instant>,
        #[pin]
        timer: Option<Sleep>,
    }

    impl<H> PinnedDrop for Seating<H>
    where
        H: Deref<Target = Seat>,
    {
        #[inline]
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let (Some(waiting), Some(seat)) = (this.waiting.take(), this.seat.as_ref()) {
                seat.cancel(waiting);
            }
        }
    }
}

impl<H: Deref<Target = Seat>> Seating<H> {
    #[inline]
    pub(super) fn new(seat: H) -> Self {
        Self {
            seat: Some(seat),
            waiting: None,
            set_to: None,
            timer: None,
        }
    }

    /// Asks the book, and waits.
    #[inline(never)]
    fn poll_book(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        let mut this = self.project();
        let Some(seat) = this.seat.as_deref() else {
            return Poll::Pending;
        };
        let mut news = match *this.waiting {
            Some(waiting) => seat.look_again(waiting, cx.waker()),
            None => seat.ask(Some(cx.waker())),
        };
        loop {
            let waiting = match news {
                Ok(Some(waiting)) => waiting,
                Ok(None) | Err(_) => {
                    *this.waiting = None;
                    this.timer.set(None);
                    return Poll::Ready(news.map(|_| ()));
                }
            };
            *this.waiting = Some(waiting);
            let looks_at = waiting.looks_at();
            if *this.set_to != Some(looks_at) {
                let Ok(timer) = seat.slots.clock.sleep_until(looks_at) else {
                    *this.waiting = None;
                    return Poll::Ready(Err(seat.give_up(waiting)));
                };
                this.timer.set(Some(timer));
                *this.set_to = Some(looks_at);
            }
            if let Some(timer) = this.timer.as_mut().as_pin_mut() {
                ready!(timer.poll(cx));
            }
            *this.set_to = None;
            news = seat.look_again(waiting, cx.waker());
        }
    }
}

impl<H: Deref<Target = Seat>> Future for Seating<H> {
    type Output = Result<Occupied<H>, Rejection>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.as_mut().project();
        // Polled again after it ended: there is nothing more to say.
        let Some(seat) = this.seat.as_deref() else {
            return Poll::Pending;
        };
        let at_once = match this.waiting {
            None => seat.take(),
            Some(_) => None,
        };
        let news = match at_once {
            Some(news) => news,
            None => ready!(self.as_mut().poll_book(cx)),
        };
        let Some(seat) = self.project().seat.take() else {
            return Poll::Pending;
        };
        Poll::Ready(match news {
            Ok(()) => Ok(Occupied::new(seat)),
            Err(refused) => Err(seat.refuse(refused)),
        })
    }
}

/// Waits for a slot on this thread.
pub(super) fn seat_blocking(seat: &Seat) -> Result<Occupied<&Seat>, Rejection> {
    let news = seat.take().unwrap_or_else(|| wait_blocking(seat));
    match news {
        Ok(()) => Ok(Occupied::new(seat)),
        Err(refused) => Err(seat.refuse(refused)),
    }
}

#[cold]
fn wait_blocking(seat: &Seat) -> Result<(), Refused> {
    /// Leaves the line if this thread unwinds.
    struct Line<'a>(&'a Seat, Option<Waiting>);
    impl Drop for Line<'_> {
        fn drop(&mut self) {
            if let Some(waiting) = self.1.take() {
                self.0.cancel(waiting);
            }
        }
    }
    let waker = crate::kernel::clock::unparker();
    let mut line = Line(seat, seat.ask(Some(&waker))?);
    while let Some(waiting) = line.1 {
        let mut news = None;
        let looks_at = waiting.looks_at();
        seat.slots.clock.park_on(looks_at, &waker, |cx| {
            match seat.look_again(waiting, cx.waker()) {
                // Its next look may be due at another time.
                Ok(Some(still)) if still.looks_at() == looks_at => Poll::Pending,
                found => {
                    news = Some(found);
                    Poll::Ready(())
                }
            }
        });
        let news = news.unwrap_or_else(|| seat.look_again(waiting, &waker));
        // Whatever the news, the old place is given up or renewed.
        line.1 = None;
        line.1 = news?;
    }
    Ok(())
}

macro_rules! acquire {
    ($(#[$doc:meta])* $acquire:ident $(<$life:lifetime>)?, $handle:ty, $permit:ident) => {
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
                seating: Seating<$handle>,
            }
        }

        impl $(<$life>)? $acquire $(<$life>)? {
            #[inline]
            pub(super) fn new(seat: $handle) -> Self {
                let seating = Seating::new(seat);
                Self { seating }
            }
        }

        impl $(<$life>)? Future for $acquire $(<$life>)? {
            type Output = Result<$permit $(<$life>)?, Rejection>;

            #[inline]
            fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
                let seated = ready!(self.project().seating.poll(cx));
                Poll::Ready(seated.map($permit))
            }
        }

        impl $(<$life>)? fmt::Debug for $acquire $(<$life>)? {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($acquire)).finish_non_exhaustive()
            }
        }

        impl $(<$life>)? $permit $(<$life>)? {
            pub(super) fn of(seat: $handle) -> Self {
                Self(Occupied::new(seat))
            }
        }

        impl $(<$life>)? fmt::Debug for $permit $(<$life>)? {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($permit)).finish_non_exhaustive()
            }
        }
    };
}

/// A slot of a compartment for one call. Dropping it gives the slot back.
#[must_use = "dropping it gives the slot back"]
pub struct CompartmentPermit<'a>(
    #[expect(dead_code, reason = "held for its drop")] Occupied<&'a Seat>,
);

/// A [`CompartmentPermit`] that owns its handle, so that it can move to where the work is.
#[must_use = "dropping it gives the slot back"]
pub struct OwnedCompartmentPermit(
    #[expect(dead_code, reason = "held for its drop")] Occupied<Shared<Seat>>,
);

acquire! {
    /// The future of [`Compartment::acquire`](super::Compartment::acquire).
    AcquireCompartment<'a>, &'a Seat, CompartmentPermit
}
acquire! {
    /// The future of [`Compartment::acquire_owned`](super::Compartment::acquire_owned).
    AcquireCompartmentOwned, Shared<Seat>, OwnedCompartmentPermit
}

pin_project! {
    /// A call that takes its slot when it is first polled.
    pub(super) struct Call<H, O, F, W>
    where
        H: Deref<Target = Seat>,
    {
        #[pin]
        seating: Seating<H>,
        operation: Option<O>,
        // In this order: what the call holds is dropped while the slot is still taken.
        #[pin]
        running: Option<F>,
        occupied: Option<Occupied<H>>,
        outlet: PhantomData<fn() -> W>,
    }
}

impl<H: Deref<Target = Seat>, O, F, W> Call<H, O, F, W> {
    #[inline]
    pub(super) fn new(seat: H, operation: O, _outlet: W) -> Self {
        Self {
            seating: Seating::new(seat),
            operation: Some(operation),
            running: None,
            occupied: None,
            outlet: PhantomData,
        }
    }
}

impl<H, O, F, W, T, E> Future for Call<H, O, F, W>
where
    H: Deref<Target = Seat>,
    O: FnOnce() -> F,
    F: Future<Output = Result<T, E>>,
    W: Outlet<E>,
{
    type Output = Result<T, W::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if this.operation.is_some() {
            let occupied = match ready!(this.seating.poll(cx)) {
                Ok(occupied) => occupied,
                Err(rejection) => {
                    *this.operation = None;
                    return Poll::Ready(Err(rejection.into()));
                }
            };
            let Some(operation) = this.operation.take() else {
                return Poll::Pending;
            };
            // A panic while the future is made gives the slot back.
            this.running.set(Some(operation()));
            *this.occupied = Some(occupied);
        }
        let Some(running) = this.running.as_mut().as_pin_mut() else {
            return Poll::Pending;
        };
        let result = ready!(running.poll(cx));
        this.running.set(None);
        *this.occupied = None;
        Poll::Ready(result.map_err(W::inner))
    }
}
