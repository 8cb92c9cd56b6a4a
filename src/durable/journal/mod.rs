//! A log that is appended to, synced in groups, and recovered after a crash.

mod append;
mod batch;
mod bell;
mod config;
mod engine;
mod event;
mod figures;
mod flusher;
pub(crate) mod format;
mod handle;
mod low_water;
mod queue;
mod refusal;
mod runtime;
mod site;
mod start;
mod status;
pub(crate) mod tail;
mod waiters;
mod writer;

#[cfg(test)]
mod rig;
#[cfg(all(test, not(any(backstop_loom, backstop_shuttle))))]
mod tests;

pub use append::{AppendFuture, SyncFuture};
pub use config::{JournalConfig, OpenMode, RecoveryMode, SyncPolicy};
pub use event::{EventKind, JournalEvent};
pub use handle::Journal;
pub use refusal::{AppendError, Poisoned};
pub use status::{JournalState, JournalStatus};
