//! Why a journal does not take a record, or does not say that it is durable.

use crate::durable::storage::StorageError;
use std::fmt;
use std::sync::Arc;

/// A record was not appended, or what was appended is not durable.
///
/// Cloning it counts a reference: all who wait for one sync get the same error.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum AppendError {
    /// The payload is longer than the journal's `record_limit`. Nothing was appended.
    TooLarge {
        /// Bytes of the payload.
        bytes: usize,
        /// The limit.
        limit: u32,
    },
    /// The storage failed, and the journal is as it was before: nothing of this call is in it. (Of a
    /// `sync`: what it was asked to make durable is still buffered, and the next one tries again.) A
    /// full disk is such a failure: see [`is_full`](Self::is_full).
    Storage(StorageError),
    /// The journal is poisoned for good. Whether the record is in it is known once it is open again.
    Poisoned(Poisoned),
    /// The journal was closed by this or another handle.
    Closed,
    /// All sequences up to `u64::MAX` are given.
    Exhausted,
    /// There is no tokio runtime here, and the asynchronous call needs one. Nothing was appended.
    NoRuntime,
}

/// What a journal died of: it is shared by all who hear of it.
#[derive(Clone, Debug)]
pub struct Poisoned(Arc<Cause>);

#[derive(Debug)]
enum Cause {
    Sync(StorageError),
    Cut {
        write: StorageError,
        cut: StorageError,
    },
    Panicked(String),
}

impl AppendError {
    /// Whether the disk, or the part of it that this user may have, is full: compaction may help.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Storage(error) if error.is_full())
    }

    /// Whether the journal takes nothing more until it is opened again.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Poisoned(_) | Self::Closed | Self::Exhausted)
    }
}

impl Poisoned {
    /// By a sync that failed.
    pub(super) fn by_sync(error: StorageError) -> Self {
        Self(Arc::new(Cause::Sync(error)))
    }

    /// By a write that failed, and whose remains could not be cut off.
    pub(super) fn by_cut(write: StorageError, cut: StorageError) -> Self {
        Self(Arc::new(Cause::Cut { write, cut }))
    }

    /// By a storage that panicked.
    pub(super) fn by_panic(message: &str) -> Self {
        Self(Arc::new(Cause::Panicked(message.to_owned())))
    }

    /// The failed call to the storage; `None` if the storage panicked.
    pub fn storage(&self) -> Option<&StorageError> {
        match &*self.0 {
            Cause::Sync(error) | Cause::Cut { cut: error, .. } => Some(error),
            Cause::Panicked(_) => None,
        }
    }

    /// Whether both are of one poisoning.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Display for Poisoned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Cause::Sync(error) => write!(f, "{error}, so nobody knows what is durable"),
            Cause::Cut { write, cut } => {
                write!(f, "{write}, and what it left could not be cut off: {cut}")
            }
            Cause::Panicked(message) => write!(f, "the storage panicked: {message}"),
        }
    }
}

impl std::error::Error for Poisoned {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.storage().map(|error| error as _)
    }
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { bytes, limit } => write!(
                f,
                "a record of {bytes} bytes is more than the journal takes; the limit is {limit}"
            ),
            Self::Storage(error) => error.fmt(f),
            Self::Poisoned(poisoned) => write!(
                f,
                "the journal is poisoned until it is opened again: {poisoned}"
            ),
            Self::Closed => f.write_str("the journal is closed"),
            Self::Exhausted => f.write_str("the journal has given all sequences"),
            Self::NoRuntime => {
                f.write_str("no tokio runtime here: append inside one, or use the blocking call")
            }
        }
    }
}

impl std::error::Error for AppendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Storage(error) => Some(error),
            Self::Poisoned(poisoned) => Some(poisoned),
            _ => None,
        }
    }
}

impl From<Poisoned> for AppendError {
    fn from(poisoned: Poisoned) -> Self {
        Self::Poisoned(poisoned)
    }
}
