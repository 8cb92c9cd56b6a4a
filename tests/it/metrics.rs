//! What is published is what happened: nothing twice, nothing lost, one state at a time.

mod bulkhead;
#[cfg(feature = "durable")]
mod durable;
mod recorder;
mod retry;
mod scrape;
mod supervision;

use backstop::kernel::clock::{Clock, ManualClock, NoRuntime};
use backstop::kernel::keyed::Keyed;
use backstop::observe::metrics::{Exporter, RunError};
use backstop::observe::names::{METRICS, Metric, MetricKind};
use backstop::policy::circuit_breaker::{Mode, State, Window};
use backstop::{CircuitBreaker, CircuitBreakerConfig, Timeout};
use futures::FutureExt;
use recorder::Sums;
use scrape::{Prometheus, Scraped};
use std::collections::{BTreeMap, BTreeSet};
use std::future::{pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Trips at 2 failures of 4 calls, for a second; 3 probes close it.
fn config() -> CircuitBreakerConfig {
    CircuitBreakerConfig::default()
        .window(Window::count(10))
        .minimum_calls(4)
        .open_wait(SECOND, 1.0, SECOND)
        .open_wait_jitter(0.0)
        .probes(3)
}

fn breaker(name: &'static str) -> (CircuitBreaker, ManualClock) {
    let clock = Clock::manual();
    let breaker = CircuitBreaker::with_clock(name, config(), &clock).unwrap();
    (breaker, clock)
}

fn succeed(breaker: &CircuitBreaker) {
    breaker.try_acquire().unwrap().success();
}

fn fail(breaker: &CircuitBreaker) {
    breaker.try_acquire().unwrap().failure();
}

fn reject(breaker: &CircuitBreaker) {
    assert!(breaker.try_acquire().is_err());
}

/// The six series of a state gauge.
fn states(of: State) -> BTreeMap<&'static str, f64> {
    let one = |state: State| if state == of { 1.0 } else { 0.0 };
    State::ALL.map(|state| (state.as_str(), one(state))).into()
}

fn no_state() -> BTreeMap<&'static str, f64> {
    State::ALL.map(|state| (state.as_str(), 0.0)).into()
}

const OUTCOMES: [&str; 5] = ["success", "failure", "ignored", "dropped", "late"];
const REASONS: [&str; 3] = ["open", "forced_open", "probes_full"];

/// All that is published of one breaker but its durations.
#[track_caller]
fn assert_breaker(
    scraped: &Scraped,
    name: &str,
    (state, ratio): (State, f64),
    outcomes: [f64; 5],
    reasons: [f64; 3],
) {
    let outcomes: BTreeMap<_, _> = OUTCOMES.into_iter().zip(outcomes).collect();
    let reasons: BTreeMap<_, _> = REASONS.into_iter().zip(reasons).collect();
    assert_eq!(scraped.of("circuit_breaker_state", name), states(state));
    assert_eq!(
        scraped.of("circuit_breaker_failure_ratio", name),
        [("", ratio)].into()
    );
    assert_eq!(scraped.of("policy_calls_total", name), outcomes);
    assert_eq!(scraped.of("policy_rejections_total", name), reasons);
}

#[tokio::test]
async fn a_scripted_life_is_scraped_as_it_went() {
    let prometheus = Prometheus::start(&[1.0]);
    let exporter = Exporter::new();
    let (breaker, clock) = breaker("life");
    exporter.add(&breaker);

    let scraped = prometheus.after_publish(&exporter).await;
    assert_breaker(&scraped, "life", (State::Closed, 0.0), [0.0; 5], [0.0; 3]);

    let from_before_the_trip = breaker.try_acquire().unwrap();
    succeed(&breaker);
    succeed(&breaker);
    fail(&breaker);
    breaker.try_acquire().unwrap().ignore();
    drop(breaker.try_acquire().unwrap());
    let scraped = prometheus.after_publish(&exporter).await;
    let outcomes = [2.0, 1.0, 1.0, 1.0, 0.0];
    assert_breaker(
        &scraped,
        "life",
        (State::Closed, 1.0 / 3.0),
        outcomes,
        [0.0; 3],
    );

    fail(&breaker);
    for _ in 0..3 {
        reject(&breaker);
    }
    let scraped = prometheus.after_publish(&exporter).await;
    let outcomes = [2.0, 2.0, 1.0, 1.0, 0.0];
    assert_breaker(
        &scraped,
        "life",
        (State::Open, 0.0),
        outcomes,
        [3.0, 0.0, 0.0],
    );

    clock.advance(SECOND);
    let [bad, good, another] = [(); 3].map(|()| breaker.try_acquire().unwrap());
    reject(&breaker);
    from_before_the_trip.success();
    bad.failure();
    let scraped = prometheus.after_publish(&exporter).await;
    let outcomes = [2.0, 3.0, 1.0, 1.0, 1.0];
    assert_breaker(
        &scraped,
        "life",
        (State::HalfOpen, 1.0),
        outcomes,
        [3.0, 0.0, 1.0],
    );

    good.success();
    another.success();
    let scraped = prometheus.after_publish(&exporter).await;
    let outcomes = [4.0, 3.0, 1.0, 1.0, 1.0];
    assert_breaker(
        &scraped,
        "life",
        (State::Closed, 0.0),
        outcomes,
        [3.0, 0.0, 1.0],
    );

    breaker.force_open();
    reject(&breaker);
    reject(&breaker);
    let scraped = prometheus.after_publish(&exporter).await;
    assert_breaker(
        &scraped,
        "life",
        (State::ForcedOpen, 0.0),
        outcomes,
        [3.0, 2.0, 1.0],
    );

    // Clears the windows, and no counter.
    breaker.reset();
    let scraped = prometheus.after_publish(&exporter).await;
    assert_breaker(
        &scraped,
        "life",
        (State::Closed, 0.0),
        outcomes,
        [3.0, 2.0, 1.0],
    );
}

#[tokio::test]
async fn exactly_one_state_is_one_all_the_way() {
    let prometheus = Prometheus::start(&[1.0]);
    let exporter = Exporter::new();
    let (breaker, clock) = breaker("walk");
    exporter.add(&breaker);
    let walk: [(State, &dyn Fn()); 9] = [
        (State::Closed, &|| {}),
        (State::Open, &|| breaker.transition_to(State::Open).unwrap()),
        (State::HalfOpen, &|| {
            clock.advance(SECOND);
            drop(breaker.try_acquire().unwrap());
        }),
        (State::ForcedOpen, &|| breaker.force_open()),
        (State::Closed, &|| breaker.release_force_open()),
        (State::Disabled, &|| breaker.set_mode(Mode::Disabled)),
        (State::MetricsOnly, &|| breaker.set_mode(Mode::MetricsOnly)),
        (State::Closed, &|| breaker.set_mode(Mode::Normal)),
        (State::Open, &|| breaker.transition_to(State::Open).unwrap()),
    ];
    let mut seen = BTreeSet::new();
    for (state, step) in walk {
        step();
        let scraped = prometheus.after_publish(&exporter).await;
        assert_eq!(scraped.of("circuit_breaker_state", "walk"), states(state));
        seen.insert(state.as_str());
    }
    assert_eq!(seen.len(), State::ALL.len());
}

/// A scrape in the middle of a publish, at every point of it.
#[test]
fn no_two_states_are_one_at_any_moment() {
    static SUMS: OnceLock<Sums> = OnceLock::new();
    static LOOKS: AtomicU64 = AtomicU64::new(0);
    let sums = SUMS.get_or_init(|| {
        Sums::with_hook(|_| {
            if let Some(sums) = SUMS.get() {
                LOOKS.fetch_add(1, Ordering::Relaxed);
                let states = sums.all("circuit_breaker_state");
                let ones = states.iter().filter(|(_, value)| *value != 0.0).count();
                assert!(ones <= 1, "{states:?}");
            }
        })
    });
    let exporter = Exporter::new();
    let (breaker, _) = breaker("moment");
    exporter.add(&breaker);
    for mode in [
        Mode::Normal,
        Mode::Disabled,
        Mode::MetricsOnly,
        Mode::Normal,
    ] {
        breaker.set_mode(mode);
        metrics::with_local_recorder(sums, || exporter.publish());
    }
    assert!(LOOKS.load(Ordering::Relaxed) > 50);
}

#[tokio::test]
async fn what_is_gone_leaves_its_counts_and_no_gauge() {
    let prometheus = Prometheus::start(&[1.0]);
    let exporter = Exporter::new();
    let clock = Clock::manual();
    let breaker = CircuitBreaker::with_clock("gone", config().durations(true), &clock).unwrap();
    exporter.add(&breaker);
    fail(&breaker);
    succeed(&breaker);
    let scraped = prometheus.after_publish(&exporter).await;
    assert_breaker(
        &scraped,
        "gone",
        (State::Closed, 0.5),
        [1.0, 1.0, 0.0, 0.0, 0.0],
        [0.0; 3],
    );

    // A permit holds it as a handle does, and what it ends with is not published before the end.
    succeed(&breaker);
    let permit = breaker.try_acquire_owned().unwrap();
    drop(breaker);
    let scraped = prometheus.after_publish(&exporter).await;
    assert_eq!(
        scraped.of("circuit_breaker_state", "gone"),
        states(State::Closed)
    );
    permit.success();
    for _ in 0..2 {
        let scraped = prometheus.after_publish(&exporter).await;
        assert_eq!(scraped.of("circuit_breaker_state", "gone"), no_state());
        assert_eq!(
            scraped.of("circuit_breaker_failure_ratio", "gone"),
            [("", 0.0)].into()
        );
        let calls = OUTCOMES
            .into_iter()
            .zip([3.0, 1.0, 0.0, 0.0, 0.0])
            .collect();
        assert_eq!(scraped.of("policy_calls_total", "gone"), calls);
        let count = scraped.of("policy_call_duration_seconds_count", "gone");
        assert_eq!(count, [("", 4.0)].into());
        assert!(
            format!("{exporter:?}").contains("policies: 0"),
            "{exporter:?}"
        );
    }

    // Another policy of this name takes the series over.
    let (again, _) = self::breaker("gone");
    exporter.add(&again);
    succeed(&again);
    let scraped = prometheus.after_publish(&exporter).await;
    assert_breaker(
        &scraped,
        "gone",
        (State::Closed, 0.0),
        [4.0, 1.0, 0.0, 0.0, 0.0],
        [0.0; 3],
    );
}

#[test]
fn one_that_is_gone_before_the_first_publish_is_counted_too() {
    let sums = Sums::new();
    let exporter = Exporter::new();
    let (breaker, _) = breaker("brief");
    exporter.add(&breaker);
    fail(&breaker);
    drop(breaker);
    metrics::with_local_recorder(&sums, || exporter.publish());
    assert_eq!(
        sums.get("policy_calls_total{circuit_breaker,brief,failure}"),
        Some(1.0)
    );
    assert_eq!(
        sums.all("circuit_breaker"),
        [],
        "a gauge of a policy that is gone"
    );
}

/// Of two policies of one name, the one that is there has the gauges, whatever the order.
#[test]
fn the_living_have_the_last_word() {
    for drop_first in [true, false] {
        let sums = Sums::new();
        let exporter = Exporter::new();
        let mut both = [breaker("twin").0, breaker("twin").0].map(Some);
        for one in both.iter().flatten() {
            fail(one);
            exporter.add(one);
        }
        metrics::with_local_recorder(&sums, || exporter.publish());
        both[usize::from(!drop_first)] = None;
        metrics::with_local_recorder(&sums, || exporter.publish());
        assert_eq!(sums.get("circuit_breaker_state{twin,closed}"), Some(1.0));
        assert_eq!(
            sums.get("policy_calls_total{circuit_breaker,twin,failure}"),
            Some(2.0)
        );
    }
}

#[test]
fn publishing_often_and_adding_twice_count_once() {
    let sums = Sums::new();
    let exporter = Exporter::new();
    let (breaker, _) = breaker("once");
    // What happened before it was added is part of it.
    succeed(&breaker);
    exporter.add(&breaker);
    exporter.add(&breaker.clone());
    for calls in 2..10 {
        succeed(&breaker);
        for _ in 0..3 {
            exporter.clone().add(&breaker);
            metrics::with_local_recorder(&sums, || exporter.publish());
        }
        let success = sums.get("policy_calls_total{circuit_breaker,once,success}");
        assert_eq!(success, Some(f64::from(calls)));
    }
    // Five outcomes, three reasons, six states, the ratio: each was looked up once.
    assert_eq!(sums.look_ups(), 15);

    // Another exporter serves another recorder, and has it all.
    let others = Sums::new();
    let other = Exporter::new();
    other.add(&breaker);
    metrics::with_local_recorder(&others, || other.publish());
    assert_eq!(
        others.get("policy_calls_total{circuit_breaker,once,success}"),
        Some(9.0)
    );
}

/// A breaker that does not count its successes has none to show; 0 would be wrong.
#[test]
fn successes_are_published_where_they_are_counted() {
    let clock = Clock::manual();
    let uncounted = config().totals(false);
    let timed = uncounted.clone().window(Window::time(SECOND, 10));
    for (config, is_counted) in [(uncounted, false), (timed, true), (config(), true)] {
        let sums = Sums::new();
        let exporter = Exporter::new();
        let publish = || metrics::with_local_recorder(&sums, || exporter.publish());
        let success = || sums.get("policy_calls_total{circuit_breaker,quiet,success}");
        let breaker = CircuitBreaker::with_clock("quiet", config, &clock).unwrap();
        exporter.add(&breaker);
        publish();
        assert_eq!(success(), is_counted.then_some(0.0));
        succeed(&breaker);
        publish();
        assert_eq!(success(), is_counted.then_some(1.0));
        drop(breaker);
        publish();
        assert_eq!(success(), is_counted.then_some(1.0));
        let failure = sums.get("policy_calls_total{circuit_breaker,quiet,failure}");
        assert_eq!(failure, Some(0.0));
    }
}

#[test]
fn successes_are_published_from_when_they_are_counted() {
    let sums = Sums::new();
    let exporter = Exporter::new();
    let (breaker, _) = breaker("later");
    let publish = || metrics::with_local_recorder(&sums, || exporter.publish());
    let success = || sums.get("policy_calls_total{circuit_breaker,later,success}");
    breaker.reconfigure(config().totals(false)).unwrap();
    exporter.add(&breaker);
    succeed(&breaker);
    publish();
    assert_eq!(success(), None);
    breaker.reconfigure(config()).unwrap();
    publish();
    assert_eq!(success(), Some(0.0));
    succeed(&breaker);
    breaker.reconfigure(config().totals(false)).unwrap();
    succeed(&breaker);
    publish();
    assert_eq!(success(), Some(1.0));
}

#[tokio::test]
async fn durations_are_put_in_once() {
    let prometheus = Prometheus::start(&[0.05, 0.5, 5.0]);
    let exporter = Exporter::new();
    let clock = Clock::manual();
    let breaker = CircuitBreaker::with_clock("timed", config().durations(true), &clock).unwrap();
    exporter.add(&breaker);
    let call = |took: u64, times: u32| {
        for _ in 0..times {
            let permit = breaker.try_acquire().unwrap();
            clock.advance(Duration::from_millis(took));
            permit.success();
        }
    };
    let buckets = |scraped: &Scraped| {
        let of = scraped.of("policy_call_duration_seconds_bucket", "timed");
        ["0.05", "0.5", "5", "+Inf"].map(|bound| of.get(bound).copied())
    };
    // Without any call there is nothing to show.
    assert_eq!(
        buckets(&prometheus.after_publish(&exporter).await),
        [None; 4]
    );
    call(10, 2);
    call(100, 1);
    for _ in 0..2 {
        let scraped = prometheus.after_publish(&exporter).await;
        assert_eq!(buckets(&scraped), [2.0, 3.0, 3.0, 3.0].map(Some));
    }
    call(100, 3);
    call(9_000, 1);
    let scraped = prometheus.after_publish(&exporter).await;
    assert_eq!(buckets(&scraped), [2.0, 6.0, 6.0, 7.0].map(Some));
    let sum = scraped.of("policy_call_duration_seconds_sum", "timed")[""];
    let exact = 0.01 * 2.0 + 0.1 * 4.0 + 9.0;
    assert!((exact..=exact * 1.033).contains(&sum), "{sum}");
}

/// A recorder may drop a series that was idle: its handle would record into nothing.
#[test]
fn a_histogram_is_looked_up_again_after_it_was_idle() {
    let sums = Sums::new();
    let exporter = Exporter::new();
    let config = config().durations(true);
    let breaker = CircuitBreaker::with_clock("idle", config, Clock::manual()).unwrap();
    exporter.add(&breaker);
    let mut look_ups = Vec::new();
    for calls in [1, 1, 0, 0, 1, 1] {
        (0..calls).for_each(|_| succeed(&breaker));
        metrics::with_local_recorder(&sums, || exporter.publish());
        look_ups.push(sums.look_ups());
    }
    assert_eq!(look_ups, [16, 16, 16, 16, 17, 17]);
    let recorded = sums.get("policy_call_duration_seconds{circuit_breaker,idle}");
    assert_eq!(recorded, Some(4.0));
}

/// Sets `hosts` to: 2 closed, 1 open, and the overflow entry used twice.
fn keyed(name: &'static str) -> Keyed<u8, CircuitBreaker> {
    let hosts = Keyed::with_clock(name, 3, config(), Clock::manual()).unwrap();
    let open = hosts.get(&0);
    (0..4).for_each(|_| fail(&open));
    reject(&open);
    // Held, so that nothing is evicted.
    let held = [1, 2].map(|key| hosts.get(&key));
    held.iter().for_each(succeed);
    succeed(&hosts.get(&3));
    fail(&hosts.get(&4));
    drop((open, held));
    hosts
}

#[tokio::test]
async fn a_keyed_set_is_counted_by_state_and_summed() {
    let prometheus = Prometheus::start(&[1.0]);
    let exporter = Exporter::new();
    let hosts = keyed("hosts");
    exporter.add(&hosts);
    exporter.add(&hosts.clone());
    for _ in 0..2 {
        let scraped = prometheus.after_publish(&exporter).await;
        let mut entries = no_state();
        entries.extend([("closed", 2.0), ("open", 1.0)]);
        assert_eq!(
            scraped.of("circuit_breaker_keyed_entries", "hosts"),
            entries
        );
        assert_eq!(
            scraped.of("circuit_breaker_keyed_overflows_total", "hosts"),
            [("", 2.0)].into()
        );
        let calls = OUTCOMES
            .into_iter()
            .zip([3.0, 5.0, 0.0, 0.0, 0.0])
            .collect();
        assert_eq!(scraped.of("policy_calls_total", "hosts"), calls);
        let rejections = REASONS.into_iter().zip([1.0, 0.0, 0.0]).collect();
        assert_eq!(scraped.of("policy_rejections_total", "hosts"), rejections);
        assert_eq!(scraped.of("circuit_breaker_state", "hosts"), [].into());
    }

    // Evicts an idle entry; its calls stay counted.
    succeed(&hosts.get(&5));
    assert_eq!(hosts.evicted(), 1);
    let scraped = prometheus.after_publish(&exporter).await;
    let calls = OUTCOMES
        .into_iter()
        .zip([4.0, 5.0, 0.0, 0.0, 0.0])
        .collect();
    assert_eq!(scraped.of("policy_calls_total", "hosts"), calls);

    // After the last publish; then the set is dropped.
    hosts.overflow().force_open();
    reject(hosts.overflow());
    succeed(&hosts.get(&5));
    drop(hosts);
    for _ in 0..2 {
        let scraped = prometheus.after_publish(&exporter).await;
        assert_eq!(
            scraped.of("circuit_breaker_keyed_entries", "hosts"),
            no_state()
        );
        assert_eq!(
            scraped.of("circuit_breaker_keyed_overflows_total", "hosts"),
            [("", 2.0)].into()
        );
        let calls = OUTCOMES
            .into_iter()
            .zip([5.0, 5.0, 0.0, 0.0, 0.0])
            .collect();
        assert_eq!(scraped.of("policy_calls_total", "hosts"), calls);
        let rejections = REASONS.into_iter().zip([1.0, 1.0, 0.0]).collect();
        assert_eq!(scraped.of("policy_rejections_total", "hosts"), rejections);
        assert!(
            format!("{exporter:?}").contains("policies: 0"),
            "{exporter:?}"
        );
    }
}

#[tokio::test]
async fn a_timeout_is_published_and_its_end_too() {
    let prometheus = Prometheus::start(&[1.0]);
    let exporter = Exporter::new();
    let clock = Clock::manual();
    let timeout = Timeout::with_clock("limited", SECOND, &clock).unwrap();
    exporter.add(&timeout);
    exporter.add(&timeout.clone());
    let end_calls = |times| {
        for _ in 0..times {
            let mut call = pin!(timeout.call(pending::<Result<(), ()>>));
            assert!(call.as_mut().now_or_never().is_none());
            clock.advance(SECOND);
            assert!(call.now_or_never().is_some());
        }
    };
    let assert_published = |scraped: &Scraped, armed, timed_out, refused| {
        let of = |metric| scraped.of_policy("timeout", metric, "limited");
        assert_eq!(of("timeout_armed_total"), [("", armed)].into());
        let reasons = [
            ("timed_out", timed_out),
            ("forced_open", refused),
            ("no_runtime", 0.0),
        ];
        assert_eq!(of("policy_rejections_total"), reasons.into());
    };
    let scraped = prometheus.after_publish(&exporter).await;
    assert_published(&scraped, 0.0, 0.0, 0.0);
    end_calls(2);
    let mut cancelled = Box::pin(timeout.call(pending::<Result<(), ()>>));
    assert!(cancelled.as_mut().now_or_never().is_none());
    drop(cancelled);
    let isolation = timeout.isolate();
    assert!(
        timeout
            .call(|| ready(Ok::<_, ()>(())))
            .now_or_never()
            .unwrap()
            .is_err()
    );
    drop(isolation);
    let scraped = prometheus.after_publish(&exporter).await;
    assert_published(&scraped, 3.0, 2.0, 1.0);
    end_calls(1);
    drop(timeout);
    let scraped = prometheus.after_publish(&exporter).await;
    assert_published(&scraped, 4.0, 3.0, 1.0);
    assert!(format!("{exporter:?}").contains("policies: 0"));
}

#[tokio::test]
async fn a_pipeline_is_published_as_its_parts_and_each_once() {
    let prometheus = Prometheus::start(&[1.0]);
    let exporter = Exporter::new();
    let config = backstop::PipelineConfig::default();
    let pipeline = backstop::Pipeline::with_clock("piped", config, Clock::manual()).unwrap();
    let breaker = pipeline.circuit_breaker().expect("it is on");
    exporter.add(breaker);
    exporter.add(&pipeline);
    exporter.add(&pipeline.clone());
    assert!(format!("{exporter:?}").contains("policies: 5"));
    let call = pipeline.call(|_| ready(Ok::<_, ()>(())));
    assert!(call.now_or_never().is_some());
    breaker.force_open();
    let call = pipeline.call(|_| ready(Ok::<_, ()>(())));
    assert!(call.now_or_never().is_some());
    let scraped = prometheus.after_publish(&exporter).await;
    let of = |policy, metric, name: &str| scraped.of_policy(policy, metric, name);
    let calls = "policy_calls_total";
    assert_eq!(of("bulkhead", calls, "piped"), [("finished", 2.0)].into());
    assert!(of("circuit_breaker", calls, "piped")["success"].eq(&1.0));
    assert!(of("circuit_breaker", "policy_rejections_total", "piped")["forced_open"].eq(&1.0));
    assert!(of("retry", calls, "piped")["success"].eq(&1.0));
    for name in ["piped/total", "piped/attempt"] {
        let armed = of("timeout", "timeout_armed_total", name);
        assert_eq!(armed, [("", 0.0)].into(), "{name}: no call was pending");
    }
}

#[tokio::test]
async fn what_is_published_is_what_the_table_lists() {
    let prometheus = Prometheus::start(&[1.0]);
    let exporter = Exporter::new();
    let breaker = CircuitBreaker::with_clock("all", config().durations(true), Clock::manual());
    let breaker = breaker.unwrap();
    succeed(&breaker);
    let hosts = keyed("all_hosts");
    exporter.add(&breaker);
    exporter.add(&hosts);
    let timeout = Timeout::none("all_timeouts");
    exporter.add(&timeout);
    let retry = backstop::Retry::new("all_retries", backstop::RetryConfig::default()).unwrap();
    exporter.add(&retry);
    let slots = backstop::Bulkhead::new("all_slots", backstop::BulkheadConfig::default()).unwrap();
    exporter.add(&slots);
    let tree = {
        use backstop::health::check::{Check, Level, Status};
        let check = Check::new("ping", Level::Critical, || {
            ready(Ok::<_, std::io::Error>(()))
        });
        let tree = backstop::health::tree::HealthTree::builder("all_health").check(check);
        let tree = tree.build().unwrap();
        tree.start().unwrap();
        let mut watch = tree.watch();
        watch.until(|it| it.status == Status::Healthy).await;
        tree
    };
    exporter.add(&tree);
    #[cfg(feature = "durable")]
    let _checkpoints = durable::publish_checkpoints(&exporter);
    #[cfg(feature = "durable")]
    let _journal = {
        use backstop::durable::journal::{Journal, JournalConfig, OpenMode};
        use backstop::durable::storage::MemoryStorage;
        let config = JournalConfig::default().open(OpenMode::CreateIfMissing);
        let opened = Journal::open(std::sync::Arc::new(MemoryStorage::new()), "all", config);
        let (journal, _) = opened.unwrap();
        journal.append(1, b"one").unwrap();
        exporter.add(&journal);
        journal
    };
    let _supervised = supervision::Supervised::publish(&exporter).await;
    let scraped = prometheus.after_publish(&exporter).await;

    let published: BTreeSet<_> = scraped.types.keys().map(String::as_str).collect();
    // What the feature `durable` publishes stands in the table without it, too.
    let is_here = |metric: &&Metric| {
        let is_durables = ["journal_", "checkpoint_"]
            .iter()
            .any(|front| metric.name.starts_with(front));
        cfg!(feature = "durable") || !is_durables
    };
    let here = || METRICS.iter().filter(is_here);
    let listed: BTreeSet<_> = here().map(|metric| metric.name).collect();
    assert_eq!(published, listed);
    for metric in here() {
        let Metric {
            name, kind, help, ..
        } = *metric;
        if !listed.contains(name) {
            continue;
        }
        let kind = match kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        };
        assert_eq!(scraped.types[name], kind, "{name}");
        assert_eq!(scraped.helps[name], help, "{name}");
    }
    for sample in &scraped.samples {
        let name = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| sample.name.strip_suffix(suffix))
            .unwrap_or(&sample.name);
        let metric = METRICS.iter().find(|metric| metric.name == name).unwrap();
        let labels = sample.labels.keys().map(String::as_str);
        let labels: BTreeSet<_> = labels.filter(|label| *label != "le").collect();
        assert_eq!(
            labels,
            metric.labels.iter().copied().collect(),
            "{sample:?}"
        );
        assert!(sample.value.is_finite(), "{sample:?}");
    }
}

/// A recorder that comes back at every value: no lock of ours is held, and it ends.
#[test]
fn a_recorder_may_use_the_exporter_and_the_policy() {
    static BOTH: OnceLock<(Exporter, CircuitBreaker)> = OnceLock::new();
    static VISITS: AtomicU64 = AtomicU64::new(0);
    let sums = Sums::with_hook(|_| {
        if let Some((exporter, breaker)) = BOTH.get() {
            VISITS.fetch_add(1, Ordering::Relaxed);
            exporter.publish();
            exporter.add(breaker);
            exporter.add(&self::breaker("another").0);
            let _ = (
                breaker.snapshot(),
                breaker.totals(),
                format!("{exporter:?}"),
            );
            breaker.reset();
        }
    });
    let (breaker, _) = breaker("reentered");
    let (exporter, breaker) = BOTH.get_or_init(|| (Exporter::new(), breaker));
    exporter.add(breaker);
    fail(breaker);
    metrics::with_local_recorder(&sums, || exporter.publish());
    assert!(VISITS.load(Ordering::Relaxed) > 10);
    assert_eq!(
        sums.get("policy_calls_total{circuit_breaker,reentered,failure}"),
        Some(1.0)
    );
    assert_eq!(
        sums.get("circuit_breaker_state{reentered,closed}"),
        Some(1.0)
    );
}

#[test]
fn a_recorder_that_panics_loses_no_policy() {
    static PANICS: AtomicBool = AtomicBool::new(true);
    let sums = Sums::with_hook(|series| {
        let is_it = series.starts_with("policy_rejections_total");
        assert!(
            !(is_it && PANICS.load(Ordering::Relaxed)),
            "a recorder's panic"
        );
    });
    let exporter = Exporter::new();
    let all = [breaker("first").0, breaker("second").0];
    for breaker in &all {
        exporter.add(breaker);
        fail(breaker);
    }
    let publish = || metrics::with_local_recorder(&sums, || exporter.publish());
    assert!(catch_unwind(AssertUnwindSafe(publish)).is_err());
    PANICS.store(false, Ordering::Relaxed);
    publish();
    for name in ["first", "second"] {
        let failures = format!("policy_calls_total{{circuit_breaker,{name},failure}}");
        assert_eq!(sums.get(&failures), Some(1.0));
        assert_eq!(
            sums.get(&format!("circuit_breaker_state{{{name},closed}}")),
            Some(1.0)
        );
    }
}

/// Who asks while another thread publishes does not wait, and is not forgotten.
#[test]
fn a_publish_during_another_one_is_made_up_for() {
    static BOTH: OnceLock<(Exporter, CircuitBreaker)> = OnceLock::new();
    static ASKED: AtomicBool = AtomicBool::new(false);
    let (breaker, _) = breaker("meanwhile");
    let (exporter, breaker) = BOTH.get_or_init(|| (Exporter::new(), breaker));
    exporter.add(breaker);
    let sums = Sums::with_hook(|series| {
        // By now the figures were read.
        if series.starts_with("circuit_breaker_state") && !ASKED.swap(true, Ordering::Relaxed) {
            let other = std::thread::spawn(|| {
                let (exporter, breaker) = BOTH.get().unwrap();
                succeed(breaker);
                exporter.publish();
            });
            other.join().unwrap();
        }
    });
    metrics::with_local_recorder(&sums, || exporter.publish());
    assert!(ASKED.load(Ordering::Relaxed));
    let success = sums.get("policy_calls_total{circuit_breaker,meanwhile,success}");
    assert_eq!(success, Some(1.0));
}

/// Many publish while others call and drop: each call is counted once.
#[test]
fn nothing_is_lost_or_doubled_under_threads() {
    const CALLS: u32 = 500;
    const ROUNDS: u32 = 40;
    let sums = Sums::new();
    let exporter = Exporter::new();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                metrics::with_local_recorder(&sums, || {
                    while !done.load(Ordering::Acquire) {
                        exporter.publish();
                        std::thread::yield_now();
                    }
                });
            });
        }
        let callers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..ROUNDS {
                        // All of one name; each is gone soon.
                        let (breaker, _) = breaker("shared");
                        exporter.add(&breaker);
                        for _ in 0..CALLS {
                            succeed(&breaker);
                        }
                    }
                })
            })
            .collect();
        callers
            .into_iter()
            .for_each(|caller| caller.join().unwrap());
        done.store(true, Ordering::Release);
    });
    metrics::with_local_recorder(&sums, || exporter.publish());
    let success = sums.get("policy_calls_total{circuit_breaker,shared,success}");
    assert_eq!(success, Some(f64::from(2 * ROUNDS * CALLS)));
    assert!(
        sums.all("circuit_breaker_state")
            .iter()
            .all(|(_, value)| *value == 0.0)
    );
}

/// Entries are evicted all the time, and no call of theirs is ever seen twice.
#[test]
fn a_keyed_sets_totals_never_run_ahead() {
    let hosts = Keyed::<u32, _>::with_clock("churn", 8, config(), Clock::manual()).unwrap();
    let begun = AtomicU64::new(0);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for key in 0..20_000 {
                begun.fetch_add(1, Ordering::SeqCst);
                succeed(&hosts.get(&key));
            }
            done.store(true, Ordering::SeqCst);
        });
        while !done.load(Ordering::SeqCst) {
            let seen = hosts.totals().success;
            assert!(seen <= begun.load(Ordering::SeqCst));
        }
    });
    assert!(hosts.evicted() > 1_000, "{}", hosts.evicted());
    assert_eq!(hosts.totals().success, 20_000);
}

#[test]
fn run_publishes_on_its_interval() {
    let manual = Clock::manual();
    let sums = Sums::new();
    let exporter = Exporter::with_clock(&manual);
    let (breaker, _) = breaker("interval");
    exporter.add(&breaker);
    let success = || sums.get("policy_calls_total{circuit_breaker,interval,success}");
    let is_pending = |future: &mut (dyn Future<Output = _> + Unpin)| {
        metrics::with_local_recorder(&sums, || future.now_or_never().is_none())
    };

    let mut run = Box::pin(exporter.run(5 * SECOND));
    succeed(&breaker);
    assert!(is_pending(&mut run));
    assert_eq!(success(), Some(1.0));
    succeed(&breaker);
    manual.advance(4 * SECOND);
    assert!(is_pending(&mut run));
    assert_eq!(success(), Some(1.0));
    manual.advance(SECOND);
    assert!(is_pending(&mut run));
    assert_eq!(success(), Some(2.0));

    // Stopped and started again, nothing is lost.
    succeed(&breaker);
    drop(run);
    manual.advance(60 * SECOND);
    assert_eq!(success(), Some(2.0));
    let mut run = Box::pin(exporter.run(Duration::MAX));
    assert!(is_pending(&mut run));
    assert_eq!(success(), Some(3.0));
}

#[test]
fn run_says_why_it_cannot() {
    let exporter = Exporter::with_clock(Clock::system());
    let refused = exporter.run(SECOND).now_or_never().unwrap().unwrap_err();
    assert_eq!(refused, RunError::NoRuntime(NoRuntime));
    let refused = exporter.run(Duration::ZERO).now_or_never().unwrap();
    let text = "interval: 0s is not allowed; it must be above 0s";
    assert_eq!(refused.unwrap_err().to_string(), text);
}

#[tokio::test]
async fn run_moves_into_a_task() {
    let sums = Sums::new();
    // Of this thread, and so of the tasks of its runtime.
    let _installed = metrics::set_default_local_recorder(&sums);
    let exporter = Exporter::with_clock(Clock::tokio());
    let (breaker, _) = breaker("task");
    exporter.add(&breaker);
    succeed(&breaker);
    let publisher = exporter.clone();
    let task = tokio::spawn(async move { publisher.run(SECOND).await });
    tokio::task::yield_now().await;
    let success = sums.get("policy_calls_total{circuit_breaker,task,success}");
    assert_eq!(success, Some(1.0));
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
}
