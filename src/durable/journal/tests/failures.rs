//! Writes and syncs that fail.

use crate::durable::journal::rig::{DIR, Door, Hooked, config, journal, opened, payloads, until};
use crate::durable::journal::{AppendError, EventKind, JournalState, Poisoned};
use crate::durable::storage::faulty::{Fault, FaultyStorage};
use crate::durable::storage::{LockError, MemoryStorage, Operation, Storage};
use crate::kernel::clock::Clock;
use std::io::ErrorKind;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

#[track_caller]
fn poisoned<T>(result: Result<T, AppendError>) -> Poisoned {
    match result {
        Err(AppendError::Poisoned(poisoned)) => poisoned,
        Err(other) => panic!("not poisoned: {other}"),
        Ok(_) => panic!("not refused"),
    }
}

#[test]
fn jn3a_a_failed_sync_is_told_to_all_who_wait() {
    let door = Arc::new(Door::default());
    let fails = Arc::new(AtomicBool::new(false));
    let storage = Hooked::new(Arc::new(MemoryStorage::new()), {
        let (door, fails) = (door.clone(), fails.clone());
        move |operation| {
            if operation == Operation::Sync {
                door.pass();
                if fails.load(Ordering::Relaxed) {
                    return Err(ErrorKind::Other.into());
                }
            }
            Ok(())
        }
    });
    let journal = journal(storage, config());
    assert_eq!(journal.append(1, b"before").unwrap(), 1);
    door.shut();
    fails.store(true, Ordering::Relaxed);
    let errors: Vec<Poisoned> = std::thread::scope(|scope| {
        let first = scope.spawn(|| poisoned(journal.append(1, b"led")));
        door.wait_for_one();
        let behind: Vec<_> = (0..20)
            .map(|_| scope.spawn(|| poisoned(journal.append(1, b"behind"))))
            .collect();
        until(|| journal.status().last_sequence == 22);
        door.open();
        let all = std::iter::once(first).chain(behind);
        all.map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(errors.len(), 21);
    assert!(errors.iter().all(|error| error.is_same(&errors[0])));
    assert_eq!(errors[0].storage().unwrap().operation(), Operation::Sync);
    assert_eq!(journal.status().durable_sequence, 1);
}

#[test]
fn jn3b_a_poisoned_journal_accepts_nothing_and_syncs_nothing_for_good() {
    let storage = FaultyStorage::new();
    let journal = journal(Arc::new(storage.clone()), config());
    let mut events = journal.subscribe(NonZeroUsize::new(8).unwrap());
    storage.fail(Fault::on(Operation::Sync));
    let first = poisoned(journal.append(1, b"lost"));
    let calls = storage.calls();
    for _ in 0..3 {
        assert!(poisoned(journal.append(1, b"more")).is_same(&first));
        assert!(poisoned(journal.sync()).is_same(&first));
        assert!(poisoned(journal.close()).is_same(&first));
    }
    assert_eq!(storage.calls(), calls, "the storage is not asked again");
    let JournalState::Poisoned(of) = journal.status().state else {
        panic!("the status says so")
    };
    assert!(of.is_same(&first));
    let told = events.try_recv().unwrap();
    assert!(matches!(told.kind, EventKind::Poisoned { poisoned } if poisoned.is_same(&first)));
    assert_eq!(told.seq, 1);
}

#[test]
fn jn3b_poison_gives_the_directory_back_at_once() {
    let storage = FaultyStorage::new();
    let mut opened = opened(Arc::new(storage.clone()), config(), Clock::system());
    let path = Path::new(DIR).join("lock");
    opened.lock = Some(storage.lock(&path, "me").unwrap());
    let journal = opened.start().unwrap();
    let held = storage.lock(&path, "other").unwrap_err();
    assert!(matches!(held, LockError::Held { .. }));
    storage.fail(Fault::on(Operation::Sync));
    poisoned(journal.append(1, b"lost"));
    drop(storage.lock(&path, "other").expect("given back"));
    // And the handle is still there.
    poisoned(journal.append(1, b"more"));
}

#[test]
fn jn3c_a_failed_write_leaves_the_journal_as_it_was() {
    for fault in [
        Fault::on(Operation::Append),
        Fault::on(Operation::Append).torn(1),
        Fault::on(Operation::Append).torn(50),
        Fault::on(Operation::Append).although_done(),
    ] {
        let storage = FaultyStorage::new();
        let journal = journal(Arc::new(storage.clone()), config());
        journal.append(1, b"one").unwrap();
        storage.fail(fault.clone());
        let failed = journal.append(1, b"lost").unwrap_err();
        let AppendError::Storage(error) = &failed else {
            panic!("{fault:?}: {failed}")
        };
        assert_eq!(error.operation(), Operation::Append);
        assert!(!failed.is_final());
        assert_eq!(payloads(&storage), [b"one"], "{fault:?}");
        assert_eq!(journal.status().last_sequence, 1);
        assert!(journal.status().write_error.is_some());
        // Its sequence goes to the next one.
        assert_eq!(journal.append(1, b"two").unwrap(), 2);
        assert_eq!(payloads(&storage), [b"one", b"two"], "{fault:?}");
        assert!(journal.status().write_error.is_none());
    }
}

#[test]
fn jn3c_a_write_that_takes_fewer_bytes_goes_on() {
    let storage = FaultyStorage::new();
    let journal = journal(Arc::new(storage.clone()), config());
    storage.fail(Fault::on(Operation::Append).short(10).times(3));
    assert_eq!(journal.append(1, b"in four parts").unwrap(), 1);
    assert_eq!(payloads(&storage), [b"in four parts"]);
    // And what stops in the middle is cut off.
    storage.fail(Fault::on(Operation::Append).short(10));
    storage.fail(
        Fault::on(Operation::Append)
            .after(1)
            .kind(ErrorKind::StorageFull),
    );
    assert!(journal.append(1, b"lost").unwrap_err().is_full());
    assert_eq!(payloads(&storage), [b"in four parts"]);
}

#[test]
fn jn3d_what_cannot_be_cut_off_poisons() {
    let storage = FaultyStorage::new();
    let journal = journal(Arc::new(storage.clone()), config());
    journal.append(1, b"one").unwrap();
    storage.fail(Fault::on(Operation::Append).torn(20));
    storage.fail(Fault::on(Operation::Truncate));
    let cause = poisoned(journal.append(1, b"lost"));
    assert_eq!(cause.storage().unwrap().operation(), Operation::Truncate);
    assert!(cause.to_string().contains("append"), "{cause}");
    poisoned(journal.append(1, b"more"));
    assert_eq!(journal.status().durable_sequence, 1);
}

#[test]
fn jn3e_a_full_disk_is_an_error_and_no_poison() {
    let storage = FaultyStorage::new();
    let journal = journal(Arc::new(storage.clone()), config());
    let mut events = journal.subscribe(NonZeroUsize::new(8).unwrap());
    journal.append(1, b"one").unwrap();
    storage.set_capacity(200);
    for _ in 0..3 {
        let full = journal.append(1, &[7; 500]).unwrap_err();
        assert!(full.is_full() && !full.is_final(), "{full}");
    }
    storage.set_capacity(u64::MAX);
    assert_eq!(journal.append(1, b"two").unwrap(), 2);
    assert_eq!(payloads(&storage), [b"one", b"two"]);
    // Told once, and once that it is over.
    let told = events.try_recv().unwrap().kind;
    assert!(matches!(told, EventKind::WriteFailed { error } if error.is_full()));
    let told = events.try_recv().unwrap().kind;
    assert!(matches!(told, EventKind::WritesAgain));
    assert!(events.try_recv().is_none());
}

#[test]
fn jn3c_all_who_wait_hear_of_a_failed_write_and_none_behind_it_is_taken() {
    let door = Arc::new(Door::default());
    let appends = Arc::new(AtomicUsize::new(0));
    let inner = Arc::new(MemoryStorage::new());
    let storage = Hooked::new(inner.clone(), {
        let (door, appends) = (door.clone(), appends.clone());
        move |operation| {
            if operation == Operation::Append {
                let nth = appends.fetch_add(1, Ordering::Relaxed);
                door.pass();
                // The header, a record, and then this.
                if nth == 2 {
                    return Err(ErrorKind::StorageFull.into());
                }
            }
            Ok(())
        }
    });
    let journal = journal(storage, config());
    journal.append(1, b"one").unwrap();
    door.shut();
    std::thread::scope(|scope| {
        let led = scope.spawn(|| journal.append(1, b"led").unwrap_err().is_full());
        door.wait_for_one();
        let behind: Vec<_> = (0..10)
            .map(|_| scope.spawn(|| journal.append(1, b"behind").unwrap_err().is_full()))
            .collect();
        until(|| journal.status().last_sequence == 12);
        door.open();
        assert!(led.join().unwrap());
        assert!(behind.into_iter().all(|thread| thread.join().unwrap()));
    });
    assert_eq!(appends.load(Ordering::Relaxed), 3, "nobody tried again");
    assert_eq!(journal.append(1, b"two").unwrap(), 2);
    assert_eq!(payloads(&*inner), [b"one", b"two"]);
}

#[test]
fn jn3g_a_storage_that_panics_poisons() {
    for at in [Operation::Append, Operation::Sync] {
        let panics = Arc::new(AtomicBool::new(false));
        let storage = Hooked::new(Arc::new(MemoryStorage::new()), {
            let panics = panics.clone();
            move |operation| {
                let is_now = panics.load(Ordering::Relaxed) && operation == at;
                assert!(!is_now, "a broken storage");
                Ok(())
            }
        });
        let journal = journal(storage, config());
        journal.append(1, b"one").unwrap();
        panics.store(true, Ordering::Relaxed);
        let cause = poisoned(journal.append(1, b"lost"));
        assert!(cause.to_string().contains("a broken storage"), "{cause}");
        panics.store(false, Ordering::Relaxed);
        assert!(poisoned(journal.append(1, b"more")).is_same(&cause));
        assert_eq!(journal.status().durable_sequence, 1);
    }
}
