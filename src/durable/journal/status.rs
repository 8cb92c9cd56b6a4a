//! How a journal stands.

use super::refusal::Poisoned;

/// A journal at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct JournalStatus {
    /// Whether it takes records.
    pub state: JournalState,
    /// The last sequence that was given to a record; 0: none.
    pub last_sequence: u64,
    /// The last sequence that is in a file, where a kill of the process does not reach it.
    pub written_sequence: u64,
    /// The last sequence that is durable.
    pub durable_sequence: u64,
    /// Of this open of the journal: one more than of any before.
    pub epoch: u64,
    /// Segments, the one that is appended to with them.
    pub segments: usize,
    /// Bytes that were accepted and are in no file.
    pub buffered_bytes: usize,
    /// Why the last write failed, if it did.
    pub write_error: Option<crate::durable::storage::StorageError>,
    /// Whether the disk reserve is there; `false` if there is to be none.
    pub has_reserve: bool,
}

/// Whether a journal takes records.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum JournalState {
    /// It does.
    Open,
    /// It does not until it is opened again: nobody knows what is durable.
    Poisoned(Poisoned),
    /// It was closed.
    Closed,
}
