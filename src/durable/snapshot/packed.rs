//! A save in two halves: the state becomes bytes where it is, and the bytes are stored elsewhere.

use super::checkpoint::Checkpoint;
use super::marks::Marks;
use super::store::Saved;
use super::typed::{Checkpoints, SaveError};
use crate::durable::codec::{Codec, State, StateError, check, pack};
use std::fmt;
use std::time::SystemTime;

/// A valid state, encoded, and when.
pub(crate) struct Packed {
    payload: Vec<u8>,
    wall: SystemTime,
}

impl<S: State, C: Codec> Checkpoints<S, C> {
    /// The first half of a save, without the reading back.
    pub(crate) fn pack(&self, state: &S) -> Result<Packed, StateError> {
        let wall = self.clock().wall();
        let payload = pack(state, self.codec(), false)?;
        Ok(Packed { payload, wall })
    }

    /// The second half.
    pub(crate) fn save_packed(
        &self,
        sequence: u64,
        packed: Packed,
        marks: Marks,
    ) -> Result<Saved, SaveError> {
        let start = self.clock().now();
        let Packed { payload, wall } = packed;
        let checkpoint = Checkpoint {
            sequence,
            wall,
            type_name: S::TYPE.to_owned(),
            version: S::VERSION,
            codec: self.codec().name().to_owned(),
            digest: None,
            payload,
        };
        if self.reads_back() {
            check::<S, C>(&checkpoint.envelope(), self.codec()).map_err(SaveError::State)?;
        }
        self.store_checkpoint(&checkpoint, marks, start)
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packed")
            .field("bytes", &self.payload.len())
            .field("wall", &self.wall)
            .finish()
    }
}
