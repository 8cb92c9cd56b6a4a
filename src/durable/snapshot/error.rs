//! What a store says when it cannot do what it was asked.

use crate::durable::codec::EnvelopeError;
use crate::durable::storage::StorageError;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// A store did not do what it was asked. It never means that there is no checkpoint.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// A key is not 1 to 100 of `A-Z a-z 0-9 . _ -`, or begins with a dot.
    Key(String),
    /// There is a good checkpoint that is as new or newer; nothing was stored.
    NotNewer {
        /// The sequence that was to be saved.
        sequence: u64,
        /// That of the newest good checkpoint.
        newest: u64,
    },
    /// A mark for a checkpoint that is not there; nothing was stored.
    NoSuchCheckpoint {
        /// The sequence that was to be marked.
        sequence: u64,
    },
    /// The checkpoint cannot be stored as it is: a sequence of 0, or a name that is empty or too long.
    Unfit(EnvelopeError),
    /// The storage failed.
    Storage(StorageError),
    /// An earlier failure has left unknown what is durable; open the store anew.
    Unsure,
    /// What else is below the store failed.
    Other(Arc<dyn Error + Send + Sync>),
}

impl StoreError {
    /// For stores of your own.
    pub fn other(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Other(error.into().into())
    }

    /// Whether the disk is full.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Storage(error) if error.is_full())
    }
}

impl From<StorageError> for StoreError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(
                f,
                "{key:?} is no key: 1 to 100 of A-Z, a-z, 0-9, '.', '_', '-', and no dot in front"
            ),
            Self::NotNewer { sequence, newest } => write!(
                f,
                "checkpoint {sequence} is not newer than the newest good one, {newest}"
            ),
            Self::NoSuchCheckpoint { sequence } => write!(f, "there is no checkpoint {sequence}"),
            Self::Unfit(error) => write!(f, "the checkpoint cannot be stored: {error}"),
            Self::Storage(error) => error.fmt(f),
            Self::Unsure => f.write_str(
                "an earlier failure has left unknown what is durable; open the store anew",
            ),
            Self::Other(error) => error.fmt(f),
        }
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Storage(error) => Some(error),
            Self::Unfit(error) => Some(error),
            Self::Other(error) => Some(&**error),
            Self::Key(_) | Self::NotNewer { .. } | Self::NoSuchCheckpoint { .. } | Self::Unsure => {
                None
            }
        }
    }
}

/// Why a checkpoint that was asked for by its sequence cannot be had.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum LoadError {
    /// It is there and damaged, or of a version of the format that this code does not know.
    Damaged(EnvelopeError),
    /// The store failed.
    Store(StoreError),
}

impl From<StoreError> for LoadError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<EnvelopeError> for LoadError {
    fn from(error: EnvelopeError) -> Self {
        Self::Damaged(error)
    }
}

impl From<StorageError> for LoadError {
    fn from(error: StorageError) -> Self {
        Self::Store(error.into())
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(error) => write!(f, "the checkpoint is damaged: {error}"),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl Error for LoadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Damaged(error) => Some(error),
            Self::Store(error) => Some(error),
        }
    }
}

/// Refuses what is no key.
pub(super) fn check_key(key: &str) -> Result<(), StoreError> {
    let is_key = (1..=100).contains(&key.len())
        && !key.starts_with('.')
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if is_key {
        return Ok(());
    }
    Err(StoreError::Key(key.chars().take(100).collect()))
}
