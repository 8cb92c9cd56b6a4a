//! When a closed circuit opens: windows, rates, minimum, slow calls, buckets of time.

use crate::rig::{MS, Rig, SECOND, config};
use backstop::kernel::outcome::Verdict;
use backstop::policy::circuit_breaker::{DroppedCalls, Reason, State, Window};
use backstop::{CircuitBreaker, CircuitBreakerConfig};
use std::time::Duration;

#[test]
fn cb1a_any_of_window_and_consecutive_failures_trips() {
    let by_count = Rig::new(config().window(Window::count(20)));
    by_count.succeed(10);
    by_count.fail(10);
    assert_eq!(by_count.state(), State::Open);

    let by_time = Rig::new(config().window(Window::time(10 * SECOND, 10)));
    by_time.succeed(10);
    by_time.fail(10);
    assert_eq!(by_time.state(), State::Open);

    for window in [Window::none(), Window::count(100), Window::time(SECOND, 10)] {
        let in_a_row = Rig::new(config().window(window).consecutive_failures(3));
        in_a_row.fail(2);
        in_a_row.succeed(1);
        in_a_row.fail(2);
        assert_eq!(in_a_row.state(), State::Closed);
        in_a_row.fail(1);
        assert_eq!(in_a_row.state(), State::Open);
        let trip = in_a_row.breaker.last_trip().unwrap();
        assert_eq!(trip.reason, Reason::Consecutive(3));
    }
}

#[test]
fn cb1a_a_success_that_leaves_a_dirty_window_as_it_was_ends_a_row_of_failures() {
    let rig = Rig::new(
        config()
            .window(Window::count(8))
            .minimum_calls(8)
            .failure_rate(0.9)
            .consecutive_failures(2),
    );
    rig.fail(1);
    rig.succeed(7);
    // Full: a failure pushes out a failure, and a success a success.
    rig.fail(1);
    rig.succeed(1);
    assert_eq!(rig.counts().failed, 1);
    rig.fail(1);
    assert_eq!(rig.state(), State::Closed, "one in a row");
    rig.fail(1);
    assert_eq!(rig.state(), State::Open);
    assert_eq!(rig.breaker.totals().success, 8);
    assert_eq!(rig.breaker.totals().failure, 4);
}

#[test]
fn cb2a_a_success_that_leaves_the_window_as_it_was_is_judged_by_new_rules() {
    let rules = config().window(Window::count(10)).minimum_calls(10);
    let rig = Rig::new(rules.clone());
    rig.succeed(9);
    rig.fail(1);
    rig.breaker.reconfigure(rules.failure_rate(0.1)).unwrap();
    assert_eq!((rig.counts().failed, rig.state()), (1, State::Closed));
    rig.succeed(1);
    assert_eq!(rig.state(), State::Open, "1 of 10, as before");
}

#[test]
fn cb1b_the_defaults() {
    let rig = Rig::new(CircuitBreakerConfig::default());
    rig.fail(19);
    assert_eq!(rig.state(), State::Closed, "below the minimum of 20");
    rig.fail(1);
    assert_eq!(rig.state(), State::Open);

    let rig = Rig::new(CircuitBreakerConfig::default());
    rig.succeed(51);
    rig.fail(49);
    assert_eq!(rig.counts().recorded, 100);
    assert_eq!(rig.state(), State::Closed, "49 of 100");
    // The 101st call pushes out a success: 50 of 100.
    rig.fail(1);
    assert_eq!(rig.counts().recorded, 0, "opened, so the window began anew");
    assert_eq!(rig.breaker.last_trip().unwrap().counts.recorded, 100);
    assert_eq!(rig.breaker.last_trip().unwrap().counts.failed, 50);

    let rig = Rig::new(CircuitBreakerConfig::default());
    (0..200).for_each(|_| rig.take(3600 * SECOND));
    assert_eq!(rig.state(), State::Closed, "nothing is slow by default");
}

#[test]
fn cb1c_the_minimum_does_not_apply_to_failures_in_a_row() {
    let rig = Rig::new(config().minimum_calls(100).consecutive_failures(5));
    rig.fail(5);
    assert_eq!(rig.state(), State::Open);
}

/// Field and value that a refused configuration names.
#[track_caller]
fn refused(config: CircuitBreakerConfig) -> (&'static str, String) {
    let error = CircuitBreaker::new("x", config).expect_err("refused");
    assert!(!error.allowed().is_empty());
    let text = error.to_string();
    assert!(
        text.contains(error.field()) && text.contains(error.value()),
        "{text}"
    );
    (error.field(), error.value().to_owned())
}

#[test]
fn cb1d_g6_what_cannot_be_is_refused_by_name() {
    let base = CircuitBreakerConfig::default;
    let time = |span, buckets| refused(base().window(Window::time(span, buckets)));
    assert_eq!(
        refused(base().window(Window::count(10)).minimum_calls(11)),
        ("minimum_calls", "11".into())
    );
    assert_eq!(time(9 * MS, 1), ("window.time", "9ms".into()));
    assert_eq!(time(105 * MS, 10), ("window.time", "105ms".into()));
    assert_eq!(time(Duration::from_micros(10_500), 1).0, "window.time");
    assert_eq!(time(25 * 3600 * SECOND, 10).0, "window.time");
    assert_eq!(time(Duration::MAX, 10).0, "window.time");
    assert_eq!(time(SECOND, 0), ("window.buckets", "0".into()));
    assert_eq!(time(61 * SECOND, 61).0, "window.buckets");
    assert_eq!(refused(base().window(Window::count(0))).0, "window.count");
    assert_eq!(
        refused(base().window(Window::count(1_000_001))).0,
        "window.count"
    );
    assert_eq!(
        refused(base().minimum_calls(0)),
        ("minimum_calls", "0".into())
    );
    assert_eq!(
        refused(base().consecutive_failures(0)).0,
        "consecutive_failures"
    );
    assert_eq!(refused(base().probes(0)), ("probes", "0".into()));
    assert_eq!(refused(base().probes(10_001)).0, "probes");
    for bad in [f64::NAN, f64::INFINITY, -0.5, 0.0, 1.000_01] {
        assert_eq!(refused(base().failure_rate(bad)).0, "failure_rate");
        assert_eq!(refused(base().slow_calls(SECOND, bad)).0, "slow_call_rate");
    }
    assert_eq!(
        refused(base().slow_calls(Duration::ZERO, 0.5)).0,
        "slow_call_limit"
    );
    for bad in [f64::NAN, -0.1, 1.1] {
        assert_eq!(refused(base().open_wait_jitter(bad)).0, "open_wait.jitter");
    }
    assert_eq!(
        refused(base().open_wait(Duration::ZERO, 2.0, SECOND)).0,
        "open_wait.base"
    );
    assert_eq!(
        refused(base().open_wait(SECOND, 0.9, SECOND)).0,
        "open_wait.factor"
    );
    assert_eq!(
        refused(base().open_wait(SECOND, f64::NAN, SECOND)).0,
        "open_wait.factor"
    );
    assert_eq!(
        refused(base().open_wait(SECOND, 2.0, MS)).0,
        "open_wait.cap"
    );
    assert_eq!(refused(base().max_hint(Duration::ZERO)).0, "max_hint");
    assert_eq!(
        refused(base().probe_max_wait(Duration::ZERO)).0,
        "probe_max_wait"
    );
    assert_eq!(
        refused(base().half_open_limit(Duration::ZERO)).0,
        "half_open_limit"
    );
    assert_eq!(refused(base().without_failure_rate()).0, "window");
    assert_eq!(refused(base().window(Window::none())).0, "window");
    assert_eq!(
        refused(base().dropped_calls(DroppedCalls::FailureIfSlow)).0,
        "dropped_calls"
    );
}

#[test]
fn cb2a_a_success_trips_when_it_completes_the_minimum() {
    for window in [Window::count(100), Window::time(10 * SECOND, 10)] {
        let rig = Rig::new(config().window(window).minimum_calls(4));
        rig.fail(3);
        assert_eq!(rig.state(), State::Closed);
        rig.succeed(1);
        assert_eq!(rig.state(), State::Open);
    }
}

#[test]
fn cb2a_a_success_trips_when_older_successes_expire() {
    let rig = Rig::new(
        config()
            .window(Window::time(10 * SECOND, 10))
            .minimum_calls(4),
    );
    rig.succeed(10);
    rig.clock.advance(5 * SECOND);
    rig.fail(5);
    assert_eq!(rig.state(), State::Closed, "5 of 15");
    rig.clock.advance(5 * SECOND);
    rig.succeed(1);
    assert_eq!(rig.state(), State::Open, "5 of 6");
}

#[test]
fn cb2a_exactly_the_threshold_trips_and_one_below_does_not() {
    let rig = Rig::new(config().failure_rate(0.29).minimum_calls(100));
    rig.succeed(72);
    rig.fail(28);
    assert_eq!(rig.state(), State::Closed);
    // The oldest success leaves.
    rig.fail(1);
    assert_eq!(rig.state(), State::Open);
}

#[test]
fn cb2b_with_failures_only_a_success_never_trips() {
    for window in [Window::count(100), Window::time(10 * SECOND, 10)] {
        let rig = Rig::new(config().window(window).minimum_calls(4).failures_only(true));
        rig.fail(3);
        rig.succeed(1);
        assert_eq!(rig.state(), State::Closed);
        rig.fail(1);
        assert_eq!(rig.state(), State::Open);
    }
}

#[test]
fn cb3a_g3_slow_is_longer_than_the_limit_from_admission_on() {
    for window in [Window::count(4), Window::time(3600 * SECOND, 1)] {
        let slow = config()
            .window(window)
            .minimum_calls(4)
            .slow_calls(SECOND, 0.5);
        let rig = Rig::new(slow);
        (0..3).for_each(|_| rig.take(SECOND));
        assert_eq!(rig.counts().slow, 0, "the limit itself is not slow");
        rig.take(SECOND + Duration::from_nanos(1));
        assert_eq!(rig.counts().slow, 1);
        assert_eq!(rig.breaker.totals().slow, 1);
        // In the window of four: 2 of the last 4; in the hour: 4 of 8.
        while rig.state() == State::Closed {
            rig.take(2 * SECOND);
        }
        assert_eq!(rig.state(), State::Open);
        assert!(matches!(
            rig.breaker.last_trip().unwrap().reason,
            Reason::SlowRate(_)
        ));
    }
}

#[test]
fn cb3b_the_two_rates_are_independent() {
    let both = config().minimum_calls(10).slow_calls(SECOND, 0.5);
    let rig = Rig::new(both.clone());
    // 4 failed and 4 slow of 10: neither reaches a half, though 8 are bad.
    rig.fail(4);
    (0..4).for_each(|_| rig.take(2 * SECOND));
    rig.succeed(2);
    assert_eq!(rig.state(), State::Closed);
    let counts = rig.counts();
    assert_eq!((counts.failed, counts.slow, counts.recorded), (4, 4, 10));

    let rig = Rig::new(both);
    // A call can be both.
    rig.succeed(5);
    for _ in 0..5 {
        let permit = rig.breaker.try_acquire().unwrap();
        rig.clock.advance(2 * SECOND);
        permit.failure();
    }
    let trip = rig.breaker.last_trip().unwrap();
    assert_eq!((trip.counts.failed, trip.counts.slow), (5, 5));

    let slow_only = config().without_failure_rate().slow_calls(SECOND, 0.5);
    let rig = Rig::new(slow_only);
    rig.fail(100);
    assert_eq!(rig.state(), State::Closed);
}

fn timed() -> Rig {
    let window = Window::time(10 * SECOND, 10);
    Rig::new(config().window(window).minimum_calls(1_000))
}

#[test]
fn cb4a_buckets_begin_at_the_first_outcome_after_creation_or_reset() {
    let rig = timed();
    rig.clock.advance(700 * MS);
    for start in 0..2 {
        rig.succeed(1);
        // In the same bucket up to its very end, and out with it ten buckets later.
        rig.clock.advance(SECOND - Duration::from_nanos(1));
        rig.succeed(1);
        rig.clock.advance(9 * SECOND);
        assert_eq!(rig.counts().recorded, 2, "round {start}");
        rig.clock.advance(Duration::from_nanos(1));
        assert_eq!(rig.counts().recorded, 0, "round {start}");
        rig.clock.advance(345 * MS);
        rig.breaker.reset();
        rig.clock.advance(120 * MS);
    }
}

#[test]
fn cb4b_an_outcome_exactly_one_window_old_is_out() {
    let rig = timed();
    rig.succeed(1);
    rig.clock.advance(10 * SECOND - Duration::from_nanos(1));
    assert_eq!(rig.counts().recorded, 1);
    rig.clock.advance(Duration::from_nanos(1));
    assert_eq!(rig.counts().recorded, 0);
}

#[test]
fn cb4c_it_slides_and_any_gap_is_passed_at_once() {
    let rig = timed();
    for second in 1..=30_u64 {
        rig.succeed(1);
        assert_eq!(rig.counts().recorded, second.min(10), "one call a second");
        rig.clock.advance(SECOND);
    }
    for gap in [11, 1_000, 100_000_000, 5_000_000_000] {
        rig.clock.advance(Duration::from_secs(gap));
        assert_eq!(rig.counts().recorded, 0);
        rig.succeed(3);
        assert_eq!(rig.counts().recorded, 3);
    }
    assert_eq!(rig.breaker.totals().success, 30 + 4 * 3);
}

#[test]
fn cb4d_a_clock_that_steps_back_un_expires_nothing() {
    let rig = timed();
    rig.fail(5);
    rig.clock.advance(20 * SECOND);
    rig.succeed(1);
    assert_eq!(rig.counts().recorded, 1);
    rig.clock.step_back(19 * SECOND);
    assert_eq!(rig.counts().recorded, 1, "the five are not back");
    rig.succeed(1);
    assert_eq!(rig.counts().recorded, 2);

    // Nor does it open, close, or make due.
    let rig = Rig::new(config());
    rig.trip_and_wait();
    rig.clock.step_back(SECOND);
    assert_eq!(rig.rejection().retry_after(), Some(SECOND));
    rig.clock.advance(SECOND);
    rig.record(Verdict::success());
    assert_eq!(rig.state(), State::HalfOpen);
    rig.clock.step_back(3600 * SECOND);
    rig.record(Verdict::success());
    assert_eq!(rig.state(), State::HalfOpen);
    rig.succeed(1);
    assert_eq!(rig.state(), State::Closed);
}

#[test]
fn cb4a_looking_at_a_window_before_its_first_outcome_changes_nothing() {
    let rig = timed();
    for _ in 0..3 {
        assert_eq!(rig.counts().recorded, 0);
        rig.clock.advance(3600 * SECOND);
    }
    rig.succeed(2);
    rig.clock.advance(10 * SECOND);
    assert_eq!(rig.counts().recorded, 0, "it slides");
}

#[test]
fn cb4a_buckets_are_aligned_anew_although_the_clock_is_behind_the_first_outcome_ever() {
    let rig = timed();
    rig.succeed(1);
    rig.clock.step_back(2_400 * MS);
    rig.breaker.reset();
    rig.succeed(1);
    // Buckets now begin 0.6 s after each full second of the first alignment. The newest one seen
    // began at -0.4 s, so the outcome is out ten boundaries later, at 9.6 s.
    rig.clock
        .advance(2_400 * MS + 9_600 * MS - Duration::from_nanos(1));
    assert_eq!(rig.counts().recorded, 1);
    rig.clock.advance(Duration::from_nanos(1));
    assert_eq!(rig.counts().recorded, 0);
}
