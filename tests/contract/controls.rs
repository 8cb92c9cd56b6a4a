//! Negative controls: services that break the contract, and the laws that catch them.

use crate::laws;
use crate::mock::{Failed, Mock, MockFuture, Request};
use crate::row::Row;
use backstop::Error;
use backstop::kernel::name::Name;
use backstop::kernel::rejection::{Rejection, RejectionKind};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use tower::Service;

/// What is wrong with a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    ClonesReadiness,
    AsksOnlyOnce,
    DoesNotAsk,
    WakesItselfInPollReady,
    WakesItselfInPoll,
    LosesTheWaker,
    SwallowsErrors,
    RejectsInPollReady,
    TakesCapacityInPollReady,
    LeaksDroppedCalls,
    LeaksPanics,
    PollsAgainAfterTheEnd,
}

const CAPACITY: usize = 16;

/// A limit on the calls at once, written to have one flaw.
#[derive(Debug)]
struct Flawed {
    inner: Mock,
    flaw: Flaw,
    is_ready: bool,
    holds_place: bool,
    running: Arc<AtomicUsize>,
}

impl Flawed {
    fn try_take(&self) -> bool {
        let taken = self.running.fetch_add(1, Ordering::Relaxed) < CAPACITY;
        if !taken {
            self.running.fetch_sub(1, Ordering::Relaxed);
        }
        taken
    }
}

impl Clone for Flawed {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            flaw: self.flaw,
            is_ready: self.is_ready && self.flaw == Flaw::ClonesReadiness,
            holds_place: false,
            running: self.running.clone(),
        }
    }
}

impl Service<Request> for Flawed {
    type Response = &'static str;
    type Error = Error<Failed>;
    type Future = FlawedFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        match self.flaw {
            Flaw::DoesNotAsk => return Poll::Ready(Ok(())),
            Flaw::ClonesReadiness | Flaw::AsksOnlyOnce if self.is_ready => {
                return Poll::Ready(Ok(()));
            }
            Flaw::WakesItselfInPollReady => cx.waker().wake_by_ref(),
            Flaw::TakesCapacityInPollReady if !self.holds_place => {
                self.holds_place = self.try_take();
            }
            Flaw::RejectsInPollReady if self.running.load(Ordering::Relaxed) == CAPACITY => {
                return Poll::Ready(Err(full().into()));
            }
            _ => {}
        }
        match self.inner.poll_ready(cx) {
            Poll::Ready(Err(_)) if self.flaw == Flaw::SwallowsErrors => Poll::Ready(Ok(())),
            polled => {
                self.is_ready = matches!(polled, Poll::Ready(Ok(())));
                polled
            }
        }
    }

    fn call(&mut self, request: Request) -> FlawedFuture {
        self.is_ready = self.flaw == Flaw::AsksOnlyOnce;
        let takes_later = self.flaw != Flaw::TakesCapacityInPollReady;
        if !(std::mem::take(&mut self.holds_place) || takes_later && self.try_take()) {
            return FlawedFuture {
                flaw: self.flaw,
                call: None,
                place: None,
            };
        }
        let mut place = Place(Some(self.running.clone()));
        if self.flaw == Flaw::LeaksPanics {
            let kept = place.0.take();
            let future = self.inner.call(request);
            return FlawedFuture {
                flaw: self.flaw,
                call: Some(Box::pin(future)),
                place: Some(Place(kept)),
            };
        }
        FlawedFuture {
            flaw: self.flaw,
            call: Some(Box::pin(self.inner.call(request))),
            place: Some(place),
        }
    }
}

impl Drop for Flawed {
    fn drop(&mut self) {
        if self.holds_place {
            self.running.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn full() -> Rejection {
    Rejection::new("flawed", Name::from("flawed"), RejectionKind::Full)
}

/// A place among the running calls.
#[derive(Debug)]
struct Place(Option<Arc<AtomicUsize>>);

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(running) = self.0.take() {
            running.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[derive(Debug)]
struct FlawedFuture {
    flaw: Flaw,
    /// None if it is rejected.
    call: Option<Pin<Box<MockFuture>>>,
    place: Option<Place>,
}

impl Future for FlawedFuture {
    type Output = Result<&'static str, Error<Failed>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let flaw = self.flaw;
        let Some(call) = &mut self.call else {
            return Poll::Ready(Err(full().into()));
        };
        let polled = match flaw {
            Flaw::LosesTheWaker => {
                let waker = futures::task::noop_waker();
                call.as_mut().poll(&mut Context::from_waker(&waker))
            }
            _ => call.as_mut().poll(cx),
        };
        match (flaw, &polled) {
            (Flaw::WakesItselfInPoll, Poll::Pending) => cx.waker().wake_by_ref(),
            (Flaw::PollsAgainAfterTheEnd, Poll::Ready(_)) => return call.as_mut().poll(cx),
            (_, Poll::Ready(_)) => drop(self.place.take()),
            (_, Poll::Pending) => {}
        }
        polled
    }
}

impl Drop for FlawedFuture {
    fn drop(&mut self) {
        if self.flaw == Flaw::LeaksDroppedCalls {
            if let Some(place) = &mut self.place {
                place.0 = None;
            }
        }
    }
}

type Law = fn(&Row<Flawed>);

const LAWS: [Law; 11] = [
    laws::a_call_ends_as_the_inner_one,
    laws::a_call_can_be_dropped_at_any_poll,
    laws::calls_interleave,
    laws::a_clone_is_polled_itself,
    laws::readiness_is_kept,
    laws::an_inner_service_that_is_not_ready_is_waited_for,
    laws::an_inner_service_that_fails_in_poll_ready_is_heard,
    laws::a_panic_within_leaks_nothing,
    laws::a_rejection_is_an_outcome_of_call,
    laws::an_idle_ready_clone_holds_no_capacity,
    laws::counters_are_exact_after_a_bad_day,
];

/// Whether a service with this flaw obeys the law.
fn obeys(law: Law, flaw: Flaw) -> bool {
    let running = Arc::<AtomicUsize>::default();
    let make = move |inner, running: &Arc<AtomicUsize>| Flawed {
        inner,
        flaw,
        is_ready: false,
        holds_place: false,
        running: running.clone(),
    };
    let taken = Arc::new(AtomicUsize::new(CAPACITY));
    let row = Row::new(move |mock| make(mock, &running))
        .refusing(move |mock| make(mock, &taken))
        .capacity(|_| CAPACITY);
    catch_unwind(AssertUnwindSafe(|| law(&row))).is_ok()
}

#[test]
fn a_sound_service_obeys_all_laws() {
    for (number, law) in LAWS.into_iter().enumerate() {
        assert!(obeys(law, Flaw::None), "law {number}");
    }
}

#[test]
fn each_flaw_is_caught_by_its_law() {
    let caught: [(Flaw, Law); 12] = [
        (Flaw::ClonesReadiness, laws::a_clone_is_polled_itself),
        (Flaw::AsksOnlyOnce, laws::readiness_is_kept),
        (Flaw::DoesNotAsk, laws::readiness_is_kept),
        (
            Flaw::WakesItselfInPollReady,
            laws::an_inner_service_that_is_not_ready_is_waited_for,
        ),
        (Flaw::WakesItselfInPoll, laws::a_call_ends_as_the_inner_one),
        (Flaw::LosesTheWaker, laws::a_call_ends_as_the_inner_one),
        (
            Flaw::SwallowsErrors,
            laws::an_inner_service_that_fails_in_poll_ready_is_heard,
        ),
        (
            Flaw::RejectsInPollReady,
            laws::a_rejection_is_an_outcome_of_call,
        ),
        (
            Flaw::TakesCapacityInPollReady,
            laws::an_idle_ready_clone_holds_no_capacity,
        ),
        (
            Flaw::LeaksDroppedCalls,
            laws::a_call_can_be_dropped_at_any_poll,
        ),
        (Flaw::LeaksPanics, laws::a_panic_within_leaks_nothing),
        (
            Flaw::PollsAgainAfterTheEnd,
            laws::a_call_ends_as_the_inner_one,
        ),
    ];
    for (flaw, law) in caught {
        assert!(!obeys(law, flaw), "{flaw:?} was not caught");
    }
}
