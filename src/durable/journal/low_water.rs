//! The low-water mark: up to where records were removed on purpose.
//!
//! Its bytes stand in the docs of this room. The file is replaced in one step, so a crash never leaves a part of
//! it: what is behind these bytes makes it damaged, as what is missing does.

use super::tail::write_whole;
use crate::durable::storage::{Operation, Storage, StorageError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The name of the file in the journal's directory.
pub(crate) const LOW_WATER: &str = "low-water";

/// What a crash in the middle of its replacement leaves.
pub(crate) const LOW_WATER_NEW: &str = "low-water.new";

const MAGIC: [u8; 8] = *b"BSTPLOWW";
const VERSION: u32 = 1;
const LEN: usize = 24;

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LowWater {
    /// There is none: nothing was ever removed.
    Absent,
    /// Records up to this may have been removed.
    At(u64),
    /// It is sound, and of a version this code does not know.
    Version(u32),
    /// It cannot be told.
    Damaged,
}

pub(crate) fn encode(sequence: u64) -> [u8; LEN] {
    let mut bytes = [0; LEN];
    bytes[0..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[12..20].copy_from_slice(&sequence.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..20]);
    bytes[20..24].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> LowWater {
    let Ok(bytes) = <&[u8; LEN]>::try_from(bytes) else {
        return LowWater::Damaged;
    };
    let (mut version, mut sequence, mut crc) = ([0; 4], [0; 8], [0; 4]);
    version.copy_from_slice(&bytes[8..12]);
    sequence.copy_from_slice(&bytes[12..20]);
    crc.copy_from_slice(&bytes[20..24]);
    if bytes[..8] != MAGIC || crc32c::crc32c(&bytes[..20]) != u32::from_le_bytes(crc) {
        return LowWater::Damaged;
    }
    match u32::from_le_bytes(version) {
        VERSION => LowWater::At(u64::from_le_bytes(sequence)),
        other => LowWater::Version(other),
    }
}

/// The mark's file, which is there, and its length.
pub(super) fn subject(storage: &dyn Storage, dir: &Path) -> Result<(PathBuf, u64), StorageError> {
    let path = dir.join(LOW_WATER);
    let file = storage
        .open(&path)
        .map_err(StorageError::at(Operation::Open, &path))?;
    let len = file
        .len()
        .map_err(StorageError::at(Operation::Read, &path))?;
    Ok((path, len))
}

/// Reads the mark of the journal in `dir`.
pub(crate) fn read(storage: &dyn Storage, dir: &Path) -> Result<LowWater, StorageError> {
    let path = dir.join(LOW_WATER);
    let file = match storage.open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(LowWater::Absent),
        Err(error) => return Err(StorageError::new(Operation::Open, &path, error)),
    };
    let mut bytes = [0; LEN + 1];
    let mut len = 0;
    while len < bytes.len() {
        match file
            .read_at(&mut bytes[len..], len as u64)
            .map_err(StorageError::at(Operation::Read, &path))?
        {
            0 => break,
            read => len = (len + read).min(bytes.len()),
        }
    }
    Ok(decode(&bytes[..len]))
}

/// Makes durable that records up to `sequence` may be removed.
pub(crate) fn write(storage: &dyn Storage, dir: &Path, sequence: u64) -> Result<(), StorageError> {
    let path = dir.join(LOW_WATER);
    let new = dir.join(LOW_WATER_NEW);
    match storage.remove(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(StorageError::new(Operation::Remove, &new, error));
        }
        Ok(()) | Err(_) => {}
    }
    let file = storage
        .create_new(&new)
        .map_err(StorageError::at(Operation::Create, &new))?;
    write_whole(&*file, &encode(sequence)).map_err(StorageError::at(Operation::Append, &new))?;
    file.sync()
        .map_err(StorageError::at(Operation::Sync, &new))?;
    drop(file);
    storage
        .rename(&new, &path)
        .map_err(StorageError::at(Operation::Rename, &path))?;
    storage
        .sync_dir(dir)
        .map_err(StorageError::at(Operation::SyncDir, dir))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::storage::MemoryStorage;

    #[test]
    fn the_mark_comes_back_and_no_bit_or_length_of_it_can_change() {
        let bytes = encode(77);
        assert_eq!(decode(&bytes), LowWater::At(77));
        for bit in 0..LEN * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&flipped), LowWater::Damaged, "bit {bit}");
        }
        for cut in 0..LEN {
            assert_eq!(decode(&bytes[..cut]), LowWater::Damaged);
        }
        let mut longer = bytes.to_vec();
        longer.push(0);
        assert_eq!(decode(&longer), LowWater::Damaged);
        let mut other = bytes;
        other[8] = 2;
        let crc = crc32c::crc32c(&other[..20]);
        other[20..24].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(decode(&other), LowWater::Version(2));
    }

    #[test]
    fn the_mark_is_replaced_whatever_a_crash_left() {
        let storage = MemoryStorage::new();
        let dir = Path::new("");
        assert_eq!(read(&storage, dir).unwrap(), LowWater::Absent);
        let left = storage.create_new(Path::new(LOW_WATER_NEW)).unwrap();
        left.append(b"half").unwrap();
        write(&storage, dir, 5).unwrap();
        write(&storage, dir, 9).unwrap();
        assert_eq!(read(&storage, dir).unwrap(), LowWater::At(9));
        assert_eq!(storage.list(dir).unwrap().len(), 1);
    }
}
