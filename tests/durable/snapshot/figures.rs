//! What is published of checkpoints.

use super::rig::KEY;
use backstop::durable::codec::State;
use backstop::durable::snapshot::conformance::checkpoint;
use backstop::durable::snapshot::{Checkpoint, CheckpointStore, Checkpoints, MemoryStore};
use backstop::observe::metrics::Exporter;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

#[derive(Serialize, Deserialize)]
struct Count(u8);

impl State for Count {
    const TYPE: &'static str = "ledger";
    const VERSION: u32 = 3;
}

/// The value of a series of the key; a histogram is the number of its values.
fn value(snapshotter: &Snapshotter, name: &str) -> Option<f64> {
    let found = snapshotter.snapshot().into_vec();
    let (.., value) = found.into_iter().find(|(key, ..)| {
        let labels: Vec<_> = key.key().labels().map(|label| label.value()).collect();
        key.key().name() == name && labels == [KEY]
    })?;
    Some(match value {
        DebugValue::Gauge(value) => value.into_inner(),
        DebugValue::Histogram(values) => f64::from(u32::try_from(values.len()).unwrap()),
        DebugValue::Counter(_) => panic!("no counter"),
    })
}

#[test]
fn sn1u_age_and_saves_are_published() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let store = MemoryStore::new();
    let checkpoints = Checkpoints::<Count>::new(Arc::new(store.clone()), KEY).unwrap();
    let exporter = Exporter::new();
    exporter.add(&checkpoints);
    exporter.add(&checkpoints.clone());
    metrics::with_local_recorder(&recorder, || {
        exporter.publish();
        assert_eq!(value(&snapshotter, "checkpoint_age_seconds"), None);

        // One that was found is as old as it is, and not as its finding.
        let hour = Duration::from_secs(3_600);
        let old = Checkpoint {
            wall: backstop::kernel::clock::Clock::system().wall() - hour,
            payload: vec![7],
            ..checkpoint(1)
        };
        store.save(KEY, &old).unwrap();
        assert_eq!(checkpoints.latest().unwrap().restored.unwrap().state.0, 7);
        exporter.publish();
        let age = value(&snapshotter, "checkpoint_age_seconds").unwrap();
        assert!((3_600.0..4_200.0).contains(&age), "{age}");
        assert_eq!(value(&snapshotter, "checkpoint_save_seconds"), None);

        checkpoints.save(2, &Count(8)).unwrap();
        checkpoints.save(3, &Count(9)).unwrap();
        assert!(checkpoints.save(3, &Count(9)).is_err());
        exporter.publish();
        let age = value(&snapshotter, "checkpoint_age_seconds").unwrap();
        assert!(age < 600.0, "{age}");
        // The snapshot empties histograms, so both saves are in the first one after them.
        checkpoints.save(4, &Count(9)).unwrap();
        exporter.publish();
        assert_eq!(value(&snapshotter, "checkpoint_save_seconds"), Some(1.0));

        // From the future is not older than now.
        let future = Checkpoint {
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 33),
            payload: vec![7],
            ..checkpoint(5)
        };
        store.save(KEY, &future).unwrap();
        checkpoints.latest().unwrap();
        exporter.publish();
        assert_eq!(value(&snapshotter, "checkpoint_age_seconds"), Some(0.0));

        checkpoints.save(6, &Count(9)).unwrap();
        drop(checkpoints);
        exporter.publish();
        assert_eq!(value(&snapshotter, "checkpoint_age_seconds"), Some(0.0));
    });
}
