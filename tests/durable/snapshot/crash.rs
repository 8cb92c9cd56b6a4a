//! A directory of checkpoints under crashes at each of its calls, and under failing calls.

use super::rig::{Call, Contents, DIR, KEY, contents, is_between, open};
use backstop::durable::snapshot::conformance::checkpoint;
use backstop::durable::snapshot::{CheckpointStore, Mark, MemoryStore, StoreError};
use backstop::durable::storage::faulty::{Fault, FaultyStorage, SyncKind};
use backstop::durable::storage::{Operation, Storage};
use std::io::ErrorKind;
use std::path::Path;

const SCRIPT: &[Call] = &[
    Call::Save(1),
    Call::Mark(1, Mark::Verified),
    Call::Save(2),
    Call::Mark(2, Mark::Strike),
    Call::Mark(2, Mark::Strike),
    Call::SaveProvisional(3),
    Call::Mark(3, Mark::Suspect),
    Call::Save(3),
    Call::Mark(3, Mark::Verified),
    Call::Save(4),
    Call::Save(5),
    Call::Mark(5, Mark::Suspect),
    Call::SaveProvisional(5),
    Call::Save(6),
    Call::Forget,
    Call::Save(1),
];

/// What should be there after the first so many calls: a store that neither fails nor crashes.
fn expected() -> Vec<Contents> {
    let store = MemoryStore::keeping(2).unwrap();
    let mut states = vec![contents(&store)];
    for call in SCRIPT {
        call.run(&store).unwrap();
        states.push(contents(&store));
    }
    states
}

/// Runs the script until the disk stops; how many calls were acknowledged.
fn run(disk: &FaultyStorage) -> usize {
    let Ok(store) = open(disk) else {
        return 0;
    };
    let done = SCRIPT.iter().take_while(|call| call.run(&store).is_ok());
    done.count()
}

/// Whether this is no disk that a crash after so many acknowledged calls may leave.
fn wrong(disk: &FaultyStorage, acknowledged: usize, states: &[Contents]) -> Option<String> {
    let store = match open(disk) {
        Ok(store) => store,
        Err(error) => return Some(format!("it does not open: {error}")),
    };
    let mut found = contents(&store);
    let before = &states[acknowledged];
    // The crash may have come while old ones were removed, which does not fail the save before it.
    if let (Some(earlier), Some(Call::Save(_) | Call::SaveProvisional(_))) = (
        states.get(acknowledged.wrapping_sub(1)),
        SCRIPT.get(acknowledged.wrapping_sub(1)),
    ) {
        found.retain(|at, entry| before.contains_key(at) || earlier.get(at) != Some(entry));
    }
    let after = states.get(acknowledged + 1).unwrap_or(before);
    if !is_between(&found, before, after) {
        return Some(format!("{found:?}\nbefore {before:?}\nafter {after:?}"));
    }
    // Nothing that was being written is left, and no marks without their checkpoint.
    let names: Vec<String> = disk
        .list(Path::new(DIR))
        .unwrap()
        .into_iter()
        .map(|entry| entry.name)
        .collect();
    let stray = names.iter().find(|name| {
        let owner = name.replace(".marks", ".checkpoint");
        name.contains(".tmp") || !names.contains(&owner)
    });
    if let Some(stray) = stray {
        return Some(format!("{stray} is left among {names:?}"));
    }
    let next = store.save(KEY, &checkpoint(100));
    next.err().map(|error| format!("it saves no more: {error}"))
}

/// Stops at each call, looks at each disk that may be left; how many were sound, or what was wrong.
fn sweep(disk: impl Fn() -> FaultyStorage) -> Result<u64, String> {
    let states = expected();
    let mut images = 0;
    for call in 0.. {
        let disk = disk();
        disk.stop_at(call);
        let acknowledged = run(&disk);
        let killed = disk.after_kill();
        for left in disk.after_power_cut().chain([killed]) {
            images += 1;
            if let Some(wrong) = wrong(&left, acknowledged, &states) {
                return Err(format!("stopped at {call}, {acknowledged} done: {wrong}"));
            }
        }
        if !disk.is_stopped() {
            assert_eq!(acknowledged, SCRIPT.len());
            break;
        }
    }
    Ok(images)
}

#[test]
fn sn1j_sn1k_a_crash_at_any_call_leaves_what_was_acknowledged() {
    let images = sweep(FaultyStorage::new).unwrap_or_else(|wrong| panic!("{wrong}"));
    println!("{images} disks after a crash were sound");
    assert!(images > 500, "{images}");
}

#[test]
fn without_any_of_the_syncs_a_crash_loses_something() {
    // No file is written again after its first sync, so there is no sync of that kind to forget.
    for kind in [SyncKind::NewFile, SyncKind::Rename, SyncKind::Directory] {
        let swept = sweep(|| FaultyStorage::new().ignoring(kind));
        assert!(swept.is_err(), "{kind:?}: {swept:?}");
    }
}

#[test]
fn sn1o_what_was_seen_after_a_kill_is_there_after_a_power_cut() {
    let mut images = 0;
    for call in 0.. {
        let disk = FaultyStorage::new();
        disk.stop_at(call);
        run(&disk);
        let disk_after = disk.after_kill();
        let store = open(&disk_after).unwrap();
        let seen = contents(&store);
        drop(store);
        for left in disk_after.after_power_cut() {
            images += 1;
            let store = open(&left).unwrap();
            assert_eq!(contents(&store), seen, "stopped at {call}");
        }
        if !disk.is_stopped() {
            break;
        }
    }
    println!("{images} disks after a kill and a power cut were sound");
}

/// A disk with two good checkpoints, of which the newer has a strike, and a suspect one.
fn prepared() -> FaultyStorage {
    let disk = FaultyStorage::new();
    let store = open(&disk).unwrap();
    for call in [
        Call::Save(1),
        Call::Save(2),
        Call::Mark(2, Mark::Strike),
        Call::Save(3),
        Call::Mark(3, Mark::Suspect),
    ] {
        call.run(&store).unwrap();
    }
    disk
}

/// Every way in which a call of this operation fails.
fn faults(operation: Operation, nth: u64) -> Vec<(&'static str, Fault)> {
    let fault = || Fault::on(operation).after(nth);
    let mut faults = vec![
        ("EIO", fault()),
        ("EIO although done", fault().although_done()),
        ("full", fault().kind(ErrorKind::StorageFull)),
    ];
    if operation == Operation::Append {
        faults.push(("torn", fault().torn(7)));
        faults.push(("nothing written", fault().short(0)));
    }
    faults
}

const OPERATIONS: [Operation; 8] = [
    Operation::Create,
    Operation::Append,
    Operation::Sync,
    Operation::Rename,
    Operation::SyncDir,
    Operation::Remove,
    Operation::Open,
    Operation::Read,
];

#[test]
fn sn1l_a_call_that_fails_anywhere_leaves_the_others_and_does_not_hinder_the_next() {
    let calls = [
        Call::Save(4),
        Call::Save(3),
        Call::SaveProvisional(4),
        Call::Mark(2, Mark::Verified),
        Call::Mark(3, Mark::Cleared),
    ];
    let (mut failed, mut went_on) = (0, 0);
    for call in calls {
        let reference = prepared();
        let store = open(&reference).unwrap();
        let before = contents(&store);
        call.run(&store).unwrap();
        let after = contents(&store);
        for operation in OPERATIONS {
            for nth in 0..8 {
                for (how, fault) in faults(operation, nth) {
                    let disk = prepared();
                    let store = open(&disk).unwrap();
                    disk.fail(fault);
                    let result = call.run(&store);
                    disk.stop_failing();
                    let what = format!("{call:?}, {operation:?} {nth}, {how}: {result:?}");
                    let found = contents(&store);
                    assert!(is_between(&found, &before, &after), "{what}\n{found:?}");
                    match result {
                        Ok(()) => went_on += 1,
                        Err(_) => failed += 1,
                    }
                    // What comes next works, and is durable.
                    let saved = store.save(KEY, &checkpoint(10));
                    assert!(saved.is_ok(), "{what}: {saved:?}");
                    store.mark(KEY, 10, Mark::Strike).unwrap();
                    drop(store);
                    for left in disk.after_power_cut() {
                        let store = open(&left).unwrap();
                        let (newest, marks) = store.latest(KEY).unwrap().checkpoint.unwrap();
                        assert_eq!((newest.sequence, marks.strikes), (10, 1), "{what}");
                        assert!(
                            contents(&store)
                                .values()
                                .any(|e| e.sequence < 10 && e.is_good())
                        );
                    }
                }
            }
        }
    }
    assert!(failed > 100 && went_on > 100, "{failed} {went_on}");
}

#[test]
fn sn1l_a_full_disk_fails_the_save_and_nothing_else() {
    let disk = prepared();
    let store = open(&disk).unwrap();
    let before = contents(&store);
    disk.set_capacity(2_700);
    let refused = store.save(KEY, &checkpoint(4)).unwrap_err();
    assert!(refused.is_full(), "{refused:?}");
    assert_eq!(contents(&store), before);
    disk.set_capacity(1 << 20);
    store.save(KEY, &checkpoint(4)).unwrap();
}

#[test]
fn sn1p_after_a_failed_sync_of_the_directory_nothing_is_removed() {
    let disk = prepared();
    let store = open(&disk).unwrap();
    disk.fail(Fault::on(Operation::SyncDir));
    assert!(store.mark(KEY, 2, Mark::Strike).is_err());
    disk.stop_failing();
    store.save(KEY, &checkpoint(4)).unwrap();
    let saved = store.save(KEY, &checkpoint(5)).unwrap();
    assert!(saved.removed.is_empty());
    let left = saved.leftover;
    assert!(matches!(left, Some(StoreError::Unsure)), "{left:?}");
    let refused = store.forget(KEY);
    assert!(matches!(refused, Err(StoreError::Unsure)), "{refused:?}");
    assert_eq!(contents(&store).len(), 4);
    drop(store);
    let store = open(&disk).unwrap();
    let saved = store.save(KEY, &checkpoint(6)).unwrap();
    assert_eq!(saved.removed, [4, 3, 2]);
}
