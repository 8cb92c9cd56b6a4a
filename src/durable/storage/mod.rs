//! Files and directories behind a small blocking trait, so that what is built on them can be tested
//! against a disk that fails.

mod error;
mod traits;

pub use error::{Operation, StorageError};
pub use traits::{DirEntry, LockError, Storage, StorageFile, StorageLock};
