//! Removing old segments.

use super::engine::{Core, Engine};
use super::event::EventKind;
use super::low_water::{self, LowWater};
use super::refusal::{AppendError, Poisoned};
use super::tail::SegmentInfo;
use crate::durable::storage::{Operation, StorageError};
use crate::kernel::sync::Ordering;
use std::fmt;
use std::io::ErrorKind;

/// What a compaction has removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compaction {
    /// How many segments.
    pub segments: u64,
    /// How many bytes.
    pub bytes: u64,
    /// The last sequence that was removed; 0 if nothing was.
    pub through: u64,
}

/// Why a compaction has not removed all it could.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CompactError {
    /// The storage failed. What was removed by then is gone, and the next compaction goes on from
    /// there; nothing that is still needed is touched.
    Storage(StorageError),
    /// Another compaction is running.
    Running,
    /// The journal is poisoned.
    Poisoned(Poisoned),
    /// The journal is closed.
    Closed,
    /// The asynchronous call needs a tokio runtime, and there is none here, or it is shut down.
    NoRuntime,
}

/// One compaction at a time.
struct Turn<'a>(&'a Engine);

impl<'a> Turn<'a> {
    fn take(engine: &'a Engine) -> Option<Self> {
        let before = engine.is_compacting.swap(true, Ordering::Acquire);
        (!before).then_some(Self(engine))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.is_compacting.store(false, Ordering::Release);
    }
}

impl Core {
    pub(super) fn compact(&self, through: u64) -> Result<Compaction, CompactError> {
        let _turn = Turn::take(self).ok_or(CompactError::Running)?;
        // If the journal is closed or poisoned meanwhile, nobody else may have the directory yet.
        let _lock = {
            let queue = self.queue.lock();
            match queue.refusal() {
                Some(AppendError::Poisoned(cause)) => {
                    return Err(CompactError::Poisoned(cause.clone()));
                }
                Some(AppendError::Closed) => return Err(CompactError::Closed),
                _ => queue.share_lock(),
            }
        };
        let (victims, end) = self.site.removable(through);
        let mut done = Compaction::default();
        if victims.is_empty() {
            return Ok(done);
        }
        self.mark(end)?;
        let removed = self.remove(&victims, &mut done);
        if done.segments > 0 {
            self.announce([EventKind::Compacted {
                through: done.through,
                segments: done.segments,
                bytes: done.bytes,
            }]);
        }
        removed?;
        self.take_reserve();
        Ok(done)
    }

    /// Makes the mark durable; on a full disk, in the room of the reserve.
    fn mark(&self, sequence: u64) -> Result<(), StorageError> {
        let (storage, dir) = (&*self.site.storage, &*self.site.dir);
        // A mark never goes back.
        let sequence = match low_water::read(storage, dir)? {
            LowWater::At(before) => before.max(sequence),
            _ => sequence,
        };
        let write = || {
            let _turn = self.site.names.lock();
            low_water::write(storage, dir, sequence)
        };
        match write() {
            Err(error) if error.is_full() && self.reserve.give_back(storage, dir)? => {
                self.announce([EventKind::ReserveGivenBack]);
                let marked = write();
                if marked.is_err() {
                    self.take_reserve();
                }
                marked
            }
            marked => marked,
        }
    }

    /// The oldest first, and each durably before the next, so that what is left has no gap, whatever a
    /// crash brings back.
    fn remove(&self, victims: &[SegmentInfo], done: &mut Compaction) -> Result<(), StorageError> {
        let (storage, dir) = (&*self.site.storage, &*self.site.dir);
        for victim in victims {
            // If a crash brings it back, the mark says that it is not needed.
            let _turn = self.site.names.lock();
            match storage.remove(&victim.path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(StorageError::new(Operation::Remove, &victim.path, error));
                }
                Ok(()) | Err(_) => {}
            }
            self.site.forget(&victim.path);
            done.segments += 1;
            done.bytes = done.bytes.saturating_add(victim.len);
            done.through = victim.last_sequence;
            storage
                .sync_dir(dir)
                .map_err(StorageError::at(Operation::SyncDir, dir))?;
        }
        Ok(())
    }

    /// Sets the reserve aside if it is not. Without it the journal works, until the disk is full.
    pub(super) fn take_reserve(&self) {
        let taken = self.reserve.take(&*self.site.storage, &self.site.dir);
        if let Ok(true) = taken {
            self.announce([EventKind::ReserveTaken]);
        }
    }

    fn announce(&self, kinds: impl IntoIterator<Item = EventKind>) {
        let mut queue = self.queue.lock();
        let told = self.tell(&mut queue, kinds);
        drop(queue);
        if let Some(told) = told {
            told.run();
        }
    }
}

impl fmt::Display for CompactError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Storage(error) => error.fmt(f),
            Self::Running => f.write_str("another compaction is running"),
            Self::Poisoned(cause) => write!(
                f,
                "the journal is poisoned until it is opened again: {cause}"
            ),
            Self::Closed => f.write_str("the journal is closed"),
            Self::NoRuntime => {
                f.write_str("no tokio runtime here: compact inside one, or use the blocking call")
            }
        }
    }
}

impl std::error::Error for CompactError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Storage(error) => Some(error),
            Self::Poisoned(cause) => Some(cause),
            _ => None,
        }
    }
}

impl From<StorageError> for CompactError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}
