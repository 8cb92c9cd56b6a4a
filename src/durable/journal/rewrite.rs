//! The segments that an open begins, with the records that are written anew.
//!
//! They get their names when they are whole and synced, the one with the lowest sequences last: with
//! it they supersede what the older epochs hold, and before it they take nothing away.

use super::format::{RecordHeader, SEGMENT_HEADER, Seed, SegmentHeader};
use super::layout::NEW;
use super::tail::{SegmentInfo, Tail, write_whole};
use super::walk::Last;
use super::window::CHUNK;
use crate::durable::storage::{Operation, Storage, StorageError, StorageFile};
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Rewriter<'a> {
    storage: &'a dyn Storage,
    dir: &'a Path,
    epoch: u64,
    /// All that is written here is durable before it has its name.
    synced_through: u64,
    made: Vec<Made>,
    last: Last,
    /// Records that are not in the file yet.
    pending: Vec<u8>,
}

#[derive(Debug)]
struct Made {
    file: Arc<dyn StorageFile>,
    new: PathBuf,
    header: SegmentHeader,
    len: u64,
    last_sequence: u64,
}

impl<'a> Rewriter<'a> {
    pub(super) fn new(
        storage: &'a dyn Storage,
        dir: &'a Path,
        epoch: u64,
        synced_through: u64,
    ) -> Self {
        Self {
            storage,
            dir,
            epoch,
            synced_through,
            made: Vec::new(),
            last: Last::default(),
            pending: Vec::new(),
        }
    }

    pub(super) const fn last(&self) -> Last {
        self.last
    }

    /// The bytes of the segment that is written to; 0 if there is none.
    pub(super) fn len(&self) -> u64 {
        self.made.last().map_or(0, |made| made.len)
    }

    /// Begins the first segment, of an epoch that follows `last`.
    pub(super) fn begin_after(&mut self, last: Last, first: u64) -> Result<(), StorageError> {
        self.last = last;
        self.begin(first)
    }

    /// Begins a segment. Where `first` is not the next sequence, those between are left out for good.
    pub(super) fn begin(&mut self, first: u64) -> Result<(), StorageError> {
        self.finish()?;
        let header = SegmentHeader {
            epoch: self.epoch,
            salt: fastrand::u64(..),
            first_sequence: first,
            synced_through: self.synced_through,
            previous_epoch: self.last.epoch,
            previous_crc: self.last.crc,
        };
        let new = self.dir.join(header.file_name() + NEW);
        let file = self
            .storage
            .create_new(&new)
            .map_err(StorageError::at(Operation::Create, &new))?;
        self.pending.extend_from_slice(&header.encode());
        self.made.push(Made {
            file: Arc::from(file),
            new,
            header,
            len: SEGMENT_HEADER as u64,
            last_sequence: first - 1,
        });
        self.last.sequence = first - 1;
        Ok(())
    }

    /// Writes the next record, whose bytes are those of `record` in an older segment.
    pub(super) fn put(&mut self, header: &RecordHeader, record: &[u8]) -> Result<(), StorageError> {
        let Some(made) = self.made.last_mut() else {
            return Ok(());
        };
        let header = RecordHeader {
            sequence: self.last.sequence + 1,
            synced_through: made.header.first_sequence - 1,
            previous_crc: self.last.crc,
            ..*header
        };
        let at = self.pending.len();
        self.pending.extend_from_slice(record);
        let crc = header.seal(&mut self.pending[at..], Seed::of(made.header.salt));
        made.len += record.len() as u64;
        made.last_sequence = header.sequence;
        self.last = Last {
            sequence: header.sequence,
            crc,
            epoch: self.epoch,
            wall_nanos: self.last.wall_nanos.max(header.wall_nanos),
        };
        if self.pending.len() >= CHUNK {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StorageError> {
        if let Some(made) = self.made.last() {
            write_whole(&*made.file, &self.pending)
                .map_err(StorageError::at(Operation::Append, &made.new))?;
        }
        self.pending.clear();
        // One long record is no reason to keep its room.
        self.pending.shrink_to(2 * CHUNK);
        Ok(())
    }

    fn finish(&mut self) -> Result<(), StorageError> {
        self.flush()?;
        if let Some(made) = self.made.last() {
            made.file
                .sync()
                .map_err(StorageError::at(Operation::Sync, &made.new))?;
        }
        Ok(())
    }

    /// Gives the segments their names; answers them and the end of the last one.
    pub(super) fn publish(&mut self) -> Result<(Vec<SegmentInfo>, Tail), StorageError> {
        self.finish()?;
        for made in self.made.iter().rev() {
            let path = self.dir.join(made.header.file_name());
            self.storage
                .rename(&made.new, &path)
                .map_err(StorageError::at(Operation::Rename, &path))?;
            // Each supersedes all that is older from its first sequence on, so those that hold what
            // comes behind it must be there to stay.
            self.sync_dir()?;
        }
        let segments: Vec<SegmentInfo> = self
            .made
            .iter()
            .map(|made| SegmentInfo {
                header: made.header,
                path: self.dir.join(made.header.file_name()),
                last_sequence: made.last_sequence,
                len: made.len,
            })
            .collect();
        let made = self.made.last().ok_or_else(|| {
            let error = std::io::Error::other("no segment was begun");
            StorageError::new(Operation::Create, self.dir, error)
        })?;
        let tail = Tail {
            file: Arc::clone(&made.file),
            path: self.dir.join(made.header.file_name()),
            header: made.header,
            len: made.len,
            last_sequence: self.last.sequence,
            last_crc: self.last.crc,
            last_wall_nanos: self.last.wall_nanos,
            synced_through: self.last.sequence,
        };
        Ok((segments, tail))
    }

    fn sync_dir(&self) -> Result<(), StorageError> {
        self.storage
            .sync_dir(self.dir)
            .map_err(StorageError::at(Operation::SyncDir, self.dir))
    }

    /// Takes back what was made: the segment that supersedes the others first.
    pub(super) fn take_back(&mut self) {
        for made in self.made.drain(..) {
            let _removed = self.storage.remove(&made.new);
            let _removed = self.storage.remove(&self.dir.join(made.header.file_name()));
        }
        let _synced = self.storage.sync_dir(self.dir);
    }
}
