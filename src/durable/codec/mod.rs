//! Between a state and its bytes.

mod envelope;
mod error;

pub use envelope::{Envelope, EnvelopeError};
pub use error::{CodecError, StateError};
