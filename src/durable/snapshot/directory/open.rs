//! Taking a directory into use.

use super::names::Listing;
use crate::durable::storage::{LockError, Operation, Storage, StorageError, StorageLock};
use crate::kernel::clock::Clock;
use crate::kernel::config::ConfigError;
use std::error::Error;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often a lock that is taken is asked for again.
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// A directory was not opened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum DirectoryError {
    /// The configuration cannot be.
    Config(ConfigError),
    /// The directory is in use, and was until the wait was over.
    InUse {
        /// The directory.
        dir: PathBuf,
        /// By whom; empty if that is not known.
        holder: String,
    },
    /// The storage failed; or the directory is not there, and is not to be created.
    Storage(StorageError),
}

impl From<ConfigError> for DirectoryError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<StorageError> for DirectoryError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl fmt::Display for DirectoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::InUse { dir, holder } if holder.is_empty() => {
                write!(f, "{} is in use by another", dir.display())
            }
            Self::InUse { dir, holder } => write!(f, "{} is in use by {holder}", dir.display()),
            Self::Storage(error) => error.fmt(f),
        }
    }
}

impl Error for DirectoryError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Config(error) => Some(error),
            Self::InUse { .. } => None,
            Self::Storage(error) => Some(error),
        }
    }
}

/// Makes sure that the directory is there, and that its name is durable.
pub(super) fn enter(storage: &dyn Storage, dir: &Path, create: bool) -> Result<(), StorageError> {
    match storage.list(dir) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound && create => {
            let created = storage.create_dir(dir);
            created.map_err(StorageError::at(Operation::CreateDir, dir))?;
        }
        Err(error) => return Err(StorageError::new(Operation::List, dir, error)),
    }
    // Also if it was there: the process that created it may have gone before it did this.
    let Some(parent) = dir.parent() else {
        return Ok(());
    };
    match storage.sync_dir(parent) {
        // Then it is somebody else's, and was not created by this code.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
        synced => synced.map_err(StorageError::at(Operation::SyncDir, parent)),
    }
}

/// Takes the lock of the directory, waiting for it as long as told.
pub(super) fn lock(
    storage: &dyn Storage,
    dir: &Path,
    wait: Duration,
    clock: &Clock,
) -> Result<Box<dyn StorageLock>, DirectoryError> {
    let path = dir.join("lock");
    let me = format!("process {}", std::process::id());
    let deadline = clock.now() + wait;
    loop {
        match storage.lock(&path, &me) {
            Ok(lock) => return Ok(lock),
            Err(LockError::Io(error)) => {
                return Err(StorageError::new(Operation::Lock, &path, error).into());
            }
            Err(LockError::Held { holder }) => {
                let now = clock.now();
                if now >= deadline {
                    let dir = dir.to_owned();
                    return Err(DirectoryError::InUse { dir, holder });
                }
                clock.park_until(deadline.min(now + LOCK_PAUSE));
            }
        }
    }
}

/// What is in the directory, all of it durable, and without what crashed saves have left.
pub(super) fn take_over(storage: &dyn Storage, dir: &Path) -> Result<Listing, StorageError> {
    // A checkpoint may have its name since the moment before a crash. Before anybody builds on it (a
    // log is compacted, say), the name must be durable.
    let synced = storage.sync_dir(dir);
    synced.map_err(StorageError::at(Operation::SyncDir, dir))?;
    let entries = storage.list(dir);
    let mut listing = Listing::of(entries.map_err(StorageError::at(Operation::List, dir))?);
    for name in listing.temporary.drain(..) {
        // If it stays, the next save of that name removes it, or says why it cannot.
        let _left = storage.remove(&dir.join(name));
    }
    for (key, stock) in &mut listing.stocks {
        stock.retain(|&sequence, files| {
            files.checkpoint
                || storage
                    .remove(&dir.join(super::names::marks(key, sequence)))
                    .is_err()
        });
    }
    listing.stocks.retain(|_, stock| !stock.is_empty());
    Ok(listing)
}
