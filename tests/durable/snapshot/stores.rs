//! The rules that every store holds, each over every store.

use backstop::durable::snapshot::conformance::{self, Subject};
use backstop::durable::snapshot::{DirectoryConfig, DirectoryStore, MemoryStore};
use backstop::durable::storage::faulty::FaultyStorage;
use backstop::durable::storage::{FsStorage, Storage};
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn memory(keep: usize) -> Subject {
    let store = MemoryStore::keeping(keep).unwrap();
    let damaged = store.clone();
    Subject {
        store: Arc::new(store),
        damage: Box::new(move |key, sequence| assert!(damaged.damage(key, sequence))),
    }
}

/// The file of a checkpoint; keys with capitals are not needed here.
fn file(key: &str, sequence: u64) -> String {
    format!("{sequence:016x}-{key}.checkpoint")
}

fn directory(keep: usize) -> Subject {
    let disk = FaultyStorage::new();
    disk.create_dir(Path::new("checkpoints")).unwrap();
    let config = DirectoryConfig::default().keep(keep);
    let store = DirectoryStore::open(Arc::new(disk.clone()), "checkpoints", config).unwrap();
    Subject {
        store: Arc::new(store),
        damage: Box::new(move |key, sequence| {
            let path = Path::new("checkpoints").join(file(key, sequence));
            disk.flip_bit(path, 8 * 80).unwrap();
        }),
    }
}

fn file_system(keep: usize) -> Subject {
    let dir = tempfile::tempdir().unwrap();
    let path: PathBuf = dir.path().join("checkpoints");
    let config = DirectoryConfig::default().keep(keep);
    let store = DirectoryStore::open(Arc::new(FsStorage), &path, config).unwrap();
    Subject {
        store: Arc::new(store),
        damage: Box::new(move |key, sequence| {
            // The directory lives as long as this does.
            let file = dir.path().join("checkpoints").join(file(key, sequence));
            let mut bytes = std::fs::read(&file).unwrap();
            bytes[80] ^= 1;
            std::fs::write(&file, bytes).unwrap();
        }),
    }
}

macro_rules! each {
    ($($test:ident: $check:ident)+) => {
        $(
            #[test]
            fn $test() {
                conformance::$check(&memory);
                conformance::$check(&directory);
                conformance::$check(&file_system);
                #[cfg(feature = "redb")]
                conformance::$check(&super::redb::subject);
            }
        )+
    };
}

each! {
    sn1a_what_was_saved_comes_back: keeps_what_it_was_given
    sn1c_sequences_grow_past_good_ones_only: takes_newer_ones_only
    sn1d_bad_ones_are_passed_over_with_their_reason: passes_over_and_says_why
    sn1e_marks_are_kept_beside_their_checkpoint: notes_marks
    sn1f_keys_are_checked_and_do_not_meet: tells_keys_apart
    sn1g_what_a_fall_back_needs_is_kept: keeps_what_a_fall_back_needs
    sn1h_the_oldest_retained_is_named: names_the_oldest
    sn1i_a_key_is_forgotten_whole: forgets
}
