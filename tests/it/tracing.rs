//! What is traced: each change of state once, and rejections once a second.

use backstop::kernel::clock::{Clock, ManualClock};
use backstop::policy::circuit_breaker::{EventKind, Mode, Window};
use backstop::{CircuitBreaker, CircuitBreakerConfig, Timeout};
use futures::FutureExt;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::pending;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::NoSubscriber;
use tracing::{Dispatch, Event, Level, Subscriber, dispatcher};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

const SECOND: Duration = Duration::from_secs(1);

/// One event as a subscriber sees it.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    level: Level,
    target: String,
    fields: BTreeMap<&'static str, String>,
}

impl Seen {
    fn new(level: Level, fields: &[(&'static str, &str)]) -> Self {
        let fields = fields
            .iter()
            .map(|(key, value)| (*key, (*value).to_owned()));
        Self {
            level,
            target: "backstop::policy".to_owned(),
            fields: fields.collect(),
        }
    }
}

impl Visit for Seen {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }
}

/// Keeps what it sees, after it has run something of the test's.
#[derive(Clone)]
struct Capture {
    seen: Arc<Mutex<Vec<Seen>>>,
    hook: Arc<dyn Fn() + Send + Sync>,
}

impl<S: Subscriber> Layer<S> for Capture {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        (self.hook)();
        let mut seen = Seen::new(*event.metadata().level(), &[]);
        event.metadata().target().clone_into(&mut seen.target);
        event.record(&mut seen);
        self.seen.lock().unwrap().push(seen);
    }
}

impl Capture {
    fn new() -> Self {
        Self::with_hook(|| {})
    }

    fn with_hook(hook: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            seen: Arc::default(),
            hook: Arc::new(hook),
        }
    }

    /// A subscriber to events of `level` and above.
    fn subscriber(&self, level: LevelFilter) -> Dispatch {
        // As long as there is only one subscriber, `tracing` asks that of the thread at hand about
        // an event it meets for the first time; and a thread of another test has none.
        static OTHERS: LazyLock<[Dispatch; 2]> = LazyLock::new(|| {
            let others = [(); 2].map(|()| Dispatch::new(NoSubscriber::default()));
            let (breaker, _) = breaker("warm_up", config());
            breaker.force_open();
            assert!(breaker.try_acquire().is_err());
            others
        });
        LazyLock::force(&OTHERS);
        // Filters everything, unlike a filter of one layer, which only hides events from that.
        Dispatch::new(
            tracing_subscriber::registry()
                .with(level)
                .with(self.clone()),
        )
    }

    fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

/// What `act` traces at `level` and above.
fn traced(level: LevelFilter, act: impl FnOnce()) -> Vec<Seen> {
    let capture = Capture::new();
    dispatcher::with_default(&capture.subscriber(level), act);
    capture.take()
}

/// Opens at the second failure in a row for 10 s; one probe closes it.
fn config() -> CircuitBreakerConfig {
    CircuitBreakerConfig::default()
        .window(Window::none())
        .consecutive_failures(2)
        .open_wait(10 * SECOND, 1.0, 10 * SECOND)
        .open_wait_jitter(0.0)
        .probes(1)
}

fn breaker(name: &'static str, config: CircuitBreakerConfig) -> (CircuitBreaker, ManualClock) {
    let clock = Clock::manual();
    let breaker = CircuitBreaker::with_clock(name, config, &clock).unwrap();
    (breaker, clock)
}

fn trip(breaker: &CircuitBreaker) {
    for _ in 0..2 {
        breaker.try_acquire().unwrap().failure();
    }
}

fn reject(breaker: &CircuitBreaker, times: u32) {
    for _ in 0..times {
        assert!(breaker.try_acquire().is_err());
    }
}

#[test]
fn each_change_of_state_is_one_event() {
    let (breaker, clock) = breaker("walk", config());
    let mut events = breaker.subscribe(NonZeroUsize::new(100).unwrap());
    let seen = traced(LevelFilter::INFO, || {
        trip(&breaker);
        reject(&breaker, 3);
        clock.advance(10 * SECOND);
        breaker.try_acquire().unwrap().success();
        breaker.force_open();
        breaker.force_open();
        breaker.release_force_open();
        breaker.set_mode(Mode::Disabled);
    });
    let expected = [
        ("closed", "open", "consecutive", "Some(10s)"),
        ("open", "half_open", "wait_over", "None"),
        ("half_open", "closed", "probes_passed", "None"),
        ("closed", "forced_open", "by_hand", "None"),
        ("forced_open", "closed", "by_hand", "None"),
        ("closed", "disabled", "by_hand", "None"),
    ];
    let expected = expected
        .iter()
        .zip(1..)
        .map(|((from, to, reason, wait), seq)| {
            let seq: &str = &format!("{seq}");
            let fields = [
                ("message", "circuit breaker changed state"),
                ("name", "walk"),
                ("seq", seq),
                ("from", from),
                ("to", to),
                ("reason", reason),
                ("wait", wait),
            ];
            Seen::new(Level::INFO, &fields)
        });
    let expected: Vec<_> = expected.collect();
    assert_eq!(seen, expected);

    // As many as subscribers get, with the same numbers.
    for seen in seen {
        let event = events.try_recv().unwrap();
        assert!(matches!(event.kind, EventKind::StateChanged { .. }));
        assert_eq!(seen.fields["seq"], event.seq.to_string());
    }
    assert!(events.try_recv().is_none());
}

#[test]
fn other_facts_are_one_event_each() {
    let (breaker, clock) = breaker("facts", config());
    let seen = traced(LevelFilter::TRACE, || {
        breaker.set_mode(Mode::MetricsOnly);
        trip(&breaker);
        breaker.set_mode(Mode::Normal);
        breaker.reset();
        breaker.reconfigure(config()).unwrap();
        trip(&breaker);
        clock.advance(10 * SECOND);
        let silent = breaker.try_acquire().unwrap();
        clock.advance(10 * SECOND);
        let _ = breaker.snapshot();
        drop(silent);
    });
    let messages: Vec<_> = seen
        .iter()
        .map(|seen| seen.fields["message"].as_str())
        .collect();
    let changed = "circuit breaker changed state";
    let by_hand = "circuit breaker was changed by hand";
    let expected = [
        changed,
        "circuit breaker would have opened",
        changed,
        by_hand,
        by_hand,
        changed,
        changed,
        "circuit breaker wrote off a silent probe",
        changed,
    ];
    assert_eq!(messages, expected);
    assert_eq!(seen[1].fields["reason"], "consecutive");
    assert_eq!(seen[3].fields["what"], "Reset");
    assert_eq!(seen[4].fields["what"], "Reconfigured");
    for seen in seen {
        assert_eq!(
            (seen.level, seen.target.as_str()),
            (Level::INFO, "backstop::policy")
        );
        assert_eq!(seen.fields["name"], "facts");
    }
}

fn told(name: &str, reason: &str, rejected: u32) -> Seen {
    let rejected = rejected.to_string();
    let fields = [
        ("message", "circuit breaker rejects calls"),
        ("name", name),
        ("reason", reason),
        ("rejected", &rejected),
    ];
    Seen::new(Level::DEBUG, &fields)
}

#[test]
fn rejections_are_told_once_a_second() {
    let (breaker, clock) = breaker("busy", config());
    trip(&breaker);
    let seen = traced(LevelFilter::DEBUG, || {
        reject(&breaker, 100);
        clock.advance(SECOND - Duration::from_nanos(1));
        reject(&breaker, 10);
        clock.advance(Duration::from_nanos(1));
        reject(&breaker, 5);
        clock.advance(3 * SECOND);
        reject(&breaker, 1);
    });
    // The first at once; then what came since the last event, the call at hand included.
    let expected = [1, 110, 5].map(|rejected| told("busy", "open", rejected));
    assert_eq!(seen, expected);
    assert_eq!(breaker.totals().rejected_open, 116);
}

#[test]
fn rejections_are_told_with_the_reason_of_the_last() {
    let (breaker, clock) = breaker("reasons", config());
    let capture = Capture::new();
    dispatcher::with_default(&capture.subscriber(LevelFilter::DEBUG), || {
        trip(&breaker);
        reject(&breaker, 1);
        clock.advance(10 * SECOND);
        let probe = breaker.try_acquire().unwrap();
        reject(&breaker, 1);
        drop(probe);
        breaker.force_open();
        reject(&breaker, 1);
        clock.advance(SECOND);
        reject(&breaker, 1);
    });
    let rejections = capture.take();
    let rejections: Vec<_> = rejections
        .into_iter()
        .filter(|seen| seen.level == Level::DEBUG)
        .collect();
    let expected = [("open", 1), ("probes_full", 1), ("forced_open", 2)];
    assert_eq!(
        rejections,
        expected.map(|(reason, n)| told("reasons", reason, n))
    );
}

/// Where nobody listens, nothing is told; who begins to listen is told of all before.
#[test]
fn rejections_are_told_to_listeners_only() {
    let (breaker, _clock) = breaker("unheard", config());
    trip(&breaker);
    assert_eq!(traced(LevelFilter::INFO, || reject(&breaker, 7)), []);
    reject(&breaker, 7);
    let seen = traced(LevelFilter::DEBUG, || reject(&breaker, 1));
    assert_eq!(seen, [told("unheard", "open", 15)]);
}

/// Two breakers do not share the second; two threads at one breaker do.
#[test]
fn rejections_are_told_once_by_all_threads_together() {
    let both = [breaker("left", config()).0, breaker("right", config()).0];
    both.iter().for_each(trip);
    let capture = Capture::new();
    let subscriber = capture.subscriber(LevelFilter::DEBUG);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                dispatcher::with_default(&subscriber, || {
                    both.iter().for_each(|breaker| reject(breaker, 1_000));
                });
            });
        }
    });
    let seen = capture.take();
    let mut names: Vec<_> = seen
        .iter()
        .map(|seen| seen.fields["name"].as_str())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["left", "right"]);
}

/// A subscriber is user code: it runs under no lock of the breaker's.
#[test]
fn a_subscriber_may_use_the_breaker() {
    let (breaker, clock) = breaker("reentered", config());
    let inside = breaker.clone();
    let capture = Capture::with_hook(move || {
        let _ = (inside.snapshot(), inside.totals(), inside.state());
        drop(inside.try_acquire());
        inside.reconfigure(config()).unwrap();
    });
    dispatcher::with_default(&capture.subscriber(LevelFilter::TRACE), || {
        trip(&breaker);
        reject(&breaker, 1);
        clock.advance(10 * SECOND);
        breaker.try_acquire().unwrap().success();
        breaker.reset();
    });
    assert!(capture.take().len() >= 4);
}

/// A timeout ends one call, and is told of it by a subscriber that uses it.
fn time_out(timeout: &Timeout, clock: &ManualClock) {
    let mut call = pin!(timeout.call(pending::<Result<(), ()>>));
    assert!(call.as_mut().now_or_never().is_none());
    clock.advance(SECOND);
    assert!(call.as_mut().now_or_never().is_some());
}

#[test]
fn timeouts_are_told_once_a_second() {
    let clock = Clock::manual();
    let timeout = Timeout::with_clock("slow", SECOND, &clock).unwrap();
    let quick = Timeout::with_clock("quick", Duration::from_nanos(1), &clock).unwrap();
    let inside = timeout.clone();
    let capture = Capture::with_hook(move || {
        inside.reconfigure(SECOND).unwrap();
        let _ = (inside.totals(), inside.isolate());
    });
    dispatcher::with_default(&capture.subscriber(LevelFilter::DEBUG), || {
        time_out(&timeout, &clock);
        let _isolation = quick.isolate();
        for _ in 0..100 {
            assert!(quick.deadline().check().is_err());
        }
        clock.advance(SECOND);
        assert!(quick.deadline().check().is_err());
    });
    let expected = [
        ("slow", "timed_out", "1"),
        ("quick", "forced_open", "1"),
        ("quick", "forced_open", "100"),
    ];
    let expected = expected.map(|(name, reason, rejected)| {
        let fields = [
            ("message", "timeout ends calls"),
            ("name", name),
            ("reason", reason),
            ("rejected", rejected),
        ];
        Seen::new(Level::DEBUG, &fields)
    });
    assert_eq!(capture.take(), expected);
}
