//! A failed call to a storage, with what was asked of which file.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A storage failed: what was asked, of which path, and what it said.
///
/// Cloning it counts a reference: all who wait for one sync get the same error.
#[derive(Clone, Debug)]
pub struct StorageError {
    operation: Operation,
    path: PathBuf,
    source: Arc<io::Error>,
}

/// What was asked of a storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Opening a file.
    Open,
    /// Creating a file.
    Create,
    /// Reading from a file, or asking for its length.
    Read,
    /// Writing at the end of a file.
    Append,
    /// Making a file's bytes durable.
    Sync,
    /// Cutting a file.
    Truncate,
    /// Setting room on the disk aside.
    Reserve,
    /// Renaming a file.
    Rename,
    /// Removing a file.
    Remove,
    /// Reading a directory.
    List,
    /// Creating a directory.
    CreateDir,
    /// Making the names in a directory durable.
    SyncDir,
    /// Taking a lock.
    Lock,
}

impl Operation {
    /// In `snake_case`, as in a label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Create => "create",
            Self::Read => "read",
            Self::Append => "append",
            Self::Sync => "sync",
            Self::Truncate => "truncate",
            Self::Reserve => "reserve",
            Self::Rename => "rename",
            Self::Remove => "remove",
            Self::List => "list",
            Self::CreateDir => "create_dir",
            Self::SyncDir => "sync_dir",
            Self::Lock => "lock",
        }
    }

    /// Whether a failure of it leaves unknown what is durable.
    pub const fn is_sync(self) -> bool {
        matches!(self, Self::Sync | Self::SyncDir)
    }
}

impl StorageError {
    /// `source` came of `operation` on `path`.
    pub fn new(operation: Operation, path: impl AsRef<Path>, source: io::Error) -> Self {
        Self {
            operation,
            path: path.as_ref().to_owned(),
            source: Arc::new(source),
        }
    }

    /// For `map_err`: adds operation and path to what a storage said.
    pub(crate) fn at(operation: Operation, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::new(operation, path, source)
    }

    /// What was asked.
    pub const fn operation(&self) -> Operation {
        self.operation
    }

    /// Of which file or directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What kind of failure it was.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }

    /// Whether the disk, or the part of it that this user may have, is full.
    pub fn is_full(&self) -> bool {
        matches!(
            self.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operation = self.operation.name();
        write!(
            f,
            "{operation} of {} failed: {}",
            self.path.display(),
            self.source
        )
    }
}

impl std::error::Error for StorageError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.source)
    }
}
