//! Checkpoints in a directory.

use crate::harness::{Sweep, is_soak, sweep};
use crate::trace::is_covered;
use backstop::durable::snapshot::{
    Checkpoint, CheckpointStore, DirectoryConfig, DirectoryError, DirectoryStore, Mark, Marks,
    StoreError,
};
use backstop::durable::storage::Operation;
use backstop::durable::storage::faulty::{Fault, FaultyStorage, SyncKind};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

const DIR: &str = "checkpoints";
const KEY: &str = "ledger";
const KEEP: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Save(u64),
    Mark(u64, Mark),
    Forget,
}

use Step::{Forget, Save};

const fn mark(sequence: u64, mark: Mark) -> Step {
    Step::Mark(sequence, mark)
}

const STEPS: &[Step] = &[
    Save(1),
    mark(1, Mark::Strike),
    Save(2),
    mark(2, Mark::Verified),
    Save(3),
    mark(3, Mark::Strike),
    mark(3, Mark::Suspect),
    Save(4),
    Save(5),
    mark(5, Mark::Provisional),
    mark(5, Mark::Verified),
    Save(6),
];

fn checkpoint(sequence: u64) -> Checkpoint {
    // Over two sectors and some, and no two are alike in any of them.
    let byte = u8::try_from(sequence).unwrap();
    let mut payload = format!("state {sequence} ").into_bytes();
    payload.resize(1_100, byte);
    Checkpoint {
        sequence,
        wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000 + sequence),
        type_name: "ledger".to_owned(),
        version: 1,
        codec: "bytes".to_owned(),
        digest: Some(sequence),
        payload,
    }
}

fn open(disk: &FaultyStorage) -> Result<DirectoryStore, DirectoryError> {
    let config = DirectoryConfig::default()
        .keep(KEEP)
        .lock_wait(Duration::ZERO);
    DirectoryStore::open(Arc::new(disk.clone()), DIR, config)
}

fn take(store: &DirectoryStore, step: Step) -> Result<(), StoreError> {
    match step {
        Save(sequence) => store.save(KEY, &checkpoint(sequence)).map(drop),
        Step::Mark(sequence, mark) => store.mark(KEY, sequence, mark).map(drop),
        Forget => store.forget(KEY),
    }
}

/// Takes the steps from the first on until one fails, in two openings; answers which were
/// acknowledged, and after how many calls.
fn script(disk: &FaultyStorage, steps: &[Step]) -> Vec<(usize, u64)> {
    let mut acked = Vec::new();
    let half = steps.len() / 2;
    for (first, steps) in [(0, &steps[..half]), (half, &steps[half..])] {
        let Ok(store) = open(disk) else { return acked };
        for (nth, step) in steps.iter().enumerate() {
            if take(&store, *step).is_err() {
                return acked;
            }
            acked.push((first + nth, disk.calls()));
        }
    }
    acked
}

/// What there is: marks by sequence.
type Shelf = BTreeMap<u64, Marks>;

/// What is there after so many steps, and what is no more.
fn after(steps: &[Step]) -> (Shelf, Shelf) {
    let (mut kept, mut gone) = (Shelf::new(), Shelf::new());
    for step in steps {
        match *step {
            Save(sequence) => {
                kept.insert(sequence, Marks::none());
                while kept.values().filter(|marks| !marks.suspect).count() > KEEP {
                    let (sequence, marks) = kept.pop_first().unwrap();
                    gone.insert(sequence, marks);
                }
            }
            Step::Mark(sequence, mark) => {
                let marks = kept.get_mut(&sequence).unwrap();
                *marks = marks.with(mark);
            }
            Forget => gone.append(&mut kept),
        }
    }
    (kept, gone)
}

/// What opens is what was acknowledged, or that and the one step more that was under way.
fn check(disk: &FaultyStorage, steps: &[Step], acked: usize) -> Result<(), String> {
    check_with(disk, steps, acked, false)
}

/// The same; `may_lose_marks` if a sync of the directory failed and the store was opened anew since: the
/// removal of a checkpoint that it was to store may be undone by a power cut, and its marks, which
/// opening takes for left over, are gone then.
fn check_with(
    disk: &FaultyStorage,
    steps: &[Step],
    acked: usize,
    may_lose_marks: bool,
) -> Result<(), String> {
    let store = open(disk).map_err(|error| error.to_string())?;
    let history = store.history(KEY).map_err(|error| error.to_string())?;
    let (before, gone) = after(&steps[..acked]);
    let (next, next_gone) = after(&steps[..steps.len().min(acked + 1)]);
    let mut found = Shelf::new();
    for entry in &history {
        let (sequence, marks) = (entry.sequence, entry.marks);
        // A crash damages nothing.
        entry
            .about
            .as_ref()
            .map_err(|error| format!("checkpoint {sequence} is damaged: {error}"))?;
        let loaded = store
            .load(KEY, sequence)
            .map_err(|error| error.to_string())?;
        if loaded != Some(checkpoint(sequence)) {
            return Err(format!("checkpoint {sequence} is another one: {loaded:?}"));
        }
        let of = |shelf: &Shelf| shelf.get(&sequence) == Some(&marks);
        // What was removed may come back as it was: its removal is made durable by the next sync.
        let was_removed = gone.contains_key(&sequence) || next_gone.contains_key(&sequence);
        let is_lost = may_lose_marks && was_removed;
        if !is_lost && ![&before, &next, &gone, &next_gone].into_iter().any(of) {
            return Err(format!(
                "checkpoint {sequence} may not be there with {marks:?}"
            ));
        }
        found.insert(sequence, marks);
    }
    for (sequence, marks) in &before {
        if !found.contains_key(sequence) && next.contains_key(sequence) {
            return Err(format!("checkpoint {sequence} is not there ({marks:?})"));
        }
    }
    // The old are removed for the new, so not before it is there.
    let is_removed = before.keys().any(|sequence| !found.contains_key(sequence));
    let newest = next.last_key_value().map(|(sequence, _)| *sequence);
    if is_removed && newest.is_some_and(|newest| !found.contains_key(&newest)) {
        return Err(format!("there is {found:?} of {before:?}"));
    }
    let good = |shelf: &Shelf| {
        let good = shelf.iter().filter(|(_, marks)| !marks.suspect);
        good.map(|(sequence, _)| *sequence).next_back()
    };
    let latest = store.latest(KEY).map_err(|error| error.to_string())?;
    let latest = latest.checkpoint.map(|(checkpoint, _)| checkpoint.sequence);
    if ![good(&before), good(&next)].contains(&latest) && !next.is_empty() {
        return Err(format!("the latest is {latest:?} of {before:?}"));
    }
    Ok(())
}

fn swept(name: &str, start: &FaultyStorage, steps: &[Step]) -> Sweep {
    sweep(
        name,
        start,
        |disk| script(disk, steps).into_iter().map(|(n, _)| n).collect(),
        |image, acked: &[usize]| {
            check(&image.disk, steps, acked.len())?;
            if !image.is_extreme() && !is_soak() {
                return Ok(());
            }
            image.reopen(
                |disk| {
                    let _stopped = open(disk);
                },
                |disk| check(disk, steps, acked.len()),
            )
        },
    )
}

#[test]
fn checkpoints_are_whole_at_every_crash() {
    let images = swept("checkpoints", &FaultyStorage::new(), STEPS).holds();
    assert!(images > 1_000, "{images}");
}

#[test]
fn a_key_is_forgotten_whole_or_bit_by_bit_and_never_damaged() {
    let steps = [&STEPS[..6], &[Forget, Save(7), Save(8)]].concat();
    let images = swept("checkpoints forgotten", &FaultyStorage::new(), &steps).holds();
    assert!(images > 300, "{images}");
}

#[test]
fn a_missing_kind_of_sync_is_found_out() {
    for kind in SyncKind::ALL {
        let name = format!("checkpoints, {kind:?} ignored");
        let swept = swept(&name, &FaultyStorage::new().ignoring(kind), STEPS);
        if kind == SyncKind::Data {
            // A file is written once and synced once: there is no such sync to miss.
            swept.holds();
        } else {
            let broken = swept.fails();
            assert!(broken.contains("PowerCut"), "{broken}");
        }
    }
}

#[test]
fn each_acknowledged_checkpoint_is_covered_by_its_syncs() {
    let disk = FaultyStorage::new();
    let mut covered = 0;
    for (nth, calls) in script(&disk, STEPS) {
        if let Save(sequence) = STEPS[nth] {
            // At the end older ones are gone, and with them the names to look for.
            if let Err(why) = is_covered(&disk, &checkpoint(sequence).payload, calls) {
                assert_eq!(why, "the bytes are in no file", "checkpoint {sequence}");
            } else {
                covered += 1;
            }
        }
    }
    assert!(covered >= KEEP, "{covered}");
}

#[test]
fn a_full_disk_fails_the_save_and_harms_nothing() {
    // Room for two whole files and marks, and not for a third.
    let start = FaultyStorage::new();
    start.set_capacity(2_900);
    assert_eq!(script(&start.after_kill(), STEPS).len(), 4);
    swept("checkpoints on a full disk", &start, STEPS).holds();
}

#[test]
fn after_any_failure_what_was_acknowledged_is_there() {
    let calls = {
        let disk = FaultyStorage::new();
        script(&disk, STEPS);
        disk.trace()
    };
    let kinds = [ErrorKind::StorageFull, ErrorKind::QuotaExceeded];
    let mut images = 0_u64;
    for (nth, call) in calls.iter().enumerate() {
        let before = calls[..nth].iter();
        let same = before.filter(|before| before.operation == call.operation);
        let after = same.count() as u64;
        let fault = Fault::on(call.operation).after(after);
        let faults = match call.operation {
            Operation::Append => vec![fault.clone().short(700), fault.clone().torn(700), fault],
            Operation::Sync | Operation::SyncDir | Operation::Rename | Operation::Remove => {
                vec![fault.clone().although_done(), fault]
            }
            _ => vec![fault.kind(kinds[nth % 2])],
        };
        for fault in faults {
            let told = format!("{fault:?}");
            let disk = FaultyStorage::new();
            disk.fail(fault);
            let is_sync_dir = call.operation == Operation::SyncDir;
            let acked = script(&disk, STEPS).len();
            for left in disk.after_power_cut().chain([disk.after_kill()]) {
                images += 1;
                if let Err(why) = check_with(&left, STEPS, acked, is_sync_dir) {
                    panic!("{why}\nafter {told}, with {acked} acknowledged: {disk:?}");
                }
            }
        }
    }
    assert!(images > 500, "{images}");
}
