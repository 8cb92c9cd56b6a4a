//! What is tried again, when, and for how long.

use crate::retry_rig::{Rig, plain, poll, run};
use crate::rig::{MS, SECOND};
use backstop::kernel::backoff::{Backoff, Jitter};
use backstop::kernel::budget::BudgetConfig;
use backstop::kernel::clock::Clock;
use backstop::kernel::name::Name;
use backstop::kernel::ratio::Ratio;
use backstop::kernel::rejection::{PolicyError, RejectionKind};
use backstop::policy::retry::{
    Decision, DefaultRetry, Hint, RetryEventKind, RetryWhen, StopReason,
};
use backstop::{Error, Rejection, Retry, RetryConfig};
use std::time::Duration;

fn millis(waits: &[Duration]) -> Vec<u128> {
    waits.iter().map(Duration::as_millis).collect()
}

/// The waits of a call that always fails, in milliseconds.
fn waits(config: RetryConfig) -> Vec<u128> {
    millis(&Rig::new(config.budget(BudgetConfig::none())).waits())
}

#[test]
fn rt1a_shapes_of_waits() {
    let of = |backoff| waits(RetryConfig::default().max_attempts(6).backoff(backoff));
    assert_eq!(of(Backoff::constant(10 * MS)), [10; 5]);
    assert_eq!(of(Backoff::linear(10 * MS)), [10, 20, 30, 40, 50]);
    assert_eq!(of(Backoff::exponential(10 * MS)), [10, 20, 40, 80, 160]);
    assert_eq!(
        of(Backoff::exponential(10 * MS).factor(3.0)),
        [10, 30, 90, 270, 810]
    );
    assert_eq!(of(Backoff::fibonacci(10 * MS)), [10, 10, 20, 30, 50]);
}

#[test]
fn rt1a_an_iterator_gives_the_waits_of_each_call_and_ends_the_retries() {
    let config = plain()
        .max_attempts(100)
        .waits(|| [5, 0, 70].into_iter().map(Duration::from_millis));
    let rig = Rig::new(config);
    for _ in 0..2 {
        assert_eq!(millis(&rig.waits()), [5, 0, 70]);
    }
    assert_eq!(rig.retry.totals().exhausted, 2);
    assert_eq!(rig.retry.totals().attempts, 8);
    // The number of attempts holds beside it.
    let config = plain().waits(|| std::iter::repeat(MS));
    assert_eq!(waits(config), [1, 1]);
}

#[test]
fn rt1b_jitter_comes_first_and_the_cap_last() {
    let of = |jitter, rolls: &[f64]| {
        let backoff = Backoff::exponential(100 * MS).cap(300 * MS).jitter(jitter);
        let config = RetryConfig::default().max_attempts(5).backoff(backoff);
        waits(config.rolls(rolls.iter().copied()))
    };
    let half = Jitter::Proportional(Ratio::HALF);
    assert_eq!(of(Jitter::None, &[]), [100, 200, 300, 300]);
    assert_eq!(of(Jitter::Full, &[0.5]), [50, 100, 150, 150]);
    assert_eq!(of(Jitter::Equal, &[0.5]), [75, 150, 225, 225]);
    assert_eq!(of(half, &[0.75]), [125, 250, 300, 300]);
    // base + (3 * previous - base) / 2, previous being the base at first
    assert_eq!(of(Jitter::Decorrelated, &[0.5]), [200, 300, 300, 300]);
}

#[test]
fn rt1b_waits_saturate() {
    let backoff = Backoff::exponential(Duration::MAX).factor(1_000_000.0);
    let rig = Rig::new(plain().max_attempts(10_000).backoff(backoff));
    let mut call = Box::pin(rig.retry.call(|_| async { Err::<(), _>("down") }));
    assert!(poll(call.as_mut()).is_pending());
    rig.clock.advance(Duration::MAX);
    // The end of time: every further wait is over at once.
    assert!(matches!(
        poll(call.as_mut()),
        std::task::Poll::Ready(Err(Error::Inner("down")))
    ));
    assert_eq!(rig.retry.totals().attempts, 10_000);
}

#[test]
fn rt1c_a_seed_gives_the_same_waits_and_other_seeds_others() {
    let of = |seed: u64| waits(RetryConfig::default().max_attempts(12).seed(seed));
    assert_eq!(of(7), of(7));
    assert_ne!(of(7), of(8));
    let unseeded = || waits(RetryConfig::default().max_attempts(12));
    assert_ne!(unseeded(), unseeded());
}

#[test]
fn rt1c_rolls_are_drawn_one_for_each_retry_and_none_before() {
    let config = plain()
        .backoff(Backoff::constant(100 * MS).jitter(Jitter::Full))
        .rolls([0.1, 0.2, 0.3]);
    let rig = Rig::new(config);
    for _ in 0..5 {
        assert!(
            rig.run(rig.retry.call(|_| async { Ok::<_, ()>(1) }))
                .is_ok()
        );
    }
    assert_eq!(millis(&rig.waits()), [10, 20]);
    assert_eq!(millis(&rig.waits()), [30, 10]);
}

#[test]
fn rt1d_defaults() {
    let config = RetryConfig::default().rolls([0.999_999_9]);
    let rig = Rig::new(config.clone());
    assert_eq!(millis(&rig.waits()), [100, 200]);
    let long = Rig::new(config.max_attempts(10));
    assert_eq!(
        millis(&long.waits()),
        [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]
    );
    assert_eq!(waits(RetryConfig::default().rolls([0.5])), [50, 100]);
}

/// The waits of a call whose results carry a hint.
fn hinted(config: RetryConfig, hint: Hint) -> (Vec<u128>, Rig) {
    let rig = Rig::new(config);
    let mut at = Vec::new();
    let clock = rig.clock.clock();
    let call = rig.retry.call_with(
        move |result: Result<&(), &&str>| match result {
            Ok(()) => Decision::Accept,
            Err(_) => hint.into(),
        },
        |_| {
            at.push(clock.now());
            async { Err::<(), _>("busy") }
        },
    );
    assert!(matches!(rig.run(call), Err(Error::Inner("busy"))));
    let waits: Vec<_> = at
        .windows(2)
        .map(|pair| pair[1].saturating_duration_since(pair[0]))
        .collect();
    (millis(&waits), rig)
}

#[test]
fn rt2a_the_wait_is_the_longer_of_hint_and_backoff() {
    let backoff = Backoff::exponential(100 * MS);
    let config = plain().max_attempts(4).backoff(backoff);
    let of = |after| hinted(config.clone(), Hint::After(after)).0;
    assert_eq!(of(150 * MS), [150, 200, 400]);
    assert_eq!(of(Duration::ZERO), [100, 200, 400]);
    assert_eq!(of(SECOND), [1_000, 1_000, 1_000]);
}

#[test]
fn rt2b_a_hint_to_stop_or_beyond_the_limit_ends_the_call() {
    for (hint, attempts) in [
        (Hint::Stop, 1),
        (Hint::After(60 * SECOND), 3),
        (Hint::After(60 * SECOND + MS), 1),
        (Hint::After(Duration::MAX), 1),
    ] {
        let (_, mut rig) = hinted(plain(), hint);
        let totals = rig.retry.totals();
        assert_eq!(totals.attempts, attempts, "{hint:?}");
        let reason = if attempts == 1 {
            StopReason::HintStop
        } else {
            StopReason::Exhausted
        };
        assert_eq!(totals.stopped(reason), 1, "{hint:?}");
        let attempts = u32::try_from(attempts).unwrap();
        let last = rig.events().pop();
        assert_eq!(last, Some(RetryEventKind::GaveUp { attempts, reason }));
    }
    let (waits, rig) = hinted(plain().max_hint(SECOND), Hint::After(2 * SECOND));
    assert_eq!((waits.len(), rig.retry.totals().hint_stop), (0, 1));
}

#[test]
fn rt3a_a_wait_that_would_reach_the_deadline_is_not_begun() {
    // Attempts at 0, 10, 20 and 30 ms.
    for (deadline, attempts) in [(10, 1), (11, 2), (20, 2), (21, 3), (1_000, 4)] {
        let config = plain().max_attempts(4).deadline(deadline * MS);
        let rig = Rig::new(config);
        assert_eq!(rig.waits().len() + 1, attempts, "{deadline}");
        let totals = rig.retry.totals();
        assert_eq!(totals.deadline, u64::from(attempts < 4), "{deadline}");
        let clock = rig.clock.clock();
        let begun = clock.now();
        let call = rig.retry.call(|_| async { Err::<(), _>("down") });
        assert!(matches!(rig.run(call), Err(Error::Inner("down"))));
        let took = clock.now().saturating_duration_since(begun);
        // At once: it did not wait for the deadline.
        assert_eq!(took, 10 * MS * u32::try_from(attempts - 1).unwrap());
    }
}

#[test]
fn rt3a_the_time_of_attempts_counts() {
    let rig = Rig::new(plain().deadline(25 * MS));
    let clock = rig.clock.clone();
    let call = rig.retry.call_blocking(|_| {
        clock.advance(15 * MS);
        Err::<(), _>("slow")
    });
    assert!(call.is_err());
    assert_eq!(rig.retry.totals().attempts, 1);
}

#[test]
fn rt3a_a_hint_beyond_the_deadline_ends_the_call() {
    let (waits, rig) = hinted(plain().deadline(SECOND), Hint::After(2 * SECOND));
    assert_eq!((waits.len(), rig.retry.totals().deadline), (0, 1));
}

#[test]
fn rt3b_an_attempt_runs_on_past_the_deadline() {
    let rig = Rig::new(plain().deadline(15 * MS));
    let clock = rig.clock.clock();
    let call = rig.retry.call(|attempt| {
        let clock = clock.clone();
        let number = attempt.number;
        async move {
            if number == 1 {
                return Err("down");
            }
            clock.sleep_until(clock.now() + SECOND).unwrap().await;
            Ok(number)
        }
    });
    assert_eq!(rig.run(call).unwrap(), 2);
}

fn rejection(kind: RejectionKind, retry_after: Option<Duration>) -> Rejection {
    Rejection::new("inner", Name::from("inner"), kind).with_retry_after(retry_after)
}

#[test]
fn rt4a_the_default_goes_by_the_kind_of_rejection() {
    use RejectionKind::{
        ForcedOpen, Full, Open, ProbesFull, RateLimited, Restarting, Shed, TimedOut,
    };
    let after = Some(25 * MS);
    let hinted = Decision::Hinted(Hint::After(25 * MS));
    for (kind, decision) in [
        (Open, Decision::Accept),
        (ForcedOpen, Decision::Accept),
        (ProbesFull, Decision::Accept),
        (Full, Decision::Accept),
        (Shed, Decision::Accept),
        (RateLimited, hinted),
        (Restarting, hinted),
        (TimedOut, Decision::Retry),
    ] {
        let refused = Error::<&str>::Rejected(rejection(kind, after));
        let decided = RetryWhen::<(), _>::decide(&DefaultRetry, Err(&refused));
        assert_eq!(decided, decision, "{kind:?}");
        let rig = Rig::new(plain());
        let call = rig.retry.call_in(|_| {
            let refused = Error::<&str>::Rejected(rejection(kind, after));
            async { Err::<(), _>(refused) }
        });
        // The rejection comes through as it was.
        let ended = rig.run(call).unwrap_err();
        assert_eq!(ended.rejection().map(Rejection::kind), Some(kind));
        let totals = rig.retry.totals();
        let attempts = if decision == Decision::Accept { 1 } else { 3 };
        assert_eq!(totals.attempts, attempts, "{kind:?}");
        assert_eq!(totals.failed, u64::from(attempts == 1), "{kind:?}");
    }
    // Without a hint: a limit is tried again, and a call that was under way in what restarts is not.
    for (kind, decision) in [
        (RateLimited, Decision::Retry),
        (Restarting, Decision::Accept),
    ] {
        let refused = Error::<&str>::Rejected(rejection(kind, None));
        let decided = RetryWhen::<(), _>::decide(&DefaultRetry, Err(&refused));
        assert_eq!(decided, decision, "{kind:?}");
    }
}

#[test]
fn rt4a_a_rate_limit_is_waited_for_if_the_deadline_allows() {
    for (deadline, attempts) in [(40, 1), (60, 2), (90, 3)] {
        let rig = Rig::new(plain().deadline(deadline * MS));
        let call = rig.retry.call_in(|_| {
            let limited = rejection(RejectionKind::RateLimited, Some(40 * MS));
            async { Err::<(), _>(Error::<&str>::Rejected(limited)) }
        });
        assert!(rig.run(call).is_err());
        assert_eq!(rig.retry.totals().attempts, attempts, "{deadline}");
    }
}

#[test]
fn rt4a_an_ok_is_final_and_an_err_is_tried_again() {
    let rig = Rig::new(plain());
    assert!(
        rig.run(rig.retry.call(|_| async { Ok::<_, ()>(503) }))
            .is_ok()
    );
    assert_eq!(rig.retry.totals().attempts, 1);
    assert_eq!(rig.waits().len(), 2);
    let call = rig
        .retry
        .call_in(|_| async { Err::<(), Error<&str>>(Error::Inner("down")) });
    assert!(matches!(rig.run(call), Err(Error::Inner("down"))));
    assert_eq!(rig.retry.totals().attempts, 7);
}

#[test]
fn rt4b_a_predicate_replaces_all_of_the_default() {
    let rig = Rig::new(plain());
    // Values are tried again, errors are not, nor are rejections that the default would try.
    let when = |result: Result<&u16, &Error<&str>>| matches!(result, Ok(503));
    let call = rig.retry.call_with(when, |_| async { Ok::<u16, _>(503) });
    // What was not accepted is what there is in the end.
    assert!(matches!(rig.run(call), Ok(503)));
    assert_eq!(rig.retry.totals().exhausted, 1);
    assert_eq!(rig.retry.totals().attempts, 3);
    let call = rig.retry.call_with(when, |_| async {
        Err(Error::Rejected(rejection(RejectionKind::TimedOut, None)))
    });
    assert!(rig.run(call).is_err());
    assert_eq!(rig.retry.totals().attempts, 4);
    let open = |result: Result<&u16, &Error<&str>>| result.is_err();
    let call = rig.retry.call_with(open, |_| async {
        Err(Error::Rejected(rejection(RejectionKind::Open, None)))
    });
    assert!(rig.run(call).is_err());
    assert_eq!(rig.retry.totals().attempts, 7);
}

#[test]
fn rt4b_a_value_that_was_not_accepted_is_dropped_before_the_wait() {
    use std::rc::Rc;
    let rig = Rig::new(plain());
    let connection = Rc::new(());
    let held = connection.clone();
    let mut call = Box::pin(rig.retry.call_with(
        |_: Result<&Rc<()>, &()>| true,
        move |_| {
            let reply = Ok::<_, ()>(held.clone());
            async { reply }
        },
    ));
    assert!(poll(call.as_mut()).is_pending());
    assert_eq!(Rc::strong_count(&connection), 2, "the wait holds the value");
    assert!(rig.run(call).is_ok());
}

#[test]
fn rt6a_the_operation_sees_number_and_previous_error() {
    let rig = Rig::new(plain().max_attempts(4));
    let mut seen = Vec::new();
    let call = rig.retry.call_with(
        |result: Result<&u32, &String>| result.map_or(true, |value| *value < 4),
        |attempt| {
            seen.push((attempt.number, attempt.previous.cloned()));
            let number = attempt.number;
            async move {
                match number {
                    2 => Ok(2),
                    4 => Ok(4),
                    _ => Err(format!("failure {number}")),
                }
            }
        },
    );
    assert_eq!(rig.run(call).unwrap(), 4);
    let told = |number: u32| Some(format!("failure {number}"));
    // The second attempt ended with a value that was not accepted.
    assert_eq!(seen, [(1, None), (2, told(1)), (3, None), (4, told(3))]);
}

#[test]
fn rt6a_a_blocking_call_waits_and_sees_them_too() {
    let clock = Clock::manual();
    let retry = Retry::with_clock("blocking", plain(), &clock).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let blocked = std::thread::spawn(move || {
        retry.call_blocking(|attempt| {
            tell.send((attempt.number, attempt.previous.copied()))
                .unwrap();
            Err::<(), _>(attempt.number)
        })
    });
    let mut seen = vec![told.recv().unwrap()];
    while seen.len() < 3 {
        clock.advance(MS);
        seen.extend(told.recv_timeout(MS));
    }
    assert_eq!(seen, [(1, None), (2, Some(1)), (3, Some(2))]);
    assert!(matches!(blocked.join().unwrap(), Err(Error::Inner(3))));
}

#[test]
fn rt7a_rt7b_each_call_and_each_attempt_is_counted_once() {
    let mut rig = Rig::new(plain());
    let fails_for = |times: u32| {
        let call = rig.retry.call(|attempt| {
            let number = attempt.number;
            async move { if number > times { Ok(()) } else { Err(()) } }
        });
        let _ = run(&rig.clock, call);
    };
    for times in [0, 0, 1, 2, 3, 9] {
        fails_for(times);
    }
    let final_error = rig
        .retry
        .call_with(|_: Result<&(), &()>| false, |_| async { Err(()) });
    assert!(rig.run(final_error).is_err());
    let totals = rig.retry.totals();
    assert_eq!((totals.success, totals.success_after_retry), (2, 2));
    assert_eq!((totals.exhausted, totals.failed), (2, 1));
    assert_eq!((totals.calls(), totals.failures()), (7, 3));
    // 1 + 1 + 2 + 3 + 3 + 3 + 1
    assert_eq!((totals.attempts, totals.retries), (14, 7));
    let events = rig.events();
    let retrying = |event: &&RetryEventKind| matches!(event, RetryEventKind::Retrying { .. });
    assert_eq!(events.iter().filter(retrying).count(), 7);
    assert_eq!(events.len(), 9);
}

#[test]
fn g6_bad_values_are_named() {
    let field = |config: RetryConfig| {
        let refused = Retry::new("x", config).unwrap_err();
        assert!(!refused.allowed().is_empty());
        refused.field()
    };
    let config = RetryConfig::default;
    assert_eq!(field(config().max_attempts(0)), "max_attempts");
    assert_eq!(field(config().max_attempts(10_001)), "max_attempts");
    assert_eq!(field(config().max_hint(Duration::ZERO)), "max_hint");
    assert_eq!(field(config().deadline(Duration::ZERO)), "deadline");
    let backoff = |backoff| field(config().backoff(backoff));
    assert_eq!(backoff(Backoff::constant(Duration::ZERO)), "backoff.base");
    assert_eq!(backoff(Backoff::constant(SECOND).cap(MS)), "backoff.cap");
    assert_eq!(
        backoff(Backoff::exponential(MS).factor(f64::NAN)),
        "backoff.factor"
    );
    let budget = |budget| field(config().budget(budget));
    let bucket = BudgetConfig::token_bucket;
    for (refused, name) in [
        (bucket(SECOND - MS, 1, 0.2), "budget.ttl"),
        (bucket(61 * SECOND, 1, 0.2), "budget.ttl"),
        (bucket(SECOND, 0, 0.2), "budget.min_per_second"),
        (bucket(SECOND, 1_000_001, 0.2), "budget.min_per_second"),
        (bucket(SECOND, 1, 0.0), "budget.share"),
        (bucket(SECOND, 1, f64::NAN), "budget.share"),
        (bucket(SECOND, 1, 100.1), "budget.share"),
        (BudgetConfig::in_flight(-0.1, 3), "budget.in_flight"),
        (BudgetConfig::in_flight(0.2, 0), "budget.at_least"),
        (BudgetConfig::tokens(2, 0.1), "budget.tokens"),
        (BudgetConfig::tokens(1_001, 0.1), "budget.tokens"),
        (BudgetConfig::tokens(10, 0.0), "budget.ratio"),
        (BudgetConfig::tokens(10, f64::INFINITY), "budget.ratio"),
    ] {
        assert_eq!(budget(refused), name, "{refused:?}");
    }
}
