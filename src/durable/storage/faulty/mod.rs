//! A disk that fails on purpose, and what a crash may leave of it: for tests.
//!
//! Stop a run at each of its calls, look at each disk that a crash there may leave, open it again,
//! and see that nothing is missing that was promised:
//!
//! ```
//! use backstop::durable::storage::Storage;
//! use backstop::durable::storage::faulty::{FaultyStorage, SyncKind};
//! use std::{io, path::Path};
//!
//! // What is to be tested: a file replaced in one step.
//! fn save(storage: &dyn Storage, balance: &[u8]) -> io::Result<()> {
//!     let file = storage.create_new(Path::new("new"))?;
//!     file.append(balance)?;
//!     file.sync()?;
//!     storage.rename(Path::new("new"), Path::new("balance"))?;
//!     storage.sync_dir(Path::new(""))
//! }
//!
//! /// Whether `save` keeps its word on every disk that a crash of this one can leave.
//! fn holds(disk: impl Fn() -> FaultyStorage) -> bool {
//!     (0..).find_map(|call| {
//!         let disk = disk();
//!         disk.stop_at(call);
//!         let saved = save(&disk, b"100").is_ok();
//!         let mut left = disk.after_power_cut().chain([disk.after_kill()]);
//!         let sound = left.all(|disk| match disk.contents("balance") {
//!             Some(balance) => balance == b"100",
//!             None => !saved,
//!         });
//!         // The first run that was not stopped is the last.
//!         (!sound || !disk.is_stopped()).then_some(sound)
//!     }) == Some(true)
//! }
//!
//! assert!(holds(FaultyStorage::new));
//! // Without the one sync or the other it would not: the test can tell.
//! assert!(!holds(|| FaultyStorage::new().ignoring(SyncKind::NewFile)));
//! assert!(!holds(|| FaultyStorage::new().ignoring(SyncKind::Rename)));
//! ```
//!
//! # What is durable
//!
//! | | after a process kill | after a power cut |
//! |---|---|---|
//! | bytes, and the length of a file | as written | as at the last sync of the file; or, each sector of 512 bytes and the length for itself, as any write since left it |
//! | a length without its sectors | | reads as zeros there, or as what was there before |
//! | a file's name | as created, renamed or removed | as at the last sync of its directory, with any of the changes since; a rename within one directory is whole or did not happen |
//! | what a failed sync was to store | as written | may be there or not, and *no later sync stores it* unless it is written again |
//! | locks | free | free |
//!
//! After a kill the page cache lives on: what was not synced is still open on the disk that
//! [`after_kill`](FaultyStorage::after_kill) gives, and a power cut of that one may lose it. What a power cut
//! left is durable.
//!
//! A sync of a file does not store its name. Sectors are whole: one that is torn within its 512 bytes is
//! not modelled ([`flip_bit`](FaultyStorage::flip_bit) is there for what rots). Writes reach the disk in any
//! order, and so do changes of names, also where most file systems would keep an order.
//!
//! # Faults
//!
//! [`Fault`] scripts one by operation, path and count; [`fail_at_random`](FaultyStorage::fail_at_random) rolls
//! for each call; [`set_capacity`](FaultyStorage::set_capacity) fills the disk. Each call is in the
//! [`trace`](FaultyStorage::trace) with its answer.

mod cut;
mod dir;
mod disk;
mod fate;
mod fault;
mod file;
mod open_file;
mod state;
mod storage;
mod sync_kind;
mod trace;

pub use cut::PowerCut;
pub use fault::Fault;
pub use storage::FaultyStorage;
pub use sync_kind::SyncKind;
pub use trace::Call;
