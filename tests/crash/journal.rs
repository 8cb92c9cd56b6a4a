//! The journal, in each sync policy and recovery mode.

use crate::harness::{Image, Sweep, is_soak, sweep, sweep_from, tell};
use crate::ledger::{
    ALWAYS, Acked, MODES, Script, check, compacted, config, is_sound, open, opened, payload, run,
};
use crate::trace::is_covered;
use backstop::durable::journal::{RecoveryMode, SyncPolicy};
use backstop::durable::storage::Operation;
use backstop::durable::storage::faulty::{Call, Fault, FaultyStorage, SyncKind};
use backstop::kernel::clock::Clock;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

const NEVER: Script = Script {
    policy: SyncPolicy::Never,
    batches: 8,
    ..ALWAYS
};

const INTERVAL: Script = Script {
    policy: SyncPolicy::Interval(Duration::from_secs(1)),
    closes: true,
    ..NEVER
};

const GROUPS: Script = Script {
    segment_bytes: 4_096,
    openings: 2,
    batches: 3,
    batch: 5,
    ..ALWAYS
};

/// More sectors in a batch than all of their subsets are gone through.
const WIDE: Script = Script {
    segment_bytes: 16_384,
    openings: 1,
    batches: 2,
    batch: 24,
    ..ALWAYS
};

const COMPACTS: Script = Script {
    batches: 7,
    compacts: true,
    ..ALWAYS
};

fn swept(name: &str, start: &FaultyStorage, script: Script) -> Sweep {
    sweep(
        name,
        start,
        |disk| run(disk, script),
        |image, acked: &[Acked]| {
            let nth = image.nth + usize::try_from(image.call).unwrap_or(0);
            // The default mode always, and the others in turn.
            let two = [RecoveryMode::TornTail, MODES[1 + nth % 3]];
            let modes = if is_soak() { &MODES[..] } else { &two };
            let deep = image.is_extreme() || is_soak();
            check(&image.disk, acked, modes, deep)?;
            if !deep {
                return Ok(());
            }
            let repaired = if is_soak() {
                modes
            } else {
                &two[nth % 2..][..1]
            };
            repaired
                .iter()
                .try_for_each(|mode| a_crash_of_the_repair(image, acked, *mode))
        },
    )
}

/// Whatever a crash of the opening leaves opens again, with all that was acknowledged, and with no more
/// than it would have opened with.
fn a_crash_of_the_repair(image: &Image, acked: &[Acked], mode: RecoveryMode) -> Result<(), String> {
    let Some((_, found)) = opened(&image.disk, mode)? else {
        return Ok(());
    };
    image.reopen(
        |disk| {
            let config = config(SyncPolicy::Always, mode).segment_bytes(1_024);
            let _stopped = open(disk, config, &Clock::manual().clock());
        },
        |left| {
            let Some((_, again)) = opened(left, mode)? else {
                return Ok(());
            };
            is_sound(&again, acked, mode)?;
            // What was compacted may come back.
            let mut beyond = again.range(compacted(acked) + 1..);
            if beyond.all(|(at, payload)| found.get(at) == Some(payload)) {
                return Ok(());
            }
            Err(format!("{found:?} has become {again:?}"))
        },
    )
}

#[test]
fn always_holds_at_every_crash() {
    swept("journal, always", &FaultyStorage::new(), ALWAYS).holds();
}

#[test]
fn always_holds_for_groups_at_every_crash() {
    swept("journal, always, groups", &FaultyStorage::new(), GROUPS).holds();
}

#[test]
fn always_holds_for_wide_groups_at_every_crash() {
    let swept = sweep(
        "journal, always, wide groups",
        &FaultyStorage::new(),
        |disk| run(disk, WIDE),
        |image, acked: &[Acked]| {
            let modes = [RecoveryMode::TornTail, MODES[1 + image.nth % 3]];
            check(&image.disk, acked, &modes, false)
        },
    );
    assert!(swept.holds() > 500);
}

#[test]
fn never_holds_what_was_synced() {
    swept("journal, never", &FaultyStorage::new(), NEVER).holds();
}

#[test]
fn interval_holds_what_was_synced() {
    swept("journal, interval", &FaultyStorage::new(), INTERVAL).holds();
}

#[test]
fn compaction_holds_at_every_crash() {
    let start = FaultyStorage::new();
    // It does remove something.
    let acked = run(&start.after_kill(), COMPACTS);
    let disk = start.after_kill();
    run(&disk, COMPACTS);
    let (_, found) = opened(&disk, RecoveryMode::TornTail).unwrap().unwrap();
    assert!(found.len() < acked.iter().filter(|acked| acked.payload > 0).count());
    swept("journal, compaction", &start, COMPACTS).holds();
}

#[test]
fn a_full_disk_is_compacted_from_the_reserve() {
    let start = FaultyStorage::new();
    start.set_capacity(3_000);
    let script = Script {
        reserve: 1_024,
        batches: 12,
        ..COMPACTS
    };
    let disk = start.after_kill();
    let acked = run(&disk, script);
    // It was full in between, and came to more than it has room for.
    let is_full = |call: &Call| call.result == Err(ErrorKind::StorageFull);
    assert!(disk.trace().iter().any(is_full));
    let acked = acked.iter().filter(|acked| acked.payload > 0).count();
    assert!(acked >= 10, "{acked}");
    sweep(
        "journal, compaction of a full disk",
        &start,
        |disk| run(disk, script),
        |image, acked: &[Acked]| {
            image.disk.set_capacity(u64::MAX);
            let nth = image.nth + usize::try_from(image.call).unwrap_or(0);
            let modes = [RecoveryMode::TornTail, MODES[1 + nth % 3]];
            check(&image.disk, acked, &modes, image.is_extreme())
        },
    )
    .holds();
}

#[test]
fn a_missing_kind_of_sync_is_found_out() {
    for kind in SyncKind::ALL {
        for (name, script) in [
            ("always", ALWAYS),
            ("never", NEVER),
            ("compaction", COMPACTS),
        ] {
            let name = format!("journal, {name}, {kind:?} ignored");
            let broken = swept(&name, &FaultyStorage::new().ignoring(kind), script).fails();
            assert!(
                broken.contains("PowerCut") || broken.contains("a power cut"),
                "{broken}"
            );
        }
    }
}

#[test]
fn a_full_disk_fails_appends_and_loses_nothing() {
    // The room ends within the first segment, within the second, and within what an open writes.
    for capacity in [600, 1_500, 2_000, 2_400] {
        let start = FaultyStorage::new();
        start.set_capacity(capacity);
        let script = Script {
            batches: 8,
            ..ALWAYS
        };
        let acked = run(&start.after_kill(), script).len();
        assert!(acked < 16, "{acked} of 16 with {capacity} bytes");
        // Opening needs room, too: it is given some more then, as people do.
        sweep(
            &format!("journal, {capacity} bytes"),
            &start,
            |disk| run(disk, script),
            |image, acked: &[Acked]| {
                image.disk.set_capacity(u64::MAX);
                check(&image.disk, acked, &MODES, false)
            },
        )
        .holds();
    }
}

/// Each call of a run fails in each way in which it may, once, with a crash at every call from there on.
fn after_any_failure(script: Script) -> u64 {
    let calls = {
        let disk = FaultyStorage::new();
        run(&disk, script);
        disk.trace()
    };
    let mut images = 0;
    for (nth, call) in calls.iter().enumerate() {
        let before = calls[..nth].iter();
        let after = before.filter(|before| before.operation == call.operation);
        let fault = Fault::on(call.operation).after(after.count() as u64);
        // Nothing makes the name of the journal's directory durable once its sync has failed, short
        // of removing it: here the machine goes down then.
        let is_lost = call.operation == Operation::SyncDir && call.path == Path::new("");
        let openings = if is_lost { 1 } else { script.openings };
        let script = Script { openings, ..script };
        for fault in failures(call, fault) {
            let name = format!("{fault:?} at call {nth}");
            // Before the fault it is the run without one.
            let swept = sweep_from(
                nth as u64 + 1,
                &name,
                &FaultyStorage::new(),
                |disk| {
                    disk.fail(fault.clone());
                    run(disk, script)
                },
                |image, acked: &[Acked]| {
                    let mode = MODES[1 + (image.nth + nth) % 3];
                    let modes = [RecoveryMode::TornTail, mode];
                    check(&image.disk, acked, &modes, is_soak())
                },
            );
            images += swept.images().unwrap_or_else(|broken| panic!("{broken}"));
        }
    }
    images
}

/// The ways in which a call may fail.
fn failures(call: &Call, fault: Fault) -> Vec<Fault> {
    let full = fault.clone().kind(ErrorKind::StorageFull);
    let half = usize::try_from(call.bytes / 2).unwrap();
    match call.operation {
        Operation::Append => vec![
            fault.clone().short(half),
            fault.clone().torn(half),
            fault.clone().torn(half).times(2),
            fault.clone().although_done(),
            full,
            fault,
        ],
        Operation::Read => vec![fault.clone().short(half.max(1)), fault],
        Operation::Create => vec![fault.clone().although_done(), full, fault],
        Operation::Sync | Operation::SyncDir | Operation::Rename | Operation::Remove => {
            vec![fault.clone().although_done(), fault]
        }
        _ => vec![fault],
    }
}

#[test]
fn after_any_failure_what_was_acknowledged_is_there() {
    let images = after_any_failure(ALWAYS);
    tell(&format!("journal, each call failing: {images} images"));
    assert!(images > 10_000, "{images}");
}

#[test]
fn after_any_failure_of_groups_what_was_acknowledged_is_there() {
    let few = Script {
        openings: 1,
        ..GROUPS
    };
    let images = after_any_failure(if is_soak() { GROUPS } else { few });
    tell(&format!(
        "journal, groups, each call failing: {images} images"
    ));
    assert!(images > 1_000, "{images}");
}

#[test]
fn after_any_failure_of_buffered_appends_what_was_synced_is_there() {
    let few = Script {
        openings: 1,
        ..NEVER
    };
    let images = after_any_failure(if is_soak() { NEVER } else { few });
    tell(&format!(
        "journal, never, each call failing: {images} images"
    ));
    assert!(images > 1_000, "{images}");
}

#[test]
fn each_acknowledgement_follows_the_syncs_that_cover_it() {
    for script in [ALWAYS, GROUPS, NEVER, INTERVAL] {
        let disk = FaultyStorage::new();
        let script = Script {
            // An open removes what it has written anew, and with it the place to look at.
            openings: 1,
            ..script
        };
        let acked = run(&disk, script);
        assert!(acked.len() >= 5);
        for Acked {
            payload: number,
            calls,
            ..
        } in acked
        {
            is_covered(&disk, &payload(number), calls).unwrap();
            if script.batch == 1 && script.policy == SyncPolicy::Always {
                is_covered(&disk, &payload(number), calls - 1).unwrap_err();
            }
        }
    }
}

/// An append that fails with some of it written, and a crash at every call after it: what it left is cut
/// off, and the records behind it are written over it.
#[test]
fn what_a_failed_append_left_is_never_taken_for_damage() {
    for after in [3, 5] {
        for (name, fault) in [
            ("torn", Fault::on(Operation::Append).torn(200)),
            ("done", Fault::on(Operation::Append).although_done()),
            (
                "torn twice",
                Fault::on(Operation::Append).torn(300).times(2),
            ),
        ] {
            for script in [ALWAYS, GROUPS] {
                let fault = fault.clone().after(after);
                let name = format!("journal, append {after} {name}, groups of {}", script.batch);
                sweep(
                    &name,
                    &FaultyStorage::new(),
                    |disk| {
                        disk.fail(fault.clone());
                        run(disk, script)
                    },
                    |image, acked: &[Acked]| {
                        let nth = image.nth + usize::try_from(image.call).unwrap_or(0);
                        let modes = [RecoveryMode::TornTail, MODES[1 + nth % 3]];
                        check(&image.disk, acked, &modes, false)
                    },
                )
                .holds();
            }
        }
    }
}
