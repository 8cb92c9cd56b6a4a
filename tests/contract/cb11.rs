//! What the circuit breaker's service promises beyond tower's contract: rule CB11.

use crate::mock::{End, Failed, Mock, Readiness, Request, Stage, Wakes, request};
use backstop::kernel::clock::{Clock, ManualClock};
use backstop::kernel::rejection::{Rejection, RejectionKind};
use backstop::policy::circuit_breaker::{CircuitBreakerService, State};
use backstop::{CircuitBreaker, CircuitBreakerConfig, CircuitBreakerLayer, Error};
use futures::FutureExt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tower::{Layer, Service};

const WAIT: Duration = Duration::from_secs(60);

type Answer = Result<&'static str, Error<Failed>>;

/// A breaker that one failure opens, for exactly a minute, and its service around a mock.
struct Rig {
    breaker: CircuitBreaker,
    clock: ManualClock,
    stage: Arc<Stage>,
    service: CircuitBreakerService<Mock>,
    wakes: Arc<Wakes>,
}

impl Rig {
    fn new(probes: u32) -> Self {
        let clock = Clock::manual();
        let config = CircuitBreakerConfig::consecutive(1).probes(probes);
        let breaker =
            CircuitBreaker::with_clock("cb11", config, &clock).expect("a valid configuration");
        let (mock, stage) = Mock::new();
        Self {
            service: CircuitBreakerLayer::new(breaker.clone()).layer(mock),
            breaker,
            clock,
            stage,
            wakes: Arc::default(),
        }
    }

    fn open(probes: u32) -> Self {
        let rig = Self::new(probes);
        rig.breaker
            .transition_to(State::Open)
            .expect("allowed by hand");
        rig
    }

    fn poll_ready(&mut self) -> Poll<Result<(), Error<Failed>>> {
        self.service
            .poll_ready(&mut Context::from_waker(&self.wakes.waker()))
    }

    #[track_caller]
    fn make_ready(&mut self) {
        assert!(matches!(self.poll_ready(), Poll::Ready(Ok(()))));
    }

    #[track_caller]
    fn fail_to_be_ready(&mut self) {
        let polled = self.poll_ready();
        assert!(matches!(polled, Poll::Ready(Err(Error::Inner(Failed)))));
    }

    fn call(&mut self, end: End) -> Answer {
        let call = self.service.call(request(0, end)).now_or_never();
        call.expect("it ends at once")
    }

    #[track_caller]
    fn rejection(&mut self) -> Rejection {
        match self.call(End::Succeed) {
            Err(Error::Rejected(rejection)) => rejection,
            other => panic!("a rejection was expected, not {other:?}"),
        }
    }
}

#[test]
fn cb11a_an_open_circuit_is_ready_without_asking_and_rejects() {
    let mut rig = Rig::open(1);
    for readiness in [
        Readiness::Pending,
        Readiness::Fail,
        Readiness::Panic,
        Readiness::Ready,
    ] {
        rig.stage.set(readiness);
        rig.make_ready();
        let rejection = rig.rejection();
        assert_eq!(rejection.kind(), RejectionKind::Open);
        assert_eq!(rejection.retry_after(), Some(WAIT));
    }
    // Up to the last moment, and no longer.
    rig.clock
        .advance(WAIT.saturating_sub(Duration::from_nanos(1)));
    rig.stage.set(Readiness::Pending);
    rig.make_ready();
    assert_eq!(rig.rejection().retry_after(), Some(Duration::from_nanos(1)));
    assert_eq!((rig.stage.asked(), rig.stage.calls()), (0, 0));
    rig.clock.advance(Duration::from_nanos(1));
    assert!(rig.poll_ready().is_pending());
    assert_eq!(rig.stage.asked(), 1);
    assert_eq!(rig.wakes.count(), 0);
    assert_eq!(rig.breaker.totals().rejected_open, 5);
}

#[test]
fn cb11a_a_forced_open_circuit_is_ready_without_asking_and_rejects() {
    let mut rig = Rig::new(1);
    let isolation = rig.breaker.isolate();
    rig.stage.set(Readiness::Pending);
    rig.make_ready();
    assert_eq!(rig.rejection().kind(), RejectionKind::ForcedOpen);
    assert_eq!((rig.stage.asked(), rig.stage.calls()), (0, 0));
    drop(isolation);
    assert!(rig.poll_ready().is_pending());
}

#[test]
fn cb11a_a_circuit_that_opens_after_the_service_was_ready_rejects() {
    let mut rig = Rig::new(1);
    rig.make_ready();
    rig.breaker
        .transition_to(State::Open)
        .expect("allowed by hand");
    assert_eq!(rig.rejection().kind(), RejectionKind::Open);
    assert_eq!(rig.stage.calls(), 0);
    // What was ready is still ready, for the call that is admitted.
    rig.breaker.reset();
    rig.make_ready();
    assert!(rig.call(End::Succeed).is_ok());
}

#[test]
fn cb11b_a_call_over_an_inner_service_that_was_not_asked_is_rejected_and_takes_no_place() {
    let mut rig = Rig::open(2);
    rig.make_ready();
    rig.clock.advance(WAIT);
    // Due now, so the breaker admits it; but nobody asked the inner service.
    let rejection = rig.rejection();
    assert_eq!(rejection.kind(), RejectionKind::Open);
    assert_eq!(rejection.retry_after(), Some(Duration::ZERO));
    assert_eq!(rig.stage.calls(), 0);
    assert_eq!(rig.breaker.totals().rejected_open, 1);

    // Both places are free, for probes by other means and for the service itself.
    let first = rig.breaker.try_acquire_owned().expect("a place");
    drop(rig.breaker.try_acquire().expect("a place"));
    rig.make_ready();
    assert_eq!(rig.stage.asked(), 1);
    assert!(rig.call(End::Succeed).is_ok());
    first.success();
    assert_eq!(rig.breaker.state(), State::Closed);
}

#[test]
fn cb11b_so_it_is_in_every_state_and_no_call_is_counted() {
    for prepare in [CircuitBreaker::reset, CircuitBreaker::release_force_open] {
        let mut rig = Rig::new(1);
        rig.breaker.force_open();
        rig.make_ready();
        prepare(&rig.breaker);
        assert_eq!(rig.breaker.state(), State::Closed);
        assert_eq!(rig.rejection().retry_after(), Some(Duration::ZERO));
        let totals = rig.breaker.totals();
        assert_eq!((totals.admitted(), totals.rejected()), (0, 1));
        rig.make_ready();
        assert!(rig.call(End::Succeed).is_ok());
    }
}

#[test]
fn cb11b_a_clone_of_a_ready_service_that_was_not_polled_is_rejected() {
    let mut rig = Rig::new(1);
    rig.make_ready();
    let mut clone = rig.service.clone();
    let answer = clone.call(request(0, End::Succeed)).now_or_never();
    assert!(matches!(answer, Some(Err(Error::Rejected(_)))));
    assert!(rig.call(End::Succeed).is_ok());
}

#[test]
fn cb11c_an_error_of_the_inner_poll_ready_is_a_failure() {
    let mut rig = Rig::new(1);
    rig.stage.set(Readiness::Fail);
    rig.fail_to_be_ready();
    assert_eq!(rig.breaker.totals().failure, 1);
    assert_eq!(rig.breaker.state(), State::Open);
    let trip = rig.breaker.last_trip().expect("it tripped");
    assert_eq!(trip.reason.as_str(), "consecutive");
    // Open now, so it is asked no more.
    rig.make_ready();
    assert_eq!(rig.stage.asked(), 1);
    assert_eq!(rig.rejection().kind(), RejectionKind::Open);
}

#[test]
fn cb11c_in_the_half_open_state_it_takes_a_place_and_fails_it() {
    // Of three probes two must fail to open the circuit again.
    let mut rig = Rig::open(3);
    rig.clock.advance(WAIT);
    rig.stage.set(Readiness::Fail);
    rig.fail_to_be_ready();
    assert_eq!(rig.breaker.state(), State::HalfOpen);
    let counts = rig.breaker.snapshot().counts;
    assert_eq!((counts.recorded, counts.failed), (1, 1));
    let places = [(); 2].map(|()| rig.breaker.try_acquire_owned().expect("a place"));
    let full = rig.breaker.try_acquire().expect_err("three places");
    assert_eq!(full.kind(), RejectionKind::ProbesFull);

    // With no place left there is no call that could have failed.
    rig.fail_to_be_ready();
    assert_eq!(rig.breaker.snapshot().counts.recorded, 1);
    assert_eq!(rig.breaker.totals().failure, 1);
    drop(places);
    rig.fail_to_be_ready();
    assert_eq!(rig.breaker.state(), State::Open);
    let totals = rig.breaker.totals();
    assert_eq!((totals.failure, totals.rejected_probes_full), (2, 1));
}

/// A service that can be neither cloned nor shared.
struct Single(Mock);

impl Service<Request> for Single {
    type Response = &'static str;
    type Error = Error<Failed>;
    type Future = <Mock as Service<Request>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        self.0.call(request)
    }
}

/// Tells whether `T` is `Clone`: the method of the type itself is preferred where its bound holds.
struct Probe<T>(PhantomData<T>);

trait Otherwise {
    fn is_clone(&self) -> bool {
        false
    }
}

impl<T> Otherwise for Probe<T> {}

impl<T: Clone> Probe<T> {
    #[expect(clippy::unused_self, reason = "of the same form as the trait's")]
    fn is_clone(&self) -> bool {
        true
    }
}

#[test]
fn cb11d_the_inner_service_need_not_be_clone() {
    let (mock, stage) = Mock::new();
    let breaker = CircuitBreaker::new("cb11", CircuitBreakerConfig::default()).unwrap();
    let mut service = CircuitBreakerLayer::new(breaker.clone()).layer(Single(mock));
    let wakes = Arc::<Wakes>::default();
    for _ in 0..3 {
        let ready = service.poll_ready(&mut Context::from_waker(&wakes.waker()));
        assert!(matches!(ready, Poll::Ready(Ok(()))));
        let answer = service.call(request(0, End::Succeed)).now_or_never();
        assert!(matches!(answer, Some(Ok("done"))));
    }
    assert_eq!((stage.calls(), breaker.totals().success), (3, 3));
    assert!(!Probe::<CircuitBreakerService<Single>>(PhantomData).is_clone());
    assert!(Probe::<CircuitBreakerService<Mock>>(PhantomData).is_clone());
}
