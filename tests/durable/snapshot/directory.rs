//! A directory of checkpoints: how it is opened, what it leaves alone, what it reads.

use super::rig::{Call, DIR, KEY, contents, open};
use backstop::durable::snapshot::conformance::checkpoint;
use backstop::durable::snapshot::{
    CheckpointStore, DirectoryConfig, DirectoryError, DirectoryStore, LoadError, Mark, Reason,
    StoreError,
};
use backstop::durable::storage::faulty::{Fault, FaultyStorage};
use backstop::durable::storage::{FsStorage, MemoryStorage, Operation, Storage};
use backstop::kernel::clock::Clock;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn put(disk: &FaultyStorage, name: &str, bytes: &[u8]) {
    let path = Path::new(DIR).join(name);
    let file = disk.create_new(&path).unwrap();
    assert_eq!(file.append(bytes).unwrap(), bytes.len());
}

#[test]
fn sn1b_an_unreadable_directory_is_no_empty_one() {
    let disk = FaultyStorage::new();
    Call::Save(1).run(&open(&disk).unwrap()).unwrap();
    for kind in [ErrorKind::PermissionDenied, ErrorKind::Other] {
        for nth in 0..2 {
            disk.fail(Fault::on(Operation::List).after(nth).kind(kind));
            let refused = open(&disk).unwrap_err();
            assert!(matches!(refused, DirectoryError::Storage(_)), "{refused}");
            disk.stop_failing();
        }
    }
    assert_eq!(contents(&open(&disk).unwrap()).len(), 1);
}

#[test]
fn sn1b_a_checkpoint_that_cannot_be_read_is_an_error_and_not_passed_over() {
    let disk = FaultyStorage::new();
    let store = open(&disk).unwrap();
    Call::Save(1).run(&store).unwrap();
    Call::Save(2).run(&store).unwrap();
    for operation in [Operation::Open, Operation::Read] {
        disk.fail(Fault::on(operation).always());
        assert!(matches!(store.latest(KEY), Err(StoreError::Storage(_))));
        assert!(matches!(store.history(KEY), Err(StoreError::Storage(_))));
        assert!(matches!(
            store.oldest_retained(KEY),
            Err(StoreError::Storage(_))
        ));
        let loaded = store.load(KEY, 2);
        assert!(matches!(loaded, Err(LoadError::Store(_))), "{loaded:?}");
        disk.stop_failing();
    }
    // Who wants to go around it says so: the newest is not read any more.
    let newest = |path: &Path| path.to_string_lossy().ends_with("2-ledger.checkpoint");
    disk.fail(Fault::on(Operation::Open).of(newest).always());
    store.mark(KEY, 2, Mark::Suspect).unwrap();
    let latest = store.latest(KEY).unwrap();
    assert_eq!(latest.checkpoint.unwrap().0.sequence, 1);
}

#[test]
fn sn1g_what_cannot_be_read_is_neither_counted_nor_removed() {
    let disk = FaultyStorage::new();
    let store = open(&disk).unwrap();
    Call::Save(1).run(&store).unwrap();
    Call::Save(2).run(&store).unwrap();
    let of = |path: &Path| path.to_string_lossy().ends_with("2-ledger.checkpoint");
    disk.fail(Fault::on(Operation::Read).of(of).always());
    for sequence in 3..6 {
        Call::Save(sequence).run(&store).unwrap();
    }
    disk.stop_failing();
    let there: Vec<u64> = contents(&store).into_keys().collect();
    assert_eq!(there, [2, 4, 5]);
}

#[test]
fn sn1e_damaged_marks_are_taken_for_a_suspicion() {
    let disk = FaultyStorage::new();
    let store = open(&disk).unwrap();
    Call::Save(1).run(&store).unwrap();
    Call::Save(2).run(&store).unwrap();
    Call::Mark(2, Mark::Verified).run(&store).unwrap();
    let marks = Path::new(DIR).join("0000000000000002-ledger.marks");
    disk.flip_bit(&marks, 12 * 8).unwrap();
    let latest = store.latest(KEY).unwrap();
    assert_eq!(latest.checkpoint.unwrap().0.sequence, 1);
    assert_eq!(latest.passed_over[0].reason, Reason::Suspect);
    let marks = store.mark(KEY, 2, Mark::Cleared).unwrap();
    assert!(!marks.suspect && !marks.verified);
    assert_eq!(store.latest(KEY).unwrap().checkpoint.unwrap().0.sequence, 2);
}

#[test]
fn sn1m_leftovers_go_and_what_is_not_ours_stays() {
    let disk = FaultyStorage::new();
    drop(open(&disk).unwrap());
    let ours = [
        "0000000000000001-ledger.checkpoint.tmp",
        "0000000000000009-other.marks.tmp",
        "0000000000000007-ledger.marks",
    ];
    let theirs = [
        "notes",
        "x.tmp",
        "1-ledger.checkpoint",
        "0000000000000000-ledger.marks",
    ];
    for name in ours.iter().chain(&theirs) {
        put(&disk, name, b"x");
    }
    disk.create_dir(&Path::new(DIR).join("0000000000000005-ledger.checkpoint"))
        .unwrap();
    let store = open(&disk).unwrap();
    assert!(store.latest(KEY).unwrap().is_empty());
    let left = |name: &str| disk.contents(Path::new(DIR).join(name)).is_some();
    assert!(!ours.iter().any(|name| left(name)));
    assert!(theirs.iter().all(|name| left(name)));
    Call::Save(1).run(&store).unwrap();
    Call::Save(7).run(&store).unwrap();
    assert_eq!(
        contents(&store)[&7].marks,
        backstop::durable::snapshot::Marks::none()
    );
}

#[test]
fn sn1m_a_leftover_that_cannot_be_removed_at_open_is_replaced_by_the_save() {
    let disk = FaultyStorage::new();
    drop(open(&disk).unwrap());
    put(
        &disk,
        "0000000000000001-ledger.checkpoint.tmp",
        b"half a checkpoint",
    );
    disk.fail(Fault::on(Operation::Remove));
    let store = open(&disk).unwrap();
    Call::Save(1).run(&store).unwrap();
    assert_eq!(store.load(KEY, 1).unwrap(), Some(checkpoint(1)));
}

#[test]
fn sn1n_a_directory_is_for_one_at_a_time() {
    let storage = Arc::new(MemoryStorage::new());
    let clock = Clock::manual();
    let open = |wait: u64| {
        let config = DirectoryConfig::default().lock_wait(Duration::from_secs(wait));
        DirectoryStore::open_with_clock(storage.clone(), DIR, config, &clock)
    };
    let first = open(0).unwrap();
    let clone = first.clone();
    drop(first);
    let refused = open(0).unwrap_err();
    let holder = format!("{DIR} is in use by process {}", std::process::id());
    assert_eq!(refused.to_string(), holder);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| open(3_600));
        drop(clone);
        while !waiting.is_finished() {
            clock.advance(Duration::from_millis(1));
            std::thread::yield_now();
        }
        waiting.join().unwrap().unwrap();
    });
}

#[test]
fn a_directory_that_is_not_there_is_created_if_that_is_allowed() {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
    let open = |dir: &str, create| {
        let config = DirectoryConfig::default().create(create);
        DirectoryStore::open(storage.clone(), dir, config)
    };
    let refused = open("a", false).unwrap_err();
    assert!(
        matches!(&refused, DirectoryError::Storage(error) if error.kind() == ErrorKind::NotFound)
    );
    drop(open("a", true).unwrap());
    drop(open("a", false).unwrap());
    // Its parent is not.
    assert!(open("b/c", true).is_err());
    for keep in [0, 1_001] {
        let config = DirectoryConfig::default().keep(keep);
        let refused = DirectoryStore::open(storage.clone(), "a", config).unwrap_err();
        let expected = format!("keep: {keep} is not allowed; it must be 1 to 1000");
        assert_eq!(refused.to_string(), expected);
    }
}

#[test]
fn sn1q_a_length_in_a_file_is_not_allocated() {
    let disk = FaultyStorage::new();
    let store = open(&disk).unwrap();
    // A sound header that speaks of 4 GiB, in a file of a few bytes.
    let mut bytes = checkpoint(1).envelope().encode().unwrap();
    bytes[32..40].copy_from_slice(&(1_u64 << 32).to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..60]);
    bytes[60..64].copy_from_slice(&crc.to_le_bytes());
    drop(store);
    put(&disk, "0000000000000001-ledger.checkpoint", &bytes);
    let store = open(&disk).unwrap();
    let mut latest = None;
    let spent = allocation_counter::measure(|| latest = Some(store.latest(KEY).unwrap()));
    assert_eq!(latest.unwrap().passed_over.len(), 1);
    assert!(spent.bytes_max < 65_536, "{}", spent.bytes_max);
}

#[test]
fn sn1q_verifying_takes_a_piece_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let config = DirectoryConfig::default();
    let store = DirectoryStore::open(Arc::new(FsStorage), dir.path().join("c"), config).unwrap();
    let mut large = checkpoint(1);
    large.payload = vec![7; 8 << 20];
    store.save(KEY, &large).unwrap();
    let spent = allocation_counter::measure(|| {
        assert!(store.history(KEY).unwrap()[0].is_good());
    });
    assert!(spent.bytes_max < 100_000, "{}", spent.bytes_max);
    let mut loaded = None;
    let spent = allocation_counter::measure(|| loaded = store.load(KEY, 1).unwrap());
    assert_eq!(loaded.unwrap(), large);
    assert!(spent.bytes_max < (8 << 20) + 100_000, "{}", spent.bytes_max);
    // Nor does a save copy what it is given.
    large.sequence = 2;
    let spent = allocation_counter::measure(|| drop(store.save(KEY, &large).unwrap()));
    assert!(spent.bytes_max < 100_000, "{}", spent.bytes_max);
}

#[test]
fn a_checkpoint_under_another_name_is_damaged() {
    let disk = FaultyStorage::new();
    drop(open(&disk).unwrap());
    let bytes = checkpoint(1).envelope().encode().unwrap();
    put(&disk, "0000000000000002-ledger.checkpoint", &bytes);
    let store = open(&disk).unwrap();
    let reason = store.latest(KEY).unwrap().passed_over.remove(0).reason;
    assert_eq!(reason.to_string(), "it is the checkpoint of sequence 1");
}

#[test]
fn keys_are_saved_beside_each_other_from_many_threads() {
    let disk = FaultyStorage::new();
    let store = open(&disk).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let store = store.clone();
            scope.spawn(move || {
                for sequence in 1..20 {
                    let key = format!("key-{}", (thread + sequence) % 5);
                    match store.save(&key, &checkpoint(sequence)) {
                        Ok(_) | Err(StoreError::NotNewer { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                    let _marks = store.mark(&key, sequence, Mark::Strike);
                    assert!(store.latest(&key).unwrap().checkpoint.is_some());
                }
            });
        }
    });
    drop(store);
    let store = open(&disk).unwrap();
    for key in 0..5 {
        let history = store.history(&format!("key-{key}")).unwrap();
        assert!(history.len() == 2 && history.iter().all(|entry| entry.is_good()));
    }
}
