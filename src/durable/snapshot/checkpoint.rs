//! A checkpoint, and what a store says about those it has.

use super::marks::Marks;
use crate::durable::codec::{Envelope, EnvelopeError, StateError};
use std::fmt;
use std::time::SystemTime;

/// A state at one sequence, encoded.
///
/// [`Checkpoints`](super::Checkpoints) makes them out of values; a store keeps them as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The last sequence whose effect is in the state; 1 or more.
    pub sequence: u64,
    /// When it was taken. Stores keep whole nanoseconds from 1970 to 2554.
    pub wall: SystemTime,
    /// What type the state is of, by a name that stays: 1 to 255 bytes.
    pub type_name: String,
    /// The version of that type's form.
    pub version: u32,
    /// The codec that made the payload: 1 to 255 bytes.
    pub codec: String,
    /// A digest of the state, to compare what a replay comes to.
    pub digest: Option<u64>,
    /// The encoded state.
    pub payload: Vec<u8>,
}

impl Checkpoint {
    /// The form that is stored.
    pub fn envelope(&self) -> Envelope<'_> {
        Envelope {
            sequence: self.sequence,
            wall: self.wall,
            type_name: &self.type_name,
            version: self.version,
            codec: &self.codec,
            digest: self.digest,
            payload: &self.payload,
        }
    }
}

impl From<Envelope<'_>> for Checkpoint {
    fn from(envelope: Envelope<'_>) -> Self {
        Self {
            sequence: envelope.sequence,
            wall: envelope.wall,
            type_name: envelope.type_name.to_owned(),
            version: envelope.version,
            codec: envelope.codec.to_owned(),
            digest: envelope.digest,
            payload: envelope.payload.to_vec(),
        }
    }
}

/// A checkpoint in a store, without its state.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// Its sequence.
    pub sequence: u64,
    /// What was marked on it.
    pub marks: Marks,
    /// What its envelope says, or why that cannot be trusted. All of it was verified, not only the
    /// front.
    pub about: Result<About, EnvelopeError>,
}

impl Entry {
    /// An entry of a store of your own.
    pub fn new(sequence: u64, marks: Marks, about: Result<About, EnvelopeError>) -> Self {
        Self {
            sequence,
            marks,
            about,
        }
    }

    /// Whether a start may go on from it, as far as the store can tell: sound and not suspect.
    pub fn is_good(&self) -> bool {
        self.why_not().is_none()
    }

    /// Why it is passed over.
    pub fn why_not(&self) -> Option<Reason> {
        match self.about {
            _ if self.marks.suspect => Some(Reason::Suspect),
            Err(error) => Some(Reason::Damaged(error)),
            Ok(_) => None,
        }
    }
}

/// What the envelope of a checkpoint says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// When it was taken.
    pub wall: SystemTime,
    /// What type the state is of.
    pub type_name: String,
    /// The version of that type's form.
    pub version: u32,
    /// The codec that made the payload.
    pub codec: String,
    /// A digest of the state.
    pub digest: Option<u64>,
    /// Bytes of the payload.
    pub payload_len: u64,
}

impl From<Envelope<'_>> for About {
    fn from(envelope: Envelope<'_>) -> Self {
        Self {
            wall: envelope.wall,
            type_name: envelope.type_name.to_owned(),
            version: envelope.version,
            codec: envelope.codec.to_owned(),
            digest: envelope.digest,
            payload_len: envelope.payload.len() as u64,
        }
    }
}

/// The newest good checkpoint of a key, and what is newer and was passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Latest {
    /// The checkpoint, with its marks; `None` if there is no good one.
    pub checkpoint: Option<(Checkpoint, Marks)>,
    /// Newest first.
    pub passed_over: Vec<PassedOver>,
}

impl Latest {
    /// The answer of a store of your own.
    pub fn new(checkpoint: Option<(Checkpoint, Marks)>, passed_over: Vec<PassedOver>) -> Self {
        Self {
            checkpoint,
            passed_over,
        }
    }

    /// Whether the key has no checkpoint at all, neither good nor bad.
    pub fn is_empty(&self) -> bool {
        self.checkpoint.is_none() && self.passed_over.is_empty()
    }
}

/// A checkpoint that was not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOver {
    /// Its sequence.
    pub sequence: u64,
    /// Why not.
    pub reason: Reason,
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "checkpoint {}: {}", self.sequence, self.reason)
    }
}

/// Why a checkpoint was passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// It is marked as suspect, or nobody knows whether it is: its marks are damaged.
    Suspect,
    /// It is damaged, or of a version of the format that this code does not know.
    Damaged(EnvelopeError),
    /// It is sound, and there is no state in it that this code could go on from.
    State(StateError),
}

impl Reason {
    /// In `snake_case`, as in a label.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Suspect => "suspect",
            Self::Damaged(EnvelopeError::Version(_)) => "unknown_format",
            Self::Damaged(_) => "damaged",
            Self::State(StateError::OtherType { .. }) => "other_type",
            Self::State(StateError::OtherCodec { .. }) => "other_codec",
            Self::State(StateError::UnknownVersion { .. }) => "unknown_version",
            Self::State(StateError::Codec(_)) => "undecodable",
            Self::State(StateError::Invalid(_)) => "invalid",
            Self::State(StateError::Panicked(_)) => "panicked",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Suspect => f.write_str("it is suspect"),
            Self::Damaged(error) => error.fmt(f),
            Self::State(error) => error.fmt(f),
        }
    }
}
