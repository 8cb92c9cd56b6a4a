//! What a crash, a second closer and a waker that panics must not bring about.

use crate::durable::journal::low_water;
use crate::durable::journal::rig::{DIR, Hooked, config, journal};
use crate::durable::journal::{Journal, JournalConfig, OpenMode, RecoveryMode};
use crate::durable::storage::{MemoryStorage, Operation, Storage};
use futures::task::{ArcWake, waker};
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::task::Context;
use std::thread::{self, ThreadId};

fn small() -> JournalConfig {
    config()
        .segment_bytes(1_024)
        .open(OpenMode::CreateIfMissing)
}

/// Four segments of six records each.
fn four(storage: &Arc<MemoryStorage>) -> Journal {
    let journal = Journal::open(storage.clone(), DIR, small()).unwrap().0;
    while journal.status().segments < 4 {
        journal.append(1, &[1; 100]).unwrap();
    }
    journal
}

fn whole(storage: &MemoryStorage, path: &Path) -> Vec<u8> {
    let file = storage.open(path).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), bytes.len());
    bytes
}

fn segments(storage: &MemoryStorage) -> Vec<std::path::PathBuf> {
    let names = storage.list(Path::new(DIR)).unwrap();
    let names = names.into_iter().map(|entry| entry.name);
    names
        .filter(|name| name.ends_with(".segment"))
        .map(|name| Path::new(DIR).join(name))
        .collect()
}

/// A directory's changes become durable in any order.
#[test]
fn jn9a_removals_that_a_crash_undid_in_the_middle_are_no_damage() {
    for kept in 1_u32..8 {
        let storage = Arc::new(MemoryStorage::new());
        let journal = four(&storage);
        let last = journal.status().last_sequence;
        let paths = segments(&storage);
        let files: Vec<_> = paths[..3]
            .iter()
            .map(|path| whole(&storage, path))
            .collect();
        let removed = journal.compact(last).unwrap();
        assert_eq!(removed.segments, 3);
        drop(journal);
        for (nth, bytes) in files.iter().enumerate() {
            if kept & (1 << nth) != 0 {
                let file = storage.create_new(&paths[nth]).unwrap();
                assert_eq!(file.append(bytes).unwrap(), bytes.len());
            }
        }
        let strict = small().recovery(RecoveryMode::Strict);
        let (journal, report) = Journal::open(storage.clone(), DIR, strict).unwrap();
        assert_eq!(report.last_sequence, last, "{kept}: {report}");
        let mut reader = journal.read(removed.through + 1).unwrap();
        let mut next = removed.through;
        while let Some(record) = reader.next().unwrap() {
            next += 1;
            assert_eq!(record.sequence, next);
        }
        assert_eq!(next, last);
        assert_eq!(journal.append(1, b"next").unwrap(), last + 1);
        assert!(report.quarantined.is_empty(), "{kept}: {report}");
        let is_left = segments(&storage).contains(&paths[0]);
        assert_eq!(is_left, kept == 7, "{kept}");
    }
}

#[test]
fn jn6d_a_mark_beyond_the_end_is_repaired_with_it() {
    let storage = Arc::new(MemoryStorage::new());
    let journal = four(&storage);
    let last = journal.status().last_sequence;
    drop(journal);
    low_water::write(&*storage, Path::new(DIR), last + 10).unwrap();
    let prefix = small().recovery(RecoveryMode::PointInTime);
    let (journal, report) = Journal::open(storage.clone(), DIR, prefix).unwrap();
    // A snapshot holds the records up to the mark, so their sequences are not given again.
    let end = last + 10;
    assert_eq!((report.last_sequence, report.damage_count), (end, 1));
    assert_eq!(report.missing, 10);
    assert_eq!(journal.append(1, b"next").unwrap(), end + 1);
    drop(journal);
    let strict = small().recovery(RecoveryMode::Strict);
    let (_journal, report) = Journal::open(storage, DIR, strict).unwrap();
    assert_eq!(report.last_sequence, end + 1);
}

/// A failed sync of a directory loses what others have changed there, too: their own would tell them
/// that all is well.
#[test]
fn jn3b_a_compaction_syncs_no_directory_in_the_middle_of_a_roll() {
    let rolls: Arc<Mutex<Option<ThreadId>>> = Arc::default();
    let met = Arc::new(AtomicBool::new(false));
    let appender: Arc<Mutex<Option<ThreadId>>> = Arc::default();
    let (hook_rolls, hook_met, hook_appender) = (rolls.clone(), met.clone(), appender.clone());
    let storage = Hooked::new(Arc::new(MemoryStorage::new()), move |operation| {
        let here = thread::current().id();
        let is_appender = *hook_appender.lock().unwrap() == Some(here);
        match operation {
            Operation::Create if is_appender => {
                *hook_rolls.lock().unwrap() = Some(here);
                for _ in 0..50 {
                    thread::yield_now();
                }
            }
            Operation::SyncDir if is_appender => *hook_rolls.lock().unwrap() = None,
            Operation::SyncDir if hook_rolls.lock().unwrap().is_some() => {
                hook_met.store(true, Ordering::Relaxed);
            }
            _ => {}
        }
        Ok(())
    });
    let journal = journal(storage, small());
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            *appender.lock().unwrap() = Some(thread::current().id());
            for _ in 0..400 {
                journal.append(1, &[1; 600]).unwrap();
            }
            is_done.store(true, Ordering::Relaxed);
        });
        while !is_done.load(Ordering::Relaxed) {
            let durable = journal.status().durable_sequence;
            journal.compact(durable).unwrap();
        }
    });
    assert!(!met.load(Ordering::Relaxed));
}

#[derive(Default)]
struct Gate(Mutex<(bool, bool)>, Condvar);

impl Gate {
    /// Tells that somebody is here, and waits until it is opened.
    fn pass(&self) {
        let mut state = self.0.lock().unwrap();
        state.0 = true;
        self.1.notify_all();
        while !state.1 {
            state = self.1.wait(state).unwrap();
        }
    }

    fn wait_for_one(&self) {
        let mut state = self.0.lock().unwrap();
        while !state.0 {
            state = self.1.wait(state).unwrap();
        }
    }

    fn open(&self) {
        self.0.lock().unwrap().1 = true;
        self.1.notify_all();
    }
}

#[test]
fn jn7d_a_compaction_that_goes_on_keeps_the_directory() {
    let memory = Arc::new(MemoryStorage::new());
    drop(four(&memory));
    let gate = Arc::new(Gate::default());
    let hook_gate = gate.clone();
    let storage = Hooked::new(memory.clone(), move |operation| {
        if operation == Operation::Remove && thread::current().name() == Some("compaction") {
            hook_gate.pass();
        }
        Ok(())
    });
    let journal = Journal::open(storage, DIR, small()).unwrap().0;
    let core = journal.engine().clone();
    let compaction = thread::Builder::new()
        .name("compaction".to_owned())
        .spawn(move || core.compact(u64::MAX).unwrap())
        .unwrap();
    gate.wait_for_one();
    drop(journal);
    let at_once = small().lock_wait(std::time::Duration::ZERO);
    let refused = Journal::open(memory.clone(), DIR, at_once.clone());
    gate.open();
    compaction.join().unwrap();
    let error = refused.map(drop).unwrap_err().to_string();
    assert!(error.contains("lock"), "{error}");
    Journal::open(memory, DIR, at_once).unwrap();
}

#[test]
fn jn2k_who_closes_beside_another_waits_for_the_end_of_it() {
    for fails in [false, true] {
        let gate = Arc::new(Gate::default());
        let hook_gate = gate.clone();
        let is_armed = Arc::new(AtomicBool::new(false));
        let hook_armed = is_armed.clone();
        let storage = Hooked::new(Arc::new(MemoryStorage::new()), move |operation| {
            if operation == Operation::Append && hook_armed.load(Ordering::Relaxed) {
                hook_gate.pass();
                if fails {
                    return Err(std::io::ErrorKind::StorageFull.into());
                }
            }
            Ok(())
        });
        let journal = journal(
            storage,
            small().sync(crate::durable::journal::SyncPolicy::Never),
        );
        journal.append(1, b"buffered").unwrap();
        is_armed.store(true, Ordering::Relaxed);
        thread::scope(|scope| {
            let one = scope.spawn(|| journal.close());
            gate.wait_for_one();
            let other = scope.spawn(|| journal.close());
            while !journal.engine().queue.lock().has_waiting() {
                if other.is_finished() {
                    gate.open();
                    panic!("it did not wait");
                }
                thread::yield_now();
            }
            gate.open();
            let (one, other) = (one.join().unwrap(), other.join().unwrap());
            assert_eq!((one.is_err(), other.is_err()), (fails, fails));
        });
        if fails {
            is_armed.store(false, Ordering::Relaxed);
            assert_eq!(journal.append(1, b"still open").unwrap(), 2);
            journal.close().unwrap();
        }
        assert_eq!(
            journal.status().durable_sequence,
            journal.status().last_sequence
        );
    }
}

#[test]
fn jn2l_a_subscriber_that_panics_keeps_no_waiter_waiting() {
    struct Panics;
    impl ArcWake for Panics {
        fn wake_by_ref(_: &Arc<Self>) {
            panic!("a waker that panics");
        }
    }
    let gate = Arc::new(Gate::default());
    let hook_gate = gate.clone();
    let is_armed = Arc::new(AtomicBool::new(false));
    let hook_armed = is_armed.clone();
    let storage = Hooked::new(Arc::new(MemoryStorage::new()), move |operation| {
        if operation == Operation::Append && hook_armed.swap(false, Ordering::Relaxed) {
            hook_gate.pass();
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        Ok(())
    });
    let journal = journal(storage, small());
    let mut subscriber = journal.subscribe(NonZeroUsize::MIN);
    let panics = waker(Arc::new(Panics));
    let mut next = Box::pin(subscriber.recv());
    assert!(
        next.as_mut()
            .poll(&mut Context::from_waker(&panics))
            .is_pending()
    );
    is_armed.store(true, Ordering::Relaxed);
    thread::scope(|scope| {
        let leader = scope.spawn(|| catch_unwind(AssertUnwindSafe(|| journal.append(1, b"leads"))));
        gate.wait_for_one();
        let waits = scope.spawn(|| journal.append(1, b"waits"));
        while !journal.engine().queue.lock().has_waiting() {
            thread::yield_now();
        }
        gate.open();
        assert!(leader.join().unwrap().is_err(), "the panic goes on");
        // It hears of the failure before it.
        waits.join().unwrap().unwrap_err();
    });
    assert_eq!(journal.append(1, b"after").unwrap(), 1);
}
