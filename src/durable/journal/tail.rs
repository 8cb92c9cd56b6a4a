//! Where a journal ends: the segment that is appended to, and how one is begun.

use super::format::{SEGMENT_HEADER, SegmentHeader};
use crate::durable::storage::{Operation, Storage, StorageError, StorageFile};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The end of a journal: what the next record goes behind.
#[derive(Debug)]
pub(crate) struct Tail {
    pub(crate) file: Arc<dyn StorageFile>,
    pub(crate) path: PathBuf,
    pub(crate) header: SegmentHeader,
    /// Of the file, the header with it.
    pub(crate) len: u64,
    /// Of the journal; 0: it has none.
    pub(crate) last_sequence: u64,
    pub(crate) last_crc: u32,
    pub(crate) last_wall_nanos: u64,
    /// The last sequence that is known durable.
    pub(crate) synced_through: u64,
}

/// Why a segment was not begun.
#[derive(Debug)]
pub(crate) enum NotBegun {
    /// The storage failed, and nothing is left of it.
    Failed(StorageError),
    /// Nobody knows what is durable: a sync failed.
    Unsure(StorageError),
    /// What is left of it could not be removed durably. Records that go on in the segment before it
    /// would be taken for superseded.
    Left {
        /// What failed first.
        cause: StorageError,
        /// What failed then.
        removal: StorageError,
    },
}

/// Begins a segment: its file is there, with its header, and both are durable. What fails is
/// removed again, durably.
pub(crate) fn create_segment(
    storage: &dyn Storage,
    dir: &Path,
    header: SegmentHeader,
) -> Result<(Arc<dyn StorageFile>, PathBuf), NotBegun> {
    let path = dir.join(header.file_name());
    let begun = match storage.create_new(&path) {
        Ok(file) => begin(storage, dir, &path, &*file, header).map(|()| file),
        Err(error) => Err(StorageError::new(Operation::Create, &path, error)),
    };
    let cause = match begun {
        Ok(file) => return Ok((Arc::from(file), path)),
        Err(error) if error.operation().is_sync() => {
            let _left = storage.remove(&path);
            return Err(NotBegun::Unsure(error));
        }
        // It is another's: a file is never overwritten, nor removed.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(NotBegun::Failed(error));
        }
        Err(error) => error,
    };
    // A creation that failed may have happened.
    let removed = match storage.remove(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StorageError::new(Operation::Remove, &path, error)),
        Ok(()) => storage
            .sync_dir(dir)
            .map_err(StorageError::at(Operation::SyncDir, dir)),
    };
    match removed {
        Ok(()) => Err(NotBegun::Failed(cause)),
        Err(removal) => Err(NotBegun::Left { cause, removal }),
    }
}

fn begin(
    storage: &dyn Storage,
    dir: &Path,
    path: &Path,
    file: &dyn StorageFile,
    header: SegmentHeader,
) -> Result<(), StorageError> {
    let bytes = header.encode();
    let written = file.append(&bytes);
    if !matches!(written, Ok(SEGMENT_HEADER)) {
        // Half a header, once the system has stored it so, looks like damage: see the writer.
        file.truncate(0)
            .map_err(StorageError::at(Operation::Truncate, path))?;
        file.sync()
            .map_err(StorageError::at(Operation::Sync, path))?;
        written
            .and_then(|_| write_whole(file, &bytes))
            .map_err(StorageError::at(Operation::Append, path))?;
    }
    file.sync()
        .map_err(StorageError::at(Operation::Sync, path))?;
    storage
        .sync_dir(dir)
        .map_err(StorageError::at(Operation::SyncDir, dir))
}

/// Appends all of `bytes`: one call, unless the file takes fewer.
pub(crate) fn write_whole(file: &dyn StorageFile, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.append(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A segment as it was when it was looked at.
#[derive(Clone, Debug)]
pub(crate) struct SegmentInfo {
    pub(crate) header: SegmentHeader,
    pub(crate) path: PathBuf,
    /// The last sequence in it; one less than its first one if there is none.
    pub(crate) last_sequence: u64,
    /// Of the file, the header with it.
    pub(crate) len: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::storage::MemoryStorage;

    const HEADER: SegmentHeader = SegmentHeader {
        epoch: 1,
        salt: 2,
        first_sequence: 3,
        synced_through: 2,
        previous_epoch: 0,
        previous_crc: 0,
    };

    #[test]
    fn a_segment_begins_with_its_header_and_is_never_overwritten() {
        let storage = MemoryStorage::new();
        let dir = Path::new("");
        let (file, path) = create_segment(&storage, dir, HEADER).unwrap();
        let mut bytes = [0; 100];
        let len = file.read_at(&mut bytes, 0).unwrap();
        assert_eq!(SegmentHeader::decode(&bytes[..len]), Ok(HEADER));
        assert_eq!(path, Path::new(&HEADER.file_name()));
        let again = create_segment(&storage, dir, HEADER).unwrap_err();
        assert!(matches!(
            again,
            NotBegun::Failed(error) if error.kind() == ErrorKind::AlreadyExists
        ));
        assert_eq!(file.len().unwrap(), 64, "the first one is as it was");
        assert_eq!(storage.list(dir).unwrap().len(), 1);
    }
}
