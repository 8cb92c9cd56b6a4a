//! Files read and written whole.

use super::super::checkpoint::{About, Checkpoint};
use super::super::notes;
use crate::durable::codec::{EnvelopeError, HEADER, Header, TRAILER};
use crate::durable::snapshot::marks::Marks;
use crate::durable::storage::{Operation, Storage, StorageError, StorageFile};
use std::io::{self, ErrorKind};
use std::path::Path;

/// A checkpoint that is only verified is read in pieces of this size.
const PIECE: usize = 64 * 1_024;

/// Writes a new file of these parts and syncs it. What fails is removed again.
pub(super) fn write(
    storage: &dyn Storage,
    path: &Path,
    parts: &[&[u8]],
) -> Result<(), StorageError> {
    let file = create(storage, path)?;
    let written = write_parts(&*file, path, parts);
    drop(file);
    if written.is_err() {
        let _left = storage.remove(path);
    }
    written
}

/// A new file; what a crash or a failed removal has left of that name makes room.
fn create(storage: &dyn Storage, path: &Path) -> Result<Box<dyn StorageFile>, StorageError> {
    match storage.create_new(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let removed = storage.remove(path);
            removed.map_err(StorageError::at(Operation::Remove, path))?;
            storage.create_new(path)
        }
        created => created,
    }
    .map_err(StorageError::at(Operation::Create, path))
}

fn write_parts(file: &dyn StorageFile, path: &Path, parts: &[&[u8]]) -> Result<(), StorageError> {
    for part in parts {
        let mut left = *part;
        while !left.is_empty() {
            let written = file
                .append(left)
                .and_then(|len| {
                    if len == 0 {
                        Err(ErrorKind::WriteZero.into())
                    } else {
                        Ok(len)
                    }
                })
                .map_err(StorageError::at(Operation::Append, path))?;
            left = left.get(written..).unwrap_or_default();
        }
    }
    file.sync().map_err(StorageError::at(Operation::Sync, path))
}

/// A file that is there; `None` if it is not.
fn open(storage: &dyn Storage, path: &Path) -> Result<Option<Reading>, StorageError> {
    match storage.open(path) {
        Ok(file) => {
            let len = file
                .len()
                .map_err(StorageError::at(Operation::Read, path))?;
            Ok(Some(Reading { file, len, at: 0 }))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StorageError::new(Operation::Open, path, error)),
    }
}

struct Reading {
    file: Box<dyn StorageFile>,
    len: u64,
    at: u64,
}

/// Why a read gave no checkpoint.
enum Failed {
    Io(io::Error),
    Envelope(EnvelopeError),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<EnvelopeError> for Failed {
    fn from(error: EnvelopeError) -> Self {
        Self::Envelope(error)
    }
}

impl Reading {
    /// The next bytes, as many as there is room for.
    fn fill(&mut self, into: &mut [u8]) -> Result<(), Failed> {
        let mut filled = 0;
        while filled < into.len() {
            let read = self.file.read_at(&mut into[filled..], self.at)?;
            if read == 0 {
                return Err(EnvelopeError::Short.into());
            }
            filled += read;
            self.at += read as u64;
        }
        Ok(())
    }

    /// Reads everything; `payload` is handed each piece of the payload.
    fn checkpoint<P>(
        &mut self,
        sequence: u64,
        payload: impl FnOnce(&mut Self, u64, u32) -> Result<(P, u32), Failed>,
    ) -> Result<(Header, Vec<u8>, P), Failed> {
        let mut fixed = [0; HEADER];
        if self.len < HEADER as u64 {
            return Err(EnvelopeError::Short.into());
        }
        self.fill(&mut fixed)?;
        let header = Header::decode(&fixed)?;
        let payload_len = header.payload_in(self.len)?;
        let mut names = vec![0; header.names()];
        self.fill(&mut names)?;
        let crc = crc32c::crc32c_append(crc32c::crc32c(&fixed), &names);
        let (payload, crc) = payload(self, payload_len, crc)?;
        let mut trailer = [0; TRAILER];
        self.fill(&mut trailer)?;
        if crc != u32::from_le_bytes(trailer) {
            return Err(EnvelopeError::Checksum.into());
        }
        header.split_names(&names)?;
        if header.sequence != sequence {
            return Err(EnvelopeError::Misplaced(header.sequence).into());
        }
        Ok((header, names, payload))
    }
}

/// What stands for what was read: nothing there, damaged, or it.
type Found<T> = Option<Result<T, EnvelopeError>>;

fn found<T>(read: Result<T, Failed>, path: &Path) -> Result<Found<T>, StorageError> {
    match read {
        Ok(value) => Ok(Some(Ok(value))),
        Err(Failed::Envelope(error)) => Ok(Some(Err(error))),
        Err(Failed::Io(error)) => Err(StorageError::new(Operation::Read, path, error)),
    }
}

/// The checkpoint in that file. No more is allocated than the file is long.
pub(super) fn read(
    storage: &dyn Storage,
    path: &Path,
    sequence: u64,
) -> Result<Found<Checkpoint>, StorageError> {
    let Some(mut reading) = open(storage, path)? else {
        return Ok(None);
    };
    let read = reading.checkpoint(sequence, |reading, len, crc| {
        let too_large = || io::Error::from(ErrorKind::OutOfMemory);
        let len = usize::try_from(len).map_err(|_| too_large())?;
        let mut payload = Vec::new();
        payload.try_reserve_exact(len).map_err(|_| too_large())?;
        payload.resize(len, 0);
        reading.fill(&mut payload)?;
        let crc = crc32c::crc32c_append(crc, &payload);
        Ok((payload, crc))
    });
    let checkpoint = read.and_then(|(header, names, payload)| {
        let (type_name, codec) = header.split_names(&names)?;
        Ok(Checkpoint {
            sequence,
            wall: header.wall,
            type_name: type_name.to_owned(),
            version: header.version,
            codec: codec.to_owned(),
            digest: header.digest,
            payload,
        })
    });
    found(checkpoint, path)
}

/// What the checkpoint in that file says of itself, all of it verified, at the cost of one buffer.
pub(super) fn verify(
    storage: &dyn Storage,
    path: &Path,
    sequence: u64,
) -> Result<Found<About>, StorageError> {
    let Some(mut reading) = open(storage, path)? else {
        return Ok(None);
    };
    let read = reading.checkpoint(sequence, |reading, len, mut crc| {
        let piece = usize::try_from(len).unwrap_or(PIECE).min(PIECE);
        let mut buffer = vec![0; piece];
        let mut left = len;
        while left > 0 {
            let next = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            reading.fill(&mut buffer[..next])?;
            crc = crc32c::crc32c_append(crc, &buffer[..next]);
            left -= next as u64;
        }
        Ok((len, crc))
    });
    let about = read.and_then(|(header, names, payload_len)| {
        let (type_name, codec) = header.split_names(&names)?;
        Ok(About {
            wall: header.wall,
            type_name: type_name.to_owned(),
            version: header.version,
            codec: codec.to_owned(),
            digest: header.digest,
            payload_len,
        })
    });
    found(about, path)
}

/// The marks in that file; if it is damaged, what is taken for noted then; nothing if it is not there.
pub(super) fn read_marks(
    storage: &dyn Storage,
    path: &Path,
    sequence: u64,
) -> Result<Marks, StorageError> {
    let Some(mut reading) = open(storage, path)? else {
        return Ok(Marks::none());
    };
    if reading.len != notes::LEN as u64 {
        return Ok(notes::UNREADABLE);
    }
    let mut bytes = [0; notes::LEN];
    match reading.fill(&mut bytes) {
        Ok(()) => Ok(notes::decode(sequence, &bytes).unwrap_or(notes::UNREADABLE)),
        Err(Failed::Envelope(_)) => Ok(notes::UNREADABLE),
        Err(Failed::Io(error)) => Err(StorageError::new(Operation::Read, path, error)),
    }
}
