//! A log that is appended to, synced in groups, and recovered after a crash.

mod append;
mod batch;
mod bell;
mod compact;
mod config;
mod damage;
mod engine;
mod event;
mod figures;
mod flusher;
pub(crate) mod format;
mod handle;
mod inspect;
mod layout;
mod lock;
mod low_water;
mod open;
mod open_error;
mod quarantine;
mod queue;
mod reader;
mod record;
mod refusal;
mod repair;
mod report;
mod reserve;
mod rewrite;
mod runtime;
mod site;
mod start;
mod status;
mod survey;
pub(crate) mod tail;
mod waiters;
mod walk;
mod watched;
mod window;
mod writer;

#[cfg(test)]
mod rig;
#[cfg(all(test, not(any(backstop_loom, backstop_shuttle))))]
mod tests;

pub use append::{AppendFuture, SyncFuture};
pub use compact::{CompactError, Compaction};
pub use config::{JournalConfig, OpenMode, RecoveryMode, SyncPolicy};
pub use damage::{Damage, DamageKind, Why};
pub use event::{EventKind, JournalEvent};
pub use handle::Journal;
pub use inspect::{Inspection, Outcome, SegmentSummary, inspect};
pub use open::Opener;
pub use open_error::OpenError;
pub use reader::{ReadError, Reader, Record};
pub use refusal::{AppendError, Poisoned};
pub use report::{OpenReport, Progress, Stage};
pub use status::{JournalState, JournalStatus};
pub(crate) use watched::Watched;
