//! Open and half-open: waits, hints, probes, verdicts.

use crate::rig::{MS, Rig, SECOND, config};
use backstop::CircuitBreakerConfig;
use backstop::kernel::clock::Clock;
use backstop::kernel::outcome::Verdict;
use backstop::kernel::rejection::{Facts, RejectionKind};
use backstop::policy::circuit_breaker::{EventKind, ProbeDecision, Reason, State, Window};
use std::time::Duration;

fn no_growth() -> CircuitBreakerConfig {
    config().open_wait(5 * SECOND, 1.0, 5 * SECOND)
}

#[test]
fn cb5a_an_open_circuit_is_due_at_its_end_and_the_next_call_decides() {
    let rig = Rig::new(config());
    rig.trip();
    rig.clock.advance(5 * SECOND - Duration::from_nanos(1));
    assert!(rig.rejects(RejectionKind::Open));
    rig.clock.advance(Duration::from_nanos(1));
    assert_eq!(rig.state(), State::Open, "reading decides nothing");
    rig.succeed(1);
    assert_eq!(rig.state(), State::HalfOpen);

    let mut rig = Rig::new(config().auto_half_open(true));
    rig.trip();
    rig.clock.advance(5 * SECOND - Duration::from_nanos(1));
    assert_eq!(rig.state(), State::Open);
    rig.clock.advance(Duration::from_nanos(1));
    assert_eq!(
        rig.states(),
        [State::Open],
        "without a look nothing happens"
    );
    assert_eq!(rig.state(), State::HalfOpen);
    assert_eq!(rig.breaker.snapshot().state, State::HalfOpen);
    assert_eq!(rig.states(), [State::HalfOpen]);
}

#[test]
fn cb5b_waits_grow_up_to_the_cap_and_begin_anew_after_closing() {
    let rig = Rig::new(config().probes(1));
    for expected in [5, 10, 20, 40, 60, 60] {
        rig.trip_if_closed();
        let wait = rig.rejection().retry_after().unwrap();
        assert_eq!(wait, expected * SECOND);
        rig.clock.advance(wait);
        rig.fail(1);
    }
    rig.clock.advance(60 * SECOND);
    rig.succeed(1);
    assert_eq!(rig.state(), State::Closed);
    rig.trip();
    assert_eq!(rig.rejection().retry_after(), Some(5 * SECOND));
}

impl Rig {
    fn trip_if_closed(&self) {
        if self.state() == State::Closed {
            self.trip();
        }
    }
}

#[test]
fn cb5b_jitter_stays_in_its_range_and_follows_the_seed() {
    let waits = |seed| -> Vec<Duration> {
        let rig = Rig::new(
            no_growth()
                .open_wait(5 * SECOND, 1.0, 60 * SECOND)
                .open_wait_jitter(0.1)
                .seed(seed),
        );
        (0..50)
            .map(|_| {
                rig.trip();
                let wait = rig.rejection().retry_after().unwrap();
                rig.breaker.reset();
                wait
            })
            .collect()
    };
    let first = waits(1);
    assert!(
        first
            .iter()
            .all(|wait| (4500 * MS..=5500 * MS).contains(wait)),
        "{first:?}"
    );
    assert!(
        first
            .iter()
            .max()
            .unwrap()
            .saturating_sub(*first.iter().min().unwrap())
            > 500 * MS
    );
    assert_eq!(first, waits(1));
    assert_ne!(first, waits(2));
}

#[test]
fn cb5b_an_endless_row_of_openings_saturates() {
    let rig = Rig::new(
        config()
            .probes(1)
            .open_wait(SECOND, 1_000_000.0, Duration::MAX),
    );
    rig.trip();
    let mut openings = 0;
    while openings < 100 {
        match rig.breaker.try_acquire() {
            Ok(probe) => {
                probe.failure();
                openings += 1;
            }
            Err(rejection) => rig.clock.advance(rejection.retry_after().unwrap()),
        }
    }
    assert_eq!(rig.state(), State::Open);
}

#[test]
fn cb5c_a_hint_replaces_the_wait() {
    let hinted = |hint: Duration| {
        let rig = Rig::new(config());
        rig.fail(19);
        rig.record(Verdict::failure().with_hint(hint));
        rig.rejection().retry_after().unwrap()
    };
    assert_eq!(hinted(17 * SECOND), 17 * SECOND);
    assert_eq!(hinted(MS), MS);
    assert_eq!(hinted(3600 * SECOND), 60 * SECOND, "at most max_hint");
    assert_eq!(hinted(Duration::MAX), 60 * SECOND);
    assert_eq!(hinted(Duration::ZERO), 5 * SECOND, "zero says nothing");

    // Only the outcome that opens the circuit is asked, a probe's included.
    let rig = Rig::new(config().probes(1));
    rig.record(Verdict::failure().with_hint(17 * SECOND));
    rig.trip_and_wait();
    rig.record(Verdict::failure().with_hint(7 * SECOND));
    assert_eq!(rig.rejection().retry_after(), Some(7 * SECOND));
}

#[test]
fn cb5d_retry_after_is_exact_on_a_manual_clock() {
    let rig = Rig::new(no_growth());
    rig.trip();
    for left in (1..=5).rev() {
        assert_eq!(rig.rejection().retry_after(), Some(left * SECOND));
        rig.clock.advance(SECOND);
    }
    let probes: Vec<_> = (0..5).map(|_| rig.breaker.try_acquire().unwrap()).collect();
    let full = rig.rejection();
    assert_eq!(
        (full.kind(), full.retry_after()),
        (RejectionKind::ProbesFull, None)
    );
    drop(probes);
    rig.breaker.force_open();
    let forced = rig.rejection();
    assert_eq!(
        (forced.kind(), forced.retry_after()),
        (RejectionKind::ForcedOpen, None)
    );
}

#[test]
fn cb5d_who_waits_as_told_on_a_coarse_clock_is_not_told_again() {
    let grain = 4 * MS;
    let mut rng = fastrand::Rng::with_seed(5);
    for _ in 0..2_000 {
        let rig = Rig::on(Clock::manual_with_grain(grain), no_growth());
        let mut advance = |most| {
            let by = Duration::from_nanos(rng.u64(..most));
            rig.clock.advance(by);
            by
        };
        advance(1_000_000_000);
        rig.trip();
        let since_opening = advance(4_999_999_999);
        let left = 5 * SECOND - since_opening;
        let told = rig.rejection().retry_after().unwrap();
        assert!(
            (left..=left + grain).contains(&told),
            "{told:?} for {left:?}"
        );
        rig.clock.advance(told);
        rig.succeed(1);
        assert_eq!(rig.state(), State::HalfOpen);
    }
}

#[test]
fn cb5a_on_a_coarse_clock_it_is_not_due_early() {
    let rig = Rig::on(Clock::manual_with_grain(4 * MS), no_growth());
    rig.clock.advance(3 * MS);
    rig.trip();
    rig.clock.advance(5 * SECOND - Duration::from_nanos(1));
    assert!(rig.rejects(RejectionKind::Open));
    rig.clock.advance(Duration::from_nanos(1));
    rig.succeed(1);
}

#[test]
fn cb5d_a_rejection_tells_the_numbers_and_the_cause() {
    let rig = Rig::new(config().window(Window::count(40)));
    rig.succeed(10);
    rig.fail(9);
    rig.record(
        Verdict::failure().with_cause(std::sync::Arc::new(std::io::Error::other("boom"))
            as std::sync::Arc<dyn std::error::Error + Send + Sync>),
    );
    let rejection = rig.rejection();
    assert_eq!(
        rejection.facts(),
        Facts::FailureRate {
            failed: 10,
            recorded: 20
        }
    );
    assert_eq!(rejection.cause().unwrap().to_string(), "boom");
    assert_eq!(
        rig.breaker.last_trip().unwrap().cause.unwrap().to_string(),
        "boom"
    );
    rig.clock.advance(5 * SECOND);
    rig.fail(3);
    let rejection = rig.rejection();
    assert_eq!(
        rejection.facts(),
        Facts::Probes {
            bad: 3,
            recorded: 3
        }
    );
    assert!(
        rejection.cause().is_none(),
        "the cause of an older opening is gone"
    );
}

/// Sends all probes, then answers them: the state after each answer.
fn answers(config: CircuitBreakerConfig, good: &[bool]) -> Vec<State> {
    let rig = Rig::new(config);
    rig.trip_and_wait();
    let permits: Vec<_> = good
        .iter()
        .map(|_| rig.breaker.try_acquire().unwrap())
        .collect();
    permits
        .into_iter()
        .zip(good)
        .map(|(permit, good)| {
            if *good {
                permit.success();
            } else {
                permit.failure();
            }
            rig.state()
        })
        .collect()
}

#[test]
fn cb6a_cb6b_the_verdict_falls_as_soon_as_it_is_certain() {
    use State::{Closed, HalfOpen, Open};
    let five = config().probes(5);
    assert_eq!(
        answers(five.clone(), &[true, true, true]),
        [HalfOpen, HalfOpen, Closed]
    );
    assert_eq!(
        answers(five.clone(), &[false, false, false]),
        [HalfOpen, HalfOpen, Open]
    );
    assert_eq!(
        answers(five, &[false, true, false, true, true]),
        [HalfOpen, HalfOpen, HalfOpen, HalfOpen, Closed],
        "2 of 5 is below a half"
    );
    assert_eq!(
        answers(config().probes(4), &[false, true, false, true]),
        [HalfOpen, HalfOpen, Open, Open],
        "2 of 4 is a half"
    );
    let all = config().probes(3).probe_decision(ProbeDecision::All);
    assert_eq!(
        answers(all.clone(), &[true, true, true]),
        [HalfOpen, HalfOpen, Closed]
    );
    assert_eq!(
        answers(all.clone(), &[false, false, true]),
        [HalfOpen, HalfOpen, Open]
    );
    assert_eq!(
        answers(all, &[false, true, true]),
        [HalfOpen, HalfOpen, Closed]
    );
}

#[test]
fn cb6a_every_tally_of_probes_gives_the_verdict_of_the_rule() {
    for probes in 1..=6_u32 {
        for outcomes in 0..1_u32 << probes {
            for rate in [0.2, 0.5, 1.0] {
                let rig = Rig::new(config().failure_rate(rate).probes(probes));
                rig.trip_and_wait();
                for probe in 0..probes {
                    if let Ok(permit) = rig.breaker.try_acquire() {
                        if outcomes >> probe & 1 == 1 {
                            permit.failure();
                        } else {
                            permit.success();
                        }
                    }
                    if rig.state() != State::HalfOpen {
                        break;
                    }
                }
                // The verdict is the one that all probes together would give.
                let closes = f64::from(outcomes.count_ones()) < rate * f64::from(probes);
                let expected = if closes { State::Closed } else { State::Open };
                assert_eq!(rig.state(), expected, "{outcomes:b} of {probes} at {rate}");
            }
        }
    }
}

#[test]
fn cb6a_slow_probes_open_it_too() {
    let rig = Rig::new(config().probes(2).slow_calls(SECOND, 0.5));
    rig.trip_and_wait();
    rig.take(2 * SECOND);
    assert_eq!(rig.state(), State::Open);
    assert_eq!(rig.breaker.totals().slow, 1);
}

#[test]
fn cb6c_no_more_probes_than_n_are_out() {
    let rig = Rig::new(config().probes(3));
    rig.trip_and_wait();
    let first = rig.breaker.try_acquire().unwrap();
    let second = rig.breaker.try_acquire().unwrap();
    let third = rig.breaker.try_acquire().unwrap();
    assert!(rig.rejects(RejectionKind::ProbesFull));
    first.failure();
    assert!(
        rig.rejects(RejectionKind::ProbesFull),
        "an answered probe is not sent again"
    );
    second.ignore();
    let fourth = rig.breaker.try_acquire().unwrap();
    assert!(rig.rejects(RejectionKind::ProbesFull));
    drop((third, fourth));
    assert_eq!(rig.breaker.totals().rejected_probes_full, 3);
}

#[test]
fn cb6c_at_most_n_probes_run_under_64_threads_at_the_instant_of_opening() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    for _ in 0..20 {
        let rig = Rig::new(config().probes(5).probe_decision(ProbeDecision::All));
        rig.trip_and_wait();
        let (running, most, admitted) = (
            AtomicUsize::new(0),
            AtomicUsize::new(0),
            AtomicUsize::new(0),
        );
        let (barrier, all_asked) = (std::sync::Barrier::new(64), std::sync::Barrier::new(64));
        std::thread::scope(|scope| {
            for _ in 0..64 {
                scope.spawn(|| {
                    barrier.wait();
                    let permit = rig.breaker.try_acquire().ok();
                    if permit.is_some() {
                        admitted.fetch_add(1, Ordering::SeqCst);
                        most.fetch_max(
                            running.fetch_add(1, Ordering::SeqCst) + 1,
                            Ordering::SeqCst,
                        );
                    }
                    all_asked.wait();
                    if let Some(permit) = permit {
                        running.fetch_sub(1, Ordering::SeqCst);
                        permit.success();
                    }
                });
            }
        });
        assert_eq!(most.into_inner(), 5);
        assert_eq!(admitted.into_inner(), 5);
        assert_eq!(rig.state(), State::Closed);
        assert_eq!(rig.breaker.totals().rejected_probes_full, 59);
    }
}

#[test]
fn cb7a_probes_that_are_ignored_or_dropped_never_wedge_it() {
    let rig = Rig::new(config().probes(2));
    rig.trip_and_wait();
    for _ in 0..1_000 {
        let ignored = rig.breaker.try_acquire().unwrap();
        let dropped = rig.breaker.try_acquire_owned().unwrap();
        assert!(rig.rejects(RejectionKind::ProbesFull));
        ignored.ignore();
        drop(dropped);
    }
    assert_eq!(rig.state(), State::HalfOpen);
    rig.succeed(2);
    assert_eq!(rig.state(), State::Closed);
    let totals = rig.breaker.totals();
    assert_eq!((totals.ignored, totals.dropped), (1_000, 1_000));
}

#[test]
fn cb7b_a_silent_probe_is_written_off_and_its_result_is_late() {
    let mut rig = Rig::new(no_growth().probes(1));
    rig.trip_and_wait();
    let hung = rig.breaker.try_acquire().unwrap();
    let (mut states, mut written_off) = (Vec::new(), 0);
    rig.clock.advance(5 * SECOND - Duration::from_nanos(1));
    assert!(
        rig.breaker
            .try_acquire()
            .is_err_and(|r| r.kind() == RejectionKind::ProbesFull)
    );
    rig.clock.advance(Duration::from_nanos(1));
    // The wait before it was 5 s, so that is how long it may be silent.
    assert!(
        rig.breaker
            .try_acquire()
            .is_err_and(|r| r.kind() == RejectionKind::Open)
    );
    hung.success();
    assert_eq!(rig.breaker.totals().late, 1);
    for event in rig.events() {
        match event {
            EventKind::StateChanged { to, .. } => states.push(to),
            EventKind::ProbeWrittenOff => written_off += 1,
            _ => {}
        }
    }
    assert_eq!(states, [State::Open, State::HalfOpen, State::Open]);
    assert_eq!(written_off, 1);

    // With a limit of its own, and while others are still needed, its place is not free again.
    let rig = Rig::new(no_growth().probes(4).probe_max_wait(SECOND));
    rig.trip_and_wait();
    let hung = rig.breaker.try_acquire().unwrap();
    rig.clock.advance(SECOND);
    rig.succeed(3);
    assert_eq!(rig.state(), State::Closed, "1 of 4 failed");
    hung.failure();
    assert_eq!(rig.breaker.totals().late, 1);
    assert_eq!(rig.counts().recorded, 0);
}

#[test]
fn cb7b_a_short_hint_does_not_make_probes_short() {
    let rig = Rig::new(config());
    rig.fail(19);
    rig.record(Verdict::failure().with_hint(MS));
    rig.clock.advance(MS);
    for _ in 0..3 {
        let slow_probe = rig.breaker.try_acquire().unwrap();
        rig.clock.advance(SECOND);
        slow_probe.success();
    }
    assert_eq!(rig.state(), State::Closed);
    // Nor does a wait that was over when it was stored.
    rig.trip_and_wait();
    let stored = rig.breaker.snapshot();
    rig.breaker.restore(&stored).unwrap();
    let probe = rig.breaker.try_acquire().unwrap();
    rig.clock.advance(SECOND);
    assert_eq!(rig.breaker.snapshot().state, State::HalfOpen);
    probe.success();
    assert_eq!(rig.breaker.totals().late, 0);
}

#[test]
fn cb7c_one_call_every_15_s_to_a_healed_callee_closes_it() {
    let rig = Rig::new(config());
    rig.trip();
    let mut calls = 0;
    while rig.state() != State::Closed {
        rig.clock.advance(15 * SECOND);
        rig.succeed(1);
        calls += 1;
        assert!(calls <= 5, "results of probes expired");
    }
    assert_eq!(calls, 3);
}

#[test]
fn cb7d_a_half_open_limit_opens_it_again() {
    let mut rig = Rig::new(no_growth().half_open_limit(30 * SECOND));
    rig.trip_and_wait();
    rig.succeed(1);
    rig.clock.advance(30 * SECOND - Duration::from_nanos(1));
    rig.succeed(1);
    assert_eq!(rig.state(), State::HalfOpen);
    rig.clock.advance(Duration::from_nanos(1));
    assert!(rig.rejects(RejectionKind::Open));
    let reasons: Vec<_> = rig
        .events()
        .into_iter()
        .filter_map(|event| match event {
            EventKind::StateChanged { reason, .. } => Some(reason.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(reasons, ["failure_rate", "wait_over", "half_open_limit"]);

    let unlimited = Rig::new(no_growth());
    unlimited.trip_and_wait();
    unlimited.succeed(1);
    unlimited.clock.advance(1_000_000 * SECOND);
    assert_eq!(unlimited.breaker.snapshot().state, State::HalfOpen);
}

#[test]
fn cb9a_the_window_that_tripped_stays_readable() {
    let rig = Rig::new(config().window(Window::count(40)).probes(1));
    assert!(rig.breaker.last_trip().is_none());
    rig.succeed(10);
    rig.fail(10);
    let trip = rig.breaker.last_trip().unwrap();
    assert_eq!((trip.counts.failed, trip.counts.recorded), (10, 20));
    rig.clock.advance(5 * SECOND);
    rig.fail(1);
    rig.clock.advance(10 * SECOND);
    rig.succeed(1);
    rig.fail(5);
    let still = rig.breaker.last_trip().unwrap();
    assert_eq!(
        still.counts, trip.counts,
        "probes and an unfinished window change nothing"
    );
    rig.fail(15);
    assert_eq!(rig.breaker.last_trip().unwrap().counts.failed, 20);
}

#[test]
fn cb9b_a_call_admitted_before_the_trip_changes_nothing_after_it() {
    let rig = Rig::new(no_growth().probes(1));
    let admitted: Vec<_> = (0..10)
        .map(|_| rig.breaker.try_acquire().unwrap())
        .collect();
    let mut admitted = admitted.into_iter();
    let mut next = || admitted.next().unwrap();
    rig.trip();
    rig.clock.advance(SECOND);
    next().failure();
    next().success();
    assert_eq!(rig.rejection().retry_after(), Some(4 * SECOND));
    rig.clock.advance(4 * SECOND);
    let probe = rig.breaker.try_acquire().unwrap();
    next().success();
    assert_eq!(
        rig.state(),
        State::HalfOpen,
        "a success of the closed state is no probe"
    );
    next().failure();
    assert_eq!(rig.state(), State::HalfOpen);
    probe.success();
    assert_eq!(rig.state(), State::Closed);
    (0..6).for_each(|_| next().failure());
    assert_eq!(rig.counts().recorded, 0);
    let totals = rig.breaker.totals();
    assert_eq!((totals.late, totals.failure, totals.success), (10, 20, 1));
}

#[test]
fn cb13_the_textbook_breaker() {
    let rig = Rig::new(CircuitBreakerConfig::consecutive(5));
    rig.fail(4);
    rig.succeed(1);
    rig.fail(5);
    assert_eq!(
        rig.breaker.last_trip().unwrap().reason,
        Reason::Consecutive(5)
    );
    assert_eq!(rig.rejection().facts(), Facts::Consecutive { failures: 5 });
    for _ in 0..3 {
        assert_eq!(
            rig.rejection().retry_after(),
            Some(60 * SECOND),
            "always the same wait"
        );
        rig.clock.advance(60 * SECOND);
        let probe = rig.breaker.try_acquire().unwrap();
        assert!(rig.rejects(RejectionKind::ProbesFull), "one probe");
        probe.failure();
    }
    rig.clock.advance(60 * SECOND);
    rig.succeed(1);
    assert_eq!(rig.state(), State::Closed);
}
