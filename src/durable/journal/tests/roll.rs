//! From one segment to the next.

use crate::durable::journal::rig::{DIR, config, journal, payloads, read_back};
use crate::durable::journal::{AppendError, EventKind, JournalConfig, SyncPolicy};
use crate::durable::storage::faulty::{Fault, FaultyStorage};
use crate::durable::storage::{Operation, Storage};
use std::io::ErrorKind;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

/// Three records of 100 bytes fit into a segment.
fn small() -> JournalConfig {
    config().segment_bytes(64 + 3 * 144)
}

#[test]
fn jn4p_a_roll_syncs_the_old_then_makes_the_new_durable_then_writes_to_it() {
    let storage = FaultyStorage::new();
    let journal = journal(Arc::new(storage.clone()), small());
    let mut events = journal.subscribe(NonZeroUsize::new(8).unwrap());
    for n in 0..3 {
        journal.append(1, &[n; 100]).unwrap();
    }
    let before = storage.trace().len();
    journal.append(1, &[3; 100]).unwrap();
    let trace = storage.trace().split_off(before);
    let operations: Vec<_> = trace.iter().map(|call| call.operation).collect();
    // What was in the old one is synced: only the new one is left to do.
    let expected = [
        Operation::Create,
        Operation::Append,
        Operation::Sync,
        Operation::SyncDir,
        Operation::Append,
        Operation::Sync,
    ];
    assert_eq!(operations, expected);
    assert_eq!(trace[1].bytes, 64);
    let segments = read_back(&storage);
    assert_eq!(segments.len(), 2);
    let header = segments[1].0;
    assert_eq!((header.epoch, header.first_sequence), (1, 4));
    assert_eq!((header.synced_through, header.previous_epoch), (3, 1));
    assert_ne!(header.salt, segments[0].0.salt);
    assert_eq!(journal.status().segments, 2);
    let told = events.try_recv().unwrap().kind;
    assert!(matches!(told, EventKind::Rolled { first_sequence: 4 }));
}

#[test]
fn jn4p_what_the_old_one_holds_unsynced_is_synced_first() {
    let storage = FaultyStorage::new();
    let config = small().sync(SyncPolicy::Never);
    let journal = journal(Arc::new(storage.clone()), config);
    let before = storage.trace().len();
    for n in 0..4 {
        journal.append(1, &[n; 100]).unwrap();
    }
    journal.sync().unwrap();
    let trace = storage.trace().split_off(before);
    let operations: Vec<_> = trace.iter().map(|call| call.operation).collect();
    let expected = [
        Operation::Append,
        Operation::Sync,
        Operation::Create,
        Operation::Append,
        Operation::Sync,
        Operation::SyncDir,
        Operation::Append,
        Operation::Sync,
    ];
    assert_eq!(operations, expected);
    assert_ne!(trace[1].file, trace[7].file);
}

#[test]
fn jn4q_a_record_longer_than_a_segment_has_one_to_itself() {
    let storage = FaultyStorage::new();
    let journal = journal(Arc::new(storage.clone()), small());
    let sizes = [100, 2000, 100, 3000, 3000, 100];
    for size in sizes {
        journal.append(1, &vec![7; size]).unwrap();
    }
    let counts: Vec<_> = read_back(&storage)
        .iter()
        .map(|(_, records)| records.len())
        .collect();
    assert_eq!(counts, [1, 1, 1, 1, 1, 1]);
    let found: Vec<_> = payloads(&storage).iter().map(Vec::len).collect();
    assert_eq!(found, sizes);
}

#[test]
fn jn4r_a_segment_that_cannot_be_begun_is_taken_away_and_poisons_nothing() {
    for fault in [
        Fault::on(Operation::Create),
        Fault::on(Operation::Create).kind(ErrorKind::StorageFull),
        Fault::on(Operation::Append).torn(20),
        Fault::on(Operation::Append).although_done(),
    ] {
        let storage = FaultyStorage::new();
        let journal = journal(Arc::new(storage.clone()), small());
        for n in 0..3 {
            journal.append(1, &[n; 100]).unwrap();
        }
        storage.fail(fault.clone());
        let failed = journal.append(1, &[3; 100]).unwrap_err();
        assert!(matches!(failed, AppendError::Storage(_)), "{failed}");
        assert_eq!(storage.list(Path::new(DIR)).unwrap().len(), 1, "{fault:?}");
        assert_eq!(journal.append(1, &[3; 100]).unwrap(), 4);
        assert_eq!(read_back(&storage).len(), 2);
    }
}

#[test]
fn jn4r_a_sync_that_fails_while_a_segment_begins_poisons() {
    for operation in [Operation::Sync, Operation::SyncDir] {
        let storage = FaultyStorage::new();
        let journal = journal(Arc::new(storage.clone()), small());
        for n in 0..3 {
            journal.append(1, &[n; 100]).unwrap();
        }
        storage.fail(Fault::on(operation));
        let failed = journal.append(1, &[3; 100]).unwrap_err();
        let AppendError::Poisoned(poisoned) = &failed else {
            panic!("{failed}")
        };
        assert_eq!(poisoned.storage().unwrap().operation(), operation);
        assert_eq!(journal.status().durable_sequence, 3);
    }
}
