use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use okaywal::{Entry, EntryId, LogManager, SegmentReader, WriteAheadLog};
use tempfile::tempdir;

use crate::syncs::{answer, where_syncs_fail};

/// Keeps what is recovered, and takes what is handed over for stored.
#[derive(Clone, Debug, Default)]
struct Manager(Arc<Mutex<Vec<Vec<u8>>>>);

impl LogManager for Manager {
    fn recover(&mut self, entry: &mut Entry<'_>) -> io::Result<()> {
        let chunks = entry.read_all_chunks()?.unwrap_or_default();
        self.0.lock().unwrap().extend(chunks);
        Ok(())
    }

    fn checkpoint_to(
        &mut self,
        _: EntryId,
        _: &mut SegmentReader,
        _: &WriteAheadLog,
    ) -> io::Result<()> {
        Ok(())
    }
}

fn open(dir: &Path) -> (WriteAheadLog, Vec<Vec<u8>>) {
    let manager = Manager::default();
    let log = WriteAheadLog::recover(dir, manager.clone()).expect("a log");
    let recovered = manager.0.lock().unwrap().clone();
    (log, recovered)
}

fn commit(log: &WriteAheadLog, payload: &[u8]) -> io::Result<()> {
    let mut entry = log.begin_entry()?;
    entry.write_chunk(payload)?;
    entry.commit().map(drop)
}

#[test]
fn what_was_committed_is_there_after_a_reopen() {
    let dir = tempdir().expect("a directory");
    let (log, _) = open(dir.path());
    commit(&log, b"first").expect("a commit");
    commit(&log, b"second").expect("a commit");
    log.shutdown().expect("an end");
    let (_, recovered) = open(dir.path());
    assert_eq!(recovered, [b"first".to_vec(), b"second".to_vec()]);
}

#[test]
fn after_a_failed_sync_every_writer_waits_for_ever() {
    let dir = tempdir().expect("a directory");
    let (log, _) = open(dir.path());
    let (sound, failed) = (log.clone(), log.clone());
    assert!(answer(move || commit(&sound, b"sound")).is_some_and(|result| result.is_ok()));
    assert!(where_syncs_fail(|| commit(&failed, b"failed")).is_err());
    for _ in 0..2 {
        let later = log.clone();
        assert!(answer(move || commit(&later, b"later")).is_none());
    }
}

#[test]
fn a_file_is_filled_with_zeros_ahead() {
    let dir = tempdir().expect("a directory");
    let (log, _) = open(dir.path());
    let bytes = || {
        fs::metadata(dir.path().join("wal-1"))
            .expect("a file")
            .len()
    };
    assert_eq!(bytes(), 1 << 20);
    commit(&log, &[1; 256]).expect("a commit");
    assert_eq!(bytes(), 1 << 20);
}

#[test]
fn a_file_that_is_full_is_handed_over_and_used_again() {
    let dir = tempdir().expect("a directory");
    let (log, _) = open(dir.path());
    let written = 8;
    for _ in 0..written {
        commit(&log, &[1; 256 << 10]).expect("a commit");
    }
    log.shutdown().expect("an end");
    let (_, recovered) = open(dir.path());
    assert!(recovered.len() < written, "{}", recovered.len());
}

#[test]
fn its_directory_is_not_locked() {
    let dir = tempdir().expect("a directory");
    let (_first, _) = open(dir.path());
    let (_second, _) = open(dir.path());
}
