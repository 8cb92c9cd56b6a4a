//! What the durable rooms ask of a file system.

use std::fmt;
use std::io;
use std::path::Path;

/// A file system, or what stands for one.
///
/// All calls block. Paths are handed on as they are; what a store needs is files in one directory
/// and directories one level below it. New files and directories are for their owner only, where the
/// system knows owners.
///
/// Nothing is durable before it is synced: the bytes of a file by [`StorageFile::sync`], its name (that
/// it was created, renamed or removed) by [`sync_dir`](Self::sync_dir) of the directory it is in.
pub trait Storage: fmt::Debug + Send + Sync + 'static {
    /// Opens a file that exists, to read and to append.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is none.
    fn open(&self, path: &Path) -> io::Result<Box<dyn StorageFile>>;

    /// Creates a file, to read and to append.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if there is one: a file is never overwritten.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn StorageFile>>;

    /// Gives a file another name; a file of that name is replaced in one step.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// What is in a directory, in the order of the names.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such directory. An entry that cannot be looked at is an error, too:
    /// what cannot be read is never taken for what is not there.
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>>;

    /// Creates a directory.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if there is something of that name, `NotFound` if its parent is not there.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Makes durable which names are in a directory. Where the system cannot do that (Windows), it
    /// does nothing.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes the lock of that path for this process, without waiting, and leaves `holder` in the file
    /// for those who find it taken. The file is created if need be, and stays. The lock ends when
    /// what is returned is dropped, and with the process.
    fn lock(&self, path: &Path, holder: &str) -> Result<Box<dyn StorageLock>, LockError>;
}

/// An open file of a [`Storage`].
///
/// Reads may run beside each other and beside an append; appends and cuts are made by one thread at
/// a time.
#[expect(
    clippy::len_without_is_empty,
    reason = "the length is asked of the file system, which may fail"
)]
pub trait StorageFile: fmt::Debug + Send + Sync {
    /// Writes at the end of the file; answers how many bytes were written, which may be fewer than
    /// were given.
    fn append(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Reads from `offset` on; answers how many bytes were read, which may be fewer than there is
    /// room for, and is 0 at and behind the end only.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;

    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Makes the file's bytes and its length durable. After an error nobody knows which of them are,
    /// and trying again does not tell: systems report a failed write-back once.
    fn sync(&self) -> io::Result<()>;

    /// Cuts the file to `len` bytes; it is never made longer.
    fn truncate(&self, len: u64) -> io::Result<()>;

    /// Takes so many bytes of the disk for this file, which may grow to that length.
    fn reserve(&self, bytes: u64) -> io::Result<()>;
}

/// A lock of [`Storage::lock`]; dropping it gives it back.
pub trait StorageLock: fmt::Debug + Send + Sync {}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct DirEntry {
    /// The name, without the directory; what is not Unicode is replaced, and so names no file here.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// The length of a file in bytes; 0 for a directory.
    pub len: u64,
}

impl DirEntry {
    /// A file of that name and length.
    pub fn file(name: impl Into<String>, len: u64) -> Self {
        Self {
            name: name.into(),
            is_dir: false,
            len,
        }
    }

    /// A directory of that name.
    pub fn dir(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            is_dir: true,
            len: 0,
        }
    }
}

/// Why a lock was not taken.
#[derive(Debug)]
#[non_exhaustive]
pub enum LockError {
    /// Another holder has it.
    Held {
        /// What it left for those who find it so; empty if that cannot be read.
        holder: String,
    },
    /// The file system failed.
    Io(io::Error),
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held { holder } if holder.is_empty() => f.write_str("it is held by another"),
            Self::Held { holder } => write!(f, "it is held by {holder}"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for LockError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Held { .. } => None,
            Self::Io(error) => Some(error),
        }
    }
}
