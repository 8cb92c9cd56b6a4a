//! Appends that are acknowledged when they are buffered.

use crate::durable::journal::rig::{config, journal, opened, payloads, until};
use crate::durable::journal::{AppendError, JournalConfig, JournalState, SyncPolicy};
use crate::durable::storage::faulty::{Fault, FaultyStorage};
use crate::durable::storage::{MemoryStorage, Operation};
use crate::kernel::clock::Clock;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn never() -> JournalConfig {
    config().sync(SyncPolicy::Never)
}

#[test]
fn jn2d_a_record_is_acknowledged_once_buffered_and_durable_after_a_sync() {
    let storage = FaultyStorage::new();
    let journal = journal(Arc::new(storage.clone()), never());
    let calls = storage.calls();
    assert_eq!(journal.append(1, b"one").unwrap(), 1);
    assert_eq!(journal.append(1, b"two").unwrap(), 2);
    assert_eq!(storage.calls(), calls, "nothing was written");
    let status = journal.status();
    assert_eq!((status.written_sequence, status.durable_sequence), (0, 0));
    assert_eq!(status.buffered_bytes, 2 * 48);
    assert_eq!(journal.sync().unwrap(), 2);
    assert_eq!(storage.calls(), calls + 2, "one write, one sync");
    for disk in storage.after_power_cut() {
        assert_eq!(payloads(&disk), [b"one", b"two"]);
    }
    assert_eq!(journal.sync().unwrap(), 2);
    assert_eq!(storage.calls(), calls + 2, "nothing was left to do");
}

#[test]
fn jn2e_an_interval_after_the_first_record_all_are_synced() {
    let clock = Clock::manual();
    let storage = FaultyStorage::new();
    let config = never().sync(SyncPolicy::Interval(SECOND));
    let journal = opened(Arc::new(storage.clone()), config, clock.clock())
        .start()
        .unwrap();
    for round in 1..=3 {
        let before = storage.calls();
        journal.append(1, b"one").unwrap();
        until(|| clock.sleepers() == 1);
        clock.advance(SECOND / 2);
        let last = journal.append(1, b"two").unwrap();
        assert_eq!(storage.calls(), before);
        clock.advance(SECOND / 2);
        until(|| journal.status().durable_sequence == last);
        assert_eq!(last, 2 * round);
        assert_eq!(storage.calls(), before + 2);
    }
}

#[test]
fn jn2e_a_flush_that_fails_is_tried_again_after_the_interval() {
    let clock = Clock::manual();
    let storage = FaultyStorage::new();
    let config = never().sync(SyncPolicy::Interval(SECOND));
    let journal = opened(Arc::new(storage.clone()), config, clock.clock())
        .start()
        .unwrap();
    storage.fail(Fault::on(Operation::Append).kind(ErrorKind::StorageFull));
    journal.append(1, b"one").unwrap();
    until(|| clock.sleepers() == 1);
    clock.advance(SECOND);
    until(|| journal.status().write_error.is_some());
    until(|| clock.sleepers() == 1);
    assert_eq!(journal.status().durable_sequence, 0);
    clock.advance(SECOND);
    until(|| journal.status().durable_sequence == 1);
    assert_eq!(payloads(&storage), [b"one"]);
}

#[test]
fn jn2f_without_an_interval_only_what_fills_the_buffer_is_written() {
    let storage = FaultyStorage::new();
    let config = never().buffer_bytes(2000);
    let journal = journal(Arc::new(storage.clone()), config);
    let calls = storage.calls();
    for _ in 0..6 {
        journal.append(1, &[7; 100]).unwrap();
    }
    assert_eq!(storage.calls(), calls);
    journal.append(1, &[7; 100]).unwrap();
    let trace = storage.trace().split_off(usize::try_from(calls).unwrap());
    assert_eq!(trace.len(), 1);
    assert_eq!(
        (trace[0].operation, trace[0].bytes),
        (Operation::Append, 7 * 144)
    );
    let status = journal.status();
    assert_eq!((status.written_sequence, status.durable_sequence), (7, 0));
}

#[test]
fn jn3f_what_was_acknowledged_stays_buffered_when_it_cannot_be_written() {
    let storage = FaultyStorage::new();
    let config = never().buffer_bytes(2000);
    let journal = journal(Arc::new(storage.clone()), config);
    storage.set_capacity(500);
    let accepted = (0..u8::MAX)
        .find(|n| journal.append(1, &[*n; 100]).is_err())
        .unwrap();
    assert_eq!(accepted, 13, "as many as the buffer holds");
    for _ in 0..2 {
        let full = journal.append(1, &[99; 100]).unwrap_err();
        assert!(full.is_full(), "{full}");
        let full = journal.sync().unwrap_err();
        assert!(full.is_full(), "{full}");
    }
    storage.set_capacity(u64::MAX);
    assert_eq!(journal.append(1, &[13; 100]).unwrap(), 14);
    assert_eq!(journal.sync().unwrap(), 14);
    let expected: Vec<_> = (0..14).map(|n| vec![n; 100]).collect();
    assert_eq!(payloads(&storage), expected);
}

#[test]
fn jn3f_what_fails_behind_a_roll_is_kept_from_there_on() {
    let storage = FaultyStorage::new();
    let config = never().segment_bytes(64 + 3 * 144);
    let journal = journal(Arc::new(storage.clone()), config);
    for n in 0..5 {
        journal.append(1, &[n; 100]).unwrap();
    }
    storage.fail(Fault::on(Operation::Create).times(2));
    for _ in 0..2 {
        assert!(journal.sync().is_err());
        let status = journal.status();
        assert_eq!((status.written_sequence, status.durable_sequence), (3, 3));
        assert_eq!(status.buffered_bytes, 2 * 144);
    }
    journal.append(1, &[5; 100]).unwrap();
    assert_eq!(journal.sync().unwrap(), 6);
    let expected: Vec<_> = (0..6).map(|n| vec![n; 100]).collect();
    assert_eq!(payloads(&storage), expected);
}

#[test]
fn jn2i_a_record_longer_than_the_buffer_goes_in_alone() {
    for policy in [SyncPolicy::Never, SyncPolicy::Always] {
        let config = never();
        let config = config.buffer_bytes(100);
        let config = config.sync(policy);
        let storage = Arc::new(MemoryStorage::new());
        let journal = journal(storage.clone(), config);
        for _ in 0..3 {
            journal.append(1, &[7; 1000]).unwrap();
            journal.append(1, b"small").unwrap();
        }
        journal.sync().unwrap();
        assert_eq!(payloads(&*storage).len(), 6);
    }
}

#[test]
fn jn2i_threads_that_find_no_room_wait_for_it() {
    for policy in [SyncPolicy::Never, SyncPolicy::Always] {
        let config = never();
        let config = config.buffer_bytes(1000);
        let config = config.sync(policy);
        let storage = Arc::new(MemoryStorage::new());
        let journal = journal(storage.clone(), config);
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        journal.append(1, &[7; 300]).unwrap();
                        assert!(journal.status().buffered_bytes <= 1000);
                    }
                });
            }
        });
        journal.sync().unwrap();
        assert_eq!(payloads(&*storage).len(), 800);
    }
}

#[test]
fn jn2j_the_last_handle_writes_and_syncs() {
    let storage = FaultyStorage::new();
    let journal = journal(Arc::new(storage.clone()), never());
    let clone = journal.clone();
    journal.append(1, b"one").unwrap();
    drop(journal);
    assert_eq!(payloads(&storage).len(), 0, "another handle is there");
    clone.append(1, b"two").unwrap();
    drop(clone);
    for disk in storage.after_power_cut() {
        assert_eq!(payloads(&disk), [b"one", b"two"]);
    }
}

#[test]
fn jn2k_closing_makes_all_durable_and_says_what_it_could_not() {
    let storage = FaultyStorage::new();
    let journal = journal(Arc::new(storage.clone()), never());
    journal.append(1, b"one").unwrap();
    storage.fail(Fault::on(Operation::Append).kind(ErrorKind::StorageFull));
    assert!(journal.close().unwrap_err().is_full());
    assert!(matches!(journal.status().state, JournalState::Open));
    assert_eq!(journal.append(1, b"two").unwrap(), 2);
    journal.close().unwrap();
    journal.close().unwrap();
    assert!(matches!(journal.status().state, JournalState::Closed));
    let refused = journal.append(1, b"three").unwrap_err();
    assert!(matches!(refused, AppendError::Closed) && refused.is_final());
    for disk in storage.after_power_cut() {
        assert_eq!(payloads(&disk), [b"one", b"two"]);
    }
}
