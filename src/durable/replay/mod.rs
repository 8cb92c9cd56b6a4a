//! Replay: the state of a stream as it was at a point in time.
//!
//! # Rules
//!
#![doc = include_str!("RULES.md")]
#![allow(clippy::doc_markdown, reason = "a rule's id is no identifier")]

mod config;
mod digest;
mod error;
mod events;
mod guard;
mod handle;
mod journal;
mod machine;
mod memory;
mod report;
mod start;
mod state;
mod target;

pub use config::{OnGap, OnRejected, OnUndecodable, ReplayConfig};
pub use digest::{Digest, Digester};
pub use error::{ReplayError, ReplayErrorKind};
pub use events::{Bounds, Event, EventError, EventReader, EventStore};
pub use guard::Panic;
pub(crate) use guard::caught;
pub use handle::{Replay, Replayer};
pub use journal::JournalEvents;
pub use memory::MemoryEvents;
pub use report::{Comparison, FailedEvent, Failure, ReplayProgress, ReplayReport, Skipped};
pub(crate) use start::decode;
pub use state::{EventSourced, Rejected, Undecodable};
pub use target::Target;
