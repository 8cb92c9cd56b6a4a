//! What broke the breaker once, each as the attempt that did it.
use crate::rig::SECOND;
use backstop::kernel::clock::{Clock, ManualClock};
use backstop::kernel::outcome::{Classifier, Verdict};
use backstop::policy::circuit_breaker::{Mode, State, Window};
use backstop::{CircuitBreaker, CircuitBreakerConfig, CircuitBreakerLayer, Error};
use futures::FutureExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll};
use std::time::Duration;
use tower::{Layer, Service, service_fn};

fn breaker(config: CircuitBreakerConfig) -> (CircuitBreaker, ManualClock) {
    let clock = Clock::manual();
    (
        CircuitBreaker::with_clock("f", config, &clock).unwrap(),
        clock,
    )
}

/// The classifier is cloned after the admission left `Making` and before `Observed` has it.
struct Bomb(std::cell::Cell<u32>);
impl Clone for Bomb {
    fn clone(&self) -> Self {
        let left = self.0.get();
        assert!(left > 0, "a clone that panics");
        Bomb(std::cell::Cell::new(left - 1))
    }
}
impl<T, E> Classifier<T, E> for Bomb {
    fn classify(&self, result: Result<&T, &E>) -> Verdict {
        if result.is_ok() {
            Verdict::success()
        } else {
            Verdict::failure()
        }
    }
}
#[test]
fn g2a_a_classifier_whose_clone_panics_is_a_failed_call() {
    let (breaker, clock) = breaker(CircuitBreakerConfig::consecutive(1));
    breaker.transition_to(State::Open).unwrap();
    clock.advance(60 * SECOND);
    let layer =
        CircuitBreakerLayer::new(breaker.clone()).with_classifier(Bomb(std::cell::Cell::new(1)));
    let mut service = layer.layer(service_fn(|()| async { Ok::<_, Error<()>>(()) }));
    let mut cx = Context::from_waker(futures::task::noop_waker_ref());
    assert!(service.poll_ready(&mut cx).is_ready());
    assert!(catch_unwind(AssertUnwindSafe(|| service.call(()))).is_err());
    let totals = breaker.totals();
    assert_eq!(
        totals.admitted(),
        1,
        "{totals:?}: the call is in no counter; state {:?}",
        breaker.state()
    );
}

#[test]
fn cb10_a_restored_half_open_circuit_is_patient_with_its_probes() {
    let config = CircuitBreakerConfig::default().probes(2);
    let (first, _) = breaker(config.clone());
    first.transition_to(State::Open).unwrap();
    first.transition_to(State::HalfOpen).unwrap();
    let (second, _) = breaker(config);
    second.restore(&first.snapshot()).unwrap();
    let a = second.try_acquire().unwrap();
    let b = second.try_acquire().expect("two probes");
    a.success();
    b.success();
    assert_eq!(second.state(), State::Closed, "{:?}", second.totals());
}

#[test]
fn cb10_a_circuit_restored_open_and_due_is_patient_with_its_probes() {
    let config = CircuitBreakerConfig::default().probes(2);
    let (first, clock) = breaker(config.clone());
    first.transition_to(State::Open).unwrap();
    clock.advance(100 * SECOND);
    let (second, _) = breaker(config);
    second.restore(&first.snapshot()).unwrap();
    let a = second.try_acquire().unwrap();
    let b = second.try_acquire().expect("two probes");
    a.success();
    b.success();
    assert_eq!(second.state(), State::Closed, "{:?}", second.totals());
}

#[test]
fn g4a_the_first_reconfiguration_keeps_failures_in_a_row() {
    let (breaker, _) = breaker(CircuitBreakerConfig::consecutive(5));
    for _ in 0..4 {
        breaker.try_acquire().unwrap().failure();
    }
    breaker
        .reconfigure(CircuitBreakerConfig::consecutive(5).probes(2))
        .unwrap();
    breaker.try_acquire().unwrap().failure();
    assert_eq!(breaker.state(), State::Open);
}

/// An inner service that says once that it is ready, and then that it is broken.
struct Dies(u32);

impl Service<()> for Dies {
    type Response = ();
    type Error = Error<&'static str>;
    type Future = std::future::Ready<Result<(), Error<&'static str>>>;
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0 += 1;
        if self.0 > 1 {
            Poll::Ready(Err(Error::Inner("connection lost")))
        } else {
            Poll::Ready(Ok(()))
        }
    }
    fn call(&mut self, (): ()) -> Self::Future {
        std::future::ready(Ok(()))
    }
}
#[test]
fn cb11a_readiness_from_before_an_outage_is_asked_for_again() {
    let (breaker, clock) = breaker(CircuitBreakerConfig::consecutive(1));
    let mut service = CircuitBreakerLayer::new(breaker.clone()).layer(Dies(0));
    let mut cx = Context::from_waker(futures::task::noop_waker_ref());
    assert!(matches!(service.poll_ready(&mut cx), Poll::Ready(Ok(()))));
    breaker.transition_to(State::Open).unwrap();
    assert!(service.call(()).now_or_never().unwrap().is_err());
    clock.advance(3600 * SECOND);
    assert!(
        matches!(service.poll_ready(&mut cx), Poll::Ready(Err(_))),
        "an hour old readiness"
    );
}

#[test]
fn cb10_a_count_window_of_another_size_keeps_the_newest_calls() {
    let (first, _) = breaker(CircuitBreakerConfig::default().minimum_calls(100));
    (0..10).for_each(|_| first.try_acquire().unwrap().success());
    (0..10).for_each(|_| first.try_acquire().unwrap().failure());
    let five = CircuitBreakerConfig::default()
        .window(Window::count(5))
        .minimum_calls(5);
    let (second, _) = breaker(five);
    second.restore(&first.snapshot()).unwrap();
    let counts = second.snapshot().counts;
    assert_eq!((counts.recorded, counts.failed), (5, 5));
}

#[test]
fn cb7b_a_probe_silent_for_too_long_is_late_though_nobody_else_called() {
    let (breaker, clock) = breaker(CircuitBreakerConfig::consecutive(1).probe_max_wait(SECOND));
    breaker.transition_to(State::Open).unwrap();
    clock.advance(60 * SECOND);
    let probe = breaker.try_acquire().unwrap();
    clock.advance(100 * SECOND);
    probe.success();
    assert_eq!((breaker.state(), breaker.totals().late), (State::Open, 1));
}

#[test]
fn cb7d_the_half_open_limit_holds_though_nobody_else_called() {
    let (breaker, clock) = breaker(CircuitBreakerConfig::consecutive(1).half_open_limit(SECOND));
    breaker.transition_to(State::Open).unwrap();
    clock.advance(60 * SECOND);
    let probe = breaker.try_acquire().unwrap();
    clock.advance(30 * SECOND);
    probe.success();
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn cb11b_cb14b_over_an_unpolled_inner_service_a_disabled_breaker_counts_nothing() {
    let (breaker, _) = breaker(CircuitBreakerConfig::default());
    breaker.force_open();
    let mut service = CircuitBreakerLayer::new(breaker.clone()).layer(Dies(0));
    let mut cx = Context::from_waker(futures::task::noop_waker_ref());
    assert!(service.poll_ready(&mut cx).is_ready());
    breaker.release_force_open();
    breaker.set_mode(Mode::Disabled);
    assert!(service.call(()).now_or_never().unwrap().is_err());
    assert_eq!(
        breaker.totals().rejected(),
        0,
        "while disabled nothing is counted"
    );
}

#[test]
fn cb10_a_restored_open_circuit_is_not_open_for_ever() {
    let (first, _) = breaker(CircuitBreakerConfig::default());
    first.transition_to(State::Open).unwrap();
    let mut snapshot = first.snapshot();
    snapshot.remaining = Some(Duration::MAX);
    let (second, clock) = breaker(CircuitBreakerConfig::default());
    if second.restore(&snapshot).is_ok() {
        clock.advance(Duration::from_secs(86_400));
        assert!(second.try_acquire().is_ok(), "cap and max_hint are 60 s");
    }
}

#[test]
fn g4a_cb2a_a_lower_threshold_is_met_by_the_next_outcome_even_a_success() {
    for window in [Window::count(100), Window::time(10 * SECOND, 10)] {
        let (breaker, _) = breaker(CircuitBreakerConfig::default().window(window));
        (0..30).for_each(|_| breaker.try_acquire().unwrap().success());
        (0..20).for_each(|_| breaker.try_acquire().unwrap().failure());
        let stricter = CircuitBreakerConfig::default()
            .window(window)
            .failure_rate(0.3);
        breaker.reconfigure(stricter).unwrap();
        assert_eq!(
            breaker.state(),
            State::Closed,
            "nothing happens without an outcome"
        );
        breaker.try_acquire().unwrap().success();
        assert_eq!(breaker.state(), State::Open, "20 of 51");
    }
}

#[test]
fn cb10_cb2a_a_restored_window_is_judged_with_the_next_outcome() {
    for window in [Window::count(100), Window::time(10 * SECOND, 10)] {
        let lenient = CircuitBreakerConfig::default()
            .window(window)
            .failure_rate(0.9);
        let (first, _) = breaker(lenient);
        (0..50).for_each(|_| first.try_acquire().unwrap().success());
        (0..60).for_each(|_| first.try_acquire().unwrap().failure());
        let (second, _) = breaker(CircuitBreakerConfig::default().window(window));
        second.restore(&first.snapshot()).unwrap();
        assert_eq!(second.state(), State::Closed);
        second.try_acquire().unwrap().success();
        assert_eq!(second.state(), State::Open);
    }
}
