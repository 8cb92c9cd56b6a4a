//! Checkpointed children: a child that is restarted with its state.
//!
//! A restart cures what is wrong with a process's memory, and loses it. A checkpointed child is started
//! again with its last good state, also after the process itself was killed; and if that state is what
//! brings it down, with an older one.
//!
//! ```text
//!            crash              crash              crash
//!   newest --------> newest ---------> next older -------> [cold] ------> newest again,
//!      |                |                  |                  |           until the budget ends
//!      | well for 10 s  | well             | well             | well
//!      v                v                  v                  v
//!    good             good         newest is suspect   both are suspect
//! ```
//!
//! # Example
//!
//! ```
//! use backstop::durable::codec::State;
//! use backstop::durable::snapshot::{Checkpoints, MemoryStore};
//! use backstop::supervise::checkpointed::{Checkpointed, CheckpointedConfig};
//! use backstop::supervise::supervisor::Supervisor;
//! use serde::{Deserialize, Serialize};
//! use std::sync::Arc;
//!
//! #[derive(Default, Serialize, Deserialize)]
//! struct Totals {
//!     seen: u64,
//! }
//!
//! impl State for Totals {
//!     const TYPE: &'static str = "totals";
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let checkpoints = Checkpoints::<Totals>::new(Arc::new(MemoryStore::new()), "totals")?;
//! let counter = Checkpointed::new("counter", checkpoints.clone(), CheckpointedConfig::default())?;
//! let child = counter.child(|cx, restored| async move {
//!     let mut totals = restored.map(|restored| restored.state).unwrap_or_default();
//!     totals.seen += 1;
//!     // A failed save is no reason to end.
//!     let _saved = cx.save(&totals).await;
//!     cx.cancelled().await;
//!     Ok::<(), std::io::Error>(())
//! });
//! let supervisor = Supervisor::builder("service").child(child).start().await?;
//! # while checkpoints.latest()?.restored.is_none() { tokio::task::yield_now().await }
//! supervisor.stop().await;
//! let restored = checkpoints.latest()?.restored.expect("it was saved");
//! assert_eq!(restored.state.seen, 1);
//! # Ok(())
//! # }
//! ```
//!
//! # Two ways to save
//!
//! * **The child has its state** and says when: [`save`](CheckpointContext::save) after what must not be
//!   lost, or each time that [`checkpoint_due`](CheckpointContext::checkpoint_due) ends.
//! * **The library has it**: [`keep`](CheckpointContext::keep) puts it behind a lock, and it is saved each
//!   period and when the child ends well.
//!
//! A save never stops the child. It is encoded, stored and read back off the child's thread (but what is
//! borrowed is encoded where it is), one at a time; if it fails, that is an event, and the previous
//! checkpoint stays.
//!
//! # Which state a start gets
//!
//! The newest, and what follows from the strikes that are stored *before* each start, so that a start that
//! takes the process down counts, too:
//!
//! * A checkpoint that does not decode, is not valid, or whose start ends with [`BadState`], is suspect at
//!   once.
//! * Any other crash may be the state's fault or not: a dependency that is down is no proof against it. The
//!   newest is started from twice, then the next older one once, then, for those who opted in, none. If a
//!   trial is well for 10 s, what came before it is suspect. If not, the suspicion is withdrawn, and
//!   the newest is used until the budget ends.
//! * **A trial saves nothing** until it has been well for long enough: [`SaveFailure::OnTrial`]. Its state
//!   would take the place of the newer one, which may be innocent.
//!
//! The child has a budget of its own, as a sibling must not spend what this sequence needs.
//!
//! # What surprises
//!
//! * **The withdrawn suspicion leaves the strikes** until some start is well: a process that is killed in
//!   the middle of the sequence does not begin it anew.
//! * **A start that is killed from outside within 10 s counts.** Nobody can tell it from one that its state
//!   killed. Two of them, without a save in between, and the third start is the trial of an older state. A
//!   child that is *stopped* early has shown nothing, and its strikes are forgotten.
//! * **Checkpoints that this build cannot read** (another type, codec or version) are passed over, and not
//!   marked: the build that wrote them may come back. If nothing else is there, the start fails, unless a
//!   cold start is allowed.
//! * **A store that cannot be read fails the start**: that is not the same as having no checkpoint.
//! * **What outlives its start saves nothing** once the next one has begun: [`SaveFailure::Ended`].
//!
//! # Events
//!
//! [`Checkpointed::subscribe`] tells of each start's state, of suspicions, saves and failures; what is
//! wrong is traced at level warn, target `backstop::supervise`. Ages and durations of checkpoints are
//! published by [`Checkpoints`](crate::durable::snapshot::Checkpoints).
//!
//! # Rules
//!
#![doc = include_str!("RULES.md")]
#![allow(clippy::doc_markdown, reason = "a rule's id is no identifier")]

mod config;
mod context;
mod error;
mod event;
mod handle;
mod kept;
mod machine;
mod port;
mod pump;
mod restore;
mod run;
mod shared;
#[cfg(all(test, not(any(backstop_loom, backstop_shuttle))))]
mod tests;

pub use config::CheckpointedConfig;
pub use context::{CheckpointContext, Saving};
pub use error::{BadState, RestoreFailure, SaveFailure};
pub use event::{CheckpointedEvent, EventKind, Suspicion};
pub use handle::Checkpointed;
pub use kept::{Kept, StateGuard};
pub use machine::Origin;
