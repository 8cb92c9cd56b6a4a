//! Checkpoints of a type.

use super::rig::{KEY, open};
use backstop::durable::codec::{State, StateError};
use backstop::durable::snapshot::conformance::checkpoint;
use backstop::durable::snapshot::{
    CheckpointStore, Checkpoints, Mark, Marks, MemoryStore, Reason, SaveError, StoreError,
};
use backstop::durable::storage::Operation;
use backstop::durable::storage::faulty::{Fault, FaultyStorage};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Ledger {
    balance: i64,
}

impl State for Ledger {
    const TYPE: &'static str = "ledger";

    fn validate(&self) -> Result<(), StateError> {
        if self.balance < 0 {
            return Err(StateError::invalid("overdrawn"));
        }
        Ok(())
    }
}

fn ledger(balance: i64) -> Ledger {
    Ledger { balance }
}

fn checkpoints(store: &MemoryStore) -> Checkpoints<Ledger> {
    Checkpoints::new(Arc::new(store.clone()), KEY).unwrap()
}

#[test]
fn sn1r_the_newest_that_gives_a_state_is_found_and_the_others_named() {
    let store = MemoryStore::keeping(10).unwrap();
    let checkpoints = checkpoints(&store);
    let recovered = checkpoints.latest().unwrap();
    assert!(recovered.restored.is_none() && recovered.passed_over.is_empty());
    for sequence in 1..4 {
        let digest = Some(sequence * 10);
        let state = ledger(i64::try_from(sequence).unwrap());
        let marks = Marks::none().with(Mark::Provisional);
        checkpoints
            .save_with(sequence, &state, digest, marks)
            .unwrap();
    }
    // Newest first: damaged, of another version, suspect, overdrawn by another build, damaged.
    let negative = backstop::durable::snapshot::Checkpoint {
        version: 1,
        payload: vec![1],
        ..checkpoint(4)
    };
    store.save(KEY, &negative).unwrap();
    store.save(KEY, &checkpoint(5)).unwrap();
    store.mark(KEY, 5, Mark::Suspect).unwrap();
    store.save(KEY, &checkpoint(6)).unwrap();
    store.save(KEY, &checkpoint(7)).unwrap();
    assert!(store.damage(KEY, 7));
    assert!(store.damage(KEY, 3));
    let recovered = checkpoints.latest().unwrap();
    let restored = recovered.restored.unwrap();
    assert_eq!(restored.state, ledger(2));
    assert_eq!((restored.sequence, restored.digest), (2, Some(20)));
    assert!(restored.marks.provisional);
    let passed: Vec<(u64, &str)> = recovered
        .passed_over
        .iter()
        .map(|one| (one.sequence, one.reason.name()))
        .collect();
    let expected = [
        (7, "damaged"),
        (6, "unknown_version"),
        (5, "suspect"),
        (4, "invalid"),
        (3, "damaged"),
    ];
    assert_eq!(passed, expected);
    let invalid = &recovered.passed_over[3];
    assert_eq!(
        invalid.to_string(),
        "checkpoint 4: the state is not valid: overdrawn"
    );
    // What gives no state is nothing a log could be compacted through.
    assert_eq!(checkpoints.oldest_retained().unwrap(), Some(1));
    assert!(store.damage(KEY, 1) && store.damage(KEY, 2));
    assert_eq!(checkpoints.oldest_retained().unwrap(), None);
    assert_eq!(store.oldest_retained(KEY).unwrap(), Some(4));
    assert_eq!(checkpoints.next_sequence().unwrap(), 8);
}

#[test]
fn sn1r_a_stores_error_is_not_absence() {
    let disk = FaultyStorage::new();
    let store = open(&disk).unwrap();
    let checkpoints = Checkpoints::<Ledger>::new(Arc::new(store), KEY).unwrap();
    checkpoints.save(1, &ledger(1)).unwrap();
    checkpoints.save(2, &ledger(2)).unwrap();
    disk.fail(Fault::on(Operation::Read).always());
    assert!(matches!(checkpoints.latest(), Err(StoreError::Storage(_))));
    assert!(matches!(
        checkpoints.oldest_retained(),
        Err(StoreError::Storage(_))
    ));
    assert!(matches!(
        checkpoints.next_sequence(),
        Err(StoreError::Storage(_))
    ));
    assert!(checkpoints.load(1).is_err());
}

#[test]
fn sn1s_a_save_says_whether_the_state_or_the_store_is_the_reason() {
    let store = MemoryStore::new();
    let checkpoints = checkpoints(&store);
    checkpoints.save(2, &ledger(2)).unwrap();
    let refused = checkpoints.save(3, &ledger(-1)).unwrap_err();
    assert!(
        matches!(refused, SaveError::State(StateError::Invalid(_))),
        "{refused}"
    );
    let refused = checkpoints.save(2, &ledger(3)).unwrap_err();
    let is_known = matches!(
        refused,
        SaveError::Store(StoreError::NotNewer {
            sequence: 2,
            newest: 2
        })
    );
    assert!(is_known, "{refused}");
    assert_eq!(
        checkpoints.latest().unwrap().restored.unwrap().state,
        ledger(2)
    );
    for key in ["", "a/b"] {
        let refused = Checkpoints::<Ledger>::new(Arc::new(store.clone()), key);
        assert!(matches!(refused, Err(StoreError::Key(_))));
    }
}

#[tokio::test(start_paused = true)]
async fn sn1t_async_forms_run_under_a_paused_clock_and_a_dropped_one_goes_on() {
    let store = MemoryStore::new();
    let checkpoints = checkpoints(&store);
    checkpoints.save_async(1, ledger(1)).await.unwrap().unwrap();
    let shared = Arc::new(ledger(2));
    checkpoints.save_async(2, shared).await.unwrap().unwrap();
    let marks = checkpoints.mark_async(2, Mark::Strike).await.unwrap();
    assert_eq!(marks.unwrap().strikes, 1);
    let recovered = checkpoints.latest_async().await.unwrap().unwrap();
    assert_eq!(recovered.restored.unwrap().state, ledger(2));
    let loaded = checkpoints.load_async(1).await.unwrap().unwrap();
    assert_eq!(loaded.unwrap().state, ledger(1));
    assert_eq!(
        checkpoints.oldest_retained_async().await.unwrap().unwrap(),
        Some(1)
    );
    assert_eq!(checkpoints.next_sequence_async().await.unwrap().unwrap(), 3);

    let (told, heard) = std::sync::mpsc::channel();
    drop(checkpoints.save_async(3, Telling(ledger(3), told)));
    // The state is let go when its save is over.
    heard
        .recv_timeout(std::time::Duration::from_secs(60))
        .unwrap();
    assert!(store.load(KEY, 3).unwrap().is_some());
}

/// A state, and who is told of its end.
struct Telling(Ledger, std::sync::mpsc::Sender<()>);

impl std::borrow::Borrow<Ledger> for Telling {
    fn borrow(&self) -> &Ledger {
        &self.0
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.1.send(()).unwrap();
    }
}

#[test]
fn sn1t_without_a_runtime_an_async_form_is_an_error() {
    let checkpoints = checkpoints(&MemoryStore::new());
    let save = checkpoints.save_async(1, ledger(1));
    assert!(futures::executor::block_on(save).is_err());
    assert!(checkpoints.latest().unwrap().restored.is_none());
}

#[test]
fn clones_and_threads_share_a_front() {
    fn shared<T: Clone + Send + Sync + std::fmt::Debug + 'static>(_: &T) {}
    let checkpoints = checkpoints(&MemoryStore::new());
    shared(&checkpoints);
    let reason = Reason::Suspect;
    shared(&reason);
    assert_eq!(checkpoints.key(), KEY);
    assert!(checkpoints.store().latest(KEY).unwrap().is_empty());
}
