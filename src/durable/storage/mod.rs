//! Files and directories behind a small blocking trait, so that what is built on them can be tested
//! against a disk that fails.

mod error;
#[cfg(any(test, feature = "test-util"))]
#[cfg_attr(docsrs, doc(cfg(feature = "test-util")))]
pub mod faulty;
mod fs;
mod memory;
mod paths;
mod traits;

pub use error::{Operation, StorageError};
pub use fs::FsStorage;
pub use memory::MemoryStorage;
pub use traits::{DirEntry, LockError, Storage, StorageFile, StorageLock};
