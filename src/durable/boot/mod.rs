//! Boot: a service's way up, which is the same after a crash and after anything else.
//!
//! A crash-only service has one way to stop, which is to be killed, and one way to start, which is to
//! recover. So recovery is no special case that nobody has tried: it runs at each start.
//!
//! ```text
//!     look -> verify -> quarantine -> repair -> load -> replay -> serve
//!      |        |            |          |        |        |         |
//!      |        |     copies of what    |     decode,     |    snapshots,
//!    which      |     will be cut       |     compare     |    compaction
//!  snapshots    |                   torn end  the digest  |
//!               |                   cut off               |
//!           all of the                              the events behind
//!            journal                                 the snapshot
//! ```
//!
//! # Example
//!
//! ```
//! # use backstop::durable::codec::State;
//! # use backstop::durable::replay::{Event, EventSourced, Rejected, Undecodable};
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Clone, Debug, Default, Serialize, Deserialize)]
//! # struct Counter(u64);
//! # impl State for Counter {
//! #     const TYPE: &'static str = "counter";
//! # }
//! # impl EventSourced for Counter {
//! #     type Event<'a> = ();
//! #     fn decode(_: Event<'_>) -> Result<(), Undecodable> {
//! #         Ok(())
//! #     }
//! #     fn apply(&mut self, (): ()) -> Result<(), Rejected> {
//! #         self.0 += 1;
//! #         Ok(())
//! #     }
//! # }
//! use backstop::durable::boot::{Boot, BootConfig, Booted};
//! use backstop::durable::codec::Postcard;
//! use backstop::durable::journal::{JournalConfig, OpenMode};
//! use backstop::durable::snapshot::{DirectoryConfig, DirectoryStore};
//! use backstop::durable::storage::{FsStorage, Storage};
//! use std::sync::Arc;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path();
//! fn start(dir: &std::path::Path) -> Result<Booted<Counter, Postcard>, Box<dyn std::error::Error>> {
//!     let storage: Arc<dyn Storage> = Arc::new(FsStorage);
//!     let snapshots = dir.join("snapshots");
//!     let store = DirectoryStore::open(storage.clone(), snapshots, DirectoryConfig::default())?;
//!     let journal = JournalConfig::default().open(OpenMode::CreateIfMissing);
//!     let snapshots = (Arc::new(store) as _, Postcard);
//!     let booted = Boot::new(storage, dir.join("journal"), "counter", snapshots, Counter::default())
//!         .config(BootConfig::default().journal(journal).snapshot_every(2))
//!         .run()?;
//!     println!("{}", booted.report);
//!     Ok(booted)
//! }
//!
//! let mut service = start(dir)?;
//! for _ in 0..3 {
//!     let sequence = service.journal.append(1, b"")?;
//!     service.state.apply(())?;
//!     if service.snapshotter.is_due(sequence) {
//!         service.snapshotter.take(&service.state, sequence)?;
//!     }
//! }
//! drop(service); // Or a crash.
//! assert_eq!(start(dir)?.state.0, 3);
//! # Ok(())
//! # }
//! ```
//!
//! The example `ledger` is a whole service: HTTP, concurrent writers, snapshots under load; and it kills
//! itself to see what is lost.
//!
//! # What a service does with it
//!
//! * **One order.** Events must come into the journal in the order in which they are applied, so give
//!   them to both under one lock, and wait for the disk outside of it: append to a journal that buffers
//!   ([`SyncPolicy::Never`](crate::durable::journal::SyncPolicy::Never)), let go of the lock, sync,
//!   answer. All that wait share a sync.
//! * **Nothing is told before it is durable**, a repeated request's answer and what is read included: it
//!   may come from an event that a crash takes back.
//! * **After a failed append or sync, end.** What is in memory is not what the next start will find.
//!   [`Exit::stop`] ends the process, and the start after it knows.
//! * **A request that may be sent twice has a key**, and the keys that were used are part of the state.
//!
//! # What surprises
//!
//! * **The digest is compared where it was taken**, which is before the events behind the snapshot are
//!   applied: it is that of another state than the one that is served.
//! * **A snapshot ahead of the journal refuses.** It is the one witness of an end that was lost whole,
//!   which no look at the journal alone could tell. [`OnAhead::Retire`] is for who has decided to live
//!   with that.
//! * **A start takes as long as the journal is**, since all of it is verified: compaction behind
//!   snapshots is what bounds that.
//! * **There is no way to shut down.** [`Exit`] is for those who need to end now.
//!
//! # Rules
//!
#![doc = include_str!("RULES.md")]
#![allow(clippy::doc_markdown, reason = "a rule's id is no identifier")]

mod config;
mod error;
mod exit;
mod handle;
mod report;
mod snapshotter;
mod watch;

pub use config::{BootConfig, OnAhead};
pub use error::BootError;
pub use exit::Exit;
pub use handle::{Boot, Booted};
pub use report::{BootProgress, BootReport, Stage};
pub use snapshotter::{SnapshotError, Snapshotter, Taken};
