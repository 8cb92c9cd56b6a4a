//! A little of the disk, set aside so that a compaction can run when it is full.

use crate::durable::storage::{Operation, Storage, StorageError};
use crate::kernel::sync::{AtomicBool, Ordering};
use std::io::ErrorKind;
use std::path::Path;

/// The name of the file in the journal's directory.
pub(super) const RESERVE: &str = "reserve";

#[derive(Debug)]
pub(super) struct Reserve {
    bytes: u64,
    is_there: AtomicBool,
}

impl Reserve {
    pub(super) fn new(bytes: u64) -> Self {
        Self {
            bytes,
            is_there: AtomicBool::new(false),
        }
    }

    pub(super) fn is_there(&self) -> bool {
        self.is_there.load(Ordering::Relaxed)
    }

    /// Sets it aside, unless it is there; answers whether that is news. What fails leaves nothing.
    pub(super) fn take(&self, storage: &dyn Storage, dir: &Path) -> Result<bool, StorageError> {
        if self.bytes == 0 || self.is_there() {
            return Ok(false);
        }
        let path = dir.join(RESERVE);
        match storage.open(&path) {
            Ok(file) => file.reserve(self.bytes),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let file = storage
                    .create_new(&path)
                    .map_err(StorageError::at(Operation::Create, &path))?;
                let reserved = file.reserve(self.bytes);
                if reserved.is_err() {
                    drop(file);
                    let _ = storage.remove(&path);
                }
                reserved
            }
            Err(error) => return Err(StorageError::new(Operation::Open, &path, error)),
        }
        .map_err(StorageError::at(Operation::Reserve, &path))?;
        self.is_there.store(true, Ordering::Relaxed);
        Ok(true)
    }

    /// Gives it back; `false` if there was none.
    pub(super) fn give_back(
        &self,
        storage: &dyn Storage,
        dir: &Path,
    ) -> Result<bool, StorageError> {
        if !self.is_there() {
            return Ok(false);
        }
        let path = dir.join(RESERVE);
        let removed = storage.remove(&path);
        if let Err(error) = &removed {
            if error.kind() == ErrorKind::NotFound {
                // Somebody who needed room has removed it by hand.
                self.is_there.store(false, Ordering::Relaxed);
                return Ok(false);
            }
        }
        removed.map_err(StorageError::at(Operation::Remove, &path))?;
        self.is_there.store(false, Ordering::Relaxed);
        Ok(true)
    }
}
