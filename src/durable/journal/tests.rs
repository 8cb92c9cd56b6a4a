//! The engine over files in memory.

use super::rig::{journal, read_back, settings};
use crate::durable::storage::{FsStorage, MemoryStorage, Storage};
use std::sync::Arc;
use std::time::Instant;

#[test]
fn what_is_appended_is_read_back() {
    let storage = Arc::new(MemoryStorage::new());
    let journal = journal(storage.clone(), settings());
    assert_eq!(journal.append(3, b"one").unwrap(), 1);
    assert_eq!(journal.append(4, b"").unwrap(), 2);
    let segments = read_back(&*storage);
    let [(_, records)] = &segments[..] else {
        panic!("one segment: {segments:?}")
    };
    assert_eq!(records.len(), 2);
    assert_eq!(
        (records[0].header.kind, &records[0].payload[..]),
        (3, &b"one"[..])
    );
    assert_eq!(records[1].header.synced_through, 1);
}

#[test]
fn bench_commit() {
    let dir = tempfile::tempdir().unwrap();
    std::env::set_current_dir(dir.path()).unwrap();
    let storage = Arc::new(FsStorage);
    let journal = journal(storage.clone(), settings());
    let file = storage.create_new(std::path::Path::new("raw")).unwrap();
    for _ in 0..3 {
        let start = Instant::now();
        for _ in 0..2000 {
            file.append(&[7; 256]).unwrap();
            file.sync().unwrap();
        }
        let raw = start.elapsed();
        let start = Instant::now();
        for _ in 0..2000 {
            journal.append(1, &[7; 212]).unwrap();
        }
        let one = start.elapsed();
        println!("raw {:?} commit {:?}", raw / 2000, one / 2000);
    }
    let before = journal.totals();
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                for _ in 0..2000 {
                    journal.append(1, &[7; 212]).unwrap();
                }
            });
        }
    });
    let took = start.elapsed();
    let after = journal.totals();
    println!(
        "64: {:?} per record, {} per sync",
        took / 128_000,
        (after.0 - before.0) as f64 / (after.1 - before.1) as f64
    );
}
