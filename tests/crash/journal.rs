//! The journal, in each sync policy and recovery mode.

use crate::harness::{Image, Sweep, is_soak, sweep};
use crate::ledger::{
    ALWAYS, Acked, MODES, Script, check, config, is_sound, open, opened, payload, run,
};
use crate::trace::is_covered;
use backstop::durable::journal::{RecoveryMode, SyncPolicy};
use backstop::durable::storage::Operation;
use backstop::durable::storage::faulty::{Fault, FaultyStorage, SyncKind};
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
            if again
                .iter()
                .all(|(at, payload)| found.get(at) == Some(payload))
            {
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
fn never_holds_what_was_synced() {
    swept("journal, never", &FaultyStorage::new(), NEVER).holds();
}

#[test]
fn interval_holds_what_was_synced() {
    swept("journal, interval", &FaultyStorage::new(), INTERVAL).holds();
}

#[test]
fn a_missing_kind_of_sync_is_found_out() {
    for kind in SyncKind::ALL {
        for (name, script) in [("always", ALWAYS), ("never", NEVER)] {
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

/// Each call of a run fails in each way in which it may, once; then comes the crash.
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
        let full = fault.clone().kind(ErrorKind::StorageFull);
        let half = usize::try_from(call.bytes / 2).unwrap();
        let faults = match call.operation {
            Operation::Append => vec![
                fault.clone().short(half),
                fault.clone().torn(half),
                fault.clone().torn(half).times(2),
                fault.clone().although_done(),
                full,
                fault,
            ],
            Operation::Read => vec![fault.clone().short(half.max(1)), fault],
            Operation::Create => vec![full, fault],
            Operation::Sync | Operation::SyncDir | Operation::Rename | Operation::Remove => {
                vec![fault.clone().although_done(), fault]
            }
            _ => vec![fault],
        };
        for fault in faults {
            let told = format!("{fault:?}");
            let disk = FaultyStorage::new();
            disk.fail(fault);
            // Nothing makes the name of the journal's directory durable once its sync has failed, short
            // of removing it: here the machine goes down then.
            let is_lost = call.operation == Operation::SyncDir && call.path == Path::new("");
            let openings = if is_lost { 1 } else { script.openings };
            let acked = run(&disk, Script { openings, ..script });
            disk.stop_failing();
            for left in disk.after_power_cut().chain([disk.after_kill()]) {
                images += 1;
                let modes = [RecoveryMode::TornTail, MODES[1 + nth % 3]];
                if let Err(why) = check(&left, &acked, &modes, false) {
                    panic!("{why}\nafter {told} at call {nth}, acknowledged {acked:?}");
                }
            }
        }
    }
    images
}

#[test]
fn after_any_failure_what_was_acknowledged_is_there() {
    for script in [ALWAYS, GROUPS, NEVER] {
        let images = after_any_failure(script);
        assert!(images > 1_000, "{images}");
    }
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
