//! The kinds of sync that code can forget.

/// What a sync is for. Tests take one kind out, and must fail: see
/// [`FaultyStorage::ignoring`](super::FaultyStorage::ignoring).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SyncKind {
    /// Of a file that was synced before, or that a crash left.
    Data,
    /// The first of a new file.
    NewFile,
    /// Of a directory in which a rename was the last change of names.
    Rename,
    /// Of a directory in which a creation or a removal was.
    Directory,
}

impl SyncKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Data, Self::NewFile, Self::Rename, Self::Directory];
}
