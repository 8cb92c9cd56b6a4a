//! What a store of checkpoints does.

use super::checkpoint::{Checkpoint, Entry, Latest, PassedOver, Reason};
use super::error::{LoadError, StoreError};
use super::marks::{Mark, Marks};
use std::fmt;

/// Keeps checkpoints, and what is marked on them, by key.
///
/// All calls block; asynchronous code goes through [`Checkpoints`](super::Checkpoints), or through
/// `spawn_blocking` itself. A key is 1 to 100 of `A-Z a-z 0-9 . _ -` and does not begin with a dot.
/// Keys that differ in case only are different keys.
///
/// **An error is not absence.** A store that cannot be read answers with an error, and never that
/// there is no checkpoint: a start from nothing follows from the latter.
pub trait CheckpointStore: fmt::Debug + Send + Sync + 'static {
    /// Stores a checkpoint. When this returns it is durable, as far as the store is, and then old ones
    /// were removed that are no longer needed to fall back.
    ///
    /// What is as new or newer and *bad* (damaged, suspect) does not hinder it: who went back to an
    /// older checkpoint goes on from there. One that is bad and has the same sequence is replaced.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotNewer`] if a good one is as new or newer; nothing was changed. After any other
    /// error, or a crash, the checkpoint is there whole or not at all, and the good ones before it are
    /// untouched. A bad one of the same sequence may be gone.
    fn save(&self, key: &str, checkpoint: &Checkpoint) -> Result<Saved, StoreError> {
        self.save_marked(key, checkpoint, Marks::none())
    }

    /// The same with marks that are there from the beginning: at no moment, a crash included, is the
    /// checkpoint there without them.
    fn save_marked(
        &self,
        key: &str,
        checkpoint: &Checkpoint,
        marks: Marks,
    ) -> Result<Saved, StoreError>;

    /// All checkpoints of a key, newest first, each of them verified; empty if there is none.
    fn history(&self, key: &str) -> Result<Vec<Entry>, StoreError>;

    /// The checkpoint of that sequence, whatever its marks; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`LoadError::Damaged`] if it is there and not sound.
    fn load(&self, key: &str, sequence: u64) -> Result<Option<Checkpoint>, LoadError>;

    /// Notes something about a checkpoint, sound or not, and answers what is noted now. When this
    /// returns, the note is as durable as a checkpoint is.
    ///
    /// # Errors
    ///
    /// After any error but [`StoreError::NoSuchCheckpoint`] and [`StoreError::Key`], the note may be
    /// there or not.
    fn mark(&self, key: &str, sequence: u64, mark: Mark) -> Result<Marks, StoreError>;

    /// Removes all checkpoints of a key, with their marks: for keys that will not come back.
    fn forget(&self, key: &str) -> Result<(), StoreError>;

    /// The newest good checkpoint, and why newer ones were passed over.
    fn latest(&self, key: &str) -> Result<Latest, StoreError> {
        let mut passed_over = Vec::new();
        for entry in self.history(key)? {
            let sequence = entry.sequence;
            let reason = match entry.why_not() {
                Some(reason) => reason,
                None => match self.load(key, sequence) {
                    Ok(Some(checkpoint)) => {
                        let checkpoint = Some((checkpoint, entry.marks));
                        return Ok(Latest::new(checkpoint, passed_over));
                    }
                    // Another handle has removed it since.
                    Ok(None) => continue,
                    Err(LoadError::Damaged(error)) => Reason::Damaged(error),
                    Err(LoadError::Store(error)) => return Err(error),
                },
            };
            passed_over.push(PassedOver { sequence, reason });
        }
        Ok(Latest::new(None, passed_over))
    }

    /// The sequence of the oldest good checkpoint: a log may be compacted through it, and no
    /// further, or a fall back to that checkpoint misses events. `None`: nothing may be compacted.
    fn oldest_retained(&self, key: &str) -> Result<Option<u64>, StoreError> {
        let history = self.history(key)?;
        let oldest = history.iter().rev().find(|entry| entry.is_good());
        Ok(oldest.map(|entry| entry.sequence))
    }
}

/// A checkpoint was saved.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Saved {
    /// The sequences of older ones that were removed, newest first.
    pub removed: Vec<u64>,
    /// Why older ones are still there that were to be removed. The next save tries again.
    pub leftover: Option<StoreError>,
}

impl Saved {
    /// The answer of a store of your own.
    pub fn new(removed: Vec<u64>, leftover: Option<StoreError>) -> Self {
        Self { removed, leftover }
    }
}
