//! Why a journal was not opened.

use super::config::RecoveryMode;
use super::damage::{Damage, Why};
use crate::durable::storage::StorageError;
use crate::kernel::config::ConfigError;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A journal was not opened. It is as it was before, unless the error says otherwise.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// The configuration cannot be.
    Config(ConfigError),
    /// There is no journal, and none was to be begun.
    Absent {
        /// The directory.
        dir: PathBuf,
    },
    /// Another process has it, and did not give it up in time.
    Locked {
        /// The lock's file.
        path: PathBuf,
        /// What the other process says of itself; empty if that cannot be read.
        holder: String,
        /// How long was waited.
        waited: Duration,
    },
    /// The storage failed. If that was in the middle of a repair, the next open goes on with it.
    Storage(StorageError),
    /// Something of a segment's name is no file.
    NotAFile {
        /// Its path.
        path: PathBuf,
    },
    /// A file is sound, and of a version that this code does not know.
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// The journal is damaged in a way that the recovery mode refuses.
    Damaged {
        /// The first place.
        damage: Damage,
        /// How many places there are.
        count: u64,
        /// Why it is refused.
        why: Why,
        /// The mode.
        mode: RecoveryMode,
        /// The last sequence that is known to have been durable.
        watermark: u64,
    },
    /// The low-water mark is damaged, and the recovery mode refuses that, or there is no segment.
    LowWater {
        /// Its file.
        path: PathBuf,
        /// The mode.
        mode: RecoveryMode,
    },
    /// There is a snapshot of records that the journal does not have, or would not have after its
    /// repair.
    SnapshotAhead {
        /// The directory.
        dir: PathBuf,
        /// The last sequence that the snapshot contains.
        snapshot: u64,
        /// The last sequence of the journal.
        last: u64,
    },
    /// The files that a repair would change could not be copied.
    Quarantine {
        /// Where to.
        dir: PathBuf,
        /// The bytes that all the copies take.
        bytes: u64,
        /// What failed.
        source: StorageError,
    },
    /// A file changed while it was read.
    Unstable {
        /// The directory.
        dir: PathBuf,
    },
    /// All epochs or all sequences are used up.
    Exhausted {
        /// The directory.
        dir: PathBuf,
    },
    /// The system gave no thread for the syncs at an interval.
    NoThread(Arc<io::Error>),
    /// There is no tokio runtime here, and the asynchronous open needs one.
    NoRuntime,
}

impl From<StorageError> for OpenError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<ConfigError> for OpenError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Absent { dir } => write!(
                f,
                "there is no journal in {}; if there never was one, open it with `OpenMode::CreateIfMissing`",
                dir.display()
            ),
            Self::Locked {
                path,
                holder,
                waited,
            } => {
                let holder = if holder.is_empty() { "another" } else { holder };
                write!(
                    f,
                    "{} is held by {holder}, after {waited:?} still; end that process, or wait longer",
                    path.display()
                )
            }
            Self::Storage(error) => error.fmt(f),
            Self::NotAFile { path } => write!(
                f,
                "{} bears the name of a segment and is a directory; move it elsewhere",
                path.display()
            ),
            Self::Version { path, version } => write!(
                f,
                "{} is of version {version}, which this release does not know; open it with one that does",
                path.display()
            ),
            Self::Damaged { .. } => self.damaged(f),
            Self::LowWater { path, mode } if mode.repairs_the_mark() => write!(
                f,
                "{} does not verify, and there is no segment that tells which sequences were given; bring the files back",
                path.display()
            ),
            Self::LowWater { path, mode } => write!(
                f,
                "{} does not verify, and the mode {} refuses that; `point_in_time` takes the first record that is there for the first one that should be",
                path.display(),
                mode.name()
            ),
            Self::SnapshotAhead {
                dir,
                snapshot,
                last,
            } => write!(
                f,
                "a snapshot holds records up to {snapshot}, and the journal in {} ends with {last}: it is not the journal of that snapshot, or has lost its end; bring its files back, or give the snapshot up",
                dir.display()
            ),
            Self::Quarantine { dir, bytes, source } => write!(
                f,
                "nothing was repaired: its copies in {} need {bytes} bytes, and {source}; make room, or switch `quarantine` off",
                dir.display()
            ),
            Self::Unstable { dir } => write!(
                f,
                "the journal in {} changed while it was read: another process writes to it, or its disk fails",
                dir.display()
            ),
            Self::Exhausted { dir } => write!(
                f,
                "the journal in {} has used up its epochs or its sequences; begin another",
                dir.display()
            ),
            Self::NoThread(error) => write!(f, "no thread for the syncs at an interval: {error}"),
            Self::NoRuntime => f.write_str(
                "no tokio runtime here: open the journal inside one, or use the blocking call",
            ),
        }
    }
}

impl OpenError {
    fn damaged(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Damaged {
            damage,
            count,
            why,
            mode,
            watermark,
        } = self
        else {
            return Ok(());
        };
        write!(f, "{damage}")?;
        if *count > 1 {
            write!(f, " (the first of {count} places)")?;
        }
        let last = damage.sequence.saturating_sub(1);
        write!(
            f,
            "; the mode {} refuses it: {why} (durable up to {watermark}). \
             Bring the file back from a copy, or open with `point_in_time` to keep the records up to {last}, or `skip_damaged` to keep all that verify",
            mode.name()
        )
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Config(error) => Some(error),
            Self::Storage(error) | Self::Quarantine { source: error, .. } => Some(error),
            Self::NoThread(error) => Some(error),
            _ => None,
        }
    }
}
