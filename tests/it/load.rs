//! Many tasks at once: every call is counted once, and nothing is left behind.

use crate::rig::{MS, SECOND, config};
use backstop::kernel::clock::{Clock, ManualClock};
use backstop::kernel::name::Name;
use backstop::kernel::outcome::Outcome;
use backstop::kernel::rejection::RejectionKind;
use backstop::policy::circuit_breaker::{Mode, State, Totals, Window};
use backstop::{CircuitBreaker, CircuitBreakerConfig, Error};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use tokio::task::yield_now;

const TASKS: u64 = 64;

/// How many calls all tasks make in all runs of a test.
fn calls() -> u64 {
    if std::env::var_os("BACKSTOP_SOAK").is_some() {
        10_000_000
    } else {
        300_000
    }
}

/// What the callers saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    /// Calls whose future was polled at least once.
    made: u64,
    success: u64,
    failure: u64,
    ignored: u64,
    cancelled: u64,
    panicked: u64,
    open: u64,
    forced_open: u64,
    probes_full: u64,
}

impl Tally {
    fn add(&mut self, more: &Self) {
        let Self {
            made,
            success,
            failure,
            ignored,
            cancelled,
            panicked,
            open,
            forced_open,
            probes_full,
        } = more;
        self.made += made;
        self.success += success;
        self.failure += failure;
        self.ignored += ignored;
        self.cancelled += cancelled;
        self.panicked += panicked;
        self.open += open;
        self.forced_open += forced_open;
        self.probes_full += probes_full;
    }

    fn rejected(&self) -> u64 {
        self.open + self.forced_open + self.probes_full
    }

    /// Counts a call that came to an end of its own.
    fn ended(&mut self, reply: &Result<u8, Error<u8>>) {
        match reply {
            Ok(_) => self.success += 1,
            Err(Error::Inner(IGNORED)) => self.ignored += 1,
            Err(Error::Inner(_)) => self.failure += 1,
            Err(Error::Rejected(rejection)) => match rejection.kind() {
                RejectionKind::Open => self.open += 1,
                RejectionKind::ForcedOpen => self.forced_open += 1,
                RejectionKind::ProbesFull => self.probes_full += 1,
                other => panic!("rejected with {other:?}"),
            },
        }
    }
}

const IGNORED: u8 = 1;

fn judge(result: Result<&u8, &u8>) -> Outcome {
    match result {
        Ok(_) => Outcome::Success,
        Err(&IGNORED) => Outcome::Ignored,
        Err(_) => Outcome::Failure,
    }
}

/// What a call does before and after it waited for some polls.
#[derive(Clone, Copy)]
enum End {
    With(Result<u8, u8>),
    Panic,
}

async fn work(polls: u8, end: End) -> Result<u8, u8> {
    for _ in 0..polls {
        yield_now().await;
    }
    match end {
        End::With(result) => result,
        // Unwinds as a panic does, without a message for each.
        End::Panic => std::panic::resume_unwind(Box::new("a panic of the call")),
    }
}

/// One call, ended as the dice say.
async fn one_call(breaker: &CircuitBreaker, rng: &mut fastrand::Rng, tally: &mut Tally) {
    let polls = rng.u8(..3);
    let end = match rng.u8(..100) {
        0..8 => End::With(Err(IGNORED)),
        8..30 => End::With(Err(0)),
        30 => End::Panic,
        _ => End::With(Ok(1)),
    };
    if let End::Panic = end {
        let breaker = breaker.clone();
        let call = async move { breaker.call_with(judge, || work(polls, end)).await };
        tally.made += 1;
        match tokio::spawn(call).await {
            Ok(reply) => tally.ended(&reply),
            Err(error) => {
                assert!(error.is_panic());
                tally.panicked += 1;
            }
        }
        return;
    }
    // Most callers are patient; the others hang up after so many polls.
    let patience = if rng.u8(..100) < 10 {
        rng.u8(..3)
    } else {
        u8::MAX
    };
    let mut call = pin!(breaker.call_with(judge, || work(polls, end)));
    for polled in 0..patience {
        tally.made += u64::from(polled == 0);
        if let Poll::Ready(reply) = futures::poll!(call.as_mut()) {
            return tally.ended(&reply);
        }
        yield_now().await;
    }
    tally.cancelled += u64::from(patience > 0);
}

async fn caller(breaker: CircuitBreaker, seed: u64, calls: u64) -> Tally {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut tally = Tally::default();
    for _ in 0..calls {
        one_call(&breaker, &mut rng, &mut tally).await;
    }
    tally
}

/// Runs all callers, and `beside` until they are done.
async fn run<F>(breaker: &CircuitBreaker, seed: u64, runs: usize, beside: F) -> Tally
where
    F: Future<Output = ()> + Send + 'static,
{
    let beside = tokio::spawn(beside);
    let callers: Vec<_> = (0..TASKS)
        .map(|task| {
            let calls = calls().div_ceil(TASKS * runs as u64);
            tokio::spawn(caller(breaker.clone(), seed * TASKS + task, calls))
        })
        .collect();
    let mut tally = Tally::default();
    for caller in callers {
        tally.add(&caller.await.unwrap());
    }
    beside.abort();
    assert!(beside.await.is_err_and(|error| error.is_cancelled()));
    tally
}

/// A breaker and the name it holds, which counts who holds the breaker or its rejections.
fn named(config: CircuitBreakerConfig, clock: &ManualClock) -> (CircuitBreaker, Arc<str>) {
    let name: Arc<str> = "load".into();
    let breaker = CircuitBreaker::with_clock(Name::from(name.clone()), config, clock).unwrap();
    (breaker, name)
}

fn assert_rejections_match(totals: &Totals, tally: &Tally) {
    assert_eq!(totals.rejected_open, tally.open);
    assert_eq!(totals.rejected_forced_open, tally.forced_open);
    assert_eq!(totals.rejected_probes_full, tally.probes_full);
    assert_eq!(totals.admitted() + totals.rejected(), tally.made);
}

/// Nobody holds the breaker but the caller, and with its handle it is gone.
fn assert_nobody_holds(breaker: CircuitBreaker, name: &Arc<str>) {
    assert_eq!(Arc::strong_count(name), 2, "the test's and the breaker's");
    drop(breaker);
    assert_eq!(Arc::strong_count(name), 1, "the breaker was not dropped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn g1a_g1b_g2a_g2b_in_one_long_closed_state_every_class_is_exact() {
    let never = CircuitBreakerConfig::consecutive(u32::MAX);
    let windows = [
        Window::none(),
        Window::count(100),
        Window::time(10 * SECOND, 10),
    ];
    for (seed, window) in (1..).zip(windows) {
        let clock = Clock::manual();
        let config = never.clone().window(window).without_failure_rate();
        let (breaker, name) = named(config, &clock);
        let moving = clock.clone();
        let tally = run(&breaker, seed, windows.len(), async move {
            loop {
                moving.advance(10 * MS);
                yield_now().await;
            }
        })
        .await;
        let totals = breaker.totals();
        let context = format!("seed {seed}, {window:?}: {totals:?}, {tally:?}");
        assert_rejections_match(&totals, &tally);
        assert_eq!(tally.rejected(), 0, "{context}");
        assert_eq!(totals.success, tally.success, "{context}");
        assert_eq!(totals.failure, tally.failure + tally.panicked, "{context}");
        assert_eq!(totals.ignored, tally.ignored, "{context}");
        assert_eq!(totals.dropped, tally.cancelled, "{context}");
        assert_eq!((totals.late, totals.slow), (0, 0), "{context}");
        let counts = breaker.snapshot().counts;
        assert!(counts.failed <= counts.recorded, "{context}");
        assert_nobody_holds(breaker, &name);
    }
}

fn storm_configs() -> [CircuitBreakerConfig; 5] {
    let base = config()
        .minimum_calls(10)
        .open_wait(SECOND, 2.0, 4 * SECOND)
        .failure_rate(0.4);
    [
        base.clone(),
        base.clone().window(Window::time(SECOND, 10)),
        base.clone().window(Window::count(37)).probes(1),
        base.clone().consecutive_failures(5).failure_rate(0.9),
        base.window(Window::time(20 * MS, 2)).auto_half_open(true),
    ]
}

/// Everything that can be done to a breaker, except that it is disabled: then it does not count.
async fn storm(breaker: CircuitBreaker, clock: ManualClock, seed: u64, stop: Arc<AtomicBool>) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let configs = storm_configs();
    let mut guard = None;
    while !stop.load(Ordering::Relaxed) {
        clock.advance(MS * rng.u32(..50));
        match rng.u8(..120) {
            0 => breaker.reset(),
            1 => breaker.force_open(),
            2..6 => breaker.release_force_open(),
            6 => guard = Some(breaker.isolate()),
            7..11 => drop(guard.take()),
            11 => breaker.set_mode(Mode::MetricsOnly),
            12..14 => breaker.set_mode(Mode::Normal),
            14..16 => _ = breaker.transition_to(State::Open),
            16..18 => _ = breaker.transition_to(State::HalfOpen),
            18..20 => _ = breaker.transition_to(State::Closed),
            20..22 => {
                let config = configs[rng.usize(..configs.len())].clone();
                breaker.reconfigure(config).unwrap();
            }
            22 => clock.step_back(MS * rng.u32(..50)),
            23 => {
                let snapshot = breaker.snapshot();
                let counts = snapshot.counts;
                assert!(counts.failed <= counts.recorded && counts.slow <= counts.recorded);
                breaker.restore(&snapshot).unwrap();
            }
            _ => {}
        }
        for _ in 0..rng.u8(..32) {
            yield_now().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cb7a_cb8b_g2a_g2b_in_a_storm_every_call_is_counted_once_and_nothing_leaks() {
    for (seed, config) in (10..).zip(storm_configs()) {
        let clock = Clock::manual();
        let (breaker, name) = named(config, &clock);
        let stop = Arc::new(AtomicBool::new(false));
        let stormy = tokio::spawn(storm(breaker.clone(), clock.clone(), seed, stop.clone()));
        let tally = run(
            &breaker,
            seed,
            storm_configs().len(),
            std::future::pending(),
        )
        .await;
        stop.store(true, Ordering::Relaxed);
        stormy.await.unwrap();

        let totals = breaker.totals();
        let context = format!("seed {seed}: {totals:?}, {tally:?}");
        assert_rejections_match(&totals, &tally);
        let ended = [
            (tally.success, totals.success),
            (tally.failure + tally.panicked, totals.failure),
            (tally.ignored, totals.ignored),
            (tally.cancelled, totals.dropped),
        ];
        assert!(ended.iter().all(|(all, timely)| all >= timely), "{context}");
        let late: u64 = ended.iter().map(|(all, timely)| all - timely).sum();
        assert_eq!(totals.late, late, "{context}");
        assert!(totals.rejected() > 0, "{context}");

        // No place of a probe was lost: a healthy callee closes it.
        breaker.set_mode(Mode::Normal);
        breaker.release_force_open();
        let _ = breaker.transition_to(State::Open);
        for _ in 0..20 {
            clock.advance(10 * SECOND);
            breaker
                .try_acquire()
                .expect("due, and with a place")
                .success();
            if breaker.state() == State::Closed {
                break;
            }
        }
        assert_eq!(breaker.state(), State::Closed, "{context}");
        assert_nobody_holds(breaker, &name);
    }
}
