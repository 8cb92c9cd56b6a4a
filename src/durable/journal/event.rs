//! What a journal tells the world.

use super::refusal::Poisoned;
use crate::durable::storage::StorageError;
use crate::kernel::instant::Instant;

/// One fact about a journal.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct JournalEvent {
    /// Counts the facts of this journal, from 1: a gap tells a subscriber that it lost some.
    pub seq: u64,
    /// When, on the journal's clock.
    pub at: Instant,
    /// What.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum EventKind {
    /// A segment was finished, and another one begun.
    Rolled {
        /// The first sequence that goes into the new one.
        first_sequence: u64,
    },
    /// Old segments were removed.
    Compacted {
        /// The last sequence of what was removed.
        through: u64,
        /// How many segments.
        segments: u64,
        /// How many bytes.
        bytes: u64,
    },
    /// A write failed, after writes that did not: the disk is full, or broken. Told once, until a
    /// write succeeds.
    WriteFailed {
        /// What the storage said.
        error: StorageError,
    },
    /// A write succeeded, after some that failed.
    WritesAgain,
    /// The journal is poisoned.
    Poisoned {
        /// By what.
        poisoned: Poisoned,
    },
    /// The disk reserve was given back, so that there is room for a compaction.
    ReserveGivenBack,
    /// The disk reserve is there again.
    ReserveTaken,
    /// The journal was closed.
    Closed,
}
