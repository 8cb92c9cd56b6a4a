//! Checkpoints in a directory.

mod config;
mod files;
mod names;
mod open;
mod stock;

pub use config::DirectoryConfig;
pub use open::DirectoryError;

use super::checkpoint::{Checkpoint, Entry, Latest, PassedOver, Reason};
use super::error::{LoadError, StoreError, check_key};
use super::marks::{Mark, Marks};
use super::store::{CheckpointStore, Saved};
use crate::durable::storage::{Storage, StorageLock};
use crate::kernel::clock::Clock;
use crate::kernel::sync::{AtomicBool, Mutex};
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use stock::Key;

/// Keys share so many locks: saves of keys that meet in one of them wait for each other.
const LOCKS: usize = 16;

/// Checkpoints in a directory of a [`Storage`], a file each.
///
/// ```
/// use backstop::durable::snapshot::{CheckpointStore, DirectoryConfig, DirectoryStore};
/// use backstop::durable::storage::FsStorage;
/// use std::sync::Arc;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let temporary = tempfile::tempdir()?;
/// # let dir = temporary.path().join("checkpoints");
/// let store = DirectoryStore::open(Arc::new(FsStorage), &dir, DirectoryConfig::default())?;
/// assert!(store.latest("ledger")?.is_empty());
/// # Ok(())
/// # }
/// ```
///
/// **A save** writes a temporary file, syncs it, renames it and syncs the directory; so a crash at any
/// point leaves the checkpoint whole or not at all, and the others as they were. **Marks** are in a
/// file of 32 bytes beside the checkpoint, which is replaced in the same way: a mark is two syncs.
/// Whatever is there when the directory is opened is made durable first, and what a crashed save has
/// left is removed.
///
/// **One at a time.** The directory is locked while a store, or a clone of it, is there. Clones share
/// everything. The store remembers which files there are, and nobody else is to change them meanwhile;
/// what is in them is read anew, and verified, each time.
///
/// **A full disk** fails the save that met it. There must be room for one checkpoint more than are
/// kept, because old ones are removed when the new one is durable.
///
/// **Removing an old checkpoint** is preceded by reading those that are to be kept, because nothing is
/// removed on the word of a damaged one. So a save reads what it keeps, in pieces of 64 KiB.
///
/// After a directory could not be synced, nothing of it is removed until it is opened anew: nobody
/// knows which names are durable then.
#[derive(Clone)]
pub struct DirectoryStore(Arc<Inner>);

struct Inner {
    storage: Arc<dyn Storage>,
    dir: PathBuf,
    keep: usize,
    /// What is there. A key that is not in it has nothing; one of which that is not known has `None`.
    stocks: Mutex<HashMap<String, Option<names::Stock>>>,
    locks: [Mutex<()>; LOCKS],
    hasher: RandomState,
    /// Held over a change of names and the sync that makes it durable: a sync that fails has lost the
    /// changes of others, too, and theirs must not report success over it.
    changes: Mutex<()>,
    /// A sync of the directory has failed.
    is_unsure: AtomicBool,
    #[expect(dead_code, reason = "held, not used")]
    lock: Box<dyn StorageLock>,
}

impl DirectoryStore {
    /// Opens a directory, which is created if it is not there and [`DirectoryConfig::create`] allows
    /// that; its parent must be there.
    ///
    /// # Errors
    ///
    /// A configuration that cannot be, a directory that another process uses, and whatever the storage
    /// says. A directory that cannot be read is an error, and not an empty one.
    pub fn open(
        storage: Arc<dyn Storage>,
        dir: impl AsRef<Path>,
        config: DirectoryConfig,
    ) -> Result<Self, DirectoryError> {
        Self::open_with_clock(storage, dir, config, Clock::default())
    }

    /// The same by a clock of your own, which the wait for the lock is counted by.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_with_clock(
        storage: Arc<dyn Storage>,
        dir: impl AsRef<Path>,
        config: DirectoryConfig,
        clock: impl Into<Clock>,
    ) -> Result<Self, DirectoryError> {
        config.check()?;
        let (dir, clock) = (dir.as_ref().to_owned(), clock.into());
        open::enter(&*storage, &dir, config.create)?;
        let lock = open::lock(&*storage, &dir, config.lock_wait, &clock)?;
        let listing = open::take_over(&*storage, &dir)?;
        let known = |(key, stock)| (key, Some(stock));
        Ok(Self(Arc::new(Inner {
            storage,
            dir,
            keep: config.keep,
            stocks: Mutex::new(listing.stocks.into_iter().map(known).collect()),
            locks: std::array::from_fn(|_| Mutex::new(())),
            hasher: RandomState::new(),
            changes: Mutex::new(()),
            is_unsure: AtomicBool::new(false),
            lock,
        })))
    }

    /// Runs `with` while nobody else does anything with that key.
    fn with<T, E: From<StoreError>>(
        &self,
        key: &str,
        with: impl FnOnce(Key<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        check_key(key)?;
        let inner = &*self.0;
        let nth = usize::try_from(inner.hasher.hash_one(key)).unwrap_or(usize::MAX) % LOCKS;
        let _turn = inner.locks[nth].lock();
        with(Key { inner, key })
    }
}

impl fmt::Debug for DirectoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectoryStore")
            .field("dir", &self.0.dir)
            .field("keep", &self.0.keep)
            .finish_non_exhaustive()
    }
}

impl CheckpointStore for DirectoryStore {
    fn save_marked(
        &self,
        key: &str,
        checkpoint: &Checkpoint,
        marks: Marks,
    ) -> Result<Saved, StoreError> {
        self.with(key, |key| key.save(checkpoint, marks))
    }

    fn history(&self, key: &str) -> Result<Vec<Entry>, StoreError> {
        self.with(key, |key| {
            let mut history = Vec::new();
            for (&sequence, files) in key.stock()?.iter().rev() {
                if !files.checkpoint {
                    continue;
                }
                let marks = key.marks(sequence, *files)?;
                if let Some(about) = key.verify(sequence)? {
                    history.push(Entry::new(sequence, marks, about));
                }
            }
            Ok(history)
        })
    }

    fn load(&self, key: &str, sequence: u64) -> Result<Option<Checkpoint>, LoadError> {
        self.with(key, |key| match key.read(sequence)? {
            Some(checkpoint) => Ok(Some(checkpoint?)),
            None => Ok(None),
        })
    }

    fn mark(&self, key: &str, sequence: u64, mark: Mark) -> Result<Marks, StoreError> {
        self.with(key, |key| key.mark(sequence, mark))
    }

    fn forget(&self, key: &str) -> Result<(), StoreError> {
        self.with(key, |key| key.forget())
    }

    fn latest(&self, key: &str) -> Result<Latest, StoreError> {
        self.with(key, |key| {
            let mut passed_over = Vec::new();
            for (&sequence, files) in key.stock()?.iter().rev() {
                if !files.checkpoint {
                    continue;
                }
                let marks = key.marks(sequence, *files)?;
                let reason = if marks.suspect {
                    Reason::Suspect
                } else {
                    match key.read(sequence)? {
                        Some(Ok(checkpoint)) => {
                            return Ok(Latest::new(Some((checkpoint, marks)), passed_over));
                        }
                        Some(Err(error)) => Reason::Damaged(error),
                        None => continue,
                    }
                };
                passed_over.push(PassedOver { sequence, reason });
            }
            Ok(Latest::new(None, passed_over))
        })
    }
}
