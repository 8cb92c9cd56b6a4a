//! Appends that are acknowledged when they are durable: who writes, who syncs, who waits.

use crate::durable::journal::AppendError;
use crate::durable::journal::rig::{
    DIR, Door, Hooked, config, journal, opened, payloads, read_back, until,
};
use crate::durable::storage::faulty::FaultyStorage;
use crate::durable::storage::{MemoryStorage, Operation, Storage};
use crate::kernel::clock::Clock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;

#[test]
fn jn1s_sequences_begin_at_1_and_leave_none_out() {
    let storage = Arc::new(MemoryStorage::new());
    let journal = journal(storage.clone(), config());
    for sequence in 1..=5 {
        assert_eq!(journal.append(3, b"one").unwrap(), sequence);
    }
    let status = journal.status();
    assert_eq!((status.last_sequence, status.durable_sequence), (5, 5));
    // `read_back` looks at the sequences.
    assert_eq!(payloads(&*storage).len(), 5);
}

#[test]
fn jn1s_no_sequence_follows_the_last_one() {
    let storage = Arc::new(MemoryStorage::new());
    let mut opened = opened(storage, config(), Clock::system());
    opened.tail.last_sequence = u64::MAX - 1;
    opened.tail.synced_through = u64::MAX - 1;
    let journal = opened.start().unwrap();
    assert_eq!(journal.append(1, b"the last").unwrap(), u64::MAX);
    for _ in 0..2 {
        let refused = journal.append(1, b"one more").unwrap_err();
        assert!(matches!(refused, AppendError::Exhausted), "{refused}");
    }
    assert_eq!(journal.status().durable_sequence, u64::MAX);
}

#[test]
fn jn1p_wall_times_never_step_back() {
    let storage = Arc::new(MemoryStorage::new());
    let mut opened = opened(storage.clone(), config(), Clock::system());
    let future = u64::MAX / 2;
    opened.tail.last_wall_nanos = future;
    let journal = opened.start().unwrap();
    journal.append(1, b"one").unwrap();
    let [(_, records)] = &read_back(&*storage)[..] else {
        panic!("one segment")
    };
    assert_eq!(records[0].header.wall_nanos, future);
}

#[test]
fn jn1p_a_record_has_the_time_at_which_it_was_appended() {
    let storage = Arc::new(MemoryStorage::new());
    let journal = journal(storage.clone(), config());
    let now = || journal.engine().wall_nanos();
    let before = now();
    journal.append(1, b"one").unwrap();
    let after = now();
    let [(_, records)] = &read_back(&*storage)[..] else {
        panic!("one segment")
    };
    assert!((before..=after).contains(&records[0].header.wall_nanos));
}

#[test]
fn jn1q_a_record_says_what_was_durable_when_it_was_written() {
    let storage = Arc::new(MemoryStorage::new());
    let journal = journal(storage.clone(), config());
    for _ in 0..3 {
        journal.append(1, b"one").unwrap();
    }
    let [(_, records)] = &read_back(&*storage)[..] else {
        panic!("one segment")
    };
    let synced: Vec<u64> = records
        .iter()
        .map(|record| record.header.synced_through)
        .collect();
    assert_eq!(synced, [0, 1, 2]);
}

#[test]
fn jn1r_a_payload_over_the_limit_is_refused() {
    let storage = Arc::new(MemoryStorage::new());
    let config = config().record_limit(8);
    let journal = journal(storage.clone(), config);
    let refused = journal.append(1, &[0; 9]).unwrap_err();
    let AppendError::TooLarge { bytes: 9, limit: 8 } = refused else {
        panic!("{refused}")
    };
    assert_eq!(journal.append(1, &[0; 8]).unwrap(), 1);
    assert_eq!(payloads(&*storage).len(), 1);
}

/// What a storage was asked, and by which thread.
type Asked = Arc<Mutex<Vec<(Operation, ThreadId)>>>;

fn asked() -> (Arc<Hooked>, Asked) {
    let asked = Asked::default();
    let hooked = Hooked::new(Arc::new(MemoryStorage::new()), {
        let asked = asked.clone();
        move |operation| {
            let me = std::thread::current().id();
            asked.lock().unwrap().push((operation, me));
            Ok(())
        }
    });
    (hooked, asked)
}

#[test]
fn jn2c_a_lone_commit_is_one_write_and_one_sync_on_its_own_thread() {
    let (storage, asked) = asked();
    let journal = journal(storage, config());
    asked.lock().unwrap().clear();
    journal.append(1, &[7; 256]).unwrap();
    let me = std::thread::current().id();
    let expected = [(Operation::Append, me), (Operation::Sync, me)];
    assert_eq!(*asked.lock().unwrap(), expected);
}

#[test]
fn jn2a_an_append_returns_after_a_sync_that_covers_it() {
    let storage = FaultyStorage::new();
    let journal = journal(Arc::new(storage.clone()), config());
    for payload in [b"one", b"two"] {
        journal.append(1, payload).unwrap();
        // Whatever a power cut leaves, this record is in it.
        for disk in storage.after_power_cut() {
            assert!(payloads(&disk).contains(&payload.to_vec()));
        }
    }
}

/// A journal whose syncs wait at a door, how many syncs there were, and the storage behind it.
fn behind_a_door(
    door: &Arc<Door>,
) -> (
    crate::durable::journal::Journal,
    Arc<AtomicUsize>,
    Arc<MemoryStorage>,
) {
    let inner = Arc::new(MemoryStorage::new());
    let syncs = Arc::new(AtomicUsize::new(0));
    let storage = Hooked::new(inner.clone(), {
        let (door, syncs) = (door.clone(), syncs.clone());
        move |operation| {
            if operation == Operation::Sync {
                syncs.fetch_add(1, Ordering::Relaxed);
                door.pass();
            }
            Ok(())
        }
    });
    let journal = journal(storage, config());
    syncs.store(0, Ordering::Relaxed);
    (journal, syncs, inner)
}

#[test]
fn jn2b_all_who_wait_share_one_sync() {
    let door = Arc::new(Door::default());
    let (journal, syncs, inner) = behind_a_door(&door);
    door.shut();
    std::thread::scope(|scope| {
        scope.spawn(|| journal.append(1, b"first").unwrap());
        door.wait_for_one();
        for n in 0_u8..63 {
            let journal = &journal;
            scope.spawn(move || journal.append(1, &[n]).unwrap());
        }
        until(|| journal.status().last_sequence == 64);
        door.open();
    });
    assert_eq!(syncs.load(Ordering::Relaxed), 2);
    assert_eq!(journal.status().durable_sequence, 64);
    assert_eq!(payloads(&*inner).len(), 64);
}

#[test]
fn jn2h_who_has_led_does_not_wait_for_those_behind_it() {
    let door = Arc::new(Door::default());
    let (journal, ..) = behind_a_door(&door);
    door.shut();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| journal.append(1, b"first").unwrap());
        door.wait_for_one();
        let second = scope.spawn(|| journal.append(1, b"second").unwrap());
        until(|| journal.status().last_sequence == 2);
        // The next sync stops at the door again.
        door.let_one_pass();
        assert_eq!(first.join().unwrap(), 1);
        door.wait_for_one();
        assert!(!second.is_finished());
        assert_eq!(journal.status().durable_sequence, 1);
        door.open();
        assert_eq!(second.join().unwrap(), 2);
    });
}

#[test]
fn jn2b_sixty_four_threads_lose_nothing() {
    let storage = Arc::new(MemoryStorage::new());
    let config = config().segment_bytes(4096);
    let journal = journal(storage.clone(), config);
    let sequences: Vec<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0_u32..64)
            .map(|thread| {
                let journal = &journal;
                scope.spawn(move || {
                    let append = |n: u32| {
                        let payload = (thread * 100 + n).to_le_bytes();
                        let sequence = journal.append(thread, &payload).unwrap();
                        assert!(journal.status().durable_sequence >= sequence);
                        sequence
                    };
                    (0..50).map(append).collect::<Vec<_>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    let segments = read_back(&*storage);
    assert!(segments.len() > 1);
    let records: Vec<_> = segments
        .into_iter()
        .flat_map(|(_, records)| records)
        .collect();
    assert_eq!(records.len(), 64 * 50);
    for thread in 0_u32..64 {
        let of: Vec<_> = records
            .iter()
            .filter(|record| record.header.kind == thread)
            .map(|record| u32::from_le_bytes(record.payload[..].try_into().unwrap()))
            .collect();
        assert_eq!(of, (0..50).map(|n| thread * 100 + n).collect::<Vec<_>>());
    }
    let mut sequences = sequences;
    sequences.sort_unstable();
    assert_eq!(sequences, (1..=64 * 50).collect::<Vec<_>>());
}

#[test]
fn the_directory_is_where_it_was_put() {
    let storage = Arc::new(MemoryStorage::new());
    let journal = journal(storage.clone(), config());
    assert!(format!("{journal:?}").contains(DIR));
    assert_eq!(storage.list(std::path::Path::new(DIR)).unwrap().len(), 1);
}
