//! What is published of a tree.

use super::rig::{reported, reporter, shop};
use backstop::health::check::Level;
use backstop::observe::metrics::Exporter;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

/// The name and labels of each series as one text, and its value.
fn values(snapshotter: &Snapshotter) -> Vec<(String, DebugValue)> {
    let all = snapshotter.snapshot().into_vec().into_iter();
    all.map(|(key, _, _, value)| {
        let labels = key.key().labels().map(|label| label.value().to_owned());
        let name = key.key().name().to_owned();
        let words: Vec<String> = std::iter::once(name).chain(labels).collect();
        (words.join(" "), value)
    })
    .collect()
}

/// Every name of the wing, with its labels, as it is published.
#[cfg(feature = "test-util")]
#[tokio::test(start_paused = true)]
async fn runs_are_published_by_each_of_their_endings_and_with_their_durations() {
    use super::rig::{SECOND, build, with_checks};
    use backstop::health::check::{Check, Ending, Finding};
    use backstop::health::tree::HealthTree;
    use backstop::kernel::clock::Clock;

    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let check = |name, end: fn() -> std::io::Result<Finding>| {
        Check::new(name, Level::Degraded, move || async move { end() })
    };
    let hangs = std::future::pending::<std::io::Result<()>>;
    let checks = [
        check("passed", || Ok(Finding::passed())),
        check("failed", || Ok(Finding::failed("x"))),
        check("error", || Err(std::io::Error::other("x"))),
        check("panicked", || panic!("x")),
        Check::new("timed_out", Level::Degraded, hangs),
    ];
    let db = with_checks("db", checks);
    let tree = build(
        HealthTree::builder("shop")
            .clock(Clock::tokio())
            .component(db),
    );
    tree.start().expect("a runtime");
    #[expect(clippy::disallowed_methods, reason = "the clock of a paused runtime")]
    tokio::time::sleep(15 * SECOND).await;
    let told = metrics::with_local_recorder(&recorder, || {
        let exporter = Exporter::new();
        exporter.add(&tree);
        exporter.publish();
        values(&snapshotter)
    });
    for ending in Ending::ALL {
        let series = format!("health_checks_total db:{ending} {ending}");
        let is_told = told.contains(&(series, DebugValue::Counter(2)));
        assert!(is_told, "{ending} in {told:?}");
    }
    let names: std::collections::BTreeSet<&str> = told
        .iter()
        .filter_map(|(series, _)| series.split(' ').next())
        .collect();
    let all = [
        "health_check_duration_seconds",
        "health_checks_total",
        "health_status",
    ];
    assert_eq!(names.into_iter().collect::<Vec<_>>(), all);
    let durations = told
        .iter()
        .find(|(series, _)| series == "health_check_duration_seconds shop");
    let Some((_, DebugValue::Histogram(durations))) = durations else {
        panic!("no durations in {told:?}");
    };
    // Four that took no time and one that took its whole time, twice each.
    let long = durations
        .iter()
        .filter(|took| took.into_inner() > 0.9)
        .count();
    assert_eq!((durations.len(), long), (10, 2), "{durations:?}");
}

#[test]
fn statuses_and_results_are_published() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || {
        let (tree, _clock) = shop([reported("ping", Level::Critical)]);
        let exporter = Exporter::new();
        exporter.add(&tree);
        exporter.add(&tree.clone());
        reporter(&tree, "db", "ping").passed();
        reporter(&tree, "db", "ping").failed("x");
        exporter.publish();
        let gauge = |value: f64| DebugValue::Gauge(value.into());
        let told = values(&snapshotter);
        for expected in [
            ("health_status shop", gauge(4.0)),
            ("health_status db", gauge(4.0)),
            ("health_checks_total db:ping passed", DebugValue::Counter(1)),
            ("health_checks_total db:ping failed", DebugValue::Counter(1)),
        ] {
            let expected = (expected.0.to_owned(), expected.1);
            assert!(told.contains(&expected), "{expected:?} in {told:?}");
        }
        drop(tree);
        exporter.publish();
        let left = values(&snapshotter);
        assert!(
            left.contains(&("health_status db".to_owned(), gauge(0.0))),
            "{left:?}"
        );
    });
}
