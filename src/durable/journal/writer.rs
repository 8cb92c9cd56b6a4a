//! What the leader of a group does: seal its records, write them, roll, sync.

use super::batch::{Batch, noted};
use super::format::{RecordHeader, SEGMENT_HEADER, Seed, SegmentHeader, record_len};
use super::refusal::{AppendError, Poisoned};
use super::site::Site;
use super::tail::{NotBegun, SegmentInfo, Tail, create_segment, write_whole};
use crate::durable::storage::{Operation, StorageError};
use std::io::{self, ErrorKind};

/// The end of the journal, in the hands of who leads: nobody else writes.
#[derive(Debug)]
pub(super) struct Writer {
    tail: Tail,
    seed: Seed,
    /// The file holds what was not synced.
    is_dirty: bool,
    /// Records that were acknowledged as buffered, and could not be written yet.
    held: Batch,
    /// The first sequences of the segments that were begun since somebody asked.
    rolled: Vec<u64>,
}

/// Why not everything was done.
#[derive(Debug)]
pub(super) enum Failure {
    /// The journal is as it was after the last record that was written.
    Write(StorageError),
    /// Nobody knows what is durable.
    Poisoned(Poisoned),
}

impl From<Failure> for AppendError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Write(error) => Self::Storage(error),
            Failure::Poisoned(poisoned) => Self::Poisoned(poisoned),
        }
    }
}

/// Why the remains of a write are still there, or may be.
enum CutFailed {
    Truncate(StorageError),
    Sync(Poisoned),
}

impl CutFailed {
    /// What it means behind a write that failed.
    fn after(self, write: StorageError) -> Failure {
        Failure::Poisoned(match self {
            Self::Truncate(cut) => Poisoned::by_cut(write, cut),
            Self::Sync(poisoned) => poisoned,
        })
    }
}

/// What is asked of a leader.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    /// Records that are not written are kept for the next time: they are acknowledged.
    pub(super) keeps: bool,
    pub(super) syncs: bool,
}

/// Records behind each other that go into one segment, sealed.
#[derive(Clone, Copy)]
struct Run {
    bytes: usize,
    records: u64,
    crc: u32,
    wall_nanos: u64,
}

impl Writer {
    pub(super) fn new(tail: Tail) -> Self {
        Self {
            seed: Seed::of(tail.header.salt),
            // What an open found or wrote is durable before it serves.
            is_dirty: false,
            tail,
            held: Batch::default(),
            rolled: Vec::new(),
        }
    }

    /// The last sequence in the files.
    pub(super) fn written(&self) -> u64 {
        self.tail.last_sequence
    }

    /// The last sequence that is durable.
    pub(super) fn durable(&self) -> u64 {
        self.tail.synced_through
    }

    pub(super) fn take_rolled(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.rolled)
    }

    /// Bytes that are kept for the next time.
    pub(super) fn held_bytes(&self) -> usize {
        self.held.len()
    }

    /// Writes `batch`, behind what was held before it, and syncs.
    pub(super) fn work(
        &mut self,
        site: &Site,
        batch: &mut Batch,
        order: Order,
    ) -> Result<(), Failure> {
        let written = if self.held.is_empty() {
            let written = self.write(site, batch);
            if order.keeps && matches!(written, Err(Failure::Write(_))) {
                self.held.append(batch);
            }
            written
        } else {
            self.held.append(batch);
            let mut held = std::mem::take(&mut self.held);
            let written = self.write(site, &mut held);
            if written.is_ok() {
                held.clear();
            }
            self.held = held;
            written
        };
        written?;
        if order.syncs {
            self.sync(site)?;
        }
        Ok(())
    }

    /// Writes as much as it can, and takes that from the front of `batch` if it is not all.
    fn write(&mut self, site: &Site, batch: &mut Batch) -> Result<(), Failure> {
        let mut at = 0;
        let mut records = 0;
        let result = loop {
            let rest = &mut batch.bytes_mut()[at..];
            if rest.is_empty() {
                return Ok(());
            }
            let run = self.seal(site, rest);
            let done = match run {
                None => self.roll(site),
                Some(run) => self.put(site, &rest[..run.bytes], run),
            };
            if done.is_err() {
                break done;
            }
            if let Some(run) = run {
                at += run.bytes;
                records += run.records;
            }
        };
        batch.forget(at, records);
        result
    }

    /// Seals the records at the front of `bytes` that this segment has room for; `None` if there is
    /// none. A record that is longer than a segment has one to itself.
    fn seal(&self, site: &Site, bytes: &mut [u8]) -> Option<Run> {
        let tail = &self.tail;
        let mut run = Run {
            bytes: 0,
            records: 0,
            crc: tail.last_crc,
            wall_nanos: tail.last_wall_nanos,
        };
        let mut len = tail.len;
        while run.bytes < bytes.len() {
            let (length, kind, wall_nanos) = noted(&bytes[run.bytes..]);
            let record = record_len(length);
            let is_first = len == SEGMENT_HEADER as u64;
            if !is_first && len.saturating_add(record) > site.segment_bytes {
                break;
            }
            len += record;
            run.records += 1;
            run.wall_nanos = run.wall_nanos.max(wall_nanos);
            let header = RecordHeader {
                length,
                kind,
                sequence: tail.last_sequence + run.records,
                wall_nanos: run.wall_nanos,
                synced_through: tail.synced_through,
                previous_crc: run.crc,
            };
            let end = run.bytes + usize::try_from(record).unwrap_or(usize::MAX);
            run.crc = header.seal(&mut bytes[run.bytes..end], self.seed);
            run.bytes = end;
        }
        (run.records > 0).then_some(run)
    }

    fn put(&mut self, site: &Site, bytes: &[u8], run: Run) -> Result<(), Failure> {
        self.write_at_once(site, bytes)?;
        let tail = &mut self.tail;
        let len = bytes.len() as u64;
        tail.len += len;
        tail.last_sequence += run.records;
        tail.last_crc = run.crc;
        tail.last_wall_nanos = run.wall_nanos;
        self.is_dirty = true;
        site.figures.appended(run.records, len);
        Ok(())
    }

    /// Writes all of it, in one call if that can be had. What the file takes in part is cut off and
    /// written anew, not gone on with: between two calls the system may store the front of a sector,
    /// and a power cut that leaves it so, behind a length that is later, looks like damage and not
    /// like a torn end. A file that never takes more gets it in pieces all the same.
    fn write_at_once(&mut self, site: &Site, bytes: &[u8]) -> Result<(), Failure> {
        match self.tail.file.append(bytes) {
            Ok(written) if written == bytes.len() => return Ok(()),
            Err(error) if error.kind() != ErrorKind::Interrupted => {
                return Err(self.take_back(site, error));
            }
            Ok(_) | Err(_) => {}
        }
        if let Err(failed) = self.cut(site) {
            let error = ErrorKind::WriteZero.into();
            return Err(failed.after(self.append_failed(error)));
        }
        write_whole(&*self.tail.file, bytes).map_err(|error| self.take_back(site, error))
    }

    fn take_back(&mut self, site: &Site, error: io::Error) -> Failure {
        let write = self.append_failed(error);
        match self.cut(site) {
            Ok(()) => Failure::Write(write),
            Err(failed) => failed.after(write),
        }
    }

    fn append_failed(&self, error: io::Error) -> StorageError {
        StorageError::new(Operation::Append, &self.tail.path, error)
    }

    /// Takes what a failed write has left off the file, durably: what is written next, here or into the
    /// next segment, must not be found with some of it in between.
    fn cut(&mut self, site: &Site) -> Result<(), CutFailed> {
        let tail = &self.tail;
        tail.file.truncate(tail.len).map_err(|error| {
            CutFailed::Truncate(StorageError::new(Operation::Truncate, &tail.path, error))
        })?;
        self.is_dirty = true;
        self.sync_file(site).map_err(CutFailed::Sync)
    }

    fn sync(&mut self, site: &Site) -> Result<(), Failure> {
        self.sync_file(site).map_err(Failure::Poisoned)
    }

    fn sync_file(&mut self, site: &Site) -> Result<(), Poisoned> {
        if !self.is_dirty {
            return Ok(());
        }
        let start = site.clock.now();
        let synced = self.tail.file.sync();
        site.figures
            .synced(site.clock.now().saturating_duration_since(start));
        if let Err(error) = synced {
            let error = StorageError::new(Operation::Sync, &self.tail.path, error);
            return Err(Poisoned::by_sync(error));
        }
        self.is_dirty = false;
        self.tail.synced_through = self.tail.last_sequence;
        Ok(())
    }

    /// Finishes the segment and begins the next.
    fn roll(&mut self, site: &Site) -> Result<(), Failure> {
        self.sync(site)?;
        let tail = &mut self.tail;
        let header = SegmentHeader {
            epoch: tail.header.epoch,
            salt: fastrand::u64(..),
            first_sequence: tail.last_sequence + 1,
            synced_through: tail.synced_through,
            previous_epoch: tail.header.epoch,
            previous_crc: tail.last_crc,
        };
        let begun = {
            let _turn = site.names.lock();
            create_segment(&*site.storage, &site.dir, header)
        };
        let (file, path) = begun.map_err(|not_begun| match not_begun {
            NotBegun::Failed(error) => Failure::Write(error),
            NotBegun::Unsure(error) => Failure::Poisoned(Poisoned::by_sync(error)),
            NotBegun::Left { cause, removal } => {
                Failure::Poisoned(Poisoned::by_cut(cause, removal))
            }
        })?;
        let mut segments = site.segments.lock();
        if let Some(finished) = segments.last_mut() {
            finished.len = tail.len;
            finished.last_sequence = tail.last_sequence;
        }
        segments.push(SegmentInfo {
            header,
            path: path.clone(),
            last_sequence: tail.last_sequence,
            len: SEGMENT_HEADER as u64,
        });
        drop(segments);
        tail.file = file;
        tail.path = path;
        tail.header = header;
        tail.len = SEGMENT_HEADER as u64;
        self.seed = Seed::of(header.salt);
        self.rolled.push(header.first_sequence);
        Ok(())
    }
}
