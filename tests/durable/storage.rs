//! The storage: its errors, and what its implementations agree on.

mod conformance;
mod costs;
#[cfg(feature = "test-util")]
mod faults;
mod on_disk;
#[cfg(feature = "test-util")]
mod survivors;

use backstop::durable::storage::{Operation, StorageError};
use std::error::Error;
use std::io;

#[test]
fn an_error_says_what_was_asked_of_which_file() {
    let error = StorageError::new(
        Operation::Append,
        "log/1.segment",
        io::ErrorKind::StorageFull.into(),
    );
    assert!(error.is_full());
    assert!(!error.operation().is_sync());
    assert_eq!(
        error.to_string(),
        "append of log/1.segment failed: no storage space"
    );
    assert!(error.source().is_some());
}
