//! What the disk, the kernel and the memory can do: no log is better.

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::log::{Log, Replay, Seen};

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

/// Each record is written to the end of a file, under a mutex.
pub(crate) struct Raw {
    file: Mutex<File>,
    is_synced: bool,
    syncs: AtomicU64,
}

impl Raw {
    /// And synced, before the next one comes.
    pub(crate) fn synced(dir: &Path) -> Self {
        Self {
            file: Mutex::new(create(dir)),
            is_synced: true,
            syncs: AtomicU64::new(0),
        }
    }

    pub(crate) fn unsynced(dir: &Path) -> Self {
        Self {
            is_synced: false,
            ..Self::synced(dir)
        }
    }
}

impl Log for Raw {
    fn write(&self, payload: &[u8]) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(payload).expect("a write");
        if self.is_synced {
            file.sync_data().expect("a sync");
            self.syncs.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn syncs(&self) -> Option<u64> {
        Some(self.syncs.load(Ordering::Relaxed))
    }
}

/// Each record is written over zeros, and synced.
pub(crate) struct Overwrite(Mutex<File>);

impl Overwrite {
    const BYTES: u64 = 4 << 20;

    pub(crate) fn new(dir: &Path) -> Self {
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

/// Each record is copied to the end of a buffer; a full one is written to the end of a file, or forgotten.
pub(crate) struct Copied {
    buffer: Mutex<Vec<u8>>,
    file: Option<File>,
}

impl Copied {
    const BYTES: usize = 1 << 20;

    pub(crate) fn forgotten() -> Self {
        // Its memory is touched before it is measured.
        let mut buffer = vec![0; Self::BYTES];
        buffer.clear();
        Self {
            buffer: Mutex::new(buffer),
            file: None,
        }
    }

    pub(crate) fn written(dir: &Path) -> Self {
        Self {
            file: Some(create(dir)),
            ..Self::forgotten()
        }
    }
}

impl Log for Copied {
    fn write(&self, payload: &[u8]) {
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        if buffer.len() + payload.len() > Self::BYTES {
            if let Some(mut file) = self.file.as_ref() {
                file.write_all(&buffer).expect("a write");
            }
            buffer.clear();
        }
        buffer.extend_from_slice(payload);
    }
}

/// The payloads one behind the other, without anything between them.
pub(crate) struct RawRead {
    is_checked: bool,
    piece: Vec<u8>,
    payload: usize,
}

impl RawRead {
    const PIECE: usize = 1 << 17;

    /// `is_checked`: with the CRC of each.
    pub(crate) fn new(is_checked: bool) -> Self {
        Self {
            is_checked,
            piece: vec![0; Self::PIECE],
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
                if self.is_checked {
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
