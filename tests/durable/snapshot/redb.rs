//! A redb database of checkpoints.

use backstop::durable::snapshot::conformance::{Subject, checkpoint};
use backstop::durable::snapshot::{CheckpointStore, RedbStore, StoreError};
use redb::{Database, ReadableTable, TableDefinition};
use std::sync::{Arc, Mutex};

/// A store whose database is closed while it is damaged.
#[derive(Debug)]
struct Reopened {
    store: Mutex<Option<RedbStore>>,
    dir: tempfile::TempDir,
    keep: usize,
}

impl Reopened {
    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("checkpoints.redb")
    }

    fn with<T>(&self, run: impl FnOnce(&RedbStore) -> T) -> T {
        let mut store = self.store.lock().unwrap();
        let open = || RedbStore::open_keeping(self.path(), self.keep).unwrap();
        run(store.get_or_insert_with(open))
    }

    fn damage(&self, key: &str, sequence: u64) {
        const TABLE: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("checkpoints");
        *self.store.lock().unwrap() = None;
        let database = Database::open(self.path()).unwrap();
        let transaction = database.begin_write().unwrap();
        let mut table = transaction.open_table(TABLE).unwrap();
        let mut bytes = table
            .get((key, sequence))
            .unwrap()
            .unwrap()
            .value()
            .to_vec();
        bytes[80] ^= 1;
        table.insert((key, sequence), &*bytes).unwrap();
        drop(table);
        transaction.commit().unwrap();
    }
}

/// Hands on each call; what it gives comes from a database that was closed in between.
macro_rules! hands_on {
    ($($name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)+) => {
        use backstop::durable::snapshot::{Checkpoint, Entry, LoadError, Mark, Marks, Saved};

        impl CheckpointStore for Reopened {
            $(
                fn $name(&self, $($argument: $type),*) -> $answer {
                    self.with(|store| store.$name($($argument),*))
                }
            )+
        }
    };
}

hands_on! {
    save_marked(key: &str, checkpoint: &Checkpoint, marks: Marks) -> Result<Saved, StoreError>;
    history(key: &str) -> Result<Vec<Entry>, StoreError>;
    load(key: &str, sequence: u64) -> Result<Option<Checkpoint>, LoadError>;
    mark(key: &str, sequence: u64, mark: Mark) -> Result<Marks, StoreError>;
    forget(key: &str) -> Result<(), StoreError>;
}

pub(super) fn subject(keep: usize) -> Subject {
    let store = Arc::new(Reopened {
        store: Mutex::new(None),
        dir: tempfile::tempdir().unwrap(),
        keep,
    });
    let damaged = store.clone();
    Subject {
        store,
        damage: Box::new(move |key, sequence| damaged.damage(key, sequence)),
    }
}

#[test]
fn sn1b_what_is_no_database_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("checkpoints.redb");
    std::fs::write(&path, b"not a database, and not empty").unwrap();
    let refused = RedbStore::open(&path).unwrap_err();
    assert!(matches!(refused, StoreError::Other(_)), "{refused:?}");
    assert!(RedbStore::open_keeping(dir.path().join("other"), 0).is_err());
}

#[test]
fn sn1n_a_database_is_for_one_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("checkpoints.redb");
    let first = RedbStore::open(&path).unwrap();
    first.save("a", &checkpoint(1)).unwrap();
    let clone = first.clone();
    drop(first);
    assert!(RedbStore::open(&path).is_err());
    drop(clone);
    let store = RedbStore::open(&path).unwrap();
    assert_eq!(store.load("a", 1).unwrap(), Some(checkpoint(1)));
}
