//! Between a state and its bytes.

mod bounded;
mod envelope;
mod error;
#[cfg(feature = "json")]
mod json;
mod postcard;
mod state;
mod traits;

pub use envelope::{Envelope, EnvelopeError};
#[allow(unused_imports, reason = "for stores that read in pieces")]
pub(crate) use envelope::{HEADER, Header, TRAILER};
pub use error::{CodecError, StateError};
#[cfg(feature = "json")]
#[cfg_attr(docsrs, doc(cfg(feature = "json")))]
pub use json::Json;
pub use postcard::Postcard;
pub use state::State;
#[allow(unused_imports, reason = "for what keeps states")]
pub(crate) use state::{pack, unpack};
pub use traits::Codec;
