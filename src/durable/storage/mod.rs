//! Files and directories behind a small blocking trait, so that what is built on them can be tested
//! against a disk that fails.

mod error;
mod fs;
mod memory;
mod paths;
mod traits;

pub use error::{Operation, StorageError};
pub use fs::FsStorage;
pub use memory::MemoryStorage;
pub use traits::{DirEntry, LockError, Storage, StorageFile, StorageLock};
