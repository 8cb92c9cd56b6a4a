//! Repairs that are cut short: by a crash, by a disk that fails, by one that is full.

use crate::image::{DIR, HEADER, Image, RECORD, config};
use backstop::durable::journal::{Journal, JournalConfig, OpenError, OpenReport, RecoveryMode};
use backstop::durable::storage::faulty::{Fault, FaultyStorage};
use backstop::durable::storage::{Operation, Storage};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

const EACH: usize = 100 + RECORD;

fn open(disk: &FaultyStorage, config: JournalConfig) -> Result<(Journal, OpenReport), OpenError> {
    Journal::open(Arc::new(disk.clone()), DIR, config)
}

/// The sequences of the records, which are what was appended under them.
fn records(journal: &Journal, from: u64) -> Vec<u64> {
    let mut reader = journal.read(from).unwrap();
    let mut found = Vec::new();
    while let Some(record) = reader.next().unwrap() {
        let number = u8::try_from(record.sequence).unwrap();
        let is_own = record.payload == [0x40 | number; 100];
        assert!(is_own || (record.kind == 8 && record.payload == b"more"));
        found.push(record.sequence);
    }
    found
}

fn small(mode: RecoveryMode) -> JournalConfig {
    // Without a reserve: setting it aside may fail, and fails no open.
    config()
        .segment_bytes(1_024)
        .recovery(mode)
        .reserve_bytes(0)
}

/// 20 records in four segments; salts are random, so there is one of it.
fn base() -> Image {
    static BASE: OnceLock<Image> = OnceLock::new();
    BASE.get_or_init(|| {
        let storage = Image::default().store();
        let (journal, _) = crate::image::open(&storage, small(RecoveryMode::Strict)).unwrap();
        for number in 1..=20 {
            journal.append(7, &[0x40 | number; 100]).unwrap();
        }
        drop(journal);
        Image::of(&storage)
    })
    .clone()
}

/// A disk with all of that durable, and `damage` done to it.
fn disk(damage: impl Fn(&mut Image)) -> FaultyStorage {
    let mut image = base();
    damage(&mut image);
    let disk = FaultyStorage::new();
    let dir = Path::new(DIR);
    disk.create_dir(dir).unwrap();
    disk.sync_dir(Path::new("")).unwrap();
    for (name, bytes) in &image.0 {
        let file = disk.create_new(&dir.join(name)).unwrap();
        file.append(bytes).unwrap();
        file.sync().unwrap();
    }
    disk.sync_dir(dir).unwrap();
    disk
}

/// The end is torn; the last batch is beyond the watermark.
fn torn(image: &mut Image) {
    let segment = image.segment(-1);
    segment.truncate(segment.len() - 9);
}

/// Nothing is wrong; the last record is beyond the watermark.
fn sound(_: &mut Image) {}

/// Two places in the middle, one of them a header.
fn rotten(image: &mut Image) {
    image.segment(1)[HEADER + 2 * EACH + 50] ^= 1;
    image.segment(2)[20] ^= 1;
    image.segment(2)[HEADER + EACH + 50] ^= 1;
}

type Damage = fn(&mut Image);

const CASES: [(&str, Damage, RecoveryMode); 8] = [
    ("sound", sound, RecoveryMode::TornTail),
    ("sound, strict", sound, RecoveryMode::Strict),
    ("torn", torn, RecoveryMode::TornTail),
    ("torn, prefix", torn, RecoveryMode::PointInTime),
    ("torn, skip", torn, RecoveryMode::SkipDamaged),
    ("rotten, prefix", rotten, RecoveryMode::PointInTime),
    ("rotten, skip", rotten, RecoveryMode::SkipDamaged),
    ("empty", |image| image.0.clear(), RecoveryMode::TornTail),
];

/// What an undisturbed open finds.
fn undisturbed(damage: Damage, mode: RecoveryMode) -> Vec<u64> {
    let (journal, report) = open(&disk(damage), small(mode)).unwrap();
    let found = records(&journal, report.first_sequence);
    assert_eq!(found.is_empty(), report.is_new);
    found
}

/// The journal on this disk opens as if nothing had been in the way, and goes on.
#[track_caller]
fn expect_same(
    disk: &FaultyStorage,
    mode: RecoveryMode,
    expected: &[u64],
    originals: &[Vec<u8>],
    what: &str,
) {
    let (journal, report) =
        open(disk, small(mode)).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(records(&journal, report.first_sequence), expected, "{what}");
    let next = journal.append(8, b"more").unwrap();
    drop(journal);
    let (journal, again) = open(disk, small(RecoveryMode::Strict))
        .unwrap_or_else(|error| panic!("{what}, once more: {error}"));
    assert!(again.is_clean(), "{what}: {again}");
    let found = records(&journal, again.first_sequence);
    assert_eq!(found[..found.len() - 1], *expected, "{what}");
    assert_eq!(found.last().unwrap(), &next, "{what}");
    // What was damaged is in the quarantine still, or where it was.
    let kept: Vec<Vec<u8>> = everything(disk);
    for original in originals {
        assert!(
            kept.contains(original),
            "{what}: a file is gone: {:?}",
            disk.list(&Path::new(DIR).join("quarantine"))
        );
    }
}

/// The contents of every file there is.
fn everything(disk: &FaultyStorage) -> Vec<Vec<u8>> {
    let dir = PathBuf::from(DIR);
    let mut found = Vec::new();
    for dir in [dir.join("quarantine"), dir] {
        for entry in disk.list(&dir).unwrap_or_default() {
            found.extend(disk.contents(dir.join(entry.name)));
        }
    }
    found
}

/// The files that a repair will change because of damage.
fn originals(damage: Damage, mode: RecoveryMode) -> Vec<Vec<u8>> {
    let before = disk(damage);
    let after = before.after_kill();
    let (_, report) = open(&after, small(mode)).unwrap();
    report
        .quarantined
        .iter()
        .map(|path| after.contents(path).unwrap())
        .collect()
}

#[test]
fn jn8e_a_crash_at_any_call_of_an_open_changes_nothing_of_its_result() {
    let mut images = 0;
    for (name, damage, mode) in CASES {
        let expected = undisturbed(damage, mode);
        let originals = originals(damage, mode);
        let start = disk(damage);
        for call in 0.. {
            let disk = start.after_kill();
            disk.stop_at(call);
            let opened = open(&disk, small(mode));
            if !disk.is_stopped() {
                assert!(opened.is_ok(), "{name}: {opened:?}");
                break;
            }
            assert!(opened.is_err(), "{name}, call {call}");
            let killed = disk.after_kill();
            // A kill, another open, and then the power: what that open found is durable by then.
            let (journal, _) = open(&killed, small(mode)).unwrap();
            drop(journal);
            let what = format!("{name}, killed at call {call}");
            for left in killed.after_power_cut().seed(call).take(8) {
                images += 1;
                expect_same(&left, mode, &expected, &originals, &what);
            }
            expect_same(&disk.after_kill(), mode, &expected, &originals, &what);
            let what = format!("{name}, power cut at call {call}");
            for left in disk.after_power_cut().seed(call).take(64) {
                images += 1;
                expect_same(&left, mode, &expected, &originals, &what);
            }
        }
    }
    println!("{images} images");
    assert!(images > 1_000, "{images} images");
}

#[test]
fn jn6e_an_error_of_the_storage_fails_the_open_in_every_mode_and_the_next_goes_on() {
    const OPERATIONS: [Operation; 12] = [
        Operation::Open,
        Operation::Create,
        Operation::Read,
        Operation::Append,
        Operation::Sync,
        Operation::Truncate,
        Operation::Rename,
        Operation::Remove,
        Operation::List,
        Operation::CreateDir,
        Operation::SyncDir,
        Operation::Lock,
    ];
    for (name, damage, mode) in CASES {
        let expected = undisturbed(damage, mode);
        let originals = originals(damage, mode);
        let start = disk(damage);
        for operation in OPERATIONS {
            for (number, although_done) in (0..).flat_map(|n| [(n, false), (n, true)]) {
                let disk = start.after_kill();
                let before = disk.calls();
                let fault = Fault::on(operation).after(number);
                disk.fail(if although_done {
                    fault.although_done()
                } else {
                    fault
                });
                let opened = open(&disk, small(mode));
                let calls: Vec<_> = disk.trace()[usize::try_from(before).unwrap()..]
                    .iter()
                    .filter(|call| call.operation == operation)
                    .cloned()
                    .collect();
                let hits = calls.len() as u64;
                let hit = calls.get(usize::try_from(number).unwrap());
                if hit.is_some_and(|call| call.result == Err(ErrorKind::NotFound)) {
                    // It was done, and found nothing: that is no failure.
                    assert!(although_done && opened.is_ok());
                    continue;
                }
                let what = format!("{name}: {operation:?} {number}");
                if hits <= number {
                    assert!(opened.is_ok(), "{what}: {opened:?}");
                    break;
                }
                let error = opened.expect_err(&what);
                let is_told = match &error {
                    OpenError::Storage(error) => error.operation() == operation,
                    OpenError::Quarantine { source, .. } => source.operation() == operation,
                    _ => false,
                };
                assert!(is_told, "{what}: {error}");
                disk.stop_failing();
                expect_same(&disk, mode, &expected, &originals, &what);
                let what = format!("{what}, then a power cut");
                for left in disk.after_power_cut().seed(number).take(4) {
                    let (journal, report) = open(&left, small(RecoveryMode::Strict))
                        .unwrap_or_else(|error| panic!("{what}: {error}"));
                    let found = records(&journal, report.first_sequence);
                    assert_eq!(found[..found.len() - 1], expected, "{what}");
                }
            }
        }
    }
}

#[test]
fn jn8b_a_full_disk_refuses_the_repair_and_names_the_bytes() {
    for mode in [RecoveryMode::PointInTime, RecoveryMode::SkipDamaged] {
        let disk = disk(rotten);
        let before = everything(&disk);
        let used: usize = before.iter().map(Vec::len).sum();
        disk.set_capacity(used as u64 + 100);
        let error = open(&disk, small(mode)).unwrap_err();
        let OpenError::Quarantine { bytes, source, .. } = &error else {
            panic!("{error}");
        };
        // From the first damage on: three of the four segments.
        assert_eq!(*bytes, 2 * (64 + 6 * 144) + 64 + 2 * 144);
        assert_eq!(source.kind(), ErrorKind::StorageFull);
        let told = error.to_string();
        assert!(told.contains("need 2208 bytes"), "{told}");
        // Nothing of the attempt takes room, and the lock is only a name.
        let now: usize = everything(&disk).iter().map(Vec::len).sum();
        assert!(now <= used + 100);
        for bytes in &before {
            assert!(everything(&disk).contains(bytes));
        }
        // With room, or without the copies, it goes on.
        let unquarantined = disk.after_kill();
        unquarantined.set_capacity(1 << 20);
        let (journal, report) = open(&unquarantined, small(mode).quarantine(false)).unwrap();
        assert_eq!(report.quarantined, Vec::<PathBuf>::new());
        let expected = undisturbed(rotten, mode);
        assert_eq!(records(&journal, report.first_sequence), expected);
    }
}

#[test]
fn jn8a_files_are_copied_whole_and_synced_before_any_is_cut_or_removed() {
    for (name, damage, mode) in CASES {
        let disk = disk(damage);
        let before = usize::try_from(disk.calls()).unwrap();
        let (_, report) = open(&disk, small(mode)).unwrap();
        let trace = &disk.trace()[before..];
        let is_copy = |path: &Path| {
            path.components()
                .any(|part| part.as_os_str() == "quarantine")
        };
        let copies = trace
            .iter()
            .filter(|call| call.operation == Operation::Sync && is_copy(&call.path))
            .count();
        assert_eq!(copies, report.quarantined.len(), "{name}");
        let is_loss = |operation| [Operation::Truncate, Operation::Remove].contains(&operation);
        let loss = trace.iter().position(|call| {
            is_loss(call.operation) && call.path.extension() == Some("segment".as_ref())
        });
        let stored = trace
            .iter()
            .rposition(|call| call.operation == Operation::SyncDir && is_copy(&call.path));
        if let Some(stored) = stored {
            assert!(loss.is_none_or(|loss| stored < loss), "{name}");
            // Then the new segment, and the cuts after it.
            let named = trace
                .iter()
                .rposition(|call| call.operation == Operation::Rename && !is_copy(&call.path));
            assert!(named.is_some_and(|named| stored < named), "{name}");
            assert!(loss.is_none_or(|loss| named < Some(loss)), "{name}");
        }
        let is_damaged = !name.starts_with("sound") && name != "empty";
        assert_eq!(stored.is_some(), is_damaged, "{name}");
    }
}

#[test]
fn jn8f_what_is_removed_is_removed_newest_first() {
    let disk = disk(rotten);
    let before = usize::try_from(disk.calls()).unwrap();
    drop(open(&disk, small(RecoveryMode::PointInTime)).unwrap());
    let trace = &disk.trace()[before..];
    let removed: Vec<&PathBuf> = trace
        .iter()
        .filter(|call| call.operation == Operation::Remove && call.result.is_ok())
        .map(|call| &call.path)
        .filter(|path| path.extension() == Some("segment".as_ref()))
        .collect();
    assert_eq!(removed.len(), 2);
    assert!(
        removed.is_sorted_by(|one, other| one > other),
        "{removed:?}"
    );
}
