use std::fs;
use std::path::Path;

use tempfile::tempdir;
use wal_db::{OpenPolicy, Wal, WalConfig};

use crate::syncs::where_syncs_fail;

fn records(path: &Path) -> Vec<Vec<u8>> {
    let log = Wal::open(path).expect("a log");
    let records = log.iter().expect("its records");
    records
        .map(|record| record.expect("a sound one").into_data())
        .collect()
}

#[test]
fn what_was_committed_is_there_after_a_reopen() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("log");
    let log = Wal::open(&path).expect("a log");
    let _ = log.append_and_sync(b"first").expect("a commit");
    let _ = log.append_and_sync(b"second").expect("a commit");
    drop(log);
    assert_eq!(records(&path), [b"first".to_vec(), b"second".to_vec()]);
}

#[test]
fn an_append_is_a_write_of_its_own() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("log");
    let log = Wal::open(&path).expect("a log");
    let _ = log.append(&[1; 256]).expect("an append");
    assert_eq!(fs::metadata(&path).expect("a file").len(), 8 + 256);
}

#[test]
fn a_failed_sync_is_forgotten_by_the_next() {
    let dir = tempdir().expect("a directory");
    let log = Wal::open(dir.path().join("log")).expect("a log");
    let failed = where_syncs_fail(|| log.append_and_sync(b"failed").is_err());
    assert!(failed);
    assert!(
        log.sync().is_ok(),
        "nobody knows whether the record is on the disk"
    );
}

#[test]
fn opening_a_new_log_does_not_sync_its_name() {
    let dir = tempdir().expect("a directory");
    let log = where_syncs_fail(|| Wal::open(dir.path().join("log")));
    assert!(log.is_ok(), "a sync would have failed");
}

#[test]
fn two_handles_write_over_each_other() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("log");
    let [first, second] = [(); 2].map(|()| Wal::open(&path).expect("a log"));
    let _ = first.append_and_sync(b"first").expect("a commit");
    let _ = second.append_and_sync(b"other").expect("a commit");
    drop((first, second));
    assert_eq!(records(&path), [b"other".to_vec()]);
}

#[test]
fn damage_in_the_middle_takes_all_behind_it_unless_asked_not_to() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("log");
    let log = Wal::open(&path).expect("a log");
    for _ in 0..3 {
        let _ = log.append_and_sync(b"sound").expect("a commit");
    }
    drop(log);
    let mut bytes = fs::read(&path).expect("its bytes");
    bytes[8] ^= 1;
    fs::write(&path, &bytes).expect("damage");
    let strict = WalConfig::new().with_open_policy(OpenPolicy::Strict);
    assert!(Wal::open_with(&path, strict).is_err());
    assert!(records(&path).is_empty(), "two of them were sound");
}
