//! Finding and verifying single records in a file, in bounded memory.

use super::damage::DamageKind;
use super::format::{RECORD_HEADER, RECORD_TRAILER, RecordHeader, Seed};
use super::window::{CHUNK, Window};
use crate::durable::storage::StorageError;

/// Records begin at multiples of this.
const STEP: usize = 8;

/// What a power cut loses as a whole.
const SECTOR: u64 = 512;

/// A record that verifies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// Where it begins.
    pub(super) offset: u64,
    pub(super) header: RecordHeader,
    /// Its trailing CRC.
    pub(super) crc: u32,
}

impl Found {
    /// Where the next one begins.
    pub(super) const fn end(&self) -> u64 {
        self.offset + self.header.record_len()
    }
}

/// What stands where a record should be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Look {
    Record(Found),
    Bad {
        kind: DamageKind,
        /// The bytes of the record, if its header can be trusted.
        len: Option<u64>,
    },
}

/// Looks at the record at `offset`, which is before the end of the file.
pub(super) fn look(window: &mut Window, offset: u64, seed: Seed) -> Result<Look, StorageError> {
    let left = window.left(offset);
    if left < RECORD_HEADER as u64 {
        return Ok(Look::Bad {
            kind: DamageKind::Incomplete,
            len: None,
        });
    }
    let Some(header) = RecordHeader::decode(window.at(offset, RECORD_HEADER)?, seed) else {
        return Ok(Look::Bad {
            kind: DamageKind::RecordHeader,
            len: None,
        });
    };
    // The length is looked at before anything is done with it.
    let len = header.record_len();
    if len > left {
        return Ok(Look::Bad {
            kind: DamageKind::Incomplete,
            len: None,
        });
    }
    Ok(match verify(window, offset, &header)? {
        Some(crc) => Look::Record(Found {
            offset,
            header,
            crc,
        }),
        None => Look::Bad {
            kind: DamageKind::Payload,
            len: Some(len),
        },
    })
}

/// The trailing CRC of the record, if it matches. The file has all its bytes; the buffer does not
/// grow for them.
fn verify(
    window: &mut Window,
    offset: u64,
    header: &RecordHeader,
) -> Result<Option<u32>, StorageError> {
    let len = header.record_len();
    if let Some(len) = usize::try_from(len).ok().filter(|len| *len <= CHUNK) {
        return Ok(header.verify(window.at(offset, len)?));
    }
    let front = window.at(offset, RECORD_HEADER)?;
    if front.len() < RECORD_HEADER {
        return Ok(None);
    }
    let mut check = RecordHeader::check(front);
    let mut at = offset + RECORD_HEADER as u64;
    let end = offset + len - RECORD_TRAILER as u64;
    while at < end {
        let bytes = window.at(at, 1)?;
        let most = usize::try_from(end - at).unwrap_or(usize::MAX);
        let piece = &bytes[..bytes.len().min(most)];
        if piece.is_empty() {
            return Ok(None);
        }
        check.add(piece);
        at += piece.len() as u64;
    }
    let trailer = window.at(end, RECORD_TRAILER)?;
    Ok(trailer
        .get(..RECORD_TRAILER)
        .and_then(|trailer| check.end(trailer)))
}

/// The next record from `offset` on that verifies, and whose sequence is at least `lowest` and, if
/// there is such a bound, below `until`.
pub(super) fn search(
    window: &mut Window,
    mut offset: u64,
    seed: Seed,
    lowest: u64,
    until: Option<u64>,
) -> Result<Option<Found>, StorageError> {
    loop {
        let left = window.left(offset);
        if left < RECORD_HEADER as u64 {
            return Ok(None);
        }
        let bytes = window.at(offset, RECORD_HEADER)?;
        if bytes.len() < RECORD_HEADER {
            return Ok(None);
        }
        let candidate = (0..)
            .step_by(STEP)
            .take_while(|at| at + RECORD_HEADER <= bytes.len())
            .find_map(|at| {
                // Most places are ruled out by a glance: a checksum costs more.
                let sequence = u64::from_le_bytes(*bytes[at + 8..].first_chunk()?);
                let length = u32::from_le_bytes(*bytes[at..].first_chunk()?);
                let is_likely = sequence >= lowest
                    && until.is_none_or(|until| sequence < until)
                    && u64::from(length) <= left;
                let is_header = is_likely && RecordHeader::decode(&bytes[at..], seed).is_some();
                is_header.then_some(at as u64)
            });
        let Some(at) = candidate else {
            let looked_at = (bytes.len() - RECORD_HEADER) / STEP * STEP + STEP;
            offset += looked_at as u64;
            continue;
        };
        match look(window, offset + at, seed)? {
            Look::Record(found) => return Ok(Some(found)),
            Look::Bad { len, .. } => offset += at + len.unwrap_or(STEP as u64),
        }
    }
}

/// Whether some sector is empty from `offset` on, of which the first and the last may be parts.
pub(super) fn has_empty_sector(window: &mut Window, offset: u64) -> Result<bool, StorageError> {
    let mut at = offset;
    while at < window.len() {
        let end = (at / SECTOR + 1).saturating_mul(SECTOR).min(window.len());
        let len = usize::try_from(end - at).unwrap_or(usize::MAX);
        let bytes = window.at(at, len)?;
        if bytes.iter().take(len).all(|byte| *byte == 0) {
            return Ok(true);
        }
        at = end;
    }
    Ok(false)
}
