//! Removing old segments, also from a disk that is full.

use crate::durable::journal::low_water::{self, LowWater};
use crate::durable::journal::rig::{DIR, Hooked, config, journal};
use crate::durable::journal::{CompactError, EventKind, Journal, JournalConfig, ReadError};
use crate::durable::storage::faulty::{Fault, FaultyStorage};
use crate::durable::storage::{MemoryStorage, Operation, Storage};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

/// Three records of 100 bytes fit into a segment.
fn small() -> JournalConfig {
    config().segment_bytes(64 + 3 * 144)
}

/// Twelve records in four segments: 1 to 3, 4 to 6, 7 to 9, 10 to 12.
fn twelve(storage: Arc<dyn Storage>, config: JournalConfig) -> Journal {
    let journal = journal(storage, config);
    for n in 0..12 {
        journal.append(1, &[n; 100]).unwrap();
    }
    assert_eq!(journal.status().segments, 4);
    journal
}

fn segments(storage: &dyn Storage) -> usize {
    let names = storage.list(Path::new(DIR)).unwrap();
    names
        .iter()
        .filter(|entry| entry.name.ends_with(".segment"))
        .count()
}

#[test]
fn jn9b_whole_segments_at_or_before_the_mark_go_and_never_the_last() {
    for (through, left, removed) in [
        (0, 4, 0),
        (2, 4, 0),
        (3, 3, 3),
        (4, 3, 3),
        (8, 2, 6),
        (9, 1, 9),
        (12, 1, 9),
        (u64::MAX, 1, 9),
    ] {
        let storage = Arc::new(MemoryStorage::new());
        let journal = twelve(storage.clone(), small());
        let done = journal.compact(through).unwrap();
        assert_eq!(segments(&*storage), left, "through {through}");
        assert_eq!((done.segments, done.through), (4 - left as u64, removed));
        assert_eq!(done.bytes, done.segments * (64 + 3 * 144));
        assert_eq!(journal.status().segments, left);
        let expected = match removed {
            0 => LowWater::Absent,
            removed => LowWater::At(removed),
        };
        assert_eq!(
            low_water::read(&*storage, Path::new(DIR)).unwrap(),
            expected
        );
        // What is left is read as before, and appends go on.
        let mut reader = journal.read(removed + 1).unwrap();
        for sequence in removed + 1..=12 {
            assert_eq!(reader.next().unwrap().unwrap().sequence, sequence);
        }
        assert_eq!(journal.append(1, b"next").unwrap(), 13);
    }
}

#[test]
fn jn9a_the_mark_is_durable_before_anything_is_removed() {
    let storage = FaultyStorage::new();
    let journal = twelve(Arc::new(storage.clone()), small());
    let before = storage.trace().len();
    journal.compact(9).unwrap();
    let calls: Vec<_> = storage
        .trace()
        .split_off(before)
        .into_iter()
        .filter(crate::durable::storage::faulty::Call::is_change)
        .collect();
    let first_removed = calls
        .iter()
        .position(|call| {
            call.operation == Operation::Remove
                && call.path.extension().is_some_and(|end| end == "segment")
        })
        .unwrap();
    let operations: Vec<_> = calls[..first_removed]
        .iter()
        .filter(|call| call.result.is_ok())
        .map(|call| call.operation)
        .collect();
    let expected = [
        Operation::Create,
        Operation::Append,
        Operation::Sync,
        Operation::Rename,
        Operation::SyncDir,
    ];
    assert_eq!(operations, expected);
    assert_eq!(calls.last().unwrap().operation, Operation::SyncDir);
}

#[test]
fn jn9a_a_mark_that_is_not_durable_removes_nothing() {
    for operation in [
        Operation::Create,
        Operation::Append,
        Operation::Sync,
        Operation::Rename,
        Operation::SyncDir,
    ] {
        let storage = FaultyStorage::new();
        let journal = twelve(Arc::new(storage.clone()), small());
        storage.fail(Fault::on(operation));
        let failed = journal.compact(9).unwrap_err();
        assert!(matches!(failed, CompactError::Storage(_)), "{failed}");
        assert_eq!(segments(&storage), 4, "{operation:?}");
        assert_eq!(journal.append(1, b"goes on").unwrap(), 13);
        assert_eq!(journal.compact(9).unwrap().segments, 3);
    }
}

#[test]
fn jn9d_the_oldest_go_first_and_what_fails_goes_the_next_time() {
    let storage = FaultyStorage::new();
    let journal = twelve(Arc::new(storage.clone()), small());
    let of_segments =
        |fault: Fault| fault.of(|path| path.extension().is_some_and(|end| end == "segment"));
    storage.fail(of_segments(Fault::on(Operation::Remove)).after(1));
    assert!(journal.compact(9).is_err());
    assert_eq!(journal.status().segments, 3);
    let mut reader = journal.read(4).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().sequence, 4);
    assert!(matches!(
        journal.read(1),
        Err(ReadError::Removed { first: 4 })
    ));
    let done = journal.compact(9).unwrap();
    assert_eq!((done.segments, done.through), (2, 9));
}

#[test]
fn jn9c_a_reader_goes_on_where_it_is_and_is_told_what_is_gone() {
    let storage = Arc::new(MemoryStorage::new());
    let journal = twelve(storage, small());
    let mut inside = journal.read(1).unwrap();
    assert_eq!(inside.next().unwrap().unwrap().sequence, 1);
    let mut before = journal.read(1).unwrap();
    journal.compact(6).unwrap();
    // The rest of the segment that it is in.
    for sequence in 2..=3 {
        assert_eq!(inside.next().unwrap().unwrap().sequence, sequence);
    }
    for reader in [&mut inside, &mut before] {
        let gone = reader.next().unwrap_err();
        let ReadError::Removed { first } = gone else {
            panic!("{gone}")
        };
        assert!(first == 4 || first == 7, "{first}");
    }
    assert!(matches!(
        journal.read(1),
        Err(ReadError::Removed { first: 7 })
    ));
}

#[test]
fn jn9e_one_compaction_runs_at_a_time_and_a_closed_journal_has_none() {
    let inner: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
    let again: Arc<OnceLock<Journal>> = Arc::default();
    let answers: Arc<Mutex<Vec<bool>>> = Arc::default();
    let storage = Hooked::new(inner, {
        let (again, answers) = (again.clone(), answers.clone());
        move |operation| {
            if let (Operation::Rename, Some(journal)) = (operation, again.get()) {
                let compacted = journal.compact(9);
                let is_running = matches!(compacted, Err(CompactError::Running));
                answers.lock().unwrap().push(is_running);
            }
            Ok(())
        }
    });
    let journal = twelve(storage, small());
    again.set(journal.clone()).unwrap();
    assert_eq!(journal.compact(9).unwrap().segments, 3);
    assert_eq!(*answers.lock().unwrap(), [true]);
    journal.close().unwrap();
    assert!(matches!(journal.compact(9), Err(CompactError::Closed)));
}

#[test]
fn jn3h_on_a_full_disk_the_reserve_makes_room_for_a_compaction() {
    let storage = FaultyStorage::new();
    let journal = twelve(Arc::new(storage.clone()), small().reserve_bytes(1000));
    let mut events = journal.subscribe(NonZeroUsize::new(8).unwrap());
    assert!(journal.status().has_reserve);
    // Not one byte is left.
    storage.set_capacity(0);
    assert!(journal.append(1, &[7; 100]).unwrap_err().is_full());
    let used = 4 * 64 + 12 * 144;
    storage.set_capacity(used + 1000);
    assert!(journal.append(1, &[7; 100]).unwrap_err().is_full());
    assert_eq!(journal.compact(9).unwrap().segments, 3);
    assert_eq!(journal.append(1, b"there is room").unwrap(), 13);
    assert!(journal.status().has_reserve, "it is set aside again");
    let kinds: Vec<_> = std::iter::from_fn(|| events.try_recv())
        .map(|event| event.kind)
        .collect();
    assert!(
        matches!(
            kinds[..],
            [
                EventKind::WriteFailed { .. },
                EventKind::ReserveGivenBack,
                EventKind::Compacted {
                    through: 9,
                    segments: 3,
                    ..
                },
                EventKind::ReserveTaken,
                EventKind::Rolled { first_sequence: 13 },
                EventKind::WritesAgain,
            ]
        ),
        "{kinds:?}"
    );
}

#[test]
fn jn3h_without_a_reserve_a_full_disk_refuses_a_compaction_and_nothing_is_lost() {
    let storage = FaultyStorage::new();
    let journal = twelve(Arc::new(storage.clone()), small());
    storage.set_capacity(4 * 64 + 12 * 144);
    let CompactError::Storage(error) = journal.compact(9).unwrap_err() else {
        panic!("an error of the storage")
    };
    assert!(error.is_full());
    assert_eq!(segments(&storage), 4);
}

#[tokio::test]
async fn jn9b_a_task_compacts_and_closes_without_blocking() {
    let storage = Arc::new(MemoryStorage::new());
    let journal = twelve(storage.clone(), small());
    assert_eq!(journal.compact_async(9).await.unwrap().segments, 3);
    journal.close_async().await.unwrap();
    assert!(matches!(
        journal.compact_async(12).await,
        Err(CompactError::Closed)
    ));
}
