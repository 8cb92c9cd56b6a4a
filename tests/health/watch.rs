//! Waiting for changes.

use super::rig::{SECOND, build, reported, reporter, with_checks};
use backstop::health::check::{Level, Status};
use backstop::health::tree::HealthTree;
use backstop::kernel::clock::Clock;
use futures::FutureExt;

fn tree() -> HealthTree {
    let db = with_checks("db", [reported("ping", Level::Critical)]);
    build(
        HealthTree::builder("root")
            .component(db)
            .clock(Clock::tokio()),
    )
}

#[tokio::test(start_paused = true)]
async fn hc6b_a_watch_tells_of_the_last_change_and_of_the_end() {
    let tree = tree();
    let mut watch = tree.component("db").expect("it is there").watch();
    assert!(watch.changed().now_or_never().is_none());
    let ping = reporter(&tree, "db", "ping");
    ping.passed();
    ping.failed("x");
    let status = watch
        .changed()
        .now_or_never()
        .flatten()
        .map(|health| health.status);
    assert_eq!(status, Some(Status::Unhealthy));
    assert!(watch.changed().now_or_never().is_none());
    tree.maintenance(true);
    assert!(
        watch
            .changed()
            .await
            .is_some_and(|health| health.in_maintenance)
    );
    let waits = tokio::spawn(async move { watch.changed().await });
    tokio::task::yield_now().await;
    drop(tree);
    assert_eq!(waits.await.expect("no panic"), None);
}

#[tokio::test(start_paused = true)]
async fn hc6b_a_watch_tells_in_time_that_a_result_is_stale() {
    let tree = tree();
    tree.start().expect("a runtime");
    reporter(&tree, "db", "ping").passed();
    let clock = Clock::tokio();
    let start = clock.now();
    let mut watch = tree.watch();
    assert_eq!(watch.seen().status, Status::Healthy);
    let health = watch.until(|health| health.status != Status::Healthy).await;
    assert_eq!(health.map(|health| health.status), Some(Status::Unknown));
    let waited = clock.now().saturating_duration_since(start);
    assert!(waited > 20 * SECOND && waited < 21 * SECOND, "{waited:?}");
}
