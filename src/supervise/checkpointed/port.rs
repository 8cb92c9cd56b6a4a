//! What a child asks of its checkpoints, without the codec.

use crate::durable::codec::{Codec, State, StateError};
use crate::durable::snapshot::Marks;
use crate::durable::snapshot::{
    Checkpoints, Entry, Mark, Packed, RestoreError, Restored, SaveError, StoreError,
};

/// The checkpoints of a state, whatever they are encoded by. All calls but `pack` block.
pub(super) trait Port<S>: Send + Sync {
    fn pack(&self, state: &S) -> Result<Packed, StateError>;
    fn save(&self, sequence: u64, packed: Packed, marks: Marks) -> Result<(), SaveError>;
    fn history(&self) -> Result<Vec<Entry>, StoreError>;
    fn load(&self, sequence: u64) -> Result<Option<Restored<S>>, RestoreError>;
    fn mark(&self, sequence: u64, mark: Mark) -> Result<(), StoreError>;
}

impl<S: State, C: Codec> Port<S> for Checkpoints<S, C> {
    fn pack(&self, state: &S) -> Result<Packed, StateError> {
        Self::pack(self, state)
    }

    fn save(&self, sequence: u64, packed: Packed, marks: Marks) -> Result<(), SaveError> {
        self.save_packed(sequence, packed, marks).map(drop)
    }

    fn history(&self) -> Result<Vec<Entry>, StoreError> {
        Self::history(self)
    }

    fn load(&self, sequence: u64) -> Result<Option<Restored<S>>, RestoreError> {
        Self::load(self, sequence)
    }

    fn mark(&self, sequence: u64, mark: Mark) -> Result<(), StoreError> {
        Self::mark(self, sequence, mark).map(drop)
    }
}
