//! Checkpoints of a state, kept so that a bad one can be passed over.
//!
//! A checkpoint is a state at one sequence. Several are kept for each key, because the newest may be
//! damaged, of a version that this code cannot read, or the very reason why whoever goes on from it
//! fails. A start takes the newest good one and is told what it passed over.
//!
//! ```text
//!   save --> [3] sound                      latest --> 3? suspect: passed over
//!            [2] sound, verified                       2: this one
//!            [1] sound                       compact the log through 1, the oldest good one
//!   mark 3 --> suspect
//! ```
//!
//! | store | for |
//! |---|---|
//! | [`DirectoryStore`] | files on a disk: the usual one |
//! | [`MemoryStore`] | tests, and state that may be lost with the process |
//! | `RedbStore` | very many keys in one file (feature `redb`) |
//! | your own | implement [`CheckpointStore`], and run `conformance` (feature `test-util`) over it |
//!
//! [`Checkpoints`] is the front for values of a type; its docs have an example.
//!
//! # Marks
//!
//! What is noted beside a checkpoint tells the next start what the last one learned, also one that took
//! the process down:
//!
//! | [`Mark`] | noted | effect |
//! |---|---|---|
//! | `Strike` | before each attempt to go on from it | counted, and durable before the attempt begins |
//! | `Verified` | after an attempt that was well | the newest verified one is never removed; strikes are forgotten |
//! | `Suspect` | when the others are well and this one is not | it is passed over |
//! | `Cleared` | when the others are no better | it is used again; strikes are forgotten |
//! | `Provisional` | on one that was taken while its component was being restarted | it takes no place of one that is not |
//!
//! The store counts and keeps; what follows from the count is for who starts things to say.
//!
//! # What surprises
//!
//! * **A checkpoint that cannot be read fails the call.** One that is damaged is passed over: the bytes
//!   are there and wrong. One that the disk does not give may be right, and a start from an older state
//!   loses what a second try might have kept. Who wants to go around it marks it as suspect, which does
//!   not read it.
//! * **Clearing a suspicion brings a checkpoint back**, and if it is newer than what was saved after it
//!   became suspect, it is the latest again.
//! * **A save reads.** Before an old checkpoint is removed, those that stay are verified.
//! * **A sequence of an older build is in the way**: a checkpoint of a version that this code cannot read
//!   is sound, so a save must be newer. [`Checkpoints::next_sequence`] is.
//! * **A failed save may be there.** It is whole then, and asking for the same sequence again says
//!   `NotNewer`.
//!
//! # Metrics
//!
//! [`Exporter::add`](crate::observe::metrics::Exporter::add) of a [`Checkpoints`] publishes
//! `checkpoint_age_seconds` and `checkpoint_save_seconds`, by key. What is passed over is traced at
//! level warn, target `backstop::durable`.
//!
//! # Rules
//!
#![doc = include_str!("RULES.md")]
#![allow(clippy::doc_markdown, reason = "a rule's id is no identifier")]

mod checkpoint;
#[cfg(any(test, feature = "test-util"))]
#[cfg_attr(docsrs, doc(cfg(feature = "test-util")))]
pub mod conformance;
mod directory;
mod error;
mod figures;
mod machine;
mod marks;
mod memory;
mod notes;
mod offloaded;
mod packed;
#[cfg(feature = "redb")]
mod redb;
mod store;
mod typed;

pub use checkpoint::{About, Checkpoint, Entry, Latest, PassedOver, Reason};
pub use directory::{DirectoryConfig, DirectoryError, DirectoryStore};
pub use error::{LoadError, StoreError};
pub(crate) use figures::Watched;
pub use marks::{Mark, Marks};
pub use memory::MemoryStore;
pub(crate) use packed::Packed;
#[cfg(feature = "redb")]
#[cfg_attr(docsrs, doc(cfg(feature = "redb")))]
pub use redb::RedbStore;
pub use store::{CheckpointStore, Saved};
pub use typed::{Checkpoints, Recovered, RestoreError, Restored, SaveError};

use crate::kernel::config::ConfigError;

/// Of what is traced here.
const TARGET: &str = "backstop::durable";

/// Good checkpoints of a key that are kept: the newest, the one before it for when it turns out to be
/// bad, and one more for damage that comes on top of that.
const DEFAULT_KEEP: usize = 3;

fn check_keep(keep: usize) -> Result<(), ConfigError> {
    if (1..=1_000).contains(&keep) {
        return Ok(());
    }
    Err(ConfigError::new("keep", keep, "1 to 1000"))
}
