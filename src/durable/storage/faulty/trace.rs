//! What a storage was asked, and what it answered.

use crate::durable::storage::error::Operation;
use std::io::ErrorKind;
use std::path::PathBuf;

/// One call of a storage, in the order in which they took effect.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call {
    /// What was asked.
    pub operation: Operation,
    /// Of which file or directory; of an open file, the name under which it was opened.
    pub path: PathBuf,
    /// The new name, of a rename.
    pub to: Option<PathBuf>,
    /// The number of the file, which it keeps under every name; of a directory or a failed search, none.
    pub file: Option<u64>,
    /// Where in the file it began, of an append or a read; the length asked for, of a cut.
    pub offset: u64,
    /// How many bytes were read, appended or set aside.
    pub bytes: u64,
    /// What was answered.
    pub result: Result<(), ErrorKind>,
}

impl Call {
    /// Whether it changed, or made durable, anything that a crash could tell; a call that failed may
    /// have, too.
    pub fn is_change(&self) -> bool {
        !matches!(
            self.operation,
            Operation::Open | Operation::Read | Operation::List
        )
    }
}
