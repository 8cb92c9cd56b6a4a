//! A fresh journal for whitebox tests, without what an open does, and a reading of its files.

use super::Journal;
use super::format::{RECORD_HEADER, RecordHeader, SEGMENT_HEADER, Seed, SegmentHeader};
use super::start::{Opened, Settings};
use super::tail::{SegmentInfo, Tail, create_segment};
use crate::durable::storage::Storage;
use crate::kernel::clock::Clock;
use std::path::Path;
use std::sync::Arc;

pub(super) const DIR: &str = "log";

pub(super) fn settings() -> Settings {
    Settings {
        segment_bytes: 1 << 26,
        record_limit: 1 << 20,
        buffer_bytes: 8 << 20,
        is_buffered: false,
    }
}

pub(super) fn opened(storage: Arc<dyn Storage>, settings: Settings, clock: Clock) -> Opened {
    let dir = Path::new(DIR);
    storage.create_dir(dir).expect("a fresh storage");
    let header = SegmentHeader {
        epoch: 1,
        salt: 7,
        first_sequence: 1,
        synced_through: 0,
        previous_epoch: 0,
        previous_crc: 0,
    };
    let (file, path) = create_segment(&*storage, dir, header).expect("the first segment");
    let segment = SegmentInfo {
        header,
        path: path.clone(),
        last_sequence: 0,
        len: SEGMENT_HEADER as u64,
    };
    let tail = Tail {
        file,
        path,
        header,
        len: SEGMENT_HEADER as u64,
        last_sequence: 0,
        last_crc: 0,
        last_wall_nanos: 0,
        synced_through: 0,
    };
    Opened {
        storage,
        dir: dir.to_owned(),
        settings,
        clock,
        lock: None,
        tail,
        segments: vec![segment],
    }
}

pub(super) fn journal(storage: Arc<dyn Storage>, settings: Settings) -> Journal {
    opened(storage, settings, Clock::system()).start()
}

/// A record as it stands in the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) header: RecordHeader,
    pub(super) payload: Vec<u8>,
}

/// All segments with their records: each whole, linked to the one before, and nothing behind them.
#[track_caller]
pub(super) fn read_back(storage: &dyn Storage) -> Vec<(SegmentHeader, Vec<Stored>)> {
    let dir = Path::new(DIR);
    let mut previous = 0;
    let mut sequence = 0;
    let mut segments = Vec::new();
    let names = storage.list(dir).expect("the directory");
    for entry in names
        .iter()
        .filter(|entry| entry.name.ends_with(".segment"))
    {
        let file = storage.open(&dir.join(&entry.name)).expect("a segment");
        let mut bytes = vec![0; usize::try_from(entry.len).unwrap()];
        let mut at = 0;
        while at < bytes.len() {
            at += match file.read_at(&mut bytes[at..], at as u64).expect("read") {
                0 => panic!("a short file"),
                read => read,
            };
        }
        let header = SegmentHeader::decode(&bytes).expect("a segment header");
        assert_eq!(header.previous_crc, previous, "{}", entry.name);
        let seed = Seed::of(header.salt);
        let mut records = Vec::new();
        let mut at = SEGMENT_HEADER;
        while at < bytes.len() {
            let record = RecordHeader::decode(&bytes[at..], seed).expect("a record header");
            assert_eq!(record.previous_crc, previous);
            sequence += 1;
            assert_eq!(record.sequence, sequence);
            previous = record.verify(&bytes[at..]).expect("a whole record");
            let payload = at + RECORD_HEADER..at + RECORD_HEADER + record.length as usize;
            records.push(Stored {
                header: record,
                payload: bytes[payload].to_vec(),
            });
            at += usize::try_from(record.record_len()).unwrap();
        }
        segments.push((header, records));
    }
    segments
}
