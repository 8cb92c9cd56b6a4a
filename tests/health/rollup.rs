//! What checks and components come to together.

use super::rig::{SECOND, build, check, reported, reporter, shop, status, with_checks};
use backstop::health::check::{Check, CheckConfig, CheckState, Level, Probe, Status};
use backstop::health::tree::{Component, HealthTree, StatusOrder};
use backstop::kernel::clock::Clock;

#[test]
fn hc1a_a_milder_or_later_failure_masks_no_worse_one() {
    let levels = [Level::Critical, Level::Degraded, Level::Maintenance];
    let (tree, _clock) = shop(levels.map(|level| reported(level.as_str(), level)));
    let fail = |name| reporter(&tree, "db", name).failed("x");
    reporter(&tree, "db", "degraded").passed();
    reporter(&tree, "db", "maintenance").passed();
    fail("critical");
    assert_eq!(tree.status(), Status::Unhealthy);
    fail("degraded");
    fail("maintenance");
    assert_eq!(tree.status(), Status::Unhealthy);
    reporter(&tree, "db", "critical").passed();
    assert_eq!(tree.status(), Status::Degraded);
    reporter(&tree, "db", "degraded").passed();
    assert_eq!(tree.status(), Status::Healthy);
}

#[test]
fn hc1a_the_worst_child_counts_at_any_depth() {
    let leaf = |name| with_checks(name, [reported("up", Level::Critical)]);
    let tree = build(
        HealthTree::builder("root").component(
            Component::new("middle")
                .component(leaf("left"))
                .component(leaf("right")),
        ),
    );
    reporter(&tree, "left", "up").passed();
    assert_eq!(status(&tree, "middle"), Status::Starting);
    reporter(&tree, "right", "up").passed();
    assert_eq!(tree.status(), Status::Healthy);
    reporter(&tree, "left", "up").failed("down");
    assert_eq!(tree.status(), Status::Unhealthy);
    assert_eq!(status(&tree, "right"), Status::Healthy);
    reporter(&tree, "right", "up").failed("down");
    reporter(&tree, "left", "up").passed();
    assert_eq!(tree.status(), Status::Unhealthy);
}

#[test]
fn hc1b_unknown_is_not_healthy() {
    let empty = build(HealthTree::builder("empty"));
    assert_eq!(empty.status(), Status::Unknown);
    assert!(!empty.is_ready());
    for level in [Level::Critical, Level::Degraded, Level::Maintenance] {
        let (tree, clock) = shop([reported("only", level)]);
        reporter(&tree, "db", "only").passed();
        assert_eq!(tree.status(), Status::Healthy);
        clock.advance(21 * SECOND);
        assert_eq!(tree.status(), Status::Unknown, "{level}");
    }
}

#[test]
fn hc1b_a_stale_critical_check_beside_a_fresh_one_is_unknown() {
    let (tree, clock) = shop(["a", "b"].map(|name| reported(name, Level::Critical)));
    reporter(&tree, "db", "a").passed();
    reporter(&tree, "db", "b").passed();
    clock.advance(15 * SECOND);
    reporter(&tree, "db", "a").passed();
    clock.advance(6 * SECOND);
    assert_eq!(tree.status(), Status::Unknown);
}

#[test]
fn hc1c_the_level_says_what_a_failure_means() {
    for (level, expected, flagged) in [
        (Level::Critical, Status::Unhealthy, false),
        (Level::Degraded, Status::Degraded, false),
        (Level::Maintenance, Status::Healthy, true),
    ] {
        let (tree, _clock) = shop([reported("it", level), reported("other", Level::Critical)]);
        reporter(&tree, "db", "other").passed();
        reporter(&tree, "db", "it").failed("x");
        let health = tree.health();
        assert_eq!((health.status, health.needs_attention), (expected, flagged));
        reporter(&tree, "db", "it").passed();
        assert!(!tree.health().needs_attention);
    }
}

#[test]
fn hc1d_an_optional_child_degrades_at_most() {
    let cache = || with_checks("cache", [reported("up", Level::Critical)]).optional();
    let tree = build(
        HealthTree::builder("root")
            .check(reported("own", Level::Critical))
            .component(cache()),
    );
    reporter(&tree, "root", "own").passed();
    reporter(&tree, "cache", "up").failed("down");
    assert_eq!(status(&tree, "cache"), Status::Unhealthy);
    assert_eq!(tree.status(), Status::Degraded);
    let handle = tree.component("cache").expect("it is there");
    handle.set_status(Status::OutOfService);
    assert_eq!(tree.status(), Status::Degraded);
    reporter(&tree, "root", "own").failed("down");
    assert_eq!(tree.status(), Status::Unhealthy);
}

#[test]
fn hc1e_not_to_know_is_never_worse_than_to_know_of_the_failure() {
    let clock = Clock::manual();
    let tree = build(
        HealthTree::builder("root")
            .clock(&clock)
            .check(reported("own", Level::Critical))
            .check(reported("mild", Level::Degraded))
            .component(with_checks("cache", [reported("up", Level::Critical)]).optional()),
    );
    for (component, check) in [("root", "own"), ("root", "mild"), ("cache", "up")] {
        reporter(&tree, component, check).passed();
    }
    clock.advance(15 * SECOND);
    reporter(&tree, "root", "own").passed();
    reporter(&tree, "cache", "up").passed();
    clock.advance(6 * SECOND);
    assert_eq!(tree.status(), Status::Degraded, "the mild check is stale");
    reporter(&tree, "root", "mild").passed();
    assert_eq!(tree.status(), Status::Healthy);
    clock.advance(15 * SECOND);
    reporter(&tree, "root", "own").passed();
    reporter(&tree, "root", "mild").passed();
    assert_eq!(status(&tree, "cache"), Status::Unknown);
    assert_eq!(tree.status(), Status::Degraded);
    clock.advance(30 * SECOND);
    assert_eq!(tree.status(), Status::Unknown, "nothing is known");
}

#[test]
fn hc3a_results_in_a_row_decide() {
    let (tree, _clock) = shop([Check::reported("ping", Level::Critical)]);
    let ping = reporter(&tree, "db", "ping");
    ping.passed();
    assert_eq!(tree.status(), Status::Healthy);
    for _ in 0..5 {
        ping.failed("x");
        ping.failed("x");
        assert_eq!(tree.status(), Status::Healthy);
        ping.passed();
    }
    (0..2).for_each(|_| assert!(ping.failed("x")));
    assert_eq!(tree.status(), Status::Healthy);
    ping.failed("x");
    assert_eq!(tree.status(), Status::Unhealthy);
    ping.passed();
    assert_eq!(tree.status(), Status::Healthy);
}

#[test]
fn hc3b_a_check_is_starting_before_its_first_threshold() {
    let (tree, _clock) = shop([Check::reported("ping", Level::Critical)
        .config(CheckConfig::default().success_threshold(2))]);
    let ping = reporter(&tree, "db", "ping");
    for act in [false, false, true, false, false, true] {
        assert_eq!(tree.status(), Status::Starting);
        if act {
            ping.passed();
        } else {
            ping.failed("x");
        }
    }
    assert_eq!(tree.status(), Status::Starting);
    ping.passed();
    assert_eq!(tree.status(), Status::Healthy);
}

#[test]
fn hc3c_failures_of_the_initial_delay_do_not_count() {
    let config = CheckConfig::liveness();
    let expected = CheckConfig::default()
        .initial_delay(30 * SECOND)
        .period(10 * SECOND)
        .failure_threshold(3);
    assert_eq!(config, expected);
    let (tree, clock) = shop([Check::reported("ping", Level::Critical).config(config)]);
    let ping = reporter(&tree, "db", "ping");
    for _ in 0..30 {
        ping.failed("x");
        clock.advance(SECOND);
    }
    assert_eq!(tree.status(), Status::Starting);
    ping.failed("x");
    ping.failed("x");
    assert_eq!(tree.status(), Status::Starting);
    ping.failed("x");
    assert_eq!(tree.status(), Status::Unhealthy);

    let (tree, _clock) = shop([Check::reported("ping", Level::Critical).config(config)]);
    reporter(&tree, "db", "ping").passed();
    assert_eq!(tree.status(), Status::Healthy, "clean results do count");
}

#[test]
fn hc3d_older_than_two_periods_is_stale_and_decides_anew() {
    let (tree, clock) = shop([Check::reported("ping", Level::Critical)]);
    let ping = reporter(&tree, "db", "ping");
    ping.passed();
    ping.failed("x");
    ping.failed("x");
    clock.advance(20 * SECOND);
    assert_eq!(tree.status(), Status::Healthy, "just as old as two periods");
    clock.advance(std::time::Duration::from_nanos(1));
    assert_eq!(tree.status(), Status::Unknown);
    clock.step_back(20 * SECOND);
    assert_eq!(tree.status(), Status::Unknown, "nothing is fresh again");
    ping.failed("x");
    assert_eq!(
        tree.status(),
        Status::Unknown,
        "the failures before the gap are over"
    );
    ping.failed("x");
    ping.failed("x");
    assert_eq!(tree.status(), Status::Unhealthy);
}

#[test]
fn hc3d_one_that_never_reports_is_not_starting_for_ever() {
    let (tree, clock) = shop([reported("ping", Level::Critical)]);
    clock.advance(20 * SECOND);
    assert_eq!(tree.status(), Status::Starting);
    clock.advance(SECOND);
    assert_eq!(tree.status(), Status::Unknown);
}

#[test]
fn hc3d_reports_of_changes_hold() {
    let (tree, clock) =
        shop([Check::reported("breaker", Level::Degraded).config(CheckConfig::on_change())]);
    reporter(&tree, "db", "breaker").failed("open");
    clock.advance(100_000 * SECOND);
    assert_eq!(tree.status(), Status::Degraded);
}

#[test]
fn hc3e_a_milder_failure_later_does_not_mask_a_worse_one() {
    let (tree, _clock) = shop([reported("ping", Level::Degraded).on_error(Level::Critical)]);
    let ping = reporter(&tree, "db", "ping");
    ping.failed("slow");
    assert_eq!(tree.status(), Status::Degraded);
    ping.error("refused");
    assert_eq!(tree.status(), Status::Unhealthy);
    ping.failed("slow");
    assert_eq!(tree.status(), Status::Unhealthy);
    ping.passed();
    ping.failed("slow");
    assert_eq!(tree.status(), Status::Degraded);
}

#[test]
fn hc3f_a_start_up_check_holds_back_the_others_beneath_it() {
    let start_up = |name| reported(name, Level::Critical).probe(Probe::StartUp);
    let clock = Clock::manual();
    let tree = build(
        HealthTree::builder("root")
            .clock(&clock)
            .check(start_up("migrated"))
            .component(with_checks(
                "db",
                [start_up("opened"), reported("ping", Level::Critical)],
            )),
    );
    let ping = reporter(&tree, "db", "ping");
    let held = |tree: &HealthTree| {
        ping.failed("x");
        check(tree, "ping").0 == CheckState::Starting
    };
    clock.advance(15 * SECOND);
    assert!(held(&tree));
    reporter(&tree, "root", "migrated").passed();
    assert!(held(&tree));
    assert!(!tree.has_started());
    reporter(&tree, "db", "opened").passed();
    clock.advance(20 * SECOND);
    // Its time began when it was let in, and its own results are not asked for again.
    assert_eq!(tree.status(), Status::Starting);
    ping.passed();
    assert_eq!(tree.status(), Status::Healthy);
    assert!(tree.has_started());
    clock.advance(20 * SECOND);
    ping.passed();
    reporter(&tree, "root", "migrated").failed("x");
    assert_eq!(
        tree.status(),
        Status::Healthy,
        "a start-up check that has passed is done"
    );
}

#[test]
fn hc3g_results_carry_their_age() {
    let (tree, clock) = shop([reported("ping", Level::Critical)]);
    let age = || tree.snapshot().components()[1].checks[0].age;
    assert_eq!(age(), None);
    reporter(&tree, "db", "ping").passed();
    clock.advance(3 * SECOND);
    assert_eq!(age(), Some(3 * SECOND));
    clock.step_back(60 * SECOND);
    assert_eq!(age(), Some(std::time::Duration::ZERO));
}

#[test]
fn hc5a_liveness_depends_on_critical_liveness_checks_alone() {
    let live = |level| reported("live", level).probe(Probe::Liveness);
    let clock = Clock::manual();
    let tree = build(
        HealthTree::builder("root")
            .clock(&clock)
            .check(live(Level::Critical))
            .check(reported("ready", Level::Critical))
            .component(with_checks("mild", [live(Level::Degraded)]))
            .component(with_checks("extra", [live(Level::Critical)]).optional()),
    );
    assert!(tree.is_alive(), "nothing is known");
    for (component, check) in [("root", "ready"), ("mild", "live"), ("extra", "live")] {
        reporter(&tree, component, check).failed("x");
    }
    tree.root().set_status(Status::Unhealthy);
    assert!(tree.is_alive());
    reporter(&tree, "root", "live").failed("deadlock");
    assert!(!tree.is_alive());
    clock.advance(60 * SECOND);
    assert!(tree.is_alive(), "that is not known any more");
    reporter(&tree, "root", "live").failed("deadlock");
    tree.root().set_status(Status::Healthy);
    assert!(!tree.is_alive());
    reporter(&tree, "root", "live").passed();
    assert!(tree.is_alive());
}

#[test]
fn hc5b_a_liveness_check_of_a_dependency_is_refused() {
    let builder = || {
        let live = reported("live", Level::Critical).probe(Probe::Liveness);
        let beneath = with_checks("pool", [live]);
        HealthTree::builder("root").component(Component::new("db").dependency().component(beneath))
    };
    let refused = builder().build().expect_err("it is refused");
    assert_eq!((refused.part(), refused.field()), (Some("check"), "probe"));
    let tree = build(builder().liveness_of_dependencies(true));
    reporter(&tree, "pool", "live").failed("x");
    assert!(!tree.is_alive());
}

#[test]
fn hc5c_readiness_and_the_end_of_the_start() {
    let (tree, _clock) = shop([reported("ping", Level::Critical)]);
    let set = |status| {
        tree.root().set_status(status);
        tree.is_ready()
    };
    assert_eq!(
        Status::ALL.map(set),
        [true, false, false, true, false, false]
    );
    tree.root().set_status(None);

    let (tree, clock) = shop([reported("ping", Level::Critical)]);
    assert!(!tree.has_started());
    reporter(&tree, "db", "ping").failed("x");
    assert!(tree.has_started());
    clock.advance(3600 * SECOND);
    tree.root().set_status(Status::Starting);
    assert!(tree.has_started(), "for good");
}

#[test]
fn hc6a_a_status_is_read_without_a_task_and_without_allocating() {
    let (tree, clock) = shop([reported("ping", Level::Critical)]);
    let db = tree.component("db").expect("it is there");
    reporter(&tree, "db", "ping").passed();
    let info = allocation_counter::measure(|| {
        for _ in 0..300 {
            assert_eq!(
                (tree.status(), db.status()),
                (Status::Healthy, Status::Healthy)
            );
            assert!(tree.is_alive() && tree.is_ready());
        }
    });
    assert_eq!(info.count_total, 0);
    clock.advance(21 * SECOND);
    assert_eq!(
        (tree.status(), db.status()),
        (Status::Unknown, Status::Unknown)
    );
}

#[test]
fn hc6e_another_order_can_be_set() {
    use Status::{Degraded, Healthy, OutOfService, Starting, Unhealthy, Unknown};
    let order = StatusOrder::new([
        Healthy,
        Starting,
        Degraded,
        Unknown,
        Unhealthy,
        OutOfService,
    ]);
    let clock = Clock::manual();
    let build_with = |order| {
        let checks = [
            reported("a", Level::Degraded),
            reported("b", Level::Critical),
        ];
        let builder = HealthTree::builder("root").component(with_checks("db", checks));
        let tree = build(builder.order(order).clock(&clock));
        reporter(&tree, "db", "b").passed();
        clock.advance(15 * SECOND);
        reporter(&tree, "db", "a").failed("x");
        clock.advance(6 * SECOND);
        tree.status()
    };
    assert_eq!(build_with(StatusOrder::default()), Degraded);
    assert_eq!(build_with(order.expect("a valid order")), Unknown);
    let twice = StatusOrder::new([Healthy, Healthy, Starting, Unknown, Degraded, Unhealthy]);
    assert_eq!(twice.expect_err("one is missing").field(), "order");
    assert!(Status::ALL.is_sorted());
}

#[test]
fn hc6f_a_status_set_by_hand_holds_until_it_is_given_back() {
    let (tree, clock) = shop([reported("ping", Level::Critical)]);
    let db = tree.component("db").expect("it is there");
    reporter(&tree, "db", "ping").passed();
    db.set_status(Status::OutOfService);
    for _ in 0..3 {
        assert_eq!(
            (db.status(), tree.status()),
            (Status::OutOfService, Status::OutOfService)
        );
        assert!(!tree.is_ready());
        reporter(&tree, "db", "ping").failed("x");
        clock.advance(30 * SECOND);
    }
    reporter(&tree, "db", "ping").failed("x");
    db.set_status(None);
    assert_eq!(
        (db.status(), tree.status()),
        (Status::Unhealthy, Status::Unhealthy)
    );
}

#[test]
fn hc5c_what_is_optional_does_not_hold_up_the_start() {
    let up = |name| reported(name, Level::Critical).probe(Probe::StartUp);
    let tree = build(
        HealthTree::builder("root")
            .check(up("migrated"))
            .component(with_checks("cache", [up("warm")]).optional()),
    );
    reporter(&tree, "cache", "warm").failed("cold");
    assert!(!tree.has_started());
    reporter(&tree, "root", "migrated").passed();
    assert!(tree.has_started());
    assert_eq!(tree.status(), Status::Degraded);
}
