//! Between a state and its bytes.
//!
//! A type that is kept in checkpoints implements [`State`]: its name, its version, how older versions
//! become this one, and what makes a value valid. A [`Codec`] turns values into bytes: [`Postcard`] by
//! default, `Json` with the feature `json`, or one of your own. An [`Envelope`] is what is stored: the
//! bytes, and what is to be known about them before they are decoded.
//!
//! # What to mind
//!
//! * **A name and a version are promises.** The name of a type stays when the Rust type is renamed; its
//!   version is raised with each change that the codec does not bridge. For postcard that is each change
//!   of the fields.
//! * **Bytes are not trusted.** Not their lengths, not their depth, not that they end where the value
//!   does. A codec of your own holds that, too.
//! * **A type's own code may panic**: that is an error here, as long as panics unwind. With
//!   `panic = "abort"` it ends the process, and the strikes that a supervisor counts are what is left.
//!
//! # Rules
//!
#![doc = include_str!("RULES.md")]
#![allow(clippy::doc_markdown, reason = "a rule's id is no identifier")]

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
pub(crate) use state::{check, pack, unpack};
pub use traits::Codec;
