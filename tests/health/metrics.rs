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
