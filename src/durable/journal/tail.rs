//! The end of a journal, where the next record goes, and how a segment begins.

use super::format::SegmentHeader;
use crate::durable::storage::{Operation, Storage, StorageError, StorageFile};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The last segment, and what the next record in it is linked to.
#[derive(Clone, Debug)]
pub(crate) struct Tail {
    pub(crate) file: Arc<dyn StorageFile>,
    pub(crate) path: PathBuf,
    pub(crate) header: SegmentHeader,
    /// The bytes of the segment that hold its header and whole records.
    pub(crate) len: u64,
    /// Of the last record of the journal, in this segment or before it; 0 if there is none.
    pub(crate) last_sequence: u64,
    /// The trailing CRC of that record; 0 if there is none.
    pub(crate) last_crc: u32,
    /// The wall time of that record; 0 if there is none.
    pub(crate) last_wall_nanos: u64,
    /// The last sequence that is known durable.
    pub(crate) synced_through: u64,
}

/// Creates a segment and makes it durable: its header, then its name. What a failure leaves is
/// removed again, as far as that can be.
pub(crate) fn create_segment(
    storage: &dyn Storage,
    dir: &Path,
    header: SegmentHeader,
) -> Result<(Arc<dyn StorageFile>, PathBuf), StorageError> {
    let path = dir.join(header.file_name());
    let file: Arc<dyn StorageFile> = storage
        .create_new(&path)
        .map_err(StorageError::at(Operation::Create, &path))?
        .into();
    let begun = begin(storage, dir, &path, &*file, header);
    match begun {
        Ok(()) => Ok((file, path)),
        Err(error) => {
            drop(file);
            // The failure to create is what the caller hears of; a header without records that
            // stays behind is an empty segment to the next open.
            let _removed = storage.remove(&path).and_then(|()| storage.sync_dir(dir));
            Err(error)
        }
    }
}

fn begin(
    storage: &dyn Storage,
    dir: &Path,
    path: &Path,
    file: &dyn StorageFile,
    header: SegmentHeader,
) -> Result<(), StorageError> {
    append_all(file, &header.encode()).map_err(StorageError::at(Operation::Append, path))?;
    file.sync()
        .map_err(StorageError::at(Operation::Sync, path))?;
    storage
        .sync_dir(dir)
        .map_err(StorageError::at(Operation::SyncDir, dir))
}

/// Writes all of `bytes` at the end of a file.
pub(crate) fn append_all(file: &dyn StorageFile, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.append(bytes)? {
            0 => return Err(ErrorKind::WriteZero.into()),
            written => bytes = bytes.get(written..).unwrap_or_default(),
        }
    }
    Ok(())
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
        assert_eq!(again.kind(), ErrorKind::AlreadyExists);
        assert_eq!(file.len().unwrap(), 64, "the first one is as it was");
        assert_eq!(storage.list(dir).unwrap().len(), 1);
    }
}
