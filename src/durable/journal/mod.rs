//! A log that is appended to, synced in groups, and recovered after a crash.

mod append;
mod batch;
mod engine;
mod figures;
pub(crate) mod format;
mod handle;
mod queue;
mod refusal;
mod runtime;
mod site;
mod start;
pub(crate) mod tail;
mod waiters;
mod writer;

#[cfg(test)]
mod rig;
#[cfg(all(test, not(any(backstop_loom, backstop_shuttle))))]
mod tests;

pub use append::{AppendFuture, SyncFuture};
pub use handle::Journal;
pub use refusal::{AppendError, Poisoned};
