//! The files of a journal as bytes, to damage them and to look at them again.

use backstop::durable::journal::{Journal, JournalConfig, OpenError, OpenMode, OpenReport};
use backstop::durable::storage::{MemoryStorage, Storage};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

pub(crate) const DIR: &str = "ledger";

/// A segment header.
pub(crate) const HEADER: usize = 64;

/// A record around its payload, which is a multiple of 8 bytes and 4 long.
pub(crate) const RECORD: usize = 44;

/// By name: the bytes of every file of the journal, without its lock and its quarantine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Image(pub(crate) BTreeMap<String, Vec<u8>>);

/// What a file holds.
pub(crate) fn contents(storage: &dyn Storage, path: &Path) -> Vec<u8> {
    let file = storage.open(path).expect("the file is there");
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    let mut at = 0;
    while at < bytes.len() {
        at += file.read_at(&mut bytes[at..], at as u64).unwrap();
    }
    bytes
}

impl Image {
    pub(crate) fn of(storage: &dyn Storage) -> Self {
        let dir = Path::new(DIR);
        let entries = storage.list(dir).expect("the directory");
        let files = entries
            .into_iter()
            .filter(|entry| !entry.is_dir && !["lock", "reserve"].contains(&&*entry.name))
            .map(|entry| {
                (
                    entry.name.clone(),
                    contents(storage, &dir.join(&entry.name)),
                )
            })
            .collect();
        Self(files)
    }

    /// The files that were copied before a repair.
    pub(crate) fn quarantine(storage: &dyn Storage) -> Vec<Vec<u8>> {
        let dir = Path::new(DIR).join("quarantine");
        match storage.list(&dir) {
            Ok(entries) => entries
                .iter()
                .map(|entry| contents(storage, &dir.join(&entry.name)))
                .collect(),
            Err(_) => Vec::new(),
        }
    }

    pub(crate) fn store(&self) -> MemoryStorage {
        let storage = MemoryStorage::new();
        storage.create_dir(Path::new(DIR)).unwrap();
        for (name, bytes) in &self.0 {
            let file = storage.create_new(&Path::new(DIR).join(name)).unwrap();
            file.append(bytes).unwrap();
        }
        storage
    }

    /// The names of the segments, in the order of their records.
    pub(crate) fn segments(&self) -> Vec<String> {
        let is_segment = |name: &&String| name.ends_with(".segment");
        self.0.keys().filter(is_segment).cloned().collect()
    }

    /// The bytes of the segment of that number; from the end if it is negative.
    pub(crate) fn segment(&mut self, number: isize) -> &mut Vec<u8> {
        let name = self.name(number);
        self.0.get_mut(&name).expect("a segment of that number")
    }

    pub(crate) fn name(&self, number: isize) -> String {
        let segments = self.segments();
        let count = isize::try_from(segments.len()).expect("a few");
        let number = number.rem_euclid(count);
        segments[number.unsigned_abs()].clone()
    }
}

pub(crate) fn config() -> JournalConfig {
    JournalConfig::default().open(OpenMode::CreateIfMissing)
}

pub(crate) fn open(
    storage: &MemoryStorage,
    config: JournalConfig,
) -> Result<(Journal, OpenReport), OpenError> {
    Journal::open(Arc::new(storage.clone()), DIR, config)
}

/// The sequence, kind and payload of every record from `from` on.
pub(crate) fn read(journal: &Journal, from: u64) -> Vec<(u64, u32, Vec<u8>)> {
    let mut reader = journal.read(from).expect("it is there");
    let mut records = Vec::new();
    while let Some(record) = reader.next().expect("it verifies") {
        records.push((record.sequence, record.kind, record.payload.to_vec()));
    }
    records
}

/// The trailing checksum of the record at `at` follows its own, and both are seeded with the salt: seals
/// the header of a record anew, as nobody but a test does.
pub(crate) fn reseal_header(segment: &mut [u8], at: usize) {
    let seed = crc32c::crc32c(&segment[24..32]);
    let crc = crc32c::crc32c_append(seed, &segment[at..at + 36]);
    segment[at + 36..at + 40].copy_from_slice(&crc.to_le_bytes());
}

/// The same of a segment's header.
pub(crate) fn reseal_segment(segment: &mut [u8]) {
    let crc = crc32c::crc32c(&segment[..60]);
    segment[60..64].copy_from_slice(&crc.to_le_bytes());
}

/// The same of a whole record whose payload is `len` bytes long.
pub(crate) fn reseal_record(segment: &mut [u8], at: usize, len: usize) {
    reseal_header(segment, at);
    let record = &mut segment[at..at + (len + RECORD).next_multiple_of(8)];
    let (body, trailer) = record.split_at_mut(record.len() - 4);
    let crc = u32::from_le_bytes(body[36..40].try_into().expect("four bytes"));
    let crc = crc32c::crc32c_append(crc, &body[40..]);
    trailer.copy_from_slice(&crc.to_le_bytes());
}
