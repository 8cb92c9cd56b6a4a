//! The pipeline, rule by rule: what each part sees of the next, on a manual clock.

use crate::rig::{MS, SECOND};
use backstop::kernel::backoff::Backoff;
use backstop::kernel::clock::{Clock, ManualClock};
use backstop::kernel::outcome::{Classifier, Outcome, Verdict};
use backstop::kernel::priority::Priority;
use backstop::kernel::rejection::{Executed, RejectionKind};
use backstop::policy::bulkhead::Ask;
use backstop::policy::circuit_breaker::{State, Window};
use backstop::policy::pipeline::{ByVerdict, PipelineParts, Separate, Stacked};
use backstop::policy::retry::Attempt;
use backstop::{
    Bulkhead, BulkheadConfig, CircuitBreaker, CircuitBreakerConfig, Error, Pipeline,
    PipelineConfig, Rejection, RetryConfig, Timeout,
};
use std::cell::{Cell, RefCell};
use std::future::{Future, pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

type Reply = Result<u8, &'static str>;

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(futures::task::noop_waker_ref()))
}

/// Polls until it ends, a millisecond at a time; the time that it took.
#[track_caller]
fn finish<F: Future>(clock: &ManualClock, future: F) -> (F::Output, Duration) {
    let mut future = pin!(future);
    for passed in 0..100_000 {
        if let Poll::Ready(output) = poll(future.as_mut()) {
            return (output, passed * MS);
        }
        clock.advance(MS);
    }
    panic!("it does not end");
}

/// Three attempts without jitter, 100 and 200 ms apart.
fn retry() -> RetryConfig {
    RetryConfig::default().backoff(Backoff::exponential(100 * MS))
}

fn config() -> PipelineConfig {
    PipelineConfig::default()
        .total_timeout(3 * SECOND)
        .attempt_timeout(SECOND)
        .retry(retry())
}

fn pipeline(config: PipelineConfig) -> (Pipeline, ManualClock) {
    let clock = Clock::manual();
    let pipeline = Pipeline::with_clock("p", config, &clock).expect("a valid configuration");
    (pipeline, clock)
}

fn breaker(pipeline: &Pipeline) -> &CircuitBreaker {
    pipeline.circuit_breaker().expect("it is on")
}

#[track_caller]
fn rejection<T: std::fmt::Debug>(result: Result<T, Error<&'static str>>) -> Rejection {
    match result {
        Err(Error::Rejected(rejection)) => rejection,
        other => panic!("not rejected: {other:?}"),
    }
}

/// Of the part that it names.
#[track_caller]
fn rejected_by<T: std::fmt::Debug>(
    result: Result<T, Error<&'static str>>,
    (policy, name): (&str, &str),
    kind: RejectionKind,
) -> Rejection {
    let rejection = rejection(result);
    assert_eq!(
        (rejection.policy(), rejection.name().as_str()),
        (policy, name)
    );
    assert_eq!(rejection.kind(), kind);
    rejection
}

/// Fails so often, then succeeds; counts its attempts.
fn fails(
    times: u32,
    attempts: &Cell<u32>,
) -> impl FnMut(Attempt<'_, Error<&'static str>>) -> std::future::Ready<Reply> {
    move |attempt| {
        attempts.set(attempts.get() + 1);
        assert_eq!(attempt.number, attempts.get());
        ready(if attempt.number <= times {
            Err("down")
        } else {
            Ok(7)
        })
    }
}

// --- PL1a: the order ---

#[test]
fn pl1a_a_call_passes_every_part_in_order() {
    let (pipeline, clock) = pipeline(config());
    let attempts = Cell::new(0);
    let (result, took) = finish(&clock, pipeline.call(fails(2, &attempts)));
    assert_eq!(result.unwrap(), 7);
    assert_eq!((attempts.get(), took), (3, 300 * MS));
    // One call, one slot; three attempts.
    assert_eq!(pipeline.bulkhead().unwrap().totals().finished, 1);
    let totals = pipeline.retry().unwrap().totals();
    assert_eq!((totals.success_after_retry, totals.attempts), (1, 3));
    let totals = breaker(&pipeline).totals();
    assert_eq!((totals.success, totals.failure), (1, 2));
    let names: Vec<_> = pipeline
        .parts()
        .map(|part| format!("{} {}", part.policy(), part.name()))
        .collect();
    assert_eq!(
        names,
        [
            "timeout p/total",
            "bulkhead p",
            "retry p",
            "circuit_breaker p",
            "timeout p/attempt"
        ]
    );
}

#[test]
fn pl1a_a_slot_is_held_through_the_waits_between_attempts() {
    let bulkhead = BulkheadConfig::default().max_concurrent(1);
    let (pipeline, clock) = pipeline(config().bulkhead(bulkhead));
    let attempts = Cell::new(0);
    let mut first = pin!(pipeline.call(fails(1, &attempts)));
    assert!(poll(first.as_mut()).is_pending());
    let called = Cell::new(0);
    let (second, _) = finish(&clock, pipeline.call(fails(0, &called)));
    rejected_by(second, ("bulkhead", "p"), RejectionKind::Full);
    // Neither the retry nor the breaker heard of it.
    assert_eq!(called.get(), 0);
    assert_eq!(pipeline.retry().unwrap().totals().attempts, 1);
    clock.advance(100 * MS);
    assert!(matches!(poll(first.as_mut()), Poll::Ready(Ok(7))));
    assert_eq!(pipeline.bulkhead().unwrap().in_flight(), 0);
}

#[test]
fn pl1a_a_call_says_how_it_asks_for_its_slot() {
    let bulkhead = BulkheadConfig::default()
        .max_concurrent(1)
        .queue(2, 60 * SECOND);
    let (pipeline, clock) = pipeline(config().bulkhead(bulkhead));
    let held = pipeline.bulkhead().unwrap().try_acquire().unwrap();
    let (one, two) = (Cell::new(0), Cell::new(0));
    let mut unimportant = pin!(pipeline.call_with(Priority::Sheddable, fails(0, &one)));
    let mut important = pin!(pipeline.call_with(Priority::CriticalPlus, fails(0, &two)));
    assert!(poll(unimportant.as_mut()).is_pending());
    assert!(poll(important.as_mut()).is_pending());
    drop(held);
    assert!(poll(unimportant.as_mut()).is_pending());
    assert!(matches!(poll(important.as_mut()), Poll::Ready(Ok(7))));
    assert!(matches!(poll(unimportant.as_mut()), Poll::Ready(Ok(7))));
    let impatient = Ask::default().max_wait(10 * MS);
    let held = pipeline.bulkhead().unwrap().try_acquire().unwrap();
    let (result, took) = finish(&clock, pipeline.call_with(impatient, fails(0, &one)));
    rejected_by(result, ("bulkhead", "p"), RejectionKind::Full);
    assert_eq!(took, 10 * MS);
    drop(held);
}

#[test]
fn pl1a_isolating_a_part_refuses_calls_there() {
    let (pipeline, clock) = pipeline(config());
    let called = Cell::new(0);
    for (part, name) in [
        ("timeout", "p/total"),
        ("bulkhead", "p"),
        ("retry", "p"),
        ("circuit_breaker", "p"),
        ("timeout", "p/attempt"),
    ] {
        let isolated = pipeline
            .parts()
            .find(|at| at.policy() == part && at.name().as_str() == name)
            .expect("it is a part")
            .isolate();
        let (result, _) = finish(&clock, pipeline.call(fails(0, &called)));
        rejected_by(result, (part, name), RejectionKind::ForcedOpen);
        drop(isolated);
        // Counted once, where it was refused.
        let refused = [pipeline.total_timeout(), pipeline.attempt_timeout()]
            .map(|timeout| timeout.totals().rejected_forced_open);
        let expected = [1, u64::from(name == "p/attempt")];
        assert_eq!(refused, expected, "{part} {name}");
    }
    assert_eq!(called.get(), 0);
    assert_eq!(
        finish(&clock, pipeline.call(fails(0, &called))).0.unwrap(),
        7
    );
}

// --- PL1b: parts are optional ---

#[test]
fn pl1b_each_part_can_be_off() {
    for bits in 0..32_u32 {
        let on = |bit: u32| bits & 1 << bit != 0;
        let mut config = PipelineConfig::empty();
        if on(0) {
            config = config.total_timeout(3 * SECOND);
        }
        if on(1) {
            config = config.bulkhead(BulkheadConfig::default());
        }
        if on(2) {
            config = config.retry(retry());
        }
        if on(3) {
            config = config.circuit_breaker(CircuitBreakerConfig::default());
        }
        if on(4) {
            config = config.attempt_timeout(SECOND);
        }
        let (pipeline, clock) = pipeline(config.clone());
        assert_eq!(pipeline.config(), config);
        assert_eq!(pipeline.bulkhead().is_some(), on(1));
        assert_eq!(pipeline.retry().is_some(), on(2));
        assert_eq!(pipeline.circuit_breaker().is_some(), on(3));
        assert_eq!(
            pipeline.parts().count(),
            2 + (bits >> 1 & 7).count_ones() as usize
        );
        let attempts = Cell::new(0);
        let (result, _) = finish(&clock, pipeline.call(fails(1, &attempts)));
        assert_eq!(result.is_ok(), on(2), "{config:?}");
        assert_eq!(attempts.get(), if on(2) { 2 } else { 1 });
        if on(0) || on(4) {
            let (result, took) = finish(&clock, pipeline.call(|_| pending::<Reply>()));
            let rejection = rejection(result);
            assert_eq!(rejection.kind(), RejectionKind::TimedOut);
            let name = if on(4) && !on(0) || on(4) && took < 3 * SECOND {
                "p/attempt"
            } else {
                "p/total"
            };
            assert_eq!(rejection.name().as_str(), name, "{config:?} {took:?}");
        }
    }
}

// --- PL1c: a nameable type ---

type Judge = fn(Result<&u8, &&'static str>) -> Outcome;

struct Client {
    plain: Pipeline,
    judged: Pipeline<Judge>,
}

fn odd_is_bad(result: Result<&u8, &&'static str>) -> Outcome {
    match result {
        Ok(n) if n % 2 == 0 => Outcome::Success,
        Ok(_) => Outcome::Failure,
        Err(_) => Outcome::Ignored,
    }
}

#[test]
fn pl1c_a_pipeline_stands_in_a_struct_and_judges_by_its_classifier() {
    let (plain, clock) = pipeline(config());
    let judged = plain.clone().with_classifier(odd_is_bad as Judge);
    let client = Client { plain, judged };
    let attempts = Cell::new(0);
    let (result, _) = finish(
        &clock,
        client.judged.call(|attempt| {
            attempts.set(attempt.number);
            ready(Reply::Ok(if attempt.number < 3 { 1 } else { 2 }))
        }),
    );
    assert_eq!((result.unwrap(), attempts.get()), (2, 3));
    // Both share the parts.
    let totals = client.plain.circuit_breaker().unwrap().totals();
    assert_eq!((totals.success, totals.failure), (1, 2));
    // What the classifier ignores is neither counted nor tried again.
    let (result, took) = finish(&clock, client.judged.call(|_| ready(Err("404"))));
    assert!(matches!(result, Err(Error::Inner("404"))));
    assert_eq!(took, Duration::ZERO);
    assert_eq!(client.plain.circuit_breaker().unwrap().totals().ignored, 1);
}

#[test]
fn pl1c_one_judge_or_two() {
    struct OddIsBad;
    impl Classifier<u8, &'static str> for OddIsBad {
        fn classify(&self, result: Result<&u8, &&'static str>) -> Verdict {
            odd_is_bad(result).into()
        }
    }
    let (plain, clock) = pipeline(config());
    let one = plain.clone().with_classifier(ByVerdict(OddIsBad));
    let (_, took) = finish(&clock, one.call(|_| ready(Reply::Ok(1))));
    assert_eq!(took, 300 * MS);
    let two = plain.clone().with_classifier(Separate {
        breaker: OddIsBad,
        retry: |result: Result<&u8, &&str>| result.is_err(),
    });
    // A failure to the breaker and final to the retry; and the other way round.
    let (_, took) = finish(&clock, two.call(|_| ready(Reply::Ok(1))));
    assert_eq!(took, Duration::ZERO);
    assert_eq!(breaker(&plain).totals().failure, 4);
    let (_, took) = finish(&clock, two.call(|_| ready(Err("404"))));
    assert_eq!(took, 300 * MS);
    assert_eq!(breaker(&plain).totals().ignored, 3);
    // A hint of the verdict is kept to.
    let hinted = plain.with_classifier(ByVerdict(|_: Result<&u8, &&str>| {
        Verdict::failure().with_hint(150 * MS)
    }));
    let (_, took) = finish(&clock, hinted.call(|_| ready(Err("later"))));
    assert_eq!(took, 150 * MS + 200 * MS);
}

#[test]
fn pl1c_an_inner_policys_rejection_is_recognised_by_stacked() {
    let (plain, clock) = pipeline(config());
    let stacked = plain.clone().with_classifier(Stacked);
    let full = || {
        let inner = Rejection::new("bulkhead", "inner".into(), RejectionKind::Full);
        ready(Err::<u8, Error<&str>>(inner.into()))
    };
    let (_, took) = finish(&clock, stacked.call(|_| full()));
    assert_eq!(took, Duration::ZERO);
    assert_eq!(breaker(&plain).totals().ignored, 1);
    let (_, took) = finish(&clock, plain.call(|_| full()));
    assert_eq!(took, 300 * MS);
    assert_eq!(breaker(&plain).totals().failure, 3);
}

#[cfg(feature = "serde")]
#[test]
fn pl1c_a_pipeline_is_read_from_text() {
    let read = |text: &str| toml::from_str::<PipelineConfig>(text);
    let config = read(
        "total_timeout = \"3s\"\nattempt_timeout = \"1s\"\n\
         [bulkhead]\nmax_concurrent = 7\n[circuit_breaker]\nprobes = 2\n",
    )
    .unwrap();
    let expected = PipelineConfig::default()
        .total_timeout(3 * SECOND)
        .attempt_timeout(SECOND)
        .bulkhead(BulkheadConfig::default().max_concurrent(7))
        .circuit_breaker(CircuitBreakerConfig::default().probes(2));
    assert_eq!(config, expected);
    let off = "total_timeout = \"off\"\nattempt_timeout = \"off\"\nbulkhead = \"off\"\n\
               retry = \"off\"\ncircuit_breaker = \"off\"\n";
    assert_eq!(read(off).unwrap(), PipelineConfig::empty());
    for config in [expected, PipelineConfig::empty(), PipelineConfig::default()] {
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(
            serde_json::from_str::<PipelineConfig>(&json).unwrap(),
            config
        );
    }
    for (text, said) in [
        ("total_timout = \"3s\"", "unknown field `total_timout`"),
        ("bulkhead = \"on\"", "a table of settings, or \"off\""),
        ("total_timeout = \"soon\"", "is not a duration"),
        (
            "[bulkhead]\nmax_concurent = 1",
            "unknown field `max_concurent`",
        ),
        ("[retry]\n\nmax_attempts = \"x\"", "line 3"),
        (
            "[retry]\nbackoff = \"100ms\"",
            "expected a backoff such as { exponential = \"100ms\"",
        ),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains(said), "{text}: {error}");
        assert!(
            error.contains("line") && error.contains("column"),
            "{text}: {error}"
        );
    }
}

// --- PL1d: fallback ---

#[test]
fn pl1d_a_fallback_answers_failures_and_rejections_once() {
    let (pipeline, clock) = pipeline(config());
    let attempts = Cell::new(0);
    let answered = RefCell::new(Vec::new());
    let fallback = |error: Error<&'static str>| {
        answered.borrow_mut().push(error.to_string());
        Ok(9)
    };
    let (result, took) = finish(&clock, pipeline.call_or(fails(9, &attempts), fallback));
    assert_eq!((result.unwrap(), took, attempts.get()), (9, 300 * MS, 3));
    breaker(&pipeline).force_open();
    let (result, _) = finish(&clock, pipeline.call_or(fails(9, &attempts), fallback));
    assert_eq!((result.unwrap(), attempts.get()), (9, 3));
    let answered = answered.borrow();
    assert_eq!(**answered, ["down", "circuit_breaker `p` is forced open"]);
}

#[test]
fn pl1d_a_fallback_can_give_the_error_back() {
    let (pipeline, clock) = pipeline(config());
    let attempts = Cell::new(0);
    let (result, _) = finish(&clock, pipeline.call_or(fails(9, &attempts), Err));
    assert!(matches!(result, Err(Error::Inner("down"))));
}

#[test]
fn pl1d_an_answer_and_a_dropped_call_have_no_fallback() {
    let (pipeline, clock) = pipeline(config());
    let judged = pipeline.with_classifier(odd_is_bad as Judge);
    let never = |_: Error<&'static str>| -> Result<u8, _> { panic!("the fallback ran") };
    let (result, _) = finish(&clock, judged.call_or(|_| ready(Err("404")), never));
    assert!(matches!(result, Err(Error::Inner("404"))));
    let mut call = Box::pin(judged.call_or(|_| pending::<Reply>(), never));
    assert!(poll(call.as_mut()).is_pending());
    drop(call);
    assert_eq!(judged.bulkhead().unwrap().in_flight(), 0);
}

// --- PL1e: the retry knows the total time ---

#[test]
fn pl1e_no_wait_passes_the_end_of_the_total_time() {
    // Fails at once in its first poll: the time counts from the end of that attempt on.
    let (fast, clock) = pipeline(config().total_timeout(250 * MS).attempt_timeout(250 * MS));
    let attempts = Cell::new(0);
    let (result, took) = finish(&clock, fast.call(fails(9, &attempts)));
    assert!(matches!(result, Err(Error::Inner("down"))), "{result:?}");
    assert_eq!((attempts.get(), took), (2, 100 * MS));
    assert_eq!(fast.retry().unwrap().totals().deadline, 1);
    assert_eq!(fast.total_timeout().totals().timed_out, 0);

    // Attempts that hang: 1 s, 100 ms, then less than the 200 ms of the next wait is left.
    let (slow, clock) = pipeline(config().total_timeout(2_200 * MS));
    let (result, took) = finish(&clock, slow.call(|_| pending::<Reply>()));
    rejected_by(result, ("timeout", "p/attempt"), RejectionKind::TimedOut);
    assert_eq!(took, 2_100 * MS);
    assert_eq!(slow.retry().unwrap().totals().deadline, 1);
}

#[test]
fn pl1e_the_last_attempt_is_cut_by_the_total_time() {
    let (pipeline, clock) = pipeline(config().total_timeout(1_500 * MS));
    let (result, took) = finish(&clock, pipeline.call(|_| pending::<Reply>()));
    let rejection = rejected_by(result, ("timeout", "p/total"), RejectionKind::TimedOut);
    assert_eq!(rejection.executed(), Executed::Unknown);
    assert_eq!(took, 1_500 * MS);
    assert_eq!(pipeline.attempt_timeout().totals().timed_out, 1);
    assert_eq!(pipeline.total_timeout().totals().timed_out, 1);
}

// --- PL1f: what the outer sees of the inner ---

#[test]
fn pl1f_an_attempt_that_times_out_is_a_failure_and_is_tried_again() {
    let (pipeline, clock) = pipeline(config());
    let seen = RefCell::new(Vec::new());
    let (result, took) = finish(
        &clock,
        pipeline.call(|attempt| {
            let previous = attempt.previous.map(ToString::to_string);
            seen.borrow_mut().push((attempt.number, previous));
            let hangs = attempt.number == 1;
            async move {
                if hangs {
                    pending::<Reply>().await
                } else {
                    Ok(7)
                }
            }
        }),
    );
    assert_eq!((result.unwrap(), took), (7, 1_100 * MS));
    let timed_out = String::from("timeout `p/attempt` timed out: the limit is 1s");
    assert_eq!(*seen.borrow(), [(1, None), (2, Some(timed_out))]);
    let totals = breaker(&pipeline).totals();
    assert_eq!((totals.success, totals.failure, totals.dropped), (1, 1, 0));
}

#[test]
fn pl1f_each_attempt_has_its_whole_time() {
    let (pipeline, clock) = pipeline(config().total_timeout(10 * SECOND));
    let (result, took) = finish(&clock, pipeline.call(|_| pending::<Reply>()));
    rejected_by(result, ("timeout", "p/attempt"), RejectionKind::TimedOut);
    assert_eq!(took, 3 * SECOND + 300 * MS);
    assert_eq!(breaker(&pipeline).totals().failure, 3);
    assert_eq!(pipeline.attempt_timeout().totals().armed, 3);
}

#[test]
fn pl1f_an_open_breaker_ends_the_retry() {
    let breaks = CircuitBreakerConfig::consecutive(2);
    let (pipeline, clock) = pipeline(config().circuit_breaker(breaks));
    let attempts = Cell::new(0);
    // The second failure opens it; the third attempt is refused and is the end.
    let (result, took) = finish(&clock, pipeline.call(fails(9, &attempts)));
    let rejection = rejected_by(result, ("circuit_breaker", "p"), RejectionKind::Open);
    assert_eq!((attempts.get(), took), (2, 300 * MS));
    assert!(rejection.retry_after().is_some());
    let (result, took) = finish(&clock, pipeline.call(fails(9, &attempts)));
    rejected_by(result, ("circuit_breaker", "p"), RejectionKind::Open);
    assert_eq!((attempts.get(), took), (2, Duration::ZERO));
}

#[test]
fn pl1f_full_probes_end_the_retry() {
    let breaks = CircuitBreakerConfig::consecutive(1);
    let (pipeline, clock) = pipeline(config().without_retry().circuit_breaker(breaks));
    let attempts = Cell::new(0);
    let _ = finish(&clock, pipeline.call(fails(9, &attempts)));
    assert_eq!(breaker(&pipeline).state(), State::Open);
    clock.advance(60 * SECOND);
    let mut probe = pin!(pipeline.call(|_| pending::<Reply>()));
    assert!(poll(probe.as_mut()).is_pending());
    let (result, _) = finish(&clock, pipeline.call(fails(9, &attempts)));
    rejected_by(result, ("circuit_breaker", "p"), RejectionKind::ProbesFull);
    // The probe that hangs is cut off, and has failed.
    clock.advance(SECOND);
    assert!(poll(probe.as_mut()).is_ready());
    assert_eq!(breaker(&pipeline).state(), State::Open);
}

#[test]
fn pl1f_an_empty_budget_returns_the_error_of_the_call() {
    let budget = backstop::kernel::budget::BudgetConfig::in_flight(0.1, 1);
    let (pipeline, clock) = pipeline(config().retry(retry().budget(budget)));
    let (one, two) = (Cell::new(0), Cell::new(0));
    let mut first = pin!(pipeline.call(fails(1, &one)));
    assert!(poll(first.as_mut()).is_pending());
    let (result, took) = finish(&clock, pipeline.call(fails(9, &two)));
    assert!(matches!(result, Err(Error::Inner("down"))));
    assert_eq!((two.get(), took), (1, Duration::ZERO));
    assert_eq!(pipeline.retry().unwrap().totals().budget_empty, 1);
    clock.advance(100 * MS);
    assert!(matches!(poll(first.as_mut()), Poll::Ready(Ok(7))));
}

// --- PL1g: cut off ---

#[test]
fn pl1g_a_call_that_is_cut_off_is_dropped_inside() {
    let (pipeline, clock) = pipeline(config().without_attempt_timeout());
    let (result, took) = finish(&clock, pipeline.call(|_| pending::<Reply>()));
    rejected_by(result, ("timeout", "p/total"), RejectionKind::TimedOut);
    assert_eq!(took, 3 * SECOND);
    let totals = breaker(&pipeline).totals();
    assert_eq!((totals.dropped, totals.failure), (1, 0));
    assert_eq!(pipeline.retry().unwrap().totals().dropped, 1);
    assert_eq!(pipeline.bulkhead().unwrap().in_flight(), 0);
}

#[test]
fn pl1g_a_call_that_waits_for_its_slot_is_cut_off_unexecuted() {
    let bulkhead = BulkheadConfig::default()
        .max_concurrent(1)
        .queue(1, 60 * SECOND);
    let (pipeline, clock) = pipeline(config().bulkhead(bulkhead));
    let held = pipeline.bulkhead().unwrap().try_acquire().unwrap();
    let called = Cell::new(0);
    let (result, took) = finish(&clock, pipeline.call(fails(0, &called)));
    let rejection = rejected_by(result, ("timeout", "p/total"), RejectionKind::TimedOut);
    assert_eq!(rejection.executed(), Executed::No);
    assert_eq!((called.get(), took), (0, 3 * SECOND));
    let snapshot = pipeline.bulkhead().unwrap().snapshot();
    assert_eq!((snapshot.in_flight, snapshot.waiting), (1, 0));
    // The next in the queue gets the slot when it is free.
    let mut next = pin!(pipeline.call(fails(0, &called)));
    assert!(poll(next.as_mut()).is_pending());
    drop(held);
    assert!(matches!(poll(next.as_mut()), Poll::Ready(Ok(7))));
}

#[test]
fn pl1g_a_call_dropped_at_any_poll_gives_everything_back() {
    let bulkhead = BulkheadConfig::default()
        .max_concurrent(1)
        .queue(1, 60 * SECOND);
    // Waits for its slot, fails, waits, is pending, times out, waits, is pending.
    for polls in 0..100 {
        let (pipeline, clock) = pipeline(config().bulkhead(bulkhead));
        let mut held = Some(pipeline.bulkhead().unwrap().try_acquire().unwrap());
        let mut call = Box::pin(pipeline.call(|attempt| {
            let first = attempt.number == 1;
            async move {
                if first {
                    Err("down")
                } else {
                    pending::<Reply>().await
                }
            }
        }));
        let ended = (0..polls).any(|n| {
            if n == 5 {
                held = None;
            }
            clock.advance(50 * MS);
            poll(call.as_mut()).is_ready()
        });
        drop((call, held));
        let snapshot = pipeline.bulkhead().unwrap().snapshot();
        assert_eq!(
            (snapshot.in_flight, snapshot.waiting),
            (0, 0),
            "{polls} polls"
        );
        let totals = breaker(&pipeline).totals();
        assert_eq!(
            totals.admitted(),
            pipeline.retry().unwrap().totals().attempts
        );
        assert_eq!(totals.late, 0);
        if ended {
            assert!(polls > 40);
            return;
        }
    }
    panic!("it never ended");
}

#[test]
fn pl1g_a_panic_gives_everything_back() {
    let (pipeline, _clock) = pipeline(config());
    for pendings in [0, 1] {
        let mut call = Box::pin(pipeline.call(|_| {
            let mut left = pendings;
            std::future::poll_fn(move |_| -> Poll<Reply> {
                assert!(left > 0, "the call panics");
                left -= 1;
                Poll::Pending
            })
        }));
        for _ in 0..pendings {
            assert!(poll(call.as_mut()).is_pending());
        }
        let panicked = catch_unwind(AssertUnwindSafe(|| poll(call.as_mut())));
        assert!(panicked.is_err());
        drop(call);
        assert_eq!(pipeline.bulkhead().unwrap().in_flight(), 0);
    }
    assert_eq!(breaker(&pipeline).totals().failure, 2);
    assert_eq!(pipeline.retry().unwrap().totals().panicked, 2);
}

// --- PL1h: reconfiguration ---

#[test]
fn pl1h_a_configuration_is_taken_as_a_whole_or_not_at_all() {
    let (pipeline, clock) = pipeline(config());
    let attempts = Cell::new(0);
    let _ = finish(&clock, pipeline.call(fails(9, &attempts)));
    let other = config()
        .total_timeout(5 * SECOND)
        .bulkhead(BulkheadConfig::default().max_concurrent(3))
        .retry(retry().max_attempts(1))
        .circuit_breaker(CircuitBreakerConfig::default().probes(2));
    pipeline.reconfigure(other.clone()).unwrap();
    assert_eq!(pipeline.config(), other);
    assert_eq!(
        breaker(&pipeline).snapshot().counts.failed,
        3,
        "counts are kept"
    );
    let attempts = Cell::new(0);
    let _ = finish(&clock, pipeline.call(fails(9, &attempts)));
    assert_eq!(attempts.get(), 1);

    let bad = [
        (config().without_bulkhead(), None, "bulkhead"),
        (config().without_retry(), None, "retry"),
        (config().without_circuit_breaker(), None, "circuit_breaker"),
        (
            config().attempt_timeout(4 * SECOND),
            None,
            "attempt_timeout",
        ),
        (
            config().total_timeout(Duration::ZERO),
            None,
            "total_timeout",
        ),
        (
            config().retry(retry().max_attempts(0)),
            Some("retry"),
            "max_attempts",
        ),
        (
            config().circuit_breaker(CircuitBreakerConfig::default().probes(0)),
            Some("circuit_breaker"),
            "probes",
        ),
    ];
    for (config, part, field) in bad {
        let refused = pipeline.reconfigure(config).unwrap_err();
        assert_eq!((refused.part(), refused.field()), (part, field));
        let prefix = part.map_or(String::new(), |part| format!("{part}."));
        assert!(
            refused
                .to_string()
                .starts_with(&format!("{prefix}{field}: ")),
            "{refused}"
        );
        assert_eq!(pipeline.config(), other);
    }
}

// --- PL2: the parts together ---

#[test]
fn pl2a_an_attempt_timeout_above_the_total_is_refused() {
    let refused = Pipeline::new("p", config().attempt_timeout(3 * SECOND + MS)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "attempt_timeout: 3.001s is not allowed; it must be at most the total_timeout (3s)"
    );
    assert!(Pipeline::new("p", config().attempt_timeout(3 * SECOND)).is_ok());
    // The default fits itself to the total.
    let short = PipelineConfig::default().total_timeout(3 * SECOND);
    let short = Pipeline::new("p", short).unwrap();
    assert_eq!(short.attempt_timeout().config().limit(), Some(SECOND));
    let timeout = |limit| Timeout::new("t", limit).unwrap();
    let parts = PipelineParts::new()
        .total_timeout(timeout(SECOND))
        .attempt_timeout(timeout(2 * SECOND));
    assert_eq!(
        Pipeline::of("p", parts).unwrap_err().field(),
        "attempt_timeout"
    );
}

#[test]
fn pl2b_a_window_below_two_attempt_timeouts_is_refused() {
    let window = |millis: u64| {
        let window = Window::time(Duration::from_millis(millis), 10);
        config().circuit_breaker(CircuitBreakerConfig::default().window(window))
    };
    let refused = Pipeline::new("p", window(1_990)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "circuit_breaker.window.time: 1.99s is not allowed; it must be at least twice the attempt_timeout (1s)"
    );
    assert!(Pipeline::new("p", window(2_000)).is_ok());
    // The default fits itself to the window.
    let window_of_10 = Window::time(10 * SECOND, 10);
    let breaks = CircuitBreakerConfig::default().window(window_of_10);
    let narrow = PipelineConfig::default().circuit_breaker(breaks);
    let narrow = Pipeline::new("p", narrow).unwrap();
    assert_eq!(narrow.attempt_timeout().config().limit(), Some(5 * SECOND));
    assert!(Pipeline::new("p", window(10).without_attempt_timeout()).is_ok());
}

// --- Parts of other pipelines ---

#[test]
fn pl1b_parts_are_shared_by_pipelines() {
    let clock = Clock::manual();
    let bulkhead = Bulkhead::with_clock(
        "shared",
        BulkheadConfig::default().max_concurrent(1),
        &clock,
    )
    .unwrap();
    let [one, two] = ["one", "two"]
        .map(|name| Pipeline::of(name, PipelineParts::new().bulkhead(bulkhead.clone())).unwrap());
    let mut call = pin!(one.call(|_| pending::<Reply>()));
    assert!(poll(call.as_mut()).is_pending());
    let (result, _) = finish(&clock, two.call(|_| ready(Reply::Ok(7))));
    rejected_by(result, ("bulkhead", "shared"), RejectionKind::Full);
}
