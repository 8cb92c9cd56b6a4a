//! Records that are written together, in the form in which they are written.

use super::format::{RECORD_HEADER, RECORD_TRAILER, record_len};
use super::waiters::Place;

/// A buffer of at most this size keeps it for ever.
const KEPT: usize = 1 << 20;
/// A larger one loses what it has too much after so many batches that needed less than a quarter.
const PATIENCE: u32 = 64;

/// Records one behind the other, each in its place and without its checksums, and who waits for
/// them.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    /// How many records.
    count: u64,
    /// Who waits for it, in the order in which they came.
    pub(super) waiters: Vec<Place>,
    /// Somebody waits until it is durable.
    pub(super) is_sync_wanted: bool,
    /// How many batches before needed far less than the buffer has.
    oversized: u32,
}

impl Batch {
    /// Bytes of its records.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Puts a record behind the others. `length` is that of `payload`.
    pub(super) fn push(&mut self, length: u32, kind: u32, wall_nanos: u64, payload: &[u8]) {
        // Not more than a trailer and what comes before it.
        const ZEROS: [u8; RECORD_TRAILER + 8] = [0; RECORD_TRAILER + 8];
        let bytes = record_bytes(length);
        self.bytes.reserve(bytes);
        let mut header = [0; RECORD_HEADER];
        header[0..4].copy_from_slice(&length.to_le_bytes());
        header[4..8].copy_from_slice(&kind.to_le_bytes());
        header[16..24].copy_from_slice(&wall_nanos.to_le_bytes());
        self.bytes.extend_from_slice(&header);
        self.bytes.extend_from_slice(payload);
        self.bytes
            .extend_from_slice(&ZEROS[..bytes - RECORD_HEADER - payload.len()]);
        self.count += 1;
    }

    /// Takes the first `bytes` away, which are `count` records.
    pub(super) fn forget(&mut self, bytes: usize, count: u64) {
        self.bytes.drain(..bytes);
        self.count -= count;
    }

    /// Puts the records of another behind its own.
    pub(super) fn append(&mut self, other: &Self) {
        self.bytes.extend_from_slice(&other.bytes);
        self.count += other.count;
    }

    /// Empty, and as large as it need be.
    pub(super) fn clear(&mut self) {
        let (used, room) = (self.bytes.len(), self.bytes.capacity());
        self.bytes.clear();
        self.count = 0;
        self.waiters.clear();
        self.is_sync_wanted = false;
        if room <= KEPT || used >= room / 4 {
            self.oversized = 0;
            return;
        }
        self.oversized += 1;
        if self.oversized > PATIENCE {
            self.oversized = 0;
            self.bytes.shrink_to(KEPT.max(used * 2));
        }
    }
}

/// Bytes of a record with a payload of `length`, which is in memory.
fn record_bytes(length: u32) -> usize {
    usize::try_from(record_len(length)).unwrap_or(usize::MAX)
}

/// What a batch keeps of the record at the front of `bytes`: length, kind and wall time.
pub(super) fn noted(bytes: &[u8]) -> (u32, u32, u64) {
    let u32_at = |at: usize| {
        let mut value = [0; 4];
        value.copy_from_slice(&bytes[at..at + 4]);
        u32::from_le_bytes(value)
    };
    let mut wall = [0; 8];
    wall.copy_from_slice(&bytes[16..24]);
    (u32_at(0), u32_at(4), u64::from_le_bytes(wall))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jn2m_a_buffer_keeps_its_room_and_gives_back_what_was_rare() {
        let mut batch = Batch::default();
        let fill = |batch: &mut Batch, length: usize| {
            let payload = vec![7; length];
            batch.push(u32::try_from(length).unwrap(), 1, 2, &payload);
            batch.clear();
            batch.bytes.capacity()
        };
        let kept = fill(&mut batch, 500_000);
        for _ in 0..1_000 {
            assert_eq!(fill(&mut batch, 10), kept);
        }
        // A large one is kept while it is needed now and then ...
        let large = fill(&mut batch, 8 << 20);
        for _ in 0..10 {
            for _ in 0..PATIENCE {
                assert_eq!(fill(&mut batch, 10), large);
            }
            assert_eq!(fill(&mut batch, 8 << 20), large);
        }
        // ... and no longer.
        for _ in 0..PATIENCE {
            assert_eq!(fill(&mut batch, 10), large);
        }
        assert_eq!(fill(&mut batch, 10), KEPT);
    }

    #[test]
    fn a_record_is_noted_whole() {
        let mut batch = Batch::default();
        batch.push(5, 6, 7, b"hello");
        batch.push(0, 8, 9, b"");
        assert_eq!((batch.count, batch.len()), (2, 56 + 48));
        assert_eq!(noted(batch.bytes_mut()), (5, 6, 7));
        batch.forget(56, 1);
        assert_eq!(noted(batch.bytes_mut()), (0, 8, 9));
        assert_eq!(batch.count, 1);
    }
}
