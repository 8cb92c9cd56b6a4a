//! What the disk, the kernel and the memory can do: no log is better.

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::log::{Log, Replay, Seen};
use crate::scenario::Work;
use crate::suite::Suite;

pub(crate) fn rows(suite: &mut Suite<'_>) {
    match suite.scenario.work {
        Work::Commit { threads: 1 } => {
            suite.writes("raw-append", |dir| Raw::new(dir, AndThen::Sync));
            suite.writes("raw-overwrite", Overwrite::new);
        }
        Work::Commit { .. } => suite.writes("naive", |dir| Raw::new(dir, AndThen::Sync)),
        Work::Append => {
            suite.writes("memcpy", |_| Copied::new());
            suite.writes("raw-write", |dir| Raw::new(dir, AndThen::Nothing));
        }
        Work::Replay { .. } => {
            suite.replays("raw-read", RawRead::new(false));
            suite.replays("raw-read-crc", RawRead::new(true));
        }
    }
}

fn create(dir: &Path) -> File {
    let file = OpenOptions::new()
        .create_new(true)
        .read(true)
        .append(true)
        .open(dir.join("raw"))
        .expect("a file");
    // Its name too, as every log must do once.
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .expect("a directory");
    file
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum AndThen {
    Sync,
    Nothing,
}

struct Raw {
    file: Mutex<File>,
    then: AndThen,
    syncs: AtomicU64,
}

impl Raw {
    fn new(dir: &Path, then: AndThen) -> Self {
        Self {
            file: Mutex::new(create(dir)),
            then,
            syncs: AtomicU64::new(0),
        }
    }
}

impl Log for Raw {
    fn write(&self, payload: &[u8]) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(payload).expect("a write");
        if self.then == AndThen::Sync {
            file.sync_data().expect("a sync");
            self.syncs.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn syncs(&self) -> Option<u64> {
        Some(self.syncs.load(Ordering::Relaxed))
    }
}

struct Overwrite(Mutex<File>);

impl Overwrite {
    const BYTES: u64 = 4 << 20;

    fn new(dir: &Path) -> Self {
        let mut file = File::create_new(dir.join("raw")).expect("a file");
        file.write_all(&vec![0; usize::try_from(Self::BYTES).expect("4 MiB")])
            .and_then(|()| file.sync_all())
            .and_then(|()| file.rewind())
            .expect("zeros");
        Self(Mutex::new(file))
    }
}

impl Log for Overwrite {
    fn write(&self, payload: &[u8]) {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let end = file.stream_position().expect("a position") + payload.len() as u64;
        if end > Self::BYTES {
            file.seek(SeekFrom::Start(0)).expect("a seek");
        }
        file.write_all(payload).expect("a write");
        file.sync_data().expect("a sync");
    }
}

struct Copied(Mutex<Vec<u8>>);

impl Copied {
    const BYTES: usize = 1 << 16;

    fn new() -> Self {
        Self(Mutex::new(Vec::with_capacity(Self::BYTES)))
    }
}

impl Log for Copied {
    fn write(&self, payload: &[u8]) {
        let mut buffer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buffer.len() + payload.len() > Self::BYTES {
            buffer.clear();
        }
        buffer.extend_from_slice(payload);
    }
}

struct RawRead {
    crc: bool,
    piece: Vec<u8>,
    payload: usize,
}

impl RawRead {
    fn new(crc: bool) -> Self {
        Self {
            crc,
            piece: vec![0; 1 << 17],
            payload: 0,
        }
    }
}

impl Replay for RawRead {
    fn fill(&mut self, dir: &Path, payload: &[u8], records: u64) {
        self.payload = payload.len();
        let mut file = create(dir);
        for _ in 0..records {
            file.write_all(payload).expect("a write");
        }
        file.sync_all().expect("a sync");
    }

    fn replay(&mut self, dir: &Path) -> Seen {
        let file = File::open(dir.join("raw")).expect("a file");
        // Whole payloads, so that each is looked at where it is.
        let whole = self.piece.len() / self.payload * self.payload;
        let (mut seen, mut offset) = (Seen::default(), 0);
        loop {
            let read = read_fully(&file, &mut self.piece[..whole], offset);
            for payload in self.piece[..read].chunks_exact(self.payload) {
                if self.crc {
                    black_box(crc32c::crc32c(payload));
                }
                seen.record(payload);
            }
            offset += read as u64;
            if read < whole {
                return seen;
            }
        }
    }
}

fn read_fully(file: &File, into: &mut [u8], offset: u64) -> usize {
    let mut filled = 0;
    loop {
        match file.read_at(&mut into[filled..], offset + filled as u64) {
            Ok(0) => return filled,
            Ok(read) => filled += read,
            Err(error) => panic!("{error}"),
        }
    }
}
