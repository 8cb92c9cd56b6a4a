//! The rules that every store holds, each over every store.

use backstop::durable::snapshot::conformance::{self, New, Subject};
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

/// Over every store.
fn each(check: fn(New<'_>)) {
    check(&memory);
    check(&directory);
    check(&file_system);
    #[cfg(feature = "redb")]
    check(&super::redb::subject);
}

#[test]
fn sn1a_what_was_saved_comes_back() {
    each(conformance::keeps_what_it_was_given);
}

#[test]
fn sn1c_sequences_grow_past_good_ones_only() {
    each(conformance::takes_newer_ones_only);
}

#[test]
fn sn1d_bad_ones_are_passed_over_with_their_reason() {
    each(conformance::passes_over_and_says_why);
}

#[test]
fn sn1e_marks_are_kept_beside_their_checkpoint() {
    each(conformance::notes_marks);
}

#[test]
fn sn1f_keys_are_checked_and_do_not_meet() {
    each(conformance::tells_keys_apart);
}

#[test]
fn sn1g_what_a_fall_back_needs_is_kept() {
    each(conformance::keeps_what_a_fall_back_needs);
}

#[test]
fn sn1h_the_oldest_retained_is_named() {
    each(conformance::names_the_oldest);
}

#[test]
fn sn1i_a_key_is_forgotten_whole() {
    each(conformance::forgets);
}
