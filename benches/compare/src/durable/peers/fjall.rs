use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::log::Log;
use crate::scenario::Work;
use crate::suite::Suite;

pub(super) fn rows(suite: &mut Suite<'_>) {
    match suite.scenario.work {
        Work::Commit { .. } => {
            suite.writes("fjall", |dir| Fjall::new(dir, Some(PersistMode::SyncData)));
            suite.writes("fjall-sync-all", |dir| {
                Fjall::new(dir, Some(PersistMode::SyncAll))
            });
        }
        Work::Append => suite.writes("fjall", |dir| Fjall::new(dir, None)),
        Work::Replay { .. } => {}
    }
}

struct Fjall {
    database: Database,
    records: Keyspace,
    next: AtomicU64,
    persist: Option<PersistMode>,
}

impl Fjall {
    fn new(dir: &Path, persist: Option<PersistMode>) -> Self {
        let database = Database::builder(dir).open().expect("a database");
        let records = database
            .keyspace("records", KeyspaceCreateOptions::default)
            .expect("a keyspace");
        Self {
            database,
            records,
            next: AtomicU64::new(0),
            persist,
        }
    }
}

impl Log for Fjall {
    fn write(&self, payload: &[u8]) {
        let key = self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        self.records.insert(key, payload).expect("an insert");
        if let Some(mode) = self.persist {
            self.database.persist(mode).expect("a sync");
        }
    }
}
