//! Open files and locks of a `FaultyStorage`.

use super::state::Asked;
use super::storage::FaultyStorage;
use crate::durable::storage::error::Operation;
use crate::durable::storage::traits::{StorageFile, StorageLock};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

pub(super) struct FaultyFile {
    storage: FaultyStorage,
    file: usize,
    path: PathBuf,
}

impl FaultyFile {
    /// One that was counted as open.
    pub(super) fn new(storage: FaultyStorage, file: usize, path: &Path) -> Self {
        let path = path.to_owned();
        Self {
            storage,
            file,
            path,
        }
    }

    fn asked(&self, operation: Operation) -> Asked<'_> {
        Asked {
            file: Some(self.file),
            ..Asked::of(operation, &self.path)
        }
    }
}

impl fmt::Debug for FaultyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyFile")
            .field("path", &self.path)
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

impl StorageFile for FaultyFile {
    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        self.storage
            .call(self.asked(Operation::Append), |core, call, plan| {
                call.offset = core.disk.files[self.file].len();
                if !plan.acts {
                    return Ok(0);
                }
                let limit = bytes.len().min(plan.limit);
                let written = core.append(self.file, &bytes[..limit])?;
                call.bytes = written as u64;
                Ok(written)
            })
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let asked = Asked {
            offset,
            ..self.asked(Operation::Read)
        };
        self.storage.call(asked, |core, call, plan| {
            if !plan.acts {
                return Ok(0);
            }
            // At least one byte: none would say that the file ends here.
            let limit = into.len().min(plan.limit.max(1));
            let read = core.disk.files[self.file].read_at(&mut into[..limit], offset);
            call.bytes = read as u64;
            Ok(read)
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.storage.plain(self.asked(Operation::Read), |core, _| {
            Ok(core.disk.files[self.file].len())
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.storage
            .call(self.asked(Operation::Sync), |core, _, plan| {
                core.sync(self.file, plan);
                Ok(())
            })
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let asked = Asked {
            offset: len,
            ..self.asked(Operation::Truncate)
        };
        self.storage.plain(asked, |core, _| {
            if len < core.disk.files[self.file].len() {
                core.disk.file(self.file).truncate(len);
            }
            Ok(())
        })
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        self.storage
            .plain(self.asked(Operation::Reserve), |core, call| {
                core.reserve(self.file, bytes)?;
                call.bytes = bytes;
                Ok(())
            })
    }
}

impl Drop for FaultyFile {
    fn drop(&mut self) {
        self.storage.with(|core| core.closed(self.file));
    }
}

pub(super) struct FaultyLock {
    storage: FaultyStorage,
    path: PathBuf,
}

impl FaultyLock {
    /// One that was taken.
    pub(super) fn new(storage: FaultyStorage, path: PathBuf) -> Self {
        Self { storage, path }
    }
}

impl fmt::Debug for FaultyLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyLock")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl StorageLock for FaultyLock {}

impl Drop for FaultyLock {
    fn drop(&mut self) {
        self.storage.with(|core| core.locked.remove(&self.path));
    }
}
