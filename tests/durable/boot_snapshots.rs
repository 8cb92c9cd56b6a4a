//! Snapshots of a running service.

use crate::boot::{append, boot, config};
use crate::replay_rig::{Damaged, Does, STREAM, Tape};
use crate::replay_snapshots::tape;
use backstop::durable::boot::{Boot, SnapshotError, Snapshotter};
use backstop::durable::codec::{Codec, CodecError, Postcard, StateError};
use backstop::durable::journal::{Journal, JournalConfig, OpenMode, ReadError, SyncPolicy};
use backstop::durable::replay::{JournalEvents, Replayer, Target};
use backstop::durable::snapshot::{
    Checkpoint, CheckpointStore, Entry, LoadError, Mark, Marks, MemoryStore, Saved, StoreError,
};
use backstop::durable::storage::MemoryStorage;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

/// Notes, at each save, what of the journal is durable.
#[derive(Debug)]
struct Noting {
    store: MemoryStore,
    journal: OnceLock<Journal>,
    saves: Mutex<Vec<(u64, u64)>>,
    fails: bool,
}

impl Noting {
    fn new(fails: bool) -> Arc<Self> {
        Arc::new(Self {
            store: MemoryStore::new(),
            journal: OnceLock::new(),
            saves: Mutex::new(Vec::new()),
            fails,
        })
    }
}

impl CheckpointStore for Noting {
    fn save_marked(&self, key: &str, of: &Checkpoint, marks: Marks) -> Result<Saved, StoreError> {
        let durable = self.journal.get().unwrap().status().durable_sequence;
        self.saves.lock().unwrap().push((of.sequence, durable));
        if self.fails {
            return Err(StoreError::other("the disk is on fire"));
        }
        self.store.save_marked(key, of, marks)
    }

    fn history(&self, key: &str) -> Result<Vec<Entry>, StoreError> {
        self.store.history(key)
    }

    fn load(&self, key: &str, sequence: u64) -> Result<Option<Checkpoint>, LoadError> {
        self.store.load(key, sequence)
    }

    fn mark(&self, key: &str, sequence: u64, mark: Mark) -> Result<Marks, StoreError> {
        self.store.mark(key, sequence, mark)
    }

    fn forget(&self, key: &str) -> Result<(), StoreError> {
        self.store.forget(key)
    }
}

fn buffering() -> JournalConfig {
    JournalConfig::default()
        .open(OpenMode::CreateIfMissing)
        .segment_bytes(1_024)
        .sync(SyncPolicy::Never)
}

#[test]
fn bo3a_the_journal_is_synced_before_a_snapshot_is_published() {
    let store = Noting::new(false);
    let booted = boot(&MemoryStorage::new(), &store)
        .config(config().journal(buffering()))
        .run()
        .unwrap();
    store.journal.set(booted.journal.clone()).unwrap();
    append(&booted.journal, Does::Fits, 5);
    assert!(booted.journal.status().durable_sequence < 5);
    booted.snapshotter.take(&tape(5), 5).unwrap().unwrap();
    append(&booted.journal, Does::Fits, 5);
    booted.snapshotter.take(&tape(8), 8).unwrap().unwrap();
    let saves = store.saves.lock().unwrap();
    assert_eq!(saves.len(), 2);
    assert!(
        saves.iter().all(|(saved, durable)| durable >= saved),
        "{saves:?}"
    );
}

#[test]
fn bo3b_a_snapshot_is_of_the_time_of_its_last_event() {
    let store = Arc::new(MemoryStore::new());
    let booted = boot(&MemoryStorage::new(), &store).run().unwrap();
    append(&booted.journal, Does::Fits, 5);
    let mut reader = booted.journal.read(3).unwrap();
    let wall = reader.next().unwrap().unwrap().wall();
    let next = reader.next().unwrap().unwrap().wall();
    booted.snapshotter.take(&tape(3), 3).unwrap().unwrap();
    assert_eq!(
        store.history(STREAM).unwrap()[0]
            .about
            .as_ref()
            .unwrap()
            .wall,
        wall
    );

    let events = JournalEvents::new(&booted.journal, STREAM);
    let replay = Replayer::new(&events, STREAM, Tape::default())
        .snapshots(&*store, Postcard)
        .target(Target::Time(wall))
        .run()
        .unwrap();
    // Several events may be of one time.
    assert_eq!(replay.sequence == 3, next > wall);
    assert_eq!(replay.report.snapshot, Some(3));
    assert_eq!(replay.state, tape(replay.sequence));
}

/// Encodes another tape than it is given.
#[derive(Clone, Debug)]
struct Lossy(fn(&mut Tape));

impl Codec for Lossy {
    fn name(&self) -> &'static str {
        "lossy"
    }

    fn encode<T: Serialize + ?Sized>(&self, value: &T) -> Result<Vec<u8>, CodecError> {
        let mut tape: Tape = Postcard.decode(&Postcard.encode(value)?)?;
        self.0(&mut tape);
        Postcard.encode(&tape)
    }

    fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, CodecError> {
        Postcard.decode(bytes)
    }
}

#[test]
fn bo3c_only_a_valid_state_that_comes_back_is_published() {
    let store = Arc::new(MemoryStore::new());
    let booted = boot(&MemoryStorage::new(), &store).run().unwrap();
    append(&booted.journal, Does::Fits, 5);
    let spoilt = |does: Does| Tape {
        spoilt: Some(does as u32),
        ..tape(5)
    };
    let take = |state: &Tape| booted.snapshotter.take(state, 5).unwrap_err();
    let error = take(&spoilt(Does::Spoils));
    assert!(
        matches!(error, SnapshotError::State(StateError::Invalid(_))),
        "{error}"
    );
    for does in [Does::SpoilsValidate, Does::SpoilsDigest] {
        let error = take(&spoilt(does));
        assert!(
            matches!(error, SnapshotError::State(StateError::Panicked(_))),
            "{error}"
        );
    }
    let lossy = |codec| {
        let snapshots = (store.clone() as Arc<dyn CheckpointStore>, Lossy(codec));
        let storage = Arc::new(MemoryStorage::new());
        let booted = Boot::new(storage, "journal", STREAM, snapshots, Tape::default())
            .config(config())
            .run()
            .unwrap();
        append(&booted.journal, Does::Fits, 5);
        booted.snapshotter.take(&tape(5), 5).unwrap_err()
    };
    let error = lossy(|tape| tape.numbers.truncate(4));
    assert!(matches!(error, SnapshotError::Differs { .. }), "{error}");
    // The digest does not cover it.
    let error = lossy(|tape| tape.spoilt = Some(Does::Spoils as u32));
    assert!(
        matches!(error, SnapshotError::State(StateError::Invalid(_))),
        "{error}"
    );
    assert!(store.history(STREAM).unwrap().is_empty());
    // The same snapshotter goes on.
    booted.snapshotter.take(&tape(5), 5).unwrap().unwrap();
}

/// A store whose user takes other snapshots while one is being saved.
#[derive(Debug, Default)]
struct Nesting {
    store: MemoryStore,
    snapshotter: OnceLock<Snapshotter<Tape, Postcard>>,
    depth: AtomicUsize,
}

impl CheckpointStore for Nesting {
    fn save_marked(&self, key: &str, of: &Checkpoint, marks: Marks) -> Result<Saved, StoreError> {
        if self.depth.fetch_add(1, Ordering::Relaxed) == 0 {
            let snapshotter = self.snapshotter.get().unwrap();
            // This one is being taken; a newer one overtakes it.
            assert!(snapshotter.take(&tape(4), 4).unwrap().is_none());
            assert!(snapshotter.take(&tape(5), 5).unwrap().is_none());
            assert_eq!(snapshotter.take(&tape(8), 8).unwrap().unwrap().sequence, 8);
        }
        self.store.save_marked(key, of, marks)
    }

    fn history(&self, key: &str) -> Result<Vec<Entry>, StoreError> {
        self.store.history(key)
    }

    fn load(&self, key: &str, sequence: u64) -> Result<Option<Checkpoint>, LoadError> {
        self.store.load(key, sequence)
    }

    fn mark(&self, key: &str, sequence: u64, mark: Mark) -> Result<Marks, StoreError> {
        self.store.mark(key, sequence, mark)
    }

    fn forget(&self, key: &str) -> Result<(), StoreError> {
        self.store.forget(key)
    }
}

#[test]
fn bo3g_a_snapshot_may_be_asked_for_while_one_is_taken() {
    let store = Arc::new(Nesting::default());
    let booted = boot(&MemoryStorage::new(), &store).run().unwrap();
    append(&booted.journal, Does::Fits, 9);
    store.snapshotter.set(booted.snapshotter.clone()).unwrap();
    // It came second, and nothing is wrong with that.
    assert!(booted.snapshotter.take(&tape(5), 5).unwrap().is_none());
    assert_eq!(booted.snapshotter.newest(), 8);
    assert_eq!(store.depth.load(Ordering::Relaxed), 2);
    let taken: Vec<_> = store
        .history(STREAM)
        .unwrap()
        .iter()
        .map(|entry| entry.sequence)
        .collect();
    assert_eq!(taken, [8]);
    booted.snapshotter.take(&tape(9), 9).unwrap().unwrap();
}

#[test]
fn bo3g_one_that_failed_can_be_tried_again() {
    let store = Noting::new(true);
    let booted = boot(&MemoryStorage::new(), &store).run().unwrap();
    store.journal.set(booted.journal.clone()).unwrap();
    append(&booted.journal, Does::Fits, 5);
    for _ in 0..2 {
        let error = booted.snapshotter.take(&tape(5), 5).unwrap_err();
        assert!(matches!(error, SnapshotError::Store(_)), "{error}");
    }
    assert_eq!(store.saves.lock().unwrap().len(), 2);
}

#[test]
fn bo3e_a_snapshot_is_due_after_so_many_events_and_never_older() {
    let store = Arc::new(MemoryStore::new());
    let storage = MemoryStorage::new();
    let booted = boot(&storage, &store)
        .config(config().snapshot_every(4))
        .run()
        .unwrap();
    append(&booted.journal, Does::Fits, 9);
    let snapshotter = booted.snapshotter.clone();
    assert!(!snapshotter.is_due(3));
    assert!(snapshotter.is_due(4));
    snapshotter.take(&tape(5), 5).unwrap().unwrap();
    assert_eq!(booted.snapshotter.newest(), 5);
    assert!(!snapshotter.is_due(8));
    assert!(snapshotter.is_due(9));
    for sequence in [5, 4, 0] {
        assert!(
            snapshotter
                .take(&tape(sequence), sequence)
                .unwrap()
                .is_none()
        );
    }
    drop((booted, snapshotter));
    let booted = boot(&storage, &store)
        .config(config().snapshot_every(4))
        .run()
        .unwrap();
    assert_eq!(booted.snapshotter.newest(), 5);
    assert!(!booted.snapshotter.is_due(8));
}

#[test]
fn bo3f_a_state_ahead_of_the_journal_is_not_published() {
    let store = Arc::new(MemoryStore::new());
    let booted = boot(&MemoryStorage::new(), &store).run().unwrap();
    append(&booted.journal, Does::Fits, 5);
    let error = booted.snapshotter.take(&tape(6), 6).unwrap_err();
    assert!(
        matches!(
            error,
            SnapshotError::NotInJournal {
                sequence: 6,
                synced: 5
            }
        ),
        "{error}"
    );
    assert!(store.history(STREAM).unwrap().is_empty());
}

#[test]
fn bo3e_a_store_that_fails_leaves_the_snapshot_due() {
    let store = Noting::new(true);
    let booted = boot(&MemoryStorage::new(), &store)
        .config(config().snapshot_every(2))
        .run()
        .unwrap();
    store.journal.set(booted.journal.clone()).unwrap();
    append(&booted.journal, Does::Fits, 5);
    let error = booted.snapshotter.take(&tape(5), 5).unwrap_err();
    assert!(matches!(error, SnapshotError::Store(_)), "{error}");
    assert!(booted.snapshotter.is_due(5));
}

/// The first event that is still in the journal.
fn first(journal: &Journal) -> u64 {
    match journal.read(1) {
        Ok(_) => 1,
        Err(ReadError::Removed { first }) => first,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn bo3d_the_journal_is_compacted_through_the_oldest_snapshot_that_is_kept() {
    let storage = MemoryStorage::new();
    let store = Arc::new(MemoryStore::new());
    let booted = boot(&storage, &store).run().unwrap();
    let mut compacted = Vec::new();
    for round in 1..=6 {
        append(&booted.journal, Does::Fits, 40);
        let sequence = 40 * round;
        let taken = booted.snapshotter.take(&tape(sequence), sequence);
        let taken = taken.unwrap().unwrap();
        assert!(taken.compact_error.is_none());
        compacted.push(taken.compacted);
    }
    // Three are kept.
    let through = [40, 40, 40, 80, 120, 160].map(Some);
    assert_eq!(compacted, through);
    let first = first(&booted.journal);
    assert!((100..=161).contains(&first), "by whole segments: {first}");
    append(&booted.journal, Does::Fits, 5);
    drop(booted);
    for damaged in [&[][..], &[240], &[240, 200]] {
        let store = Arc::new(Damaged {
            store: (*store).clone(),
            sequences: damaged,
        });
        let booted = boot(&storage, &store).run().unwrap();
        assert_eq!(booted.state, tape(245), "{damaged:?}");
        assert_eq!(booted.report.replay.passed_over.len(), damaged.len());
    }
    let store = Arc::new(Damaged {
        store: (*store).clone(),
        sequences: &[240, 200, 160],
    });
    let error = boot(&storage, &store).run().unwrap_err();
    assert!(error.to_string().contains("was compacted away"), "{error}");
}

#[cfg(feature = "test-util")]
#[test]
fn bo3d_a_failed_compaction_is_told_and_tried_again() {
    use backstop::durable::storage::Operation;
    use backstop::durable::storage::faulty::{Fault, FaultyStorage};

    let storage = FaultyStorage::new();
    let store = Arc::new(MemoryStore::new());
    let snapshots = (store.clone() as Arc<dyn CheckpointStore>, Postcard);
    let disk = Arc::new(storage.clone());
    let booted = Boot::new(disk, "journal", STREAM, snapshots, Tape::default())
        .config(config())
        .run()
        .unwrap();
    append(&booted.journal, Does::Fits, 40);
    storage.fail(Fault::on(Operation::Remove).always());
    let taken = booted.snapshotter.take(&tape(40), 40).unwrap().unwrap();
    assert_eq!(taken.compacted, None);
    assert!(
        matches!(taken.compact_error, Some(SnapshotError::Compact(_))),
        "{taken:?}"
    );
    assert_eq!(booted.snapshotter.newest(), 40);
    storage.stop_failing();
    append(&booted.journal, Does::Fits, 1);
    let taken = booted.snapshotter.take(&tape(41), 41).unwrap().unwrap();
    assert_eq!(taken.compacted, Some(40));
    assert!(first(&booted.journal) > 1);
}
