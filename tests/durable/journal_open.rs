//! Opening a journal, and reading it back.

use backstop::durable::journal::{Journal, JournalConfig, OpenMode, OpenReport};
use backstop::durable::storage::MemoryStorage;
use std::sync::Arc;

const DIR: &str = "ledger";

fn config() -> JournalConfig {
    JournalConfig::default().open(OpenMode::CreateIfMissing)
}

fn open(storage: &MemoryStorage, config: JournalConfig) -> (Journal, OpenReport) {
    Journal::open(Arc::new(storage.clone()), DIR, config).expect("it opens")
}

/// The sequence, kind and payload of every record from `from` on.
fn read(journal: &Journal, from: u64) -> Vec<(u64, u32, Vec<u8>)> {
    let mut reader = journal.read(from).expect("it is there");
    let mut records = Vec::new();
    while let Some(record) = reader.next().expect("it verifies") {
        records.push((record.sequence, record.kind, record.payload.to_vec()));
    }
    records
}

#[test]
fn what_was_appended_is_read_back_by_every_later_open() {
    let storage = MemoryStorage::new();
    let mut expected = Vec::new();
    for round in 0..5_u32 {
        let (journal, report) = open(&storage, config().segment_bytes(1_024));
        assert_eq!(report.is_new, round == 0, "{report}");
        assert!(report.is_clean(), "{report}");
        assert_eq!(report.records, expected.len() as u64);
        assert_eq!(read(&journal, 1), expected);
        for number in 0..7 * round {
            let payload = vec![0xa5; (number * 37 % 300) as usize];
            let sequence = journal.append(number, &payload).unwrap();
            expected.push((sequence, number, payload));
        }
        assert_eq!(read(&journal, 1), expected);
        let from = expected.len() / 2;
        assert_eq!(read(&journal, from as u64 + 1), expected[from..]);
    }
}
