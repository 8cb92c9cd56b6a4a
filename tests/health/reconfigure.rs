//! The settings of a check, changed while it runs.

use super::rig::{SECOND, build, check, reporter, shop, with_checks};
use backstop::health::check::{Check, CheckConfig, CheckState, Level, RecoveryAction, Status};
use backstop::health::tree::{CheckHandle, HealthEventKind, HealthTree};
use backstop::kernel::clock::{Clock, ManualClock};
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

async fn pass(clock: &ManualClock, seconds: u32) {
    for _ in 0..seconds {
        clock.advance(SECOND);
        settle().await;
    }
}

/// A check that counts its runs.
fn counted(config: CheckConfig) -> (Check, Arc<AtomicU32>) {
    let runs = Arc::new(AtomicU32::new(0));
    let count = runs.clone();
    let check = Check::new("ping", Level::Critical, move || {
        count.fetch_add(1, Ordering::SeqCst);
        async { io::Result::Ok(()) }
    });
    (check.config(config), runs)
}

#[track_caller]
fn ping(tree: &HealthTree) -> CheckHandle {
    tree.check("db", "ping").expect("it is there")
}

#[track_caller]
fn set(tree: &HealthTree, config: CheckConfig) {
    ping(tree).reconfigure(config).expect("a valid one");
}

#[tokio::test]
async fn hc9a_another_period_counts_from_the_last_run() {
    let hour = CheckConfig::new().period(3_600 * SECOND);
    let (check, runs) = counted(hour);
    let (tree, clock) = shop([check]);
    tree.start().expect("a runtime");
    settle().await;
    let runs = || runs.load(Ordering::SeqCst);
    assert_eq!(runs(), 1);
    pass(&clock, 30).await;
    // Past already: at once, and not once for each period that was missed.
    set(&tree, hour.period(5 * SECOND));
    settle().await;
    assert_eq!(runs(), 2);
    pass(&clock, 4).await;
    assert_eq!(runs(), 2);
    pass(&clock, 1).await;
    assert_eq!(runs(), 3);
    // Longer: the wait that goes on becomes longer.
    pass(&clock, 2).await;
    set(&tree, hour.period(9 * SECOND));
    pass(&clock, 6).await;
    assert_eq!(runs(), 3);
    pass(&clock, 1).await;
    assert_eq!(runs(), 4);
    // As often as somebody likes: none runs the more for it.
    for n in 0..100 {
        set(&tree, hour.period((60 + n) * SECOND));
        settle().await;
    }
    pass(&clock, 150).await;
    assert_eq!(runs(), 4);
    pass(&clock, 9).await;
    assert_eq!(runs(), 5);
}

#[tokio::test]
async fn hc9a_what_is_set_before_the_start_or_between_two_is_met() {
    let (check, runs) = counted(CheckConfig::new());
    let (tree, clock) = shop([check]);
    set(&tree, CheckConfig::new().period(2 * SECOND));
    tree.start().expect("a runtime");
    settle().await;
    pass(&clock, 2).await;
    assert_eq!(runs.load(Ordering::SeqCst), 2);
    tree.stop();
    set(&tree, CheckConfig::new().period(4 * SECOND));
    tree.start().expect("a runtime");
    settle().await;
    assert_eq!(runs.load(Ordering::SeqCst), 3);
    pass(&clock, 3).await;
    assert_eq!(runs.load(Ordering::SeqCst), 3);
    pass(&clock, 1).await;
    assert_eq!(runs.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn hc9a_a_run_that_goes_on_keeps_its_time() {
    let began = Arc::new(AtomicU32::new(0));
    let count = began.clone();
    let hangs = Check::new("ping", Level::Critical, move || {
        count.fetch_add(1, Ordering::SeqCst);
        std::future::pending::<io::Result<()>>()
    });
    let slow = CheckConfig::new()
        .failure_threshold(1)
        .period(60 * SECOND)
        .timeout(20 * SECOND);
    let (tree, clock) = shop([hangs.config(slow)]);
    tree.start().expect("a runtime");
    settle().await;
    pass(&clock, 5).await;
    let fast = slow.period(2 * SECOND).timeout(SECOND);
    set(&tree, fast.stale_after(30 * SECOND));
    pass(&clock, 14).await;
    assert_eq!(began.load(Ordering::SeqCst), 1, "one at a time");
    assert_eq!(check(&tree, "ping").0, CheckState::Starting);
    pass(&clock, 1).await;
    assert_eq!(check(&tree, "ping").1, "no answer within 20s");
    assert_eq!(began.load(Ordering::SeqCst), 2, "its period is over");
    pass(&clock, 1).await;
    assert_eq!(check(&tree, "ping").1, "no answer within 1s");
}

#[tokio::test]
async fn hc9a_what_cannot_be_aborted_is_not_doubled_by_other_settings() {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = parking_lot::Mutex::new(released);
    let inside = Arc::new((AtomicU32::new(0), AtomicU32::new(0)));
    let seen = inside.clone();
    let stuck = Check::blocking("ping", Level::Critical, move || {
        let now = seen.0.fetch_add(1, Ordering::SeqCst) + 1;
        seen.1.fetch_max(now, Ordering::SeqCst);
        let _ = released.lock().recv();
        seen.0.fetch_sub(1, Ordering::SeqCst);
        io::Result::Ok(())
    });
    let (tree, clock) = shop([stuck]);
    tree.start().expect("a runtime");
    settle().await;
    for n in 1..30 {
        set(&tree, CheckConfig::new().period(n * SECOND / 2));
        pass(&clock, n).await;
    }
    assert!(inside.1.load(Ordering::SeqCst) <= 1);
    assert_eq!(check(&tree, "ping").0, CheckState::Failing(Level::Critical));
    drop(release);
    set(&tree, CheckConfig::new());
    while check(&tree, "ping").0 != CheckState::Passing {
        pass(&clock, 1).await;
    }
    assert_eq!(inside.1.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn hc9a_a_start_up_check_that_is_over_stays_so() {
    use backstop::health::check::Probe;
    let (check_, runs) = counted(CheckConfig::new());
    let (tree, clock) = shop([check_.probe(Probe::StartUp)]);
    tree.start().expect("a runtime");
    settle().await;
    set(
        &tree,
        CheckConfig::new().period(SECOND).success_threshold(5),
    );
    pass(&clock, 30).await;
    assert_eq!(
        (runs.load(Ordering::SeqCst), tree.status()),
        (1, Status::Healthy)
    );
    assert!(tree.has_started());
}

fn told(config: CheckConfig) -> (HealthTree, ManualClock) {
    shop([Check::reported("ping", Level::Critical).config(config)])
}

#[test]
fn hc9b_state_and_counts_stay() {
    let config = CheckConfig::new().failure_threshold(5);
    let (tree, _clock) = told(config);
    let told = reporter(&tree, "db", "ping");
    told.passed();
    for _ in 0..3 {
        told.failed("x");
    }
    // Three are enough now, and still the next one says so.
    set(&tree, config.failure_threshold(2));
    assert_eq!(tree.status(), Status::Healthy);
    set(&tree, config.failure_threshold(4));
    assert_eq!(tree.status(), Status::Healthy);
    told.failed("x");
    assert_eq!(tree.status(), Status::Unhealthy, "the fourth in a row");
    set(&tree, config.failure_threshold(100).success_threshold(3));
    assert_eq!(tree.status(), Status::Unhealthy);
    told.passed();
    told.passed();
    assert_eq!(tree.status(), Status::Unhealthy);
    set(&tree, config.success_threshold(2));
    assert_eq!(tree.status(), Status::Unhealthy);
    told.passed();
    assert_eq!(tree.status(), Status::Healthy, "the third in a row");
    set(
        &tree,
        config.success_threshold(50).initial_delay(3_600 * SECOND),
    );
    assert_eq!(tree.status(), Status::Healthy);
}

#[tokio::test]
async fn hc9b_an_episode_goes_on_and_its_action_is_not_taken_again() {
    let acts = Arc::new(AtomicU32::new(0));
    let count = acts.clone();
    let act = RecoveryAction::new("db", move || {
        count.fetch_add(1, Ordering::SeqCst);
        async { io::Result::Ok(()) }
    });
    let config = CheckConfig::new().failure_threshold(1);
    let check = Check::reported("ping", Level::Critical)
        .config(config)
        .recovery(act);
    let (tree, _clock) = shop([check]);
    tree.start().expect("a runtime");
    let told = reporter(&tree, "db", "ping");
    for n in 1..10 {
        told.failed("x");
        settle().await;
        set(&tree, config.failure_threshold(n).period(n * SECOND));
        settle().await;
        told.passed();
    }
    assert_eq!(acts.load(Ordering::SeqCst), 1);
}

#[test]
fn hc9c_a_shorter_age_leaves_what_is_fresh_the_new_time() {
    let minute = CheckConfig::new().period(60 * SECOND);
    let (tree, clock) = told(minute);
    let told = reporter(&tree, "db", "ping");
    told.passed();
    clock.advance(50 * SECOND);
    // Two periods of 10 s are long over, and a result within them is all that can be asked for.
    set(&tree, CheckConfig::new());
    clock.advance(20 * SECOND);
    assert_eq!(tree.status(), Status::Healthy);
    clock.advance(Duration::from_nanos(1));
    assert_eq!(tree.status(), Status::Unknown);
    // And after the next result they count as ever.
    told.passed();
    clock.advance(20 * SECOND);
    assert_eq!(tree.status(), Status::Healthy);
    clock.advance(Duration::from_nanos(1));
    assert_eq!(tree.status(), Status::Unknown);

    // No more than it had, however often it is set.
    set(&tree, minute);
    told.passed();
    for _ in 0..9 {
        set(&tree, minute.stale_after(90 * SECOND));
        clock.advance(10 * SECOND);
    }
    assert_eq!(tree.status(), Status::Healthy);
    clock.advance(Duration::from_nanos(1));
    assert_eq!(tree.status(), Status::Unknown);
}

#[test]
fn hc9c_what_held_for_ever_has_the_new_time_and_a_longer_one_counts_from_the_result() {
    let (tree, clock) = told(CheckConfig::on_change());
    let told = reporter(&tree, "db", "ping");
    told.failed("open");
    clock.advance(100_000 * SECOND);
    set(&tree, CheckConfig::new());
    clock.advance(20 * SECOND);
    assert_eq!(tree.status(), Status::Unhealthy);
    clock.advance(Duration::from_nanos(1));
    assert_eq!(tree.status(), Status::Unknown);

    told.passed();
    clock.advance(15 * SECOND);
    set(&tree, CheckConfig::new().stale_after(30 * SECOND));
    clock.advance(15 * SECOND);
    assert_eq!(tree.status(), Status::Healthy);
    clock.advance(Duration::from_nanos(1));
    assert_eq!(tree.status(), Status::Unknown);
}

#[test]
fn hc9c_nothing_becomes_fresh_again() {
    let (tree, clock) = told(CheckConfig::new());
    reporter(&tree, "db", "ping").passed();
    // Noticed by nobody before the settings change.
    clock.advance(21 * SECOND);
    for config in [
        CheckConfig::new().stale_after(3_600 * SECOND),
        CheckConfig::on_change(),
        CheckConfig::new(),
    ] {
        set(&tree, config);
        assert_eq!(tree.status(), Status::Unknown);
    }
    reporter(&tree, "db", "ping").passed();
    assert_eq!(tree.status(), Status::Healthy);
}

#[tokio::test]
async fn hc9c_a_watch_is_told_in_time_by_the_new_age() {
    let (tree, clock) = told(CheckConfig::on_change());
    tree.start().expect("a runtime");
    reporter(&tree, "db", "ping").passed();
    let mut watch = tree.watch();
    let watching = tokio::spawn(async move { watch.changed().await.map(|health| health.status) });
    settle().await;
    set(&tree, CheckConfig::new());
    settle().await;
    clock.advance(20 * SECOND);
    settle().await;
    assert!(!watching.is_finished());
    clock.advance(SECOND);
    assert_eq!(watching.await.expect("no panic"), Some(Status::Unknown));
}

#[test]
fn hc9d_what_cannot_be_is_refused_and_changes_nothing() {
    let (tree, _clock) = told(CheckConfig::new());
    let mut events = tree.subscribe(NonZeroUsize::new(8).expect("not zero"));
    let ping = ping(&tree);
    for (config, field) in [
        (CheckConfig::new().period(Duration::ZERO), "period"),
        (CheckConfig::new().timeout(11 * SECOND), "timeout"),
        (CheckConfig::new().failure_threshold(0), "failure_threshold"),
        (CheckConfig::new().stale_after(10 * SECOND), "stale_after"),
    ] {
        let refused = ping.reconfigure(config).expect_err("it is refused");
        assert_eq!((refused.part(), refused.field()), (Some("check"), field));
        assert_eq!(ping.config(), CheckConfig::new());
    }
    assert!(events.try_recv().is_none(), "nothing happened");
    let config = CheckConfig::new().failure_threshold(7);
    ping.reconfigure(config).expect("a valid one");
    assert_eq!((ping.config(), ping.name().as_str()), (config, "ping"));
    let event = events.try_recv().expect("one event");
    let HealthEventKind::Reconfigured { component, check } = event.kind else {
        panic!("{event:?}");
    };
    assert_eq!((component.as_str(), check.as_str()), ("db", "ping"));
    assert!(events.try_recv().is_none());
    assert!(tree.check("db", "pong").is_none() && tree.check("cache", "ping").is_none());
}

/// A run that goes on.
struct Goes(Arc<AtomicU32>);

impl Drop for Goes {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Whoever sets what while it runs, reports and reads: nobody waits for ever, and one run is one run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_threads_set_while_it_runs() {
    let inside = Arc::new(AtomicU32::new(0));
    let count = inside.clone();
    let alone = Check::new("ping", Level::Critical, move || {
        let count = count.clone();
        async move {
            assert_eq!(count.fetch_add(1, Ordering::SeqCst), 0);
            // It goes out also where it is aborted.
            let _goes = Goes(count);
            tokio::task::yield_now().await;
            io::Result::Ok(())
        }
    });
    let clock = Clock::manual();
    let db = with_checks(
        "db",
        [alone.config(CheckConfig::new().failure_threshold(1))],
    );
    let tree = build(HealthTree::builder("shop").clock(&clock).component(db));
    tree.start().expect("a runtime");
    let handle = ping(&tree);
    tokio::task::spawn_blocking(move || {
        std::thread::scope(|scope| {
            for thread in 0..64 {
                let (handle, clock) = (&handle, &clock);
                scope.spawn(move || {
                    for n in 0..50 {
                        let period = Duration::from_millis(1 + (n * thread) % 700);
                        let config = CheckConfig::new().period(period).failure_threshold(1);
                        handle.reconfigure(config).expect("a valid one");
                        clock.advance(Duration::from_millis(10));
                        let _ = (handle.state(), handle.config());
                    }
                });
            }
        });
        // A run has far longer than its two polls take, also where others have the processors.
        let patient = CheckConfig::new().timeout(10 * SECOND);
        handle.reconfigure(patient).expect("a valid one");
        assert_eq!(handle.config(), patient);
        while handle.state() != CheckState::Passing {
            clock.advance(Duration::from_millis(5));
            std::thread::yield_now();
        }
    })
    .await
    .expect("no panic");
}
