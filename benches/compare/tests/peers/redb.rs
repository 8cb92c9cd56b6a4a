use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use redb::backends::InMemoryBackend;
use redb::{
    Database, Error, ReadableDatabase, ReadableTableMetadata, StorageBackend, TableDefinition,
};
use tempfile::tempdir;

use crate::syncs::{answer, where_syncs_fail};

const RECORDS: TableDefinition<u64, &[u8]> = TableDefinition::new("records");

fn insert(database: &Database, key: u64) -> Result<(), Error> {
    let write = database.begin_write()?;
    write
        .open_table(RECORDS)?
        .insert(key, [1; 256].as_slice())?;
    Ok(write.commit()?)
}

#[test]
fn what_was_committed_is_there_after_a_reopen() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("database");
    let database = Database::create(&path).expect("a database");
    insert(&database, 1).expect("a commit");
    insert(&database, 2).expect("a commit");
    drop(database);
    let database = Database::open(&path).expect("a database");
    let read = database.begin_read().expect("a transaction");
    let table = read.open_table(RECORDS).expect("a table");
    assert_eq!(table.len().expect("a length"), 2);
}

/// A memory that counts its syncs.
#[derive(Debug)]
struct Counting(InMemoryBackend, Arc<AtomicUsize>);

impl StorageBackend for Counting {
    fn len(&self) -> std::io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> std::io::Result<()> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.0.write(offset, data)
    }
}

#[test]
fn each_commit_is_a_sync_and_no_more() {
    let syncs = Arc::new(AtomicUsize::new(0));
    let backend = Counting(InMemoryBackend::new(), Arc::clone(&syncs));
    let database = Database::builder()
        .create_with_backend(backend)
        .expect("a database");
    insert(&database, 0).expect("the commit that makes the table");
    let before = syncs.load(Ordering::Relaxed);
    for key in 1..=10 {
        insert(&database, key).expect("a commit");
    }
    assert_eq!(syncs.load(Ordering::Relaxed) - before, 10);
}

#[test]
fn one_writes_at_a_time() {
    let dir = tempdir().expect("a directory");
    let database = Database::create(dir.path().join("database")).expect("a database");
    let database = Arc::new(database);
    let held = database.begin_write().expect("a transaction");
    let other = Arc::clone(&database);
    assert!(answer(move || other.begin_write().is_ok()).is_none());
    drop(held);
}

#[test]
fn after_a_failed_sync_it_takes_nothing_more() {
    let dir = tempdir().expect("a directory");
    let database = Database::create(dir.path().join("database")).expect("a database");
    insert(&database, 1).expect("a commit");
    assert!(where_syncs_fail(|| insert(&database, 2).is_err()));
    assert!(insert(&database, 3).is_err());
}
