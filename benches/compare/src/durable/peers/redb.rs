use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::{Database, Durability, TableDefinition};

use crate::log::Log;
use crate::scenario::Work;
use crate::suite::Suite;

pub(super) fn rows(suite: &mut Suite<'_>) {
    if let Work::Commit { .. } = suite.scenario.work {
        suite.writes("redb", Redb::new);
    }
}

const RECORDS: TableDefinition<u64, &[u8]> = TableDefinition::new("records");

struct Redb {
    database: Database,
    next: AtomicU64,
}

impl Redb {
    fn new(dir: &Path) -> Self {
        let database = Database::create(dir.join("database")).expect("a database");
        Self {
            database,
            next: AtomicU64::new(0),
        }
    }
}

impl Log for Redb {
    fn write(&self, payload: &[u8]) {
        let mut write = self.database.begin_write().expect("a transaction");
        write
            .set_durability(Durability::Immediate)
            .expect("its default");
        {
            let mut table = write.open_table(RECORDS).expect("a table");
            let key = self.next.fetch_add(1, Ordering::Relaxed);
            table.insert(key, payload).expect("an insert");
        }
        write.commit().expect("a commit");
    }
}
