//! What is done when a check fails.

use super::rig::{SECOND, build, reported, reporter, with_checks};
use backstop::health::check::{Level, Probe, RecoveryAction};
use backstop::health::tree::{Component, HealthEventKind, HealthTree, RecoveryOutcome};
use backstop::kernel::backoff::Backoff;
use backstop::kernel::clock::Clock;
use backstop::kernel::event::Subscriber;
use parking_lot::Mutex;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

type Log = Arc<Mutex<Vec<&'static str>>>;

#[expect(clippy::disallowed_methods, reason = "the clock of a paused runtime")]
async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

/// An action that notes its name, and then takes so long.
fn action(log: &Log, target: &'static str, name: &'static str, takes: Duration) -> RecoveryAction {
    let log = log.clone();
    RecoveryAction::new(target, move || {
        log.lock().push(name);
        async move {
            pass(takes).await;
            Ok::<_, std::io::Error>(())
        }
    })
}

fn component(name: &'static str, level: Level, action: RecoveryAction) -> Component {
    with_checks(name, [reported("it", level).recovery(action)])
}

struct Rig {
    tree: HealthTree,
    events: Subscriber<backstop::health::tree::HealthEvent>,
}

impl Rig {
    fn new(components: impl IntoIterator<Item = Component>) -> Self {
        let builder = HealthTree::builder("root").clock(Clock::tokio());
        let tree = build(
            components
                .into_iter()
                .fold(builder, |b, one| b.component(one)),
        );
        tree.start().expect("a runtime");
        let events = tree.subscribe(NonZeroUsize::new(1000).expect("not zero"));
        Self { tree, events }
    }

    async fn fail(&self, component: &str) {
        reporter(&self.tree, component, "it").failed("x");
        pass(Duration::from_millis(1)).await;
    }

    async fn clean(&self, component: &str) {
        reporter(&self.tree, component, "it").passed();
        pass(Duration::from_millis(1)).await;
    }

    /// What recoveries came to since the last look, with the number of attempts.
    fn ends(&mut self) -> Vec<(RecoveryOutcome, u32)> {
        std::iter::from_fn(|| self.events.try_recv())
            .filter_map(|event| match event.kind {
                HealthEventKind::RecoveryEnded {
                    outcome, attempts, ..
                } => Some((outcome, attempts)),
                _ => None,
            })
            .collect()
    }
}

const NO_TIME: Duration = Duration::ZERO;

#[tokio::test(start_paused = true)]
async fn hc4a_once_per_episode_which_two_clean_results_end() {
    let log = Log::default();
    let rig = Rig::new([component(
        "db",
        Level::Critical,
        action(&log, "db", "act", NO_TIME),
    )]);
    rig.fail("db").await;
    assert_eq!(log.lock().len(), 1);
    rig.fail("db").await;
    rig.clean("db").await;
    rig.fail("db").await;
    rig.clean("db").await;
    rig.fail("db").await;
    assert_eq!(log.lock().len(), 1, "one clean result ends no episode");
    rig.clean("db").await;
    rig.clean("db").await;
    rig.fail("db").await;
    assert_eq!(log.lock().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn hc4b_the_most_severe_first_and_milder_ones_wait_for_it() {
    let log = Log::default();
    let rig = Rig::new([
        component(
            "m",
            Level::Maintenance,
            action(&log, "m", "maintenance", SECOND),
        ),
        component(
            "d1",
            Level::Degraded,
            action(&log, "d1", "degraded 1", SECOND),
        ),
        component("c", Level::Critical, action(&log, "c", "critical", SECOND)),
        component(
            "d2",
            Level::Degraded,
            action(&log, "d2", "degraded 2", SECOND),
        ),
    ]);
    rig.tree.maintenance(true);
    for name in ["d2", "m", "d1", "c"] {
        rig.fail(name).await;
    }
    rig.tree.maintenance(false);
    pass(Duration::from_millis(1)).await;
    assert_eq!(*log.lock(), ["critical"]);
    pass(SECOND).await;
    assert_eq!(*log.lock(), ["critical", "degraded 2", "degraded 1"]);
    pass(SECOND).await;
    assert_eq!(log.lock().last(), Some(&"maintenance"));
}

#[tokio::test(start_paused = true)]
async fn hc4c_actions_on_one_target_are_one() {
    let log = Log::default();
    let mut rig = Rig::new([
        component("a", Level::Degraded, action(&log, "pool", "a", NO_TIME)),
        component("b", Level::Critical, action(&log, "pool", "b", NO_TIME)),
    ]);
    rig.tree.maintenance(true);
    rig.fail("a").await;
    rig.fail("b").await;
    rig.tree.maintenance(false);
    pass(SECOND).await;
    assert_eq!(*log.lock(), ["b"], "that of the more severe check");
    assert_eq!(rig.ends(), [(RecoveryOutcome::Done, 1)]);
    rig.clean("b").await;
    rig.clean("b").await;
    rig.fail("b").await;
    assert_eq!(log.lock().len(), 1, "the episode of a is on");
    for name in ["a", "a", "b", "b"] {
        rig.clean(name).await;
    }
    rig.fail("a").await;
    assert_eq!(*log.lock(), ["b", "a"]);
}

#[tokio::test(start_paused = true)]
async fn hc4d_attempts_that_fail_hang_or_panic_are_spaced_and_bounded() {
    let starts = Arc::new(Mutex::new(Vec::new()));
    let begun = starts.clone();
    let clock = Clock::tokio();
    let first = clock.now();
    let act = RecoveryAction::new("db", move || {
        let n = {
            let mut begun = begun.lock();
            begun.push(clock.now().saturating_duration_since(first).as_secs());
            begun.len()
        };
        async move {
            match n {
                1 => Err("refused"),
                2 => std::future::pending().await,
                _ => panic!("a bug"),
            }
        }
    })
    .timeout(5 * SECOND)
    .retries(3)
    .backoff(Backoff::constant(10 * SECOND));
    let mut rig = Rig::new([component("db", Level::Critical, act)]);
    rig.fail("db").await;
    pass(100 * SECOND).await;
    // The second one took its 5 s before the wait of 10 s.
    assert_eq!(*starts.lock(), [0, 10, 25, 35]);
    assert_eq!(rig.ends(), [(RecoveryOutcome::Failed("a bug".into()), 4)]);
}

#[tokio::test(start_paused = true)]
async fn hc4d_no_attempt_is_made_after_the_episode() {
    let log = Log::default();
    let noted = log.clone();
    let act = RecoveryAction::new("db", move || {
        noted.lock().push("act");
        async { Err::<(), _>("refused") }
    });
    let mut rig = Rig::new([component("db", Level::Critical, act)]);
    rig.fail("db").await;
    rig.clean("db").await;
    rig.clean("db").await;
    pass(100 * SECOND).await;
    assert_eq!(log.lock().len(), 1);
    assert_eq!(rig.ends(), [(RecoveryOutcome::Withdrawn, 1)]);
}

#[tokio::test(start_paused = true)]
async fn hc4e_none_begins_in_maintenance_mode() {
    let log = Log::default();
    let rig = Rig::new([
        component("a", Level::Critical, action(&log, "a", "a", NO_TIME)),
        component("b", Level::Critical, action(&log, "b", "b", NO_TIME)),
    ]);
    rig.tree.maintenance(true);
    assert!(rig.tree.health().in_maintenance);
    rig.fail("a").await;
    rig.fail("b").await;
    rig.clean("b").await;
    rig.clean("b").await;
    pass(600 * SECOND).await;
    assert!(log.lock().is_empty());
    rig.tree.maintenance(false);
    pass(SECOND).await;
    assert_eq!(*log.lock(), ["a"], "what is due still");
    assert!(!rig.tree.health().in_maintenance);
}

#[tokio::test(start_paused = true)]
async fn hc4e_a_retry_waits_for_the_end_of_maintenance_mode() {
    let log = Log::default();
    let noted = log.clone();
    let act = RecoveryAction::new("db", move || {
        noted.lock().push("act");
        async { Err::<(), _>("refused") }
    });
    let rig = Rig::new([component("db", Level::Critical, act.retries(1))]);
    rig.fail("db").await;
    rig.tree.maintenance(true);
    pass(600 * SECOND).await;
    assert_eq!(log.lock().len(), 1);
    rig.tree.maintenance(false);
    pass(SECOND).await;
    assert_eq!(log.lock().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn hc4f_the_end_is_told_once() {
    let log = Log::default();
    let mut rig = Rig::new([component(
        "db",
        Level::Critical,
        action(&log, "db", "act", 3 * SECOND),
    )]);
    rig.fail("db").await;
    pass(2 * SECOND).await;
    assert_eq!(rig.ends(), []);
    pass(2 * SECOND).await;
    assert_eq!(rig.ends(), [(RecoveryOutcome::Done, 1)]);
    rig.clean("db").await;
    rig.clean("db").await;
    pass(60 * SECOND).await;
    assert_eq!(rig.ends(), []);
}

#[tokio::test(start_paused = true)]
async fn hc4f_an_attempt_that_outlives_its_episode_does_not_count_for_the_next() {
    let log = Log::default();
    let mut rig = Rig::new([component(
        "db",
        Level::Critical,
        action(&log, "db", "act", 3 * SECOND),
    )]);
    rig.fail("db").await;
    rig.clean("db").await;
    rig.clean("db").await;
    rig.fail("db").await;
    assert_eq!(log.lock().len(), 1, "never two at once");
    pass(4 * SECOND).await;
    assert_eq!(
        (log.lock().len(), rig.ends()),
        (2, vec![(RecoveryOutcome::Done, 1)])
    );
    pass(4 * SECOND).await;
    assert_eq!(
        (log.lock().len(), rig.ends()),
        (2, vec![(RecoveryOutcome::Done, 1)])
    );
}

#[tokio::test(start_paused = true)]
async fn hc4f_an_attempt_that_is_stopped_ends_too() {
    let log = Log::default();
    let mut rig = Rig::new([component(
        "db",
        Level::Critical,
        action(&log, "db", "act", 3600 * SECOND).retries(0),
    )]);
    rig.fail("db").await;
    rig.tree.stop();
    pass(SECOND).await;
    assert_eq!(
        rig.ends(),
        [(RecoveryOutcome::Failed("it was stopped".into()), 1)]
    );
}

#[tokio::test(start_paused = true)]
async fn hc4b_what_fails_later_waits_for_a_more_severe_one_that_runs() {
    let log = Log::default();
    let rig = Rig::new([
        component(
            "c",
            Level::Critical,
            action(&log, "c", "critical", 10 * SECOND),
        ),
        component("d", Level::Degraded, action(&log, "d", "degraded", SECOND)),
        component("e", Level::Critical, action(&log, "e", "another", SECOND)),
    ]);
    for name in ["c", "d", "e"] {
        rig.fail(name).await;
    }
    pass(5 * SECOND).await;
    assert_eq!(*log.lock(), ["critical", "another"]);
    pass(6 * SECOND).await;
    assert_eq!(*log.lock(), ["critical", "another", "degraded"]);
}

#[tokio::test(start_paused = true)]
async fn hc4b_a_check_that_gets_worse_goes_first() {
    let log = Log::default();
    let worse = reported("it", Level::Degraded)
        .on_error(Level::Critical)
        .recovery(action(&log, "b", "b", NO_TIME));
    let rig = Rig::new([
        component("a", Level::Degraded, action(&log, "a", "a", NO_TIME)),
        with_checks("b", [worse]),
    ]);
    rig.tree.maintenance(true);
    rig.fail("a").await;
    rig.fail("b").await;
    reporter(&rig.tree, "b", "it").error("x");
    rig.tree.maintenance(false);
    pass(SECOND).await;
    assert_eq!(*log.lock(), ["b", "a"]);
}

#[tokio::test(start_paused = true)]
async fn hc4a_a_start_up_check_that_has_passed_is_over_at_once() {
    let act = RecoveryAction::new("db", || async { Err::<(), _>("refused") });
    let check = reported("it", Level::Critical).probe(Probe::StartUp);
    let mut rig = Rig::new([with_checks("db", [check.recovery(act.retries(9))])]);
    rig.fail("db").await;
    rig.clean("db").await;
    assert_eq!(rig.ends(), [(RecoveryOutcome::Withdrawn, 1)]);
}
