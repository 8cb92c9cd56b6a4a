//! Opening a journal, and reading it back.

use crate::image::{DIR, HEADER, Image, config, open, read, reseal_header, reseal_segment};
use backstop::durable::journal::{
    Journal, JournalConfig, OpenError, OpenMode, Opener, Progress, ReadError, RecoveryMode, Stage,
    SyncPolicy, inspect,
};
use backstop::durable::storage::{FsStorage, MemoryStorage, Storage};
use backstop::kernel::clock::Clock;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const MODES: [RecoveryMode; 4] = [
    RecoveryMode::TornTail,
    RecoveryMode::PointInTime,
    RecoveryMode::SkipDamaged,
    RecoveryMode::Strict,
];

fn opener(storage: &MemoryStorage) -> Opener {
    Opener::new(Arc::new(storage.clone()), DIR).config(config())
}

#[test]
fn what_was_appended_is_read_back_by_every_later_open() {
    let storage = MemoryStorage::new();
    let mut expected = Vec::new();
    for round in 0..5_u32 {
        let (journal, report) = open(&storage, config().segment_bytes(1_024)).unwrap();
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

#[test]
fn jn4a_what_is_beyond_the_watermark_is_written_anew_and_nothing_else() {
    let storage = MemoryStorage::new();
    let never = config().sync(SyncPolicy::Never);
    let (journal, _) = open(&storage, never).unwrap();
    for number in 0..10 {
        journal.append(number, &[7; 50]).unwrap();
    }
    journal.sync().unwrap();
    for number in 10..15 {
        journal.append(number, &[7; 50]).unwrap();
    }
    drop(journal);
    // The first ten were durable when the eleventh was written.
    let before = Image::of(&storage);
    let (journal, report) = open(&storage, config()).unwrap();
    assert_eq!((report.watermark, report.rewritten), (10, 5));
    assert_eq!(report.epoch, 2);
    let mut image = Image::of(&storage);
    let old = image.name(0);
    assert_eq!(image.0[&old], before.0[&old], "it is as it was");
    let new = image.segment(1);
    assert_eq!(new[16..24], 2_u64.to_le_bytes(), "epoch");
    assert_eq!(new[32..40], 11_u64.to_le_bytes(), "first sequence");
    assert_eq!(
        new[40..48],
        15_u64.to_le_bytes(),
        "durable before it had its name"
    );
    assert_eq!(new.len(), HEADER + 5 * 96);
    assert_eq!(read(&journal, 1).len(), 15);
    drop(journal);
    // All is known durable now: nothing is written but a header.
    let (_, report) = open(&storage, config()).unwrap();
    assert_eq!((report.watermark, report.rewritten), (15, 0));
    assert_eq!(report.epoch, 3);
}

#[test]
fn jn4a_jn6b_what_a_superseded_segment_claims_is_capped() {
    let storage = MemoryStorage::new();
    let (journal, _) = open(&storage, config().sync(SyncPolicy::Never)).unwrap();
    for number in 0..10 {
        journal.append(number, &[7; 100]).unwrap();
    }
    drop(journal);
    // The segment of the second epoch says that all ten are durable.
    drop(open(&storage, config()).unwrap());
    let mut image = Image::of(&storage);
    image.segment(0)[HEADER + 4 * 144 + 60] ^= 1;
    let storage = image.store();
    let prefix = config().recovery(RecoveryMode::PointInTime);
    let (journal, report) = open(&storage, prefix).unwrap();
    assert_eq!((report.last_sequence, report.watermark), (4, 10));
    drop(journal);
    // That is no promise about what the repair has given up.
    let strict = config().recovery(RecoveryMode::Strict);
    let (_, report) = open(&storage, strict).unwrap();
    assert_eq!((report.last_sequence, report.watermark), (4, 4));
}

#[test]
fn jn4b_opening_again_and_again_leaves_one_empty_segment() {
    let storage = MemoryStorage::new();
    for epoch in 1..20 {
        let (_, report) = open(&storage, config()).unwrap();
        assert_eq!(report.epoch, epoch);
        assert_eq!(Image::of(&storage).0.len(), 1);
    }
    assert_eq!(Image::quarantine(&storage).len(), 0);
}

#[test]
fn jn7a_a_journal_is_begun_only_where_that_was_asked_for() {
    let must = JournalConfig::default();
    let storage = MemoryStorage::new();
    let absent = open(&storage, must.clone()).unwrap_err();
    assert!(matches!(absent, OpenError::Absent { .. }), "{absent}");
    let there = storage.list(Path::new("")).unwrap();
    assert_eq!(there.len(), 0, "nothing was begun");
    storage.create_dir(Path::new(DIR)).unwrap();
    let absent = open(&storage, must.clone()).unwrap_err();
    assert!(matches!(absent, OpenError::Absent { .. }), "{absent}");
    assert!(absent.to_string().contains("OpenMode::CreateIfMissing"));
    let (journal, report) = open(&storage, config()).unwrap();
    assert!(report.is_new);
    drop(journal);
    let (_, report) = open(&storage, must).unwrap();
    assert!(!report.is_new);
    // Its parent is nobody's to create.
    let deep = Journal::open(Arc::new(storage), "a/b", config()).unwrap_err();
    let OpenError::Storage(error) = deep else {
        panic!("{deep}")
    };
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    let clone = config().open(OpenMode::MustExist);
    assert_eq!(clone, JournalConfig::default());
}

#[test]
fn jn7b_what_cannot_be_read_is_never_a_fresh_journal() {
    for mode in MODES {
        for open_mode in [OpenMode::MustExist, OpenMode::CreateIfMissing] {
            let storage = MemoryStorage::new();
            storage.create_new(Path::new(DIR)).unwrap();
            let config = config().recovery(mode).open(open_mode);
            let error = open(&storage, config).unwrap_err();
            let OpenError::Storage(error) = error else {
                panic!("{mode:?}: {error}")
            };
            assert_eq!(error.kind(), std::io::ErrorKind::NotADirectory);
        }
    }
}

#[cfg(feature = "test-util")]
#[test]
fn jn7b_a_directory_that_may_not_be_read_is_an_error() {
    use backstop::durable::storage::Operation;
    use backstop::durable::storage::faulty::{Fault, FaultyStorage};
    for mode in MODES {
        let disk = FaultyStorage::new();
        drop(Journal::open(Arc::new(disk.clone()), DIR, config()).unwrap());
        let denied = Fault::on(Operation::List).kind(std::io::ErrorKind::PermissionDenied);
        disk.fail(denied.always());
        let error = Journal::open(Arc::new(disk.clone()), DIR, config().recovery(mode));
        let error = error.unwrap_err().to_string();
        assert!(error.starts_with("list of ledger failed"), "{error}");
    }
}

#[test]
fn jn7c_a_snapshot_ahead_of_the_journal_refuses() {
    let ahead = |storage: &MemoryStorage, mode, snapshot| {
        let config = config().recovery(mode);
        opener(storage).config(config).snapshot_at(snapshot).open()
    };
    for mode in MODES {
        // Of an empty one, where there is no directory, and where there is one.
        let storage = MemoryStorage::new();
        for _ in 0..2 {
            let refused = ahead(&storage, mode, 1).unwrap_err();
            let OpenError::SnapshotAhead { snapshot, last, .. } = refused else {
                panic!("{mode:?}: {refused}")
            };
            assert_eq!((snapshot, last), (1, 0));
            assert_eq!(Image::of(&storage), Image::default(), "nothing was begun");
        }
        drop(ahead(&storage, mode, 0).unwrap());
        // Begun, and empty: its records are gone, or it is another one.
        assert!(ahead(&storage, mode, 1).is_err(), "{mode:?}");

        let (journal, _) = open(&storage, config()).unwrap();
        for _ in 0..4 {
            journal.append(1, &[0x55; 20]).unwrap();
        }
        drop(journal);
        drop(ahead(&storage, mode, 4).unwrap());
        let beyond = ahead(&storage, mode, 5);
        assert_eq!(
            beyond.is_err(),
            mode != RecoveryMode::SkipDamaged,
            "{mode:?}"
        );
        if let Ok((journal, report)) = beyond {
            // The snapshot has 5, so 5 is never given to another record.
            assert_eq!(report.last_sequence, 5);
            assert_eq!(journal.append(1, b"").unwrap(), 6);
        }
    }
    // After a repair: a torn end that a snapshot has is no torn end.
    let storage = MemoryStorage::new();
    let (journal, _) = open(&storage, config()).unwrap();
    for _ in 0..4 {
        journal.append(1, &[0x55; 20]).unwrap();
    }
    drop(journal);
    let mut image = Image::of(&storage);
    let segment = image.segment(0);
    segment.truncate(segment.len() - 1);
    let torn = |mode, snapshot| ahead(&image.store(), mode, snapshot).map(|(_, report)| report);
    assert_eq!(torn(RecoveryMode::TornTail, 3).unwrap().last_sequence, 3);
    for mode in [RecoveryMode::TornTail, RecoveryMode::PointInTime] {
        let refused = torn(mode, 4).unwrap_err();
        assert!(
            matches!(refused, OpenError::SnapshotAhead { .. }),
            "{refused}"
        );
    }
}

#[test]
fn jn7d_a_journal_has_one_process_at_a_time() {
    let storage = MemoryStorage::new();
    let (journal, _) = open(&storage, config()).unwrap();
    let refused = open(&storage, config().lock_wait(Duration::ZERO)).unwrap_err();
    let OpenError::Locked { holder, waited, .. } = &refused else {
        panic!("{refused}")
    };
    assert_eq!(*holder, format!("process {}", std::process::id()));
    assert!(*waited < Duration::from_secs(1));
    assert!(refused.to_string().contains(holder));
    drop(journal);
    open(&storage, config().lock_wait(Duration::ZERO)).unwrap();
}

#[test]
fn jn7d_the_lock_is_waited_for_by_the_clock() {
    let storage = MemoryStorage::new();
    let second = Duration::from_secs(1);
    let (journal, _) = open(&storage, config()).unwrap();
    for gives_up in [true, false] {
        let manual = Clock::manual();
        let held = journal.clone();
        let waiting = opener(&storage)
            .config(config().lock_wait(2 * second))
            .clock(&manual);
        let opening = std::thread::spawn(move || waiting.open());
        if gives_up {
            while !opening.is_finished() {
                manual.advance(second / 10);
                std::thread::yield_now();
            }
            let refused = opening.join().unwrap().unwrap_err();
            let OpenError::Locked { waited, .. } = refused else {
                panic!("{refused}")
            };
            assert!(waited >= 2 * second);
            drop(held);
        } else {
            held.close().unwrap();
            while !opening.is_finished() {
                manual.advance(Duration::from_millis(1));
                std::thread::yield_now();
            }
            opening.join().unwrap().unwrap();
        }
    }
}

#[test]
fn jn7e_epochs_and_sequences_that_are_used_up() {
    let storage = MemoryStorage::new();
    let (journal, _) = open(&storage, config()).unwrap();
    journal.append(1, b"").unwrap();
    drop(journal);
    let image = Image::of(&storage);
    for (field, bytes) in [("epoch", 16..24), ("first sequence", 32..40)] {
        for mode in MODES {
            let mut image = image.clone();
            let segment = image.segment(0);
            segment[bytes.clone()].fill(0xff);
            reseal_segment(segment);
            if field == "first sequence" {
                let low_water = [b"BSTPLOWW\x01\0\0\0".to_vec(), vec![0xff; 8]].concat();
                let crc = crc32c::crc32c(&low_water).to_le_bytes();
                let low_water = [low_water, crc.to_vec()].concat();
                segment[HEADER + 8..HEADER + 16].fill(0xff);
                reseal_header(segment, HEADER);
                let header = segment[HEADER..HEADER + 40].to_vec();
                // An empty payload: its checksum goes on from that of the header.
                let crc = crc32c::crc32c_append(
                    u32::from_le_bytes(header[36..40].try_into().unwrap()),
                    &[0; 4],
                );
                segment[HEADER + 44..HEADER + 48].copy_from_slice(&crc.to_le_bytes());
                image.0.insert("low-water".to_owned(), low_water);
            }
            let storage = image.store();
            let error = open(&storage, config().recovery(mode)).unwrap_err();
            let is_told = matches!(error, OpenError::Exhausted { .. });
            assert!(is_told, "{field}, {mode:?}: {error}");
            assert_eq!(Image::of(&storage), image);
        }
    }
}

#[test]
fn jn6h_a_record_over_todays_limit_is_kept_and_read() {
    let storage = MemoryStorage::new();
    let large = vec![0x5a; 700_000];
    let (journal, _) = open(&storage, config()).unwrap();
    journal.append(1, &large).unwrap();
    journal.append(2, b"small").unwrap();
    drop(journal);
    for mode in MODES {
        let (journal, report) = open(&storage, config().record_limit(100).recovery(mode)).unwrap();
        assert!(report.is_clean());
        let records = read(&journal, 1);
        assert_eq!(records[0], (1, 1, large.clone()));
        assert_eq!(records[1], (2, 2, b"small".to_vec()));
        assert!(journal.append(1, &large[..101]).is_err());
    }
}

#[test]
fn jn1d_memory_is_bounded_whatever_is_in_the_files() {
    let storage = MemoryStorage::new();
    let many = config().sync(SyncPolicy::Never).segment_bytes(16 << 20);
    let (journal, _) = open(&storage, many.clone()).unwrap();
    let payload = vec![0x5a; 10_000];
    for _ in 0..6_000 {
        journal.append(1, &payload).unwrap();
    }
    drop(journal);
    let mut image = Image::of(&storage);
    let bytes: usize = image.0.values().map(Vec::len).sum();
    assert!(bytes > 60_000_000);
    let memory = |storage: &MemoryStorage, mode| {
        let storage: Arc<dyn Storage> = Arc::new(storage.clone());
        let config = JournalConfig::default().recovery(mode);
        let mut opened = None;
        let found = allocation_counter::measure(|| {
            opened = Some(Journal::open(storage, DIR, config).map(|_| ()));
        });
        (found.bytes_max, opened.unwrap())
    };
    // The last segment was not synced, so it is written anew: that much is the storage's own.
    drop(open(&storage, many).unwrap());
    let (sound, opened) = memory(&storage, RecoveryMode::Strict);
    opened.unwrap();
    assert!(sound < 1 << 20, "{sound} bytes");
    // A length of 4 GiB, and one that is just what is left.
    for length in [u32::MAX, 10_000_000] {
        let segment = image.segment(0);
        segment[HEADER..HEADER + 4].copy_from_slice(&length.to_le_bytes());
        reseal_header(segment, HEADER);
        let damaged = image.store();
        let (refused, opened) = memory(&damaged, RecoveryMode::Strict);
        assert!(opened.is_err());
        assert!(refused < 1 << 20, "{refused} bytes");
        let looked = allocation_counter::measure(|| {
            inspect(&damaged, Path::new(DIR), |_| {}).unwrap();
        });
        assert!(looked.bytes_max < 1 << 20, "{} bytes", looked.bytes_max);
    }
}

#[test]
fn reading_allocates_nothing_for_a_record() {
    let storage = MemoryStorage::new();
    let (journal, _) = open(&storage, config().sync(SyncPolicy::Never)).unwrap();
    for _ in 0..20_000 {
        journal.append(1, &[7; 100]).unwrap();
    }
    journal.sync().unwrap();
    let mut reader = journal.read(1).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().sequence, 1);
    let found = allocation_counter::measure(|| {
        while let Some(record) = reader.next().unwrap() {
            assert_eq!(record.payload.len(), 100);
        }
    });
    assert_eq!(found.count_total, 0);
}

#[test]
fn a_reader_sees_what_was_there_when_it_was_made() {
    let storage = MemoryStorage::new();
    let (journal, _) = open(&storage, config().segment_bytes(1_024)).unwrap();
    assert!(journal.read(1).unwrap().next().unwrap().is_none());
    for _ in 0..10 {
        journal.append(1, &[7; 100]).unwrap();
    }
    let mut reader = journal.read(0).unwrap();
    assert_eq!(reader.through(), 10);
    for _ in 0..10 {
        journal.append(1, &[7; 100]).unwrap();
    }
    let mut last = 0;
    while let Some(record) = reader.next().unwrap() {
        assert_eq!(record.sequence, last + 1);
        assert!(record.wall() > std::time::SystemTime::UNIX_EPOCH);
        last = record.sequence;
    }
    assert_eq!(last, 10);
    assert!(reader.next().unwrap().is_none(), "the end stays the end");
    assert!(journal.read(21).unwrap().next().unwrap().is_none());
    assert!(journal.read(u64::MAX).unwrap().next().unwrap().is_none());
}

#[test]
fn a_reader_lends_no_damaged_record_and_does_not_end_early() {
    for damage in [0_usize, 1, 2] {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("ledger");
        let config = config().segment_bytes(1_024);
        let (journal, _) = Journal::open(Arc::new(FsStorage), &dir, config).unwrap();
        for _ in 0..10 {
            journal.append(1, &[7; 100]).unwrap();
        }
        let mut files: Vec<_> = std::fs::read_dir(&dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|end| end == "segment"))
            .collect();
        files.sort();
        let mut bytes = std::fs::read(&files[0]).unwrap();
        match damage {
            0 => bytes[HEADER + 3 * 144 + 60] ^= 1,
            1 => bytes.truncate(HEADER + 3 * 144),
            _ => bytes.truncate(HEADER + 3 * 144 + 50),
        }
        std::fs::write(&files[0], bytes).unwrap();
        let mut reader = journal.read(1).unwrap();
        for _ in 0..3 {
            assert!(reader.next().unwrap().is_some());
        }
        for _ in 0..2 {
            let error = reader.next().unwrap_err();
            let ReadError::Damaged(damage) = error else {
                panic!("{error}")
            };
            assert_eq!(damage.sequence, 4);
            assert_eq!(damage.offset, HEADER as u64 + 3 * 144);
        }
    }
}

#[test]
fn jn8c_the_report_says_what_was_found_and_done() {
    let storage = MemoryStorage::new();
    let (journal, _) = open(&storage, config().segment_bytes(1_024)).unwrap();
    for _ in 0..10 {
        journal.append(1, &[0x55; 100]).unwrap();
    }
    drop(journal);
    let mut image = Image::of(&storage);
    image.segment(0)[HEADER + 3 * 144 + 60] ^= 1;
    let name = Path::new(DIR).join(image.name(0));
    image.0.insert("notes".to_owned(), b"mine".to_vec());
    for (mode, dropped, bytes_cut, missing, quarantined) in [
        (RecoveryMode::PointInTime, 6, 3 * 144 + 64 + 4 * 144, 0, 2),
        (RecoveryMode::SkipDamaged, 0, 144, 1, 2),
    ] {
        let (_, report) = open(&image.store(), config().recovery(mode)).unwrap();
        assert_eq!(report.records, 9);
        assert_eq!(report.bytes, 2 * 64 + 10 * 144);
        assert_eq!((report.dropped, report.missing), (dropped, missing));
        assert_eq!(report.bytes_cut, bytes_cut, "{mode:?}");
        assert_eq!(report.bytes_quarantined, report.bytes);
        assert_eq!(report.quarantined.len(), quarantined);
        assert_eq!(report.foreign, [Path::new(DIR).join("notes")]);
        assert_eq!((report.damage_count, report.damage.len()), (1, 1));
        let damage = &report.damage[0];
        assert_eq!(damage.path, name);
        assert_eq!((damage.offset, damage.end), (64 + 3 * 144, 64 + 4 * 144));
        assert_eq!((damage.sequence, damage.resumes_at), (4, Some(5)));
        let told = report.to_string();
        assert!(
            told.contains("at byte 496, record 4: the record's payload"),
            "{told}"
        );
        assert!(told.contains(&format!("{bytes_cut} bytes cut")), "{told}");
    }
    let error = open(&image.store(), config()).unwrap_err().to_string();
    for part in [
        &*name.to_string_lossy(),
        "byte 496",
        "record 4",
        "durable up to 9",
        "`skip_damaged`",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn jn8d_progress_is_told_and_never_falls() {
    let storage = MemoryStorage::new();
    let (journal, _) = open(&storage, config().sync(SyncPolicy::Never)).unwrap();
    let payload = vec![0x5a; 100_000];
    for _ in 0..300 {
        journal.append(1, &payload).unwrap();
    }
    drop(journal);
    let mut image = Image::of(&storage);
    let segment = image.segment(0);
    segment.truncate(segment.len() - 1);
    let told = Arc::new(Mutex::new(Vec::<Progress>::new()));
    let telling = Arc::clone(&told);
    let (_, report) = opener(&image.store())
        .progress(move |progress| telling.lock().unwrap().push(*progress))
        .open()
        .unwrap();
    let told = told.lock().unwrap();
    let of = |stage| told.iter().filter(move |told| told.stage == stage);
    let bytes: Vec<u64> = of(Stage::Verifying).map(|told| told.bytes).collect();
    assert!(bytes.is_sorted());
    assert_eq!((bytes[0], bytes[bytes.len() - 1]), (0, report.bytes));
    assert_eq!(bytes.len(), 2 + 3, "every 8 MiB of 29: {bytes:?}");
    let copied: Vec<u64> = of(Stage::Quarantining).map(|told| told.bytes).collect();
    assert_eq!(copied.last(), Some(&report.bytes_quarantined));
    let written: Vec<u64> = of(Stage::Rewriting).map(|told| told.bytes).collect();
    assert!(written.is_sorted() && written.len() >= 5, "{written:?}");
    assert_eq!(
        of(Stage::Rewriting).next_back().unwrap().records,
        report.rewritten
    );
}

#[test]
fn a_journal_opens_from_async_code() {
    let storage = MemoryStorage::new();
    let outside = futures::executor::block_on(opener(&storage).open_async());
    assert!(matches!(outside, Err(OpenError::NoRuntime)));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let (journal, report) = runtime.block_on(opener(&storage).open_async()).unwrap();
    assert!(report.is_new);
    drop(journal);
    // Cut off, it ends by itself and gives the lock back.
    runtime.block_on(async {
        let opening = opener(&storage).open_async();
        drop(opening);
    });
    drop(runtime);
    open(&storage, config()).unwrap();
}

#[test]
fn a_look_changes_nothing_and_needs_no_lock() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("ledger");
    let (journal, _) = Journal::open(Arc::new(FsStorage), &dir, config()).unwrap();
    journal.append(1, b"one").unwrap();
    let all = || -> Vec<(std::path::PathBuf, Vec<u8>)> {
        std::fs::read_dir(&dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), std::fs::read(path).unwrap()))
            .collect()
    };
    let before = all();
    let found = inspect(&FsStorage, &dir, |_| {}).unwrap();
    assert!(found.is_clean());
    assert_eq!(
        (found.records, found.last_sequence, found.watermark),
        (1, 1, 0)
    );
    assert_eq!(found.segments.len(), 1);
    assert_eq!(all(), before);
    let absent = inspect(&FsStorage, &dir.join("absent"), |_| {});
    assert!(matches!(absent, Err(OpenError::Storage(_))));
}
