//! A log that is appended to, synced in groups, and recovered after a crash.
//!
//! *Starting is recovering.* A journal has no clean shutdown that anything depends on: each open takes
//! it that the process before was killed or the power failed, verifies every record, repairs what a
//! crash leaves, and refuses what no crash explains.
//!
//! ```
//! use backstop::durable::journal::{Journal, JournalConfig, OpenMode};
//! use backstop::durable::storage::FsStorage;
//! use std::sync::Arc;
//!
//! # let temp = tempfile::tempdir()?;
//! # let dir = temp.path().join("ledger");
//! let config = JournalConfig::default().open(OpenMode::CreateIfMissing);
//! let (journal, report) = Journal::open(Arc::new(FsStorage), &dir, config.clone())?;
//! assert!(report.is_new);
//! // Durable when it returns.
//! assert_eq!(journal.append(7, b"paid 100")?, 1);
//! drop(journal);
//!
//! let (journal, report) = Journal::open(Arc::new(FsStorage), &dir, config)?;
//! assert_eq!(report.last_sequence, 1);
//! let mut reader = journal.read(1)?;
//! while let Some(record) = reader.next()? {
//!     assert_eq!((record.sequence, record.kind, record.payload), (1, 7, &b"paid 100"[..]));
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # When not to use it
//!
//! It is one stream of records for one process, to rebuild a state from. To look things up by key,
//! or to change them in place, take a database (redb, SQLite); to hand records to other processes, a
//! broker.
//!
//! # What an open does
//!
//! ```text
//!  lock -> list -> verify -> judge -> copy to quarantine -> new segment -> cut -> serve
//!                              |        (only of damage)     what is beyond
//!                              v                             the watermark
//!                     refuse, nothing changed
//! ```
//!
//! Each open begins a new *epoch*. The *watermark* is the highest sequence that any header says was
//! durable when it was written. What verifies beyond it is written into the new segment and synced,
//! because bytes that read well after a failed sync may be lost by the next power cut. The new segment
//! supersedes what the older ones hold from its first sequence on; it gets its name when it is whole,
//! so a crash at any point leaves either the old journal or the new one.
//!
//! # Damage
//!
//! | found | `TornTail` (default) | `PointInTime` | `SkipDamaged` | `Strict` |
//! |---|---|---|---|---|
//! | a torn end: bytes missing, or an empty sector from the damaged record on, and nothing says that it was durable | cut off | cut off | cut off | refused |
//! | damage to a record that was durable (a later record or header says so) | refused | kept up to it | all others kept | refused |
//! | damage of another shape at the end | refused | kept up to it | all others kept | refused |
//! | a damaged segment header with records behind it | refused | kept up to it | all records kept | refused |
//! | missing segments, cuts on a boundary, records in the wrong place | refused | kept up to there | all others kept | refused |
//! | a damaged low-water mark | refused | written anew | written anew | refused |
//! | a segment without header and records, before others | removed | removed | removed | removed |
//! | stale segments, copies, foreign names | no damage | no damage | no damage | no damage |
//! | an unknown version, a directory for a segment, any I/O error | refused | refused | refused | refused |
//!
//! A refusal changes nothing. Before a repair cuts or removes anything, the files are copied to the
//! directory `quarantine`; what is in there is yours to look at and to remove. [`inspect`] shows what
//! each mode would do, without a write.
//!
//! # What cannot be told apart
//!
//! - Damage of a torn shape to the *last batch*, and a crash: nothing after it says that it was
//!   durable. A disk that empties the last sectors of a journal after they were synced takes records
//!   with it that were acknowledged, and `TornTail` cuts them off. So does a damaged last record whose
//!   own payload, or that of a record behind it in the batch, fills a sector with zeros.
//! - A cut on a record's boundary at the very end, and a journal that ended there.
//! - The loss of the last segment, and a journal that was not written to after the one before it.
//! - A journal of which all segments are gone, and one that was never begun. `OpenMode::MustExist`
//!   tells these, and so does a snapshot: [`Opener::snapshot_at`] tells any end that is missing
//!   below it.
//!
//! # What an append does
//!
//! ```text
//!  append -> buffer --(nobody leads)--> lead: seal, write, sync -> wake those of this group,
//!               |                         ^                        call one of the next
//!               `--(somebody leads)--> wait: threads park, tasks are pending
//! ```
//!
//! One short lock gives the sequence and copies the payload into the buffer. Who finds nobody leading
//! leads: it takes the buffer as it is, writes it with one call, syncs it with one, and meanwhile the
//! others fill a second buffer. So a lone thread pays for one write and one sync and for no hop to
//! another thread, and many share them: there is no delay to wait for company. A task leads on a
//! thread of its runtime's blocking pool, one for all tasks that append meanwhile. Why not a thread of
//! the journal's own: each commit would pay two hops, and under a paused clock it would run on its own
//! time.
//!
//! | [`SyncPolicy`] | acknowledged when | a `kill -9` may lose | a power cut may lose |
//! |---|---|---|---|
//! | `Always` (default) | durable | nothing | nothing |
//! | `Interval(d)` | buffered | the buffer: what came within about `d` | the same |
//! | `Never` | buffered | the buffer: up to half of `buffer_bytes` or 1 MiB | all since the last sync or roll |
//!
//! # When the disk fails
//!
//! - **A failed sync poisons.** Systems report a failed write-back once, and drop what it was to write:
//!   a second sync would succeed and mean nothing. So all who wait get the error, nothing more is
//!   accepted, and the directory is given back at once: open it again, here or in another process, and
//!   see what is there.
//! - **A failed write does not.** What it left is cut off, those who wait get the error, and the next
//!   append tries again. If it cannot be cut off, that poisons.
//! - **A full disk** is a failed write. [`compact`](Journal::compact) makes room, and begins with the
//!   reserve (`reserve_bytes`).
//! - Under the buffered policies what was acknowledged stays in the buffer and is tried again; when
//!   the buffer is full, appends are refused with the error.
//!
//! # What clones share, events, figures
//!
//! Clones share everything. [`Journal::subscribe`] tells of rolls, compactions, failed writes and
//! poison; [`Journal::status`] is a look at one moment. Added to an
//! [`Exporter`](crate::observe::metrics::Exporter), a journal publishes `journal_append_bytes_total`,
//! `journal_append_records_total`, `journal_sync_seconds`, `journal_written_sequence`,
//! `journal_durable_sequence`, `journal_segments` and `journal_poisoned`, under the last part of its
//! directory's path.
//!
//! # Files
//!
//! | name | |
//! |---|---|
//! | `{epoch}-{first sequence}-{salt}.segment` | a segment; each number as 16 hexadecimal digits |
//! | `*.segment.new` | one that was not whole when its process ended; removed by the next open |
//! | `low-water` | up to where compaction may have removed records; absent at first |
//! | `reserve` | room of the disk, for a compaction when it is full |
//! | `lock` | locked while the journal is open; holds the name of the process |
//! | `quarantine/{segment}.{n}` | copies that were made before repairs |
//!
//! Other names are left alone. A journal is copied by copying its segments and its mark.
//!
//! # Format
//!
//! Version 1. All integers are little-endian; CRCs are CRC-32C (Castagnoli).
//!
//! A journal is a directory of *segments*. A segment is a header of 64 bytes and records behind each
//! other, each of them a multiple of 8 bytes long.
//!
//! ## Segment header
//!
//! | bytes | field | |
//! |---|---|---|
//! | 0..8 | magic | `BSTPJRNL` |
//! | 8..12 | version | 1 |
//! | 12..16 | header length | 64 |
//! | 16..24 | epoch | one more than any before: each open starts a new one |
//! | 24..32 | salt | random, so that bytes of another segment never verify in this one |
//! | 32..40 | first sequence | of the first record here, if there is one |
//! | 40..48 | synced through | the last sequence that was known durable when this was written; 0: none |
//! | 48..56 | previous epoch | of the segment that the record before the first one is in; 0: there is none |
//! | 56..60 | previous CRC | the *trailing* CRC of that record; 0: there is none |
//! | 60..64 | CRC | of bytes 0..60 |
//!
//! Its file is named `{epoch}-{first sequence}-{salt}.segment`, each as 16 hexadecimal digits, so that
//! records behind a damaged header can still be verified.
//!
//! ## Record
//!
//! | bytes | field | |
//! |---|---|---|
//! | 0..4 | length | of the payload |
//! | 4..8 | kind | the user's |
//! | 8..16 | sequence | one more than that of the record before |
//! | 16..24 | wall time | nanoseconds since 1970, never less than that of the record before |
//! | 24..32 | synced through | as in the segment header |
//! | 32..36 | previous CRC | the trailing CRC of the record before, in this segment or an earlier one; 0: none |
//! | 36..40 | header CRC | of the salt and bytes 0..36 |
//! | 40.. | payload | |
//! | | padding | zeros, so that the whole is a multiple of 8 |
//! | last 4 | trailing CRC | of the salt, bytes 0..36, payload and padding |
//!
//! So each record verifies alone, and its link to the one before is checked apart.
//!
//! ## Low-water mark
//!
//! The file `low-water`, of 24 bytes; it is replaced in one step.
//!
//! | bytes | field | |
//! |---|---|---|
//! | 0..8 | magic | `BSTPLOWW` |
//! | 8..12 | version | 1 |
//! | 12..20 | sequence | records up to it may have been removed |
//! | 20..24 | CRC | of bytes 0..20 |
//!
//! # Rules
//!
#![doc = include_str!("RULES.md")]
#![allow(clippy::doc_markdown, reason = "a rule's id is no identifier")]

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

#[cfg(all(test, backstop_loom))]
mod loom_tests;
#[cfg(all(test, any(backstop_loom, backstop_shuttle)))]
mod plain;
#[cfg(test)]
mod rig;
#[cfg(all(test, backstop_shuttle))]
mod shuttle_tests;
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
