//! The journal, as it is measured here and in the benches of the crate.

use backstop::durable::journal::{Journal, JournalConfig, OpenMode, SyncPolicy};
use backstop::durable::storage::{
    DirEntry, FsStorage, LockError, Storage, StorageFile, StorageLock,
};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::log::{Log, Replay, Seen};

const KIND: u32 = 7;

/// An open journal, and how often its files were synced.
pub(crate) struct Ours {
    pub(crate) journal: Journal,
    syncs: Arc<AtomicU64>,
}

impl Ours {
    /// Every append is durable on return.
    pub(crate) fn synced(dir: &Path) -> Self {
        Self::open(dir, SyncPolicy::Always)
    }

    /// Nobody syncs.
    pub(crate) fn buffered(dir: &Path) -> Self {
        Self::open(dir, SyncPolicy::Never)
    }

    fn open(dir: &Path, policy: SyncPolicy) -> Self {
        let syncs = Arc::new(AtomicU64::new(0));
        let storage = Arc::new(Counting(Arc::clone(&syncs)));
        let config = JournalConfig::default()
            .open(OpenMode::CreateIfMissing)
            .sync(policy);
        let (journal, _) = Journal::open(storage, dir, config).expect("a journal");
        Self { journal, syncs }
    }

    /// From its first record to its last.
    pub(crate) fn read(&self) -> Seen {
        let mut seen = Seen::default();
        let mut records = self.journal.read(1).expect("a reader");
        while let Some(record) = records.next().expect("a sound record") {
            seen.record(record.payload);
        }
        seen
    }
}

impl Log for Ours {
    fn write(&self, payload: &[u8]) {
        self.journal.append(KIND, payload).expect("an append");
    }

    fn syncs(&self) -> Option<u64> {
        Some(self.syncs.load(Ordering::Relaxed))
    }
}

/// A journal that is opened once, and then read again and again.
#[derive(Default)]
pub(crate) struct Read(Option<Ours>);

impl Replay for Read {
    fn fill(&mut self, dir: &Path, payload: &[u8], records: u64) {
        let ours = self.0.insert(Ours::buffered(dir));
        (0..records).for_each(|_| ours.write(payload));
        ours.journal.sync().expect("a sync");
    }

    fn replay(&mut self, _: &Path) -> Seen {
        self.0.as_ref().map(Ours::read).unwrap_or_default()
    }
}

/// A journal that is opened anew each time, as by a start after a crash, and read.
pub(crate) struct Reopened;

impl Replay for Reopened {
    fn fill(&mut self, dir: &Path, payload: &[u8], records: u64) {
        Read::default().fill(dir, payload, records);
    }

    fn replay(&mut self, dir: &Path) -> Seen {
        Ours::synced(dir).read()
    }
}

/// The machine's file system, with a count of the syncs of files.
#[derive(Debug)]
struct Counting(Arc<AtomicU64>);

impl Counting {
    fn file(&self, file: Box<dyn StorageFile>) -> Box<dyn StorageFile> {
        Box::new(CountingFile(file, Arc::clone(&self.0)))
    }
}

impl Storage for Counting {
    fn open(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        Ok(self.file(FsStorage.open(path)?))
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        Ok(self.file(FsStorage.create_new(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        FsStorage.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        FsStorage.remove(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        FsStorage.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        FsStorage.create_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        FsStorage.sync_dir(dir)
    }

    fn lock(&self, path: &Path, holder: &str) -> Result<Box<dyn StorageLock>, LockError> {
        FsStorage.lock(path, holder)
    }
}

#[derive(Debug)]
struct CountingFile(Box<dyn StorageFile>, Arc<AtomicU64>);

impl StorageFile for CountingFile {
    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.append(bytes)
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(into, offset)
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn sync(&self) -> io::Result<()> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.sync()
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.truncate(len)
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        self.0.reserve(bytes)
    }
}
