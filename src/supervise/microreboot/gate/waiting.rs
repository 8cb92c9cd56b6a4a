//! Waiting outside a shut gate.

use super::config::Idempotence;
use super::control::{Fate, Parked, Place};
use super::machine::{Admitted, Machine};
use super::stripe::Shut;
use crate::kernel::clock::{NoRuntime, Sleep};
use crate::kernel::rejection::Rejection;
use pin_project_lite::pin_project;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// A reboot may take this much longer than the longest of those before it.
const GRACE: Duration = Duration::from_secs(1);

pin_project! {
    /// Waits until the gate is open, as often as it is asked, with one deadline for all of it.
    #[project = WaitingProjection]
    pub(super) struct Waiting<H>
    where
        H: Deref<Target = Machine>,
    {
        handle: H,
        // When the call asked.
        asked: u64,
        // While it waits.
        place: Option<Place>,
        // From the first wait on.
        #[pin]
        deadline: Option<Sleep>,
    }

    impl<H> PinnedDrop for Waiting<H>
    where
        H: Deref<Target = Machine>,
    {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let Some(place) = this.place.take() {
                this.handle.unpark(place);
            }
        }
    }
}

impl<H: Deref<Target = Machine>> Waiting<H> {
    /// `place`: where it waits already.
    pub(super) fn new(handle: H, asked: u64, place: Option<Place>) -> Self {
        Self {
            handle,
            asked,
            place,
            deadline: None,
        }
    }

    pub(super) fn handle(&self) -> &H {
        &self.handle
    }

    /// Goes in, unless the gate was shut again meanwhile.
    pub(super) fn enter(&self) -> Result<Admitted, Shut> {
        self.handle.enter_late(self.asked)
    }

    /// Ready when the gate is open, or the wait is over.
    pub(super) fn poll_open(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Rejection>> {
        let mut this = self.project();
        let machine: &Machine = this.handle;
        let place = match *this.place {
            Some(place) => match machine.look(place, cx.waker()) {
                Fate::Waits => place,
                fate => {
                    *this.place = None;
                    return Poll::Ready(match fate {
                        Fate::Down => Err(machine.refuse(Idempotence::Unknown)),
                        _ => Ok(()),
                    });
                }
            },
            None => match machine.park(cx.waker()) {
                Parked::Open => return Poll::Ready(Ok(())),
                Parked::Refused => {
                    return Poll::Ready(Err(machine.refuse(Idempotence::Idempotent)));
                }
                Parked::Waits(place) => place,
            },
        };
        *this.place = Some(place);
        this.poll_over(cx).map(Err)
    }

    /// Ready when the wait is over, whether the gate is open or not.
    pub(super) fn poll_deadline(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Rejection> {
        self.project().poll_over(cx)
    }
}

impl<H: Deref<Target = Machine>> WaitingProjection<'_, H> {
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<Rejection> {
        let armed = self.deadline.is_some() || self.arm().is_ok();
        let rejection = match self.deadline.as_mut().as_pin_mut() {
            Some(deadline) if armed => {
                ready!(deadline.poll(cx));
                self.handle.refuse(Idempotence::Idempotent)
            }
            _ => self.handle.refuse_no_runtime(),
        };
        if let Some(place) = self.place.take() {
            self.handle.unpark(place);
        }
        Poll::Ready(rejection)
    }

    fn arm(&mut self) -> Result<(), NoRuntime> {
        let machine: &Machine = self.handle;
        let patience = machine.retry_after().unwrap_or_default();
        let deadline = machine.now() + patience.saturating_add(GRACE);
        let sleep = machine.clock.sleep_until(deadline)?;
        self.deadline.set(Some(sleep));
        Ok(())
    }
}
