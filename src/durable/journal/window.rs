//! A file seen through a buffer.

use crate::durable::storage::{Operation, StorageError, StorageFile};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Fits the second-level cache of what is built today, with room for the rest.
pub(super) const CHUNK: usize = 256 * 1_024;

/// A part of a file in memory.
#[derive(Debug)]
pub(super) struct Window {
    file: Arc<dyn StorageFile>,
    path: PathBuf,
    /// The bytes of the file that are looked at; what is appended later is not.
    len: u64,
    buffer: Vec<u8>,
    /// Where the first byte of the buffer is in the file.
    start: u64,
    filled: usize,
}

impl Window {
    /// A window on the first `len` bytes of `file`. `buffer` is of an earlier window, or empty.
    pub(super) fn new(
        file: Arc<dyn StorageFile>,
        path: PathBuf,
        len: u64,
        buffer: Vec<u8>,
    ) -> Self {
        Self {
            file,
            path,
            len,
            buffer,
            start: 0,
            filled: 0,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The buffer, for the next window.
    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }

    /// What is left of the file behind `offset`.
    pub(super) fn left(&self, offset: u64) -> u64 {
        self.len.saturating_sub(offset)
    }

    /// The bytes of the file from `offset` on that are at hand: at least `least` of them, or fewer if
    /// the file ends before. The buffer grows to `least`, so what asks has looked at what is
    /// [`left`](Self::left).
    #[inline]
    pub(super) fn at(&mut self, offset: u64, least: usize) -> Result<&[u8], StorageError> {
        // What is in the buffer is found without a call.
        let into = offset.wrapping_sub(self.start);
        let is_here = into <= self.filled as u64 && self.filled as u64 - into >= least as u64;
        if !is_here {
            self.fill(offset, least)?;
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "it is at most the length of the buffer"
        )]
        let into = (offset - self.start) as usize;
        Ok(&self.buffer[into..self.filled])
    }

    /// Reads on, or anew, so that the buffer begins at `offset`.
    #[cold]
    fn fill(&mut self, offset: u64, least: usize) -> Result<(), StorageError> {
        let into = usize::try_from(offset.wrapping_sub(self.start))
            .ok()
            .filter(|into| *into <= self.filled);
        match into {
            Some(into) => {
                self.buffer.copy_within(into..self.filled, 0);
                self.filled -= into;
            }
            None => self.filled = 0,
        }
        self.start = offset;
        let left = usize::try_from(self.left(offset)).unwrap_or(usize::MAX);
        let room = least.max(CHUNK).min(left);
        if self.buffer.len() < room {
            // Its old contents beyond `filled` are of no use to a new allocation.
            self.buffer.truncate(self.filled);
            self.buffer.resize(room, 0);
        }
        let room = room.max(self.filled);
        while self.filled < room {
            let at = offset + self.filled as u64;
            let read = self
                .file
                .read_at(&mut self.buffer[self.filled..room], at)
                .map_err(StorageError::at(Operation::Read, &self.path))?;
            if read == 0 {
                break;
            }
            self.filled = (self.filled + read).min(room);
            if self.filled >= least.min(room) {
                break;
            }
        }
        Ok(())
    }
}
