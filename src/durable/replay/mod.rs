//! Replay: the state of a stream of events as it was at a point in time.
//!
//! A state that is made of events can be made again: what it was after any event, or at any time, what
//! it is now after a crash, and what it would be with a bug taken out of the code. A replay begins with
//! the nearest snapshot, applies the events behind it one by one, and answers with a state that is valid,
//! its digest, and a report; or with an error, and no state.
//!
//! ```text
//!            snapshot at 600          target: event 740, or a time
//!                  |                              |
//!     1 ... ------[600]--------------------------[740]---------- ... last event
//!                  | decode                       |
//!                  | compare the digest           | validate
//!                  | validate                     | digest
//!                  +--- apply 601 ... 740 --------+---> state
//! ```
//!
//! # Example
//!
//! ```
//! use backstop::durable::codec::State;
//! use backstop::durable::replay::{
//!     Event, EventSourced, MemoryEvents, OnRejected, Rejected, ReplayConfig, Replayer, Target,
//!     Undecodable,
//! };
//! use serde::{Deserialize, Serialize};
//! use std::time::SystemTime;
//!
//! #[derive(Clone, Debug, Default, Serialize, Deserialize)]
//! struct Balance(u64);
//!
//! impl State for Balance {
//!     const TYPE: &'static str = "balance";
//! }
//!
//! impl EventSourced for Balance {
//!     type Event<'a> = i8;
//!
//!     fn decode(event: Event<'_>) -> Result<i8, Undecodable> {
//!         match *event.payload {
//!             [amount] => Ok(i8::from_le_bytes([amount])),
//!             _ => Err(Undecodable::new("an amount is one byte")),
//!         }
//!     }
//!
//!     fn apply(&mut self, amount: i8) -> Result<(), Rejected> {
//!         let sum = self.0.checked_add_signed(amount.into());
//!         self.0 = sum.ok_or(Rejected::new("the balance is too low"))?;
//!         Ok(())
//!     }
//! }
//!
//! let events = MemoryEvents::new();
//! for amount in [5_i8, -3, -10, 4] {
//!     events.append("ada", 1, SystemTime::UNIX_EPOCH, &amount.to_le_bytes());
//! }
//! let replay = Replayer::new(&events, "ada", Balance::default())
//!     .target(Target::Sequence(2))
//!     .run()?;
//! assert_eq!(replay.state.0, 2);
//!
//! // The third one should not be there. It is left out, and in the report.
//! let replay = Replayer::new(&events, "ada", Balance::default())
//!     .config(ReplayConfig::default().on_rejected(OnRejected::Skip { limit: 1 }))
//!     .run()?;
//! assert_eq!(replay.state.0, 6);
//! assert_eq!(
//!     replay.report.failed[0].to_string(),
//!     "event 3 of kind 1 rejected: the balance is too low"
//! );
//! # Ok::<(), backstop::durable::replay::ReplayError>(())
//! ```
//!
//! # Where events and snapshots come from
//!
//! Events come out of an [`EventStore`], read in order and lent one at a time: a
//! [`Journal`](crate::durable::journal::Journal) as [`JournalEvents`], [`MemoryEvents`] in tests, or a
//! store of your own. Snapshots come out of any
//! [`CheckpointStore`](crate::durable::snapshot::CheckpointStore); there is no other trait for them.
//! Both are asked by the name of the stream.
//!
//! # What surprises
//!
//! * **`Fail` is the default**, for rejected events and more so for undecodable ones. Who wrote an event
//!   thought it fit, so the state that rejects it is the wrong one, or the code that cannot read it.
//! * **A rejection in [`apply`](EventSourced::apply) costs a copy of the state**, as nobody knows what it
//!   has changed; one in [`check`](EventSourced::check) costs nothing. Reject in `check` what you can.
//! * **A skipped event is skipped again by each replay** until a snapshot is behind it; the limit counts
//!   those of one replay.
//! * **A target by time is one of the events' own clock**, which never goes back; it may have stood still
//!   while the wall clock was set back. "Now" is [`Target::Latest`], and not a time.
//! * **A panic is caught, and a panic hook hears of it**; under `panic = "abort"` it ends the process.
//! * **A digest is worth what it covers.** Parts of the state that it leaves out are not compared.
//!
//! # What it costs
//!
//! One event is in memory at a time, and what the store reads ahead. Where events may be left out there
//! is a second copy of the state, and up to 1 MiB of the events since it was made, so that an event that
//! fails costs one copy of the state and the events since the last failure once more: never more than
//! two applications of an event in all.
//!
//! # Why not the obvious algorithm
//!
//! To clone the state before each event would cost a copy of it each time, to trust `apply` to undo what
//! it did would trust the code that has just failed, and to begin anew after each failure would be
//! quadratic in their number.
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
mod recent;
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
