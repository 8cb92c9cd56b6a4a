//! Files and directories behind a small blocking trait, so that what is built on them can be tested
//! against a disk that fails.
//!
//! | storage | for |
//! |---|---|
//! | [`FsStorage`] | the machine's file system |
//! | [`MemoryStorage`] | tests, and what may be lost |
//! | `faulty::FaultyStorage` | crash tests: a disk that loses what was not synced (feature `test-util`) |
//!
//! All of them are used as `Arc<dyn Storage>` or `&dyn Storage`; a storage of your own implements
//! [`Storage`], [`StorageFile`] and [`StorageLock`].
//!
//! # Blocking, and async
//!
//! The trait blocks: a call costs what the system takes for it. Async code hands calls to
//! [`offload`], which costs a hop to another thread and back.
//!
//! # Platforms
//!
//! Unix has all of it. Windows has no sync of a directory, so there a name is durable when the file
//! system says so; and a lock there keeps others from reading who holds it. On network file systems
//! locks and syncs are as good as what they make of `flock` and `fsync`.
//!
//! # Rules
//!
#![doc = include_str!("RULES.md")]
#![allow(clippy::doc_markdown, reason = "a rule's id is no identifier")]

mod error;
#[cfg(any(test, feature = "test-util"))]
#[cfg_attr(docsrs, doc(cfg(feature = "test-util")))]
pub mod faulty;
mod fs;
mod memory;
mod offload;
mod paths;
mod traits;

pub use error::{Operation, StorageError};
pub use fs::FsStorage;
pub use memory::MemoryStorage;
pub use offload::{NotRun, Offload, offload};
pub use traits::{DirEntry, LockError, Storage, StorageFile, StorageLock};
