use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wal_db::{FileStore, MemStore, Wal, WalStore};

use crate::log::{Log, Replay, Seen};
use crate::scenario::Work;
use crate::suite::Suite;

pub(super) fn rows(suite: &mut Suite<'_>) {
    match suite.scenario.work {
        Work::Commit { .. } => suite.writes("wal-db", Commits::new),
        Work::Append => {
            suite.writes("wal-db", |dir| {
                Appends(Wal::open(dir.join("log")).expect("a log"))
            });
            // As many as a log here gets, at 8 bytes more than their payload.
            let bytes = (256 + 8) << 18;
            suite.writes("wal-db-memory", |_| {
                Appends(Wal::with_store(MemStore::with_capacity(bytes)).expect("a log"))
            });
        }
        Work::Replay { .. } => suite.replays("wal-db", Replays),
    }
}

struct Commits {
    log: Wal<Counting>,
    syncs: Arc<AtomicU64>,
}

impl Commits {
    fn new(dir: &Path) -> Self {
        let syncs = Arc::new(AtomicU64::new(0));
        let store = Counting {
            store: FileStore::open(dir.join("log")).expect("a file"),
            syncs: Arc::clone(&syncs),
        };
        let log = Wal::with_store(store).expect("a log");
        Self { log, syncs }
    }
}

impl Log for Commits {
    fn write(&self, payload: &[u8]) {
        let _ = self.log.append_and_sync(payload).expect("a commit");
    }

    fn syncs(&self) -> Option<u64> {
        Some(self.syncs.load(Ordering::Relaxed))
    }
}

/// Its own store, with a count.
struct Counting {
    store: FileStore,
    syncs: Arc<AtomicU64>,
}

impl WalStore for Counting {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> wal_db::Result<()> {
        self.store.write_at(offset, bytes)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> wal_db::Result<usize> {
        self.store.read_at(offset, buf)
    }

    fn truncate(&self, len: u64) -> wal_db::Result<()> {
        self.store.truncate(len)
    }

    fn sync(&self) -> wal_db::Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.store.sync()
    }

    fn len(&self) -> wal_db::Result<u64> {
        self.store.len()
    }
}

struct Appends<S: WalStore>(Wal<S>);

impl<S: WalStore> Log for Appends<S> {
    fn write(&self, payload: &[u8]) {
        let _ = self.0.append(payload).expect("an append");
    }
}

struct Replays;

impl Replay for Replays {
    fn fill(&mut self, dir: &Path, payload: &[u8], records: u64) {
        let log = Wal::open(dir.join("log")).expect("a log");
        for _ in 0..records {
            let _ = log.append(payload).expect("an append");
        }
        log.sync().expect("a sync");
    }

    fn replay(&mut self, dir: &Path) -> Seen {
        let log = Wal::open(dir.join("log")).expect("a log");
        let mut seen = Seen::default();
        for record in log.iter().expect("its records") {
            seen.record(record.expect("a sound record").data());
        }
        seen
    }
}
