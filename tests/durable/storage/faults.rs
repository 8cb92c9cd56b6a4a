//! What can be made to go wrong with a `FaultyStorage`, and what is told of it.

use backstop::durable::storage::faulty::{Fault, FaultyStorage, SyncKind};
use backstop::durable::storage::{LockError, Operation, Storage, StorageFile};
use std::io::{self, ErrorKind};
use std::path::Path;

fn path(name: &str) -> &Path {
    Path::new(name)
}

fn create(disk: &FaultyStorage, name: &str) -> Box<dyn StorageFile> {
    disk.create_new(path(name)).unwrap()
}

fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[test]
fn st1k_a_scripted_fault_hits_its_operation_path_and_count() {
    let disk = FaultyStorage::new();
    let (a, b) = (create(&disk, "a"), create(&disk, "b"));
    disk.fail(
        Fault::on(Operation::Append)
            .of(|path| path.ends_with("a"))
            .after(1)
            .times(2)
            .kind(ErrorKind::QuotaExceeded),
    );
    let appended: Vec<bool> = (0..5).map(|_| a.append(b"x").is_ok()).collect();
    assert_eq!(appended, [true, false, false, true, true]);
    assert_eq!(disk.contents("a").unwrap(), b"xxx");
    (0..5).for_each(|_| assert_eq!(b.append(b"x").unwrap(), 1));
    a.sync().unwrap();
    disk.fail(Fault::on(Operation::Append).always());
    (0..5).for_each(|_| assert!(b.append(b"x").is_err()));
    disk.stop_failing();
    b.append(b"x").unwrap();
}

#[test]
fn st1k_each_operation_can_fail_and_then_does_nothing() {
    let disk = FaultyStorage::new();
    let file = create(&disk, "file");
    file.append(b"kept").unwrap();
    let mut into = [0; 4];
    let mut failed = |operation| {
        disk.fail(Fault::on(operation).kind(ErrorKind::QuotaExceeded));
        let result = match operation {
            Operation::Open => disk.open(path("file")).map(drop),
            Operation::Create => disk.create_new(path("new")).map(drop),
            Operation::Read => file.read_at(&mut into, 0).map(drop),
            Operation::Append => file.append(b"lost").map(drop),
            Operation::Sync => file.sync(),
            Operation::Truncate => file.truncate(0),
            Operation::Reserve => file.reserve(100),
            Operation::Rename => disk.rename(path("file"), path("new")),
            Operation::Remove => disk.remove(path("file")),
            Operation::List => disk.list(path("")).map(drop),
            Operation::CreateDir => disk.create_dir(path("new")),
            Operation::SyncDir => disk.sync_dir(path("")),
            Operation::Lock => match disk.lock(path("lock"), "me") {
                Err(LockError::Io(error)) => Err(error),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?} is new"),
        };
        assert_eq!(kind(result), ErrorKind::QuotaExceeded, "{operation:?}");
        assert_eq!(disk.contents("file").unwrap(), b"kept", "{operation:?}");
        assert_eq!(disk.list(path("")).unwrap().len(), 1, "{operation:?}");
    };
    for operation in [
        Operation::Open,
        Operation::Create,
        Operation::Read,
        Operation::Append,
        Operation::Sync,
        Operation::Truncate,
        Operation::Reserve,
        Operation::Rename,
        Operation::Remove,
        Operation::List,
        Operation::CreateDir,
        Operation::SyncDir,
        Operation::Lock,
    ] {
        failed(operation);
    }
}

#[test]
fn st1k_short_torn_and_done_all_the_same() {
    let disk = FaultyStorage::new();
    let file = create(&disk, "file");
    disk.fail(Fault::on(Operation::Append).short(3));
    assert_eq!(file.append(b"abcdef").unwrap(), 3);
    disk.fail(Fault::on(Operation::Append).torn(2));
    assert!(file.append(b"defghi").is_err());
    assert_eq!(disk.contents("file").unwrap(), b"abcde");

    let mut into = [0; 5];
    disk.fail(Fault::on(Operation::Read).short(2));
    assert_eq!(file.read_at(&mut into, 1).unwrap(), 2);
    assert_eq!(&into[..2], b"bc");
    // 0 would be the end of the file.
    disk.fail(Fault::on(Operation::Read).short(0));
    assert_eq!(file.read_at(&mut into, 1).unwrap(), 1);

    disk.fail(Fault::on(Operation::Rename).although_done());
    assert!(disk.rename(path("file"), path("moved")).is_err());
    assert!(disk.contents("file").is_none());
    disk.fail(Fault::on(Operation::Sync).although_done());
    assert!(file.sync().is_err());
    disk.sync_dir(path("")).unwrap();
    let left: Vec<_> = disk.after_power_cut().collect();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].contents("moved").unwrap(), b"abcde");
    disk.fail(Fault::on(Operation::Lock).although_done());
    assert!(disk.lock(path("lock"), "me").is_err());
    disk.lock(path("lock"), "me").unwrap();
}

#[test]
fn st1k_random_faults_repeat_with_their_seed() {
    let run = |seed, chance| {
        let disk = FaultyStorage::new();
        let file = create(&disk, "file");
        disk.fail_at_random(seed, chance);
        for _ in 0..200 {
            let _may_fail = file.append(&[1; 700]);
            let _may_fail = file.read_at(&mut [0; 700], 0);
            let _may_fail = file.sync();
        }
        disk.trace()
    };
    let failed = |seed, chance| {
        let calls = run(seed, chance);
        calls.iter().filter(|call| call.result.is_err()).count()
    };
    assert_eq!(run(7, 0.2), run(7, 0.2));
    assert_ne!(run(7, 0.2), run(8, 0.2));
    assert_eq!(failed(7, 0.0), 0);
    // Of 600 calls a fifth is hit, some of them by a short read or write, which is no error.
    let errors = failed(7, 0.2);
    assert!((40..160).contains(&errors), "{errors}");
    let kinds: std::collections::BTreeSet<String> = run(7, 0.5)
        .iter()
        .map(|call| {
            format!(
                "{:?} {:?} {}",
                call.operation,
                call.result,
                call.bytes.min(1)
            )
        })
        .collect();
    // Appends: sound, refused, full, torn; reads: sound, refused; syncs: sound, refused.
    assert!(kinds.len() >= 8, "{kinds:?}");
}

#[test]
fn st1l_a_full_disk_takes_what_fits_and_room_comes_back() {
    let disk = FaultyStorage::new();
    disk.set_capacity(1_000);
    let (a, b) = (create(&disk, "a"), create(&disk, "b"));
    assert_eq!(a.append(&[1; 600]).unwrap(), 600);
    assert_eq!(b.append(&[2; 600]).unwrap(), 400);
    assert_eq!(kind(b.append(b"x")), ErrorKind::StorageFull);
    assert_eq!(b.append(b"").unwrap(), 0);
    assert_eq!(disk.contents("b").unwrap(), [2; 400]);

    a.truncate(500).unwrap();
    assert_eq!(b.append(&[2; 600]).unwrap(), 100);
    disk.remove(path("a")).unwrap();
    assert_eq!(kind(b.append(b"x")), ErrorKind::StorageFull);
    drop(a);
    assert_eq!(b.append(&[2; 600]).unwrap(), 500);
    disk.set_capacity(1_001);
    assert_eq!(b.append(&[2; 600]).unwrap(), 1);
}

#[test]
fn st1l_room_set_aside_counts() {
    let disk = FaultyStorage::new();
    disk.set_capacity(1_000);
    let (ballast, file) = (create(&disk, "ballast"), create(&disk, "file"));
    ballast.reserve(800).unwrap();
    assert_eq!(kind(file.reserve(201)), ErrorKind::StorageFull);
    assert_eq!(file.append(&[1; 300]).unwrap(), 200);
    assert_eq!(kind(file.append(&[1; 100])), ErrorKind::StorageFull);
    ballast.truncate(0).unwrap();
    assert_eq!(file.append(&[1; 100]).unwrap(), 100);
    assert_eq!(file.len().unwrap(), 300);
}

#[test]
fn st1m_from_where_it_is_stopped_on_nothing_changes() {
    let run = |disk: &FaultyStorage| -> Vec<ErrorKind> {
        let mut failed = Vec::new();
        let mut note = |result: io::Result<()>| failed.extend(result.map_err(|e| e.kind()).err());
        let file = create(disk, "file");
        note(file.append(b"abcd").map(drop));
        note(file.append(b"efgh").map(drop));
        note(file.truncate(1));
        note(file.sync());
        note(file.reserve(10));
        note(file.read_at(&mut [0], 0).map(drop));
        note(file.len().map(drop));
        note(disk.rename(path("file"), path("moved")));
        note(disk.remove(path("file")));
        note(disk.create_new(path("new")).map(drop));
        note(disk.open(path("no")).map(drop));
        note(disk.create_dir(path("dir")));
        note(disk.list(path("no")).map(drop));
        note(disk.sync_dir(path("no")));
        note(match disk.lock(path("lock"), "me") {
            Err(LockError::Io(error)) => Err(error),
            other => panic!("{other:?}"),
        });
        failed
    };
    let stopped = FaultyStorage::new();
    let _held = stopped.lock(path("lock"), "before").unwrap();
    stopped.stop_at(3);
    assert!(!stopped.is_stopped());
    // Not `NotFound`, not `StorageFull`, not `Interrupted`: nothing that code has an answer to.
    assert_eq!(run(&stopped), [ErrorKind::Other; 14]);
    assert!(stopped.is_stopped());
    assert_eq!(stopped.contents("file").unwrap(), b"abcd");
    assert_eq!(stopped.calls(), 3);

    let torn = FaultyStorage::new();
    let _held = torn.lock(path("lock"), "before").unwrap();
    torn.stop_within(3, 2);
    assert_eq!(run(&torn), [ErrorKind::Other; 14]);
    assert_eq!(torn.contents("file").unwrap(), b"abcdef");
    assert!(torn.after_kill().lock(path("lock"), "after").is_ok());
}

#[test]
fn st1n_the_trace_has_each_call_with_its_answer() {
    let disk = FaultyStorage::new();
    disk.create_dir(path("dir")).unwrap();
    let file = create(&disk, "dir/a");
    file.append(b"abc").unwrap();
    disk.fail(Fault::on(Operation::Append).short(1));
    file.append(b"def").unwrap();
    disk.rename(path("dir/a"), path("dir/b")).unwrap();
    file.read_at(&mut [0; 8], 1).unwrap();
    disk.fail(Fault::on(Operation::Sync).kind(ErrorKind::QuotaExceeded));
    file.sync().unwrap_err();
    file.truncate(2).unwrap();
    disk.open(path("no")).unwrap_err();
    disk.sync_dir(path("dir")).unwrap();
    let told: Vec<String> = disk
        .trace()
        .iter()
        .map(|call| {
            let to = call.to.as_deref().map(|to| format!(" to {}", to.display()));
            let file = call.file.map(|file| format!(" file {file}"));
            let result = call.result.err().map(|error| format!(" {error:?}"));
            format!(
                "{} {}{}{} at {} bytes {}{}",
                call.operation.name(),
                call.path.display(),
                to.unwrap_or_default(),
                file.unwrap_or_default(),
                call.offset,
                call.bytes,
                result.unwrap_or_default(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "create_dir dir at 0 bytes 0",
            "create dir/a file 0 at 0 bytes 0",
            "append dir/a file 0 at 0 bytes 3",
            "append dir/a file 0 at 3 bytes 1",
            "rename dir/a to dir/b file 0 at 0 bytes 0",
            "read dir/a file 0 at 1 bytes 3",
            "sync dir/a file 0 at 0 bytes 0 QuotaExceeded",
            "truncate dir/a file 0 at 2 bytes 0",
            "open no at 0 bytes 0 NotFound",
            "sync_dir dir at 0 bytes 0",
        ]
    );
    let changes = disk.trace().iter().filter(|call| call.is_change()).count();
    assert_eq!(changes, 8);
}

/// A run with each kind of sync in it once; answers which of them kept their word in every power cut:
/// in the order of [`SyncKind::ALL`].
fn kept(disk: &FaultyStorage) -> [bool; 4] {
    let (old, new, dir) = (path("old"), path("new"), path(""));
    let all = |holds: fn(FaultyStorage) -> bool| disk.after_power_cut().all(holds);
    let file = create(disk, "old");
    file.append(b"first").unwrap();
    file.sync().unwrap();
    let new_file = all(|disk| disk.contents("old").is_none_or(|bytes| bytes == b"first"));
    disk.sync_dir(dir).unwrap();
    let directory = all(|disk| disk.contents("old").is_some());
    file.append(b"second").unwrap();
    file.sync().unwrap();
    let data = all(|disk| disk.contents("old").is_none_or(|bytes| bytes.len() == 11));
    disk.rename(old, new).unwrap();
    disk.sync_dir(dir).unwrap();
    let rename = all(|disk| disk.contents("old").is_none());
    [data, new_file, rename, directory]
}

#[test]
fn st1o_an_ignored_kind_of_sync_stores_nothing_and_the_others_do() {
    assert_eq!(kept(&FaultyStorage::new()), [true; 4]);
    for ignored in SyncKind::ALL {
        let expected = SyncKind::ALL.map(|kind| kind != ignored);
        let disk = FaultyStorage::new().ignoring(ignored);
        let empty = FaultyStorage::new().ignoring(ignored);
        assert_eq!(kept(&disk), expected, "{ignored:?}");
        // What a crash leaves ignores it, too.
        assert_eq!(kept(&empty.after_kill()), expected, "{ignored:?}");
        for disk in empty.after_power_cut() {
            assert_eq!(kept(&disk), expected, "{ignored:?}");
        }
    }
}

#[test]
fn st1p_a_flipped_bit_is_flipped_for_all_and_no_other_is() {
    let disk = FaultyStorage::new();
    let file = create(&disk, "file");
    file.append(&[0xf0; 600]).unwrap();
    file.sync().unwrap();
    disk.sync_dir(path("")).unwrap();
    file.append(&[0x0f; 100]).unwrap();
    disk.flip_bit("file", 513 * 8 + 7).unwrap();
    let mut expected = vec![0xf0; 600];
    expected[513] = 0x70;
    for left in disk.after_power_cut().chain([disk.after_kill()]) {
        assert_eq!(left.contents("file").unwrap()[..600], expected);
    }
    assert_eq!(kind(disk.flip_bit("no", 0)), ErrorKind::NotFound);
    assert_eq!(
        kind(disk.flip_bit("file", 700 * 8)),
        ErrorKind::InvalidInput
    );
}

#[test]
fn a_predicate_may_use_the_storage_that_it_is_asked_by() {
    let disk = FaultyStorage::new();
    let asked = disk.clone();
    let of = move |_: &Path| {
        asked.fail(Fault::on(Operation::Remove));
        asked.list(path("")).is_ok_and(|found| found.len() == 1)
    };
    disk.fail(Fault::on(Operation::Create).of(of).always());
    create(&disk, "first");
    disk.create_new(path("second")).unwrap_err();
}
