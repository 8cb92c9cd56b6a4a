//! A fresh journal for whitebox tests, without what an open does, and a reading of its files.

use super::format::{RECORD_HEADER, RecordHeader, SEGMENT_HEADER, Seed, SegmentHeader};
use super::start::Opened;
use super::tail::{SegmentInfo, Tail, create_segment};
use super::{Journal, JournalConfig};
use crate::durable::storage::{DirEntry, LockError, Operation, Storage, StorageFile, StorageLock};
use crate::kernel::clock::Clock;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

pub(super) const DIR: &str = "log";

pub(super) fn config() -> JournalConfig {
    JournalConfig::default().reserve_bytes(0)
}

pub(super) fn opened(storage: Arc<dyn Storage>, config: JournalConfig, clock: Clock) -> Opened {
    let dir = Path::new(DIR);
    storage.create_dir(dir).expect("a fresh storage");
    storage.sync_dir(Path::new("")).expect("its parent");
    let header = SegmentHeader {
        epoch: 1,
        salt: 7,
        first_sequence: 1,
        synced_through: 0,
        previous_epoch: 0,
        previous_crc: 0,
    };
    let (file, path) = create_segment(&*storage, dir, header).expect("the first segment");
    let segment = SegmentInfo {
        header,
        path: path.clone(),
        last_sequence: 0,
        len: SEGMENT_HEADER as u64,
    };
    let tail = Tail {
        file,
        path,
        header,
        len: SEGMENT_HEADER as u64,
        last_sequence: 0,
        last_crc: 0,
        last_wall_nanos: 0,
        synced_through: 0,
    };
    Opened {
        storage,
        dir: dir.to_owned(),
        config,
        clock,
        lock: None,
        tail,
        segments: vec![segment],
    }
}

pub(super) fn journal(storage: Arc<dyn Storage>, config: JournalConfig) -> Journal {
    opened(storage, config, Clock::system())
        .start()
        .expect("a thread")
}

/// A record as it stands in the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) header: RecordHeader,
    pub(super) payload: Vec<u8>,
}

/// All segments with their records: each whole, linked to the one before, and nothing behind them.
#[track_caller]
pub(super) fn read_back(storage: &dyn Storage) -> Vec<(SegmentHeader, Vec<Stored>)> {
    let dir = Path::new(DIR);
    let mut previous = 0;
    let mut sequence = 0;
    let mut segments = Vec::new();
    let names = storage.list(dir).expect("the directory");
    for entry in names
        .iter()
        .filter(|entry| entry.name.ends_with(".segment"))
    {
        let file = storage.open(&dir.join(&entry.name)).expect("a segment");
        let mut bytes = vec![0; usize::try_from(entry.len).unwrap()];
        let mut at = 0;
        while at < bytes.len() {
            at += match file.read_at(&mut bytes[at..], at as u64).expect("read") {
                0 => panic!("a short file"),
                read => read,
            };
        }
        let header = SegmentHeader::decode(&bytes).expect("a segment header");
        assert_eq!(header.previous_crc, previous, "{}", entry.name);
        let seed = Seed::of(header.salt);
        let mut records = Vec::new();
        let mut at = SEGMENT_HEADER;
        while at < bytes.len() {
            let record = RecordHeader::decode(&bytes[at..], seed).expect("a record header");
            assert_eq!(record.previous_crc, previous);
            sequence += 1;
            assert_eq!(record.sequence, sequence);
            previous = record.verify(&bytes[at..]).expect("a whole record");
            let payload = at + RECORD_HEADER..at + RECORD_HEADER + record.length as usize;
            records.push(Stored {
                header: record,
                payload: bytes[payload].to_vec(),
            });
            at += usize::try_from(record.record_len()).unwrap();
        }
        segments.push((header, records));
    }
    segments
}

/// Asked before each call of a storage; it may block, fail it or panic.
pub(super) type Hook = Arc<dyn Fn(Operation) -> io::Result<()> + Send + Sync>;

/// Another storage, with a hook before each call that changes something.
pub(super) struct Hooked {
    inner: Arc<dyn Storage>,
    hook: Hook,
}

impl Hooked {
    pub(super) fn new(
        inner: Arc<dyn Storage>,
        hook: impl Fn(Operation) -> io::Result<()> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            inner,
            hook: Arc::new(hook),
        })
    }

    fn file(&self, file: Box<dyn StorageFile>) -> Box<dyn StorageFile> {
        Box::new(HookedFile {
            inner: file,
            hook: self.hook.clone(),
        })
    }
}

struct HookedFile {
    inner: Box<dyn StorageFile>,
    hook: Hook,
}

impl fmt::Debug for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl fmt::Debug for HookedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl Storage for Hooked {
    fn open(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        self.inner.open(path).map(|file| self.file(file))
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        (self.hook)(Operation::Create)?;
        self.inner.create_new(path).map(|file| self.file(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        (self.hook)(Operation::Rename)?;
        self.inner.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        (self.hook)(Operation::Remove)?;
        self.inner.remove(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.inner.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.create_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        (self.hook)(Operation::SyncDir)?;
        self.inner.sync_dir(dir)
    }

    fn lock(&self, path: &Path, holder: &str) -> Result<Box<dyn StorageLock>, LockError> {
        self.inner.lock(path, holder)
    }
}

impl StorageFile for HookedFile {
    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        (self.hook)(Operation::Append)?;
        self.inner.append(bytes)
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(into, offset)
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn sync(&self) -> io::Result<()> {
        (self.hook)(Operation::Sync)?;
        self.inner.sync()
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        (self.hook)(Operation::Truncate)?;
        self.inner.truncate(len)
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        (self.hook)(Operation::Reserve)?;
        self.inner.reserve(bytes)
    }
}

/// A door in a hook: who comes to it waits until it is opened.
#[derive(Debug, Default)]
pub(super) struct Door {
    state: Mutex<DoorState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct DoorState {
    is_shut: bool,
    /// Who stands before it.
    waiting: usize,
    /// Who may pass although it is shut.
    passes: usize,
}

impl Door {
    /// Waits here while it is shut.
    pub(super) fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.waiting += 1;
        self.changed.notify_all();
        while state.is_shut && state.passes == 0 {
            state = self.changed.wait(state).unwrap();
        }
        state.passes = state.passes.saturating_sub(1);
        state.waiting -= 1;
        self.changed.notify_all();
    }

    pub(super) fn shut(&self) {
        self.state.lock().unwrap().is_shut = true;
    }

    pub(super) fn open(&self) {
        self.state.lock().unwrap().is_shut = false;
        self.changed.notify_all();
    }

    /// Lets one who stands before it pass, and waits until it has.
    pub(super) fn let_one_pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.passes = 1;
        self.changed.notify_all();
        while state.passes > 0 {
            state = self.changed.wait(state).unwrap();
        }
    }

    /// Waits until somebody stands at it.
    pub(super) fn wait_for_one(&self) {
        let mut state = self.state.lock().unwrap();
        while state.waiting == 0 {
            state = self.changed.wait(state).unwrap();
        }
    }
}

/// Waits, without a time limit, until this holds.
pub(super) fn until(holds: impl Fn() -> bool) {
    while !holds() {
        std::thread::yield_now();
    }
}

/// The payloads of all records, in order.
#[track_caller]
pub(super) fn payloads(storage: &dyn Storage) -> Vec<Vec<u8>> {
    let segments = read_back(storage);
    let records = segments.into_iter().flat_map(|(_, records)| records);
    records.map(|record| record.payload).collect()
}
