//! A directory out of any bytes, opened in every mode: what must hold whatever is in it. A fuzz target
//! drives it, and a test with bytes at random.

use backstop::durable::journal::{
    Journal, JournalConfig, OpenError, OpenMode, Outcome, RecoveryMode, inspect,
};
use backstop::durable::storage::{MemoryStorage, Storage};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

const DIR: &str = "ledger";

const MODES: [RecoveryMode; 4] = [
    RecoveryMode::TornTail,
    RecoveryMode::PointInTime,
    RecoveryMode::SkipDamaged,
    RecoveryMode::Strict,
];

/// The files of the directory, by name.
type Files = BTreeMap<String, Vec<u8>>;

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    /// A small number, or, now and then, a huge one.
    fn number(&mut self) -> u64 {
        match self.byte().unwrap_or(0) {
            255 => u64::MAX,
            254 => u64::from(u32::MAX),
            253 => {
                let taken: Vec<u8> = (0..8).map(|_| self.byte().unwrap_or(0)).collect();
                u64::from_le_bytes(taken.try_into().expect("eight"))
            }
            small => small.into(),
        }
    }

    fn bytes(&mut self) -> &'a [u8] {
        let len = usize::from(self.byte().unwrap_or(0)).min(self.0.len());
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        taken
    }
}

/// What a segment that is written record by record knows of itself.
#[derive(Clone, Copy, Default)]
struct Pen {
    epoch: u64,
    next: u64,
    crc: u32,
    salt: u64,
}

fn seal(bytes: &mut Vec<u8>, salt: u64) -> u32 {
    let seed = crc32c::crc32c(&salt.to_le_bytes());
    let crc = crc32c::crc32c_append(seed, bytes);
    bytes.extend(crc.to_le_bytes());
    crc
}

fn segment(input: &mut Input<'_>, pen: &mut Pen, files: &mut Files) -> String {
    // Mostly as a journal goes on; each field may be another.
    let odd = input.byte().unwrap_or(0);
    let take = |bit: u8, input: &mut Input<'_>, else_: u64| {
        if odd & bit == 0 {
            else_
        } else {
            input.number()
        }
    };
    let previous = pen.epoch;
    pen.epoch = if odd & 1 == 0 {
        pen.epoch.max(1)
    } else {
        input.number()
    };
    pen.next = take(2, input, pen.next.max(1));
    let synced = take(4, input, pen.next.saturating_sub(1));
    let previous_epoch = take(8, input, previous);
    let previous_crc = take(16, input, pen.crc.into());
    pen.salt = 1 + files.len() as u64;
    let mut bytes = b"BSTPJRNL\x01\0\0\0\x40\0\0\0".to_vec();
    for field in [pen.epoch, pen.salt, pen.next, synced, previous_epoch] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend(&previous_crc.to_le_bytes()[..4]);
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    pen.crc = u32::from_le_bytes(bytes[56..60].try_into().expect("four"));
    let Pen {
        epoch, next, salt, ..
    } = *pen;
    let name = format!("{epoch:016x}-{next:016x}-{salt:016x}.segment");
    files.insert(name.clone(), bytes);
    name
}

fn record(input: &mut Input<'_>, pen: &mut Pen, file: &mut Vec<u8>) {
    let odd = input.byte().unwrap_or(0);
    let payload = input.bytes();
    let take = |bit: u8, input: &mut Input<'_>, else_: u64| {
        if odd & bit == 0 {
            else_
        } else {
            input.number()
        }
    };
    let length = take(1, input, payload.len() as u64);
    let sequence = take(2, input, pen.next);
    let synced = take(4, input, sequence.saturating_sub(1));
    let previous = take(8, input, pen.crc.into());
    let mut bytes = Vec::new();
    bytes.extend(&length.to_le_bytes()[..4]);
    bytes.extend([odd, 0, 0, 0]);
    for field in [sequence, 0, synced] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend(&previous.to_le_bytes()[..4]);
    let crc = seal(&mut bytes, pen.salt);
    let mut body = payload.to_vec();
    body.resize((payload.len() + 44).next_multiple_of(8) - 44, 0);
    let trailing = crc32c::crc32c_append(crc, &body);
    bytes.extend(&body);
    bytes.extend(trailing.to_le_bytes());
    file.extend(bytes);
    pen.crc = trailing;
    pen.next = sequence.saturating_add(1);
}

/// The directory that these bytes describe.
fn files(bytes: &[u8]) -> Files {
    let mut input = Input(bytes);
    let mut files = Files::new();
    let mut pen = Pen::default();
    let mut current = segment(&mut input, &mut pen, &mut files);
    while let Some(op) = input.byte() {
        let file = files.get_mut(&current).expect("it was made");
        match op % 16 {
            0..=7 => record(&mut input, &mut pen, file),
            8 | 9 => current = segment(&mut input, &mut pen, &mut files),
            10 => {
                // Bytes of it are others.
                let at = usize::try_from(input.number()).unwrap_or(0);
                let bytes = input.bytes();
                for (place, byte) in file.iter_mut().skip(at).zip(bytes) {
                    *place = *byte;
                }
            }
            11 => {
                let cut = usize::from(input.byte().unwrap_or(0));
                file.truncate(file.len().saturating_sub(cut));
            }
            12 => {
                let more = usize::from(input.byte().unwrap_or(0)) * 8;
                file.resize(file.len() + more, 0);
            }
            13 => file.extend(input.bytes()),
            14 => {
                let mut bytes = b"BSTPLOWW\x01\0\0\0".to_vec();
                bytes.extend(input.number().to_le_bytes());
                bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
                files.insert("low-water".to_owned(), bytes);
            }
            _ => {
                // Another file of any contents, under the name of a segment.
                let (epoch, first, salt) = (input.number(), input.number(), input.number());
                let name = format!("{epoch:016x}-{first:016x}-{salt:016x}.segment");
                files.insert(name, input.bytes().to_vec());
                if !files.contains_key(&current) {
                    current = segment(&mut input, &mut pen, &mut files);
                }
            }
        }
    }
    files
}

fn store(files: &Files) -> MemoryStorage {
    let storage = MemoryStorage::new();
    storage.create_dir(Path::new(DIR)).expect("it is empty");
    for (name, bytes) in files {
        let file = storage.create_new(&Path::new(DIR).join(name));
        let file = file.expect("names differ");
        assert_eq!(file.append(bytes).expect("memory"), bytes.len());
    }
    storage
}

fn stored(storage: &MemoryStorage) -> Files {
    let dir = Path::new(DIR);
    let mut files = Files::new();
    for entry in storage.list(dir).expect("the directory") {
        if !entry.is_dir && !["lock", "reserve"].contains(&&*entry.name) {
            let len = usize::try_from(entry.len).expect("memory");
            let mut bytes = vec![0; len];
            let file = storage.open(&dir.join(&entry.name)).expect("a file");
            assert_eq!(file.read_at(&mut bytes, 0).expect("memory"), len);
            files.insert(entry.name, bytes);
        }
    }
    files
}

fn open(
    storage: &MemoryStorage,
    mode: RecoveryMode,
) -> Result<(Journal, backstop::durable::journal::OpenReport), OpenError> {
    let config = JournalConfig::default()
        .open(OpenMode::CreateIfMissing)
        .recovery(mode)
        .segment_bytes(1_024)
        .reserve_bytes(0);
    Journal::open(Arc::new(storage.clone()), DIR, config)
}

fn records(journal: &Journal, from: u64) -> Vec<(u64, Vec<u8>)> {
    let mut found = Vec::new();
    let mut reader = journal.read(from).expect("the first one is there");
    while let Some(record) = reader.next().expect("all were verified") {
        found.push((record.sequence, record.payload.to_vec()));
    }
    found
}

/// What an open in this mode comes to; everything that its line promises is held.
fn outcome(files: &Files, mode: RecoveryMode) -> Result<Vec<(u64, Vec<u8>)>, OpenError> {
    let storage = store(files);
    let look = inspect(&storage, Path::new(DIR), |_| {});
    assert_eq!(stored(&storage), *files, "a look changes nothing");
    let (journal, report) = match open(&storage, mode) {
        Ok(opened) => opened,
        Err(error) => {
            assert_eq!(stored(&storage), *files, "nor does a refusal: {error}");
            assert!(!error.to_string().is_empty());
            return Err(error);
        }
    };
    let found = records(&journal, report.first_sequence);
    assert!(found.is_sorted_by(|one, next| one.0 < next.0));
    let kept = report.records - report.dropped;
    assert_eq!(
        found.len() as u64,
        kept,
        "{mode:?}: {report:#?} of {:?}",
        files.keys()
    );
    let last = found.last().map_or(0, |record| record.0);
    assert!(last <= report.last_sequence);
    match look.expect("what opens can be looked at").outcome(mode) {
        Outcome::Sound => assert!(report.is_clean()),
        Outcome::KeepsUpTo(kept) => assert!(last <= kept && kept <= report.last_sequence),
        Outcome::KeepsAll(kept) => assert_eq!(kept, found.len() as u64),
        other => panic!("it opened, and was to come to {other}"),
    }
    if report.last_sequence < u64::MAX - 1 {
        let next = journal.append(1, b"more").expect("memory");
        assert_eq!(next, report.last_sequence + 1);
        drop(journal);
        let again = open(&storage, RecoveryMode::Strict);
        let (journal, again) = again.unwrap_or_else(|error| {
            panic!("{mode:?}, sound now? {error}; {report:#?} of {files:?}")
        });
        assert!(again.is_clean(), "{again}");
        let mut expected = found.clone();
        expected.push((next, b"more".to_vec()));
        assert_eq!(records(&journal, again.first_sequence), expected);
    }
    Ok(found)
}

/// Holds everything that must hold of the directory that `bytes` describe.
pub(crate) fn check(bytes: &[u8]) {
    let files = files(bytes);
    let of = |mode| outcome(&files, mode);
    let [torn, prefix, skipped, strict] = MODES.map(of);
    if let Ok(skipped) = &skipped {
        let prefix = prefix.as_ref().expect("neither refuses damage");
        assert!(
            skipped.starts_with(prefix),
            "all that verify, and the first of them"
        );
    }
    if let (Ok(torn), Ok(prefix)) = (&torn, &prefix) {
        assert_eq!(torn, prefix);
    }
    if let Ok(strict) = &strict {
        for other in [&torn, &prefix, &skipped] {
            assert_eq!(strict, other.as_ref().expect("a sound journal opens"));
        }
    }
}
