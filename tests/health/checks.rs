//! Checks that run.

use super::rig::{SECOND, build, check, shop, with_checks};
use backstop::health::check::{
    Check, CheckConfig, CheckState, Ending, Finding, Level, Probe, Status,
};
use backstop::health::tree::HealthTree;
use backstop::kernel::clock::Clock;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Runs a tree `shop` of a component `db` with these checks for so many seconds.
async fn run(checks: impl IntoIterator<Item = Check>, seconds: u32) -> HealthTree {
    let builder = HealthTree::builder("shop").component(with_checks("db", checks));
    let tree = build(builder.clock(Clock::tokio()));
    tree.start().expect("a runtime");
    pass(seconds * SECOND).await;
    tree
}

#[expect(clippy::disallowed_methods, reason = "the clock of a paused runtime")]
async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

fn ping<F>(ask: impl Fn() -> F + Send + Sync + 'static) -> Check
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    Check::new("ping", Level::Critical, ask).config(CheckConfig::default().failure_threshold(1))
}

/// Counts its drops in the second number.
struct Counts(Arc<(AtomicU32, AtomicU32)>);

impl Drop for Counts {
    fn drop(&mut self) {
        self.0.1.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn hc2a_checks_run_beside_each_other_and_not_for_longer_than_their_time() {
    let dropped = Arc::<(AtomicU32, AtomicU32)>::default();
    let counts = dropped.clone();
    let hangs = ping(move || {
        let counts = Counts(counts.clone());
        async move {
            let _counts = counts;
            std::future::pending().await
        }
    });
    let fine = Check::new("fine", Level::Critical, || async { io::Result::Ok(()) });
    let tree = run([hangs, fine], 0).await;
    pass(Duration::from_millis(999)).await;
    assert_eq!(check(&tree, "fine").0, CheckState::Passing);
    assert_eq!(check(&tree, "ping").0, CheckState::Starting);
    pass(Duration::from_millis(2)).await;
    let (state, message) = check(&tree, "ping");
    assert_eq!(state, CheckState::Failing(Level::Critical));
    assert_eq!(message, "no answer within 1s");
    assert_eq!(dropped.1.load(Ordering::Relaxed), 1, "it was aborted");
    pass(10 * SECOND).await;
    assert_eq!(dropped.1.load(Ordering::Relaxed), 2, "and then begun again");
}

/// A check whose run blocks until it is let go, and how many runs there are and were.
fn stuck() -> (
    Check,
    Arc<(AtomicU32, AtomicU32)>,
    std::sync::mpsc::Sender<()>,
) {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = parking_lot::Mutex::new(released);
    let runs = Arc::new((AtomicU32::new(0), AtomicU32::new(0)));
    let seen = runs.clone();
    let check = Check::blocking("ping", Level::Critical, move || {
        let inside = seen.0.fetch_add(1, Ordering::SeqCst) + 1;
        seen.1.fetch_max(inside, Ordering::SeqCst);
        let _ = released.lock().recv();
        seen.0.fetch_sub(1, Ordering::SeqCst);
        io::Result::Ok(())
    });
    (check, runs, release)
}

#[tokio::test]
async fn hc2b_a_hung_check_is_not_started_twice() {
    // Blocking threads keep a paused clock from moving on; a manual one is moved by hand.
    let (check_, runs, release) = stuck();
    let (tree, clock) = shop([check_]);
    tree.start().expect("a runtime");
    let settle = async || {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    };
    settle().await;
    for _ in 0..31 {
        clock.advance(SECOND);
        settle().await;
    }
    let (state, message) = check(&tree, "ping");
    assert_eq!(state, CheckState::Failing(Level::Critical));
    assert_eq!(message, "a run that began 31s ago has not ended");
    tree.stop();
    settle().await;
    tree.start().expect("a runtime");
    settle().await;
    clock.advance(10 * SECOND);
    settle().await;
    assert!(runs.1.load(Ordering::SeqCst) <= 1, "one at a time");
    drop(release);
    while runs.0.load(Ordering::SeqCst) > 0 || check(&tree, "ping").0 != CheckState::Passing {
        clock.advance(SECOND);
        settle().await;
    }
    assert_eq!(runs.1.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hc2b_a_check_that_blocks_its_worker_holds_up_no_other() {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = Arc::new(parking_lot::Mutex::new(released));
    let runs = Arc::new(AtomicU32::new(0));
    let count = runs.clone();
    let blocks = Check::new("ping", Level::Critical, move || {
        count.fetch_add(1, Ordering::SeqCst);
        let released = released.clone();
        async move {
            let _ = released.lock().recv();
            io::Result::Ok(())
        }
    });
    let fine = Check::new("fine", Level::Degraded, || async { io::Result::Ok(()) });
    let (tree, clock) = shop([blocks, fine]);
    tree.start().expect("a runtime");
    let is_failing = || {
        check(&tree, "ping").0 == CheckState::Failing(Level::Critical)
            && check(&tree, "fine").0 == CheckState::Passing
    };
    // However slowly the other worker gets on.
    while !is_failing() {
        clock.advance(SECOND);
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    drop(release);
}

#[tokio::test(start_paused = true)]
async fn hc2c_what_fails_a_check_is_kept() {
    let config = CheckConfig::default().failure_threshold(1);
    let degraded = |name, work: fn() -> io::Result<Finding>| {
        Check::new(name, Level::Degraded, move || async move { work() }).config(config)
    };
    let tree = run(
        [
            degraded("error", || Err(io::Error::other("refused"))),
            degraded("panic", || panic!("a bug")),
            degraded("failed", || {
                Ok(Finding::failed("97 % full").observed(97, "%"))
            }),
            Check::new(
                "hang",
                Level::Degraded,
                std::future::pending::<io::Result<()>>,
            )
            .config(config),
        ],
        2,
    )
    .await;
    let snapshot = tree.snapshot();
    let results = snapshot.components()[1].checks.iter().map(|check| {
        assert_eq!(check.state, CheckState::Failing(Level::Degraded));
        let result = check.result.as_ref().expect("there was one");
        assert!(result.took.is_some());
        (result.ending, result.message.as_deref().expect("a message"))
    });
    assert_eq!(
        results.collect::<Vec<_>>(),
        [
            (Ending::Error, "refused"),
            (Ending::Panicked, "a bug"),
            (Ending::Failed, "97 % full"),
            (Ending::TimedOut, "no answer within 1s"),
        ]
    );
    assert_eq!(tree.status(), Status::Degraded);
}

#[tokio::test(start_paused = true)]
async fn hc2d_on_error_raises_errors_and_nothing_else() {
    for (work, expected) in [
        (
            (|| Err(io::Error::other("refused"))) as fn() -> io::Result<Finding>,
            Status::Unhealthy,
        ),
        (|| panic!("a bug"), Status::Unhealthy),
        (|| Ok(Finding::failed("slow")), Status::Degraded),
    ] {
        let check = Check::new("ping", Level::Degraded, move || async move { work() })
            .on_error(Level::Critical);
        assert_eq!(run([check], 25).await.status(), expected);
    }
    let hangs = Check::new(
        "ping",
        Level::Degraded,
        std::future::pending::<io::Result<()>>,
    )
    .on_error(Level::Critical);
    assert_eq!(run([hangs], 25).await.status(), Status::Unhealthy);
}

#[tokio::test(start_paused = true)]
async fn hc3a_an_outage_is_seen_after_three_periods() {
    let up = Arc::new(AtomicU32::new(1));
    let asked = up.clone();
    let check = Check::new("ping", Level::Critical, move || {
        let is_up = asked.load(Ordering::Relaxed) == 1;
        async move { if is_up { Ok(()) } else { Err("down") } }
    });
    let tree = run([check], 5).await;
    up.store(0, Ordering::Relaxed);
    pass(24 * SECOND).await;
    assert_eq!(tree.status(), Status::Healthy);
    pass(2 * SECOND).await;
    assert_eq!(tree.status(), Status::Unhealthy);
    up.store(1, Ordering::Relaxed);
    pass(10 * SECOND).await;
    assert_eq!(tree.status(), Status::Healthy);
}

#[tokio::test(start_paused = true)]
async fn hc3c_the_delay_begins_with_the_start_of_the_tree() {
    let fails = ping(|| async { Err(io::Error::other("refused")) }).config(
        CheckConfig::default()
            .initial_delay(15 * SECOND)
            .failure_threshold(1),
    );
    let clock = Clock::tokio();
    let tree = build(
        HealthTree::builder("shop")
            .clock(clock)
            .component(with_checks("db", [fails])),
    );
    pass(3600 * SECOND).await;
    assert_eq!(tree.status(), Status::Unknown);
    tree.start().expect("a runtime");
    pass(14 * SECOND).await;
    assert_eq!(tree.status(), Status::Starting);
    pass(10 * SECOND).await;
    assert_eq!(tree.status(), Status::Unhealthy);
}

#[tokio::test(start_paused = true)]
async fn hc3f_what_is_held_back_does_not_run_and_a_start_up_check_runs_once() {
    let counts: Arc<[AtomicU32; 2]> = Arc::default();
    let counting = |at: usize, name, fails: u32| {
        let counts = counts.clone();
        Check::new(name, Level::Critical, move || {
            let run = counts[at].fetch_add(1, Ordering::Relaxed);
            async move { if run < fails { Err("not yet") } else { Ok(()) } }
        })
    };
    let tree = run(
        [
            counting(0, "up", 4).probe(Probe::StartUp),
            counting(1, "ping", 0),
        ],
        35,
    )
    .await;
    let runs = || [0, 1].map(|at: usize| counts[at].load(Ordering::Relaxed));
    assert_eq!((runs(), tree.status()), ([4, 0], Status::Unhealthy));
    pass(10 * SECOND).await;
    assert_eq!((runs(), tree.status()), ([5, 1], Status::Healthy));
    pass(20 * SECOND).await;
    assert_eq!((runs(), tree.status()), ([5, 3], Status::Healthy));
}

#[tokio::test(start_paused = true)]
async fn hc2e_the_default_timeout_is_at_most_the_period() {
    let fast = CheckConfig::default()
        .period(Duration::from_millis(100))
        .failure_threshold(1);
    assert_eq!(fast.validate(), Ok(()));
    let refused = fast.timeout(Duration::from_millis(101)).validate();
    assert_eq!(refused.expect_err("it is set").field(), "timeout");
    let hangs = ping(std::future::pending).config(fast);
    let tree = run([hangs], 0).await;
    pass(Duration::from_millis(102)).await;
    assert_eq!(check(&tree, "ping").1, "no answer within 100ms");
    let hangs = ping(std::future::pending).config(fast.period(5 * SECOND));
    let tree = run([hangs], 2).await;
    assert_eq!(check(&tree, "ping").1, "no answer within 1s");
}

#[tokio::test(start_paused = true)]
async fn hc2b_what_was_aborted_just_now_does_not_count_as_going_on() {
    let runs = Arc::new((AtomicU32::new(0), AtomicU32::new(0)));
    let seen = runs.clone();
    let hangs = ping(move || {
        seen.0.fetch_add(1, Ordering::SeqCst);
        let gone = Counts(seen.clone());
        async move {
            let _gone = gone;
            std::future::pending().await
        }
    });
    // The next run is due at the moment at which this one is aborted.
    let config = CheckConfig::default().period(SECOND).timeout(SECOND);
    let tree = run([hangs.config(config)], 10).await;
    let (state, message) = check(&tree, "ping");
    assert_eq!(state, CheckState::Failing(Level::Critical));
    assert_eq!(message, "no answer within 1s");
    let before = runs.0.load(Ordering::SeqCst);
    assert!(before >= 10, "{before}");
    // And so it is with a tree that is stopped and started at once.
    tree.stop();
    tree.start().expect("a runtime");
    pass(Duration::from_millis(1)).await;
    assert_eq!(runs.0.load(Ordering::SeqCst), before + 1);
    assert_eq!(runs.1.load(Ordering::SeqCst), before);
}

/// A run that takes its whole time is heard of two periods after the start of the one before.
#[tokio::test(start_paused = true)]
async fn hc3h_a_fast_check_that_hangs_fails_and_is_not_stale_before() {
    let config = CheckConfig::default().period(Duration::from_millis(100));
    let runs = Arc::new(AtomicU32::new(0));
    let count = runs.clone();
    let hangs = Check::new("ping", Level::Critical, move || {
        let is_first = count.fetch_add(1, Ordering::Relaxed) == 0;
        async move {
            if !is_first {
                std::future::pending::<()>().await;
            }
            io::Result::Ok(())
        }
    });
    let tree = run([hangs.config(config)], 0).await;
    let mut watch = tree.watch();
    let first = watch
        .until(|health| health.status != Status::Starting)
        .await;
    assert_eq!(first.map(|health| health.status), Some(Status::Healthy));
    let then = watch.changed().await;
    assert_eq!(then.map(|health| health.status), Some(Status::Unhealthy));
}

#[test]
fn hc3h_the_age_can_be_set_and_leaves_room_where_periods_are_short() {
    let told = |config| shop([Check::reported("ping", Level::Critical).config(config)]);
    let millis = Duration::from_millis;
    let fast = CheckConfig::default().period(millis(100));
    for (config, age) in [
        (fast, millis(1_200)),
        (fast.timeout(millis(10)), millis(1_110)),
        (fast.period(SECOND), 3 * SECOND),
        (fast.period(2 * SECOND), 4 * SECOND),
        (fast.period(3 * SECOND).timeout(3 * SECOND), 7 * SECOND),
        (CheckConfig::default(), 20 * SECOND),
        (fast.stale_after(millis(200)), millis(200)),
        (fast.stale_after(60 * SECOND), 60 * SECOND),
    ] {
        let (tree, clock) = told(config);
        tree.reporter("db", "ping").expect("it is there").passed();
        clock.advance(age);
        assert_eq!(tree.status(), Status::Healthy, "{config:?}");
        clock.advance(Duration::from_nanos(1));
        assert_eq!(tree.status(), Status::Unknown, "{config:?}");
    }
    for config in [
        fast.stale_after(millis(199)),
        fast.stale_after(Duration::ZERO),
        fast.never_stale(true).stale_after(SECOND),
        CheckConfig::on_change().stale_after(60 * SECOND),
    ] {
        assert_eq!(
            config.validate().expect_err("it is refused").field(),
            "stale_after"
        );
    }
    // Nothing overflows.
    let longest = CheckConfig::default()
        .period(Duration::MAX)
        .timeout(Duration::MAX);
    assert_eq!(longest.validate(), Ok(()));
    let (tree, clock) = told(longest);
    tree.reporter("db", "ping").expect("it is there").passed();
    clock.advance(Duration::from_secs(u64::MAX / 4));
    assert_eq!(tree.status(), Status::Healthy);
}
