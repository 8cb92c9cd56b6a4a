//! Booting: what comes up again, what is refused, and what is told of it.

use crate::replay_rig::{Damaged, Does, STREAM, Tape};
use crate::replay_snapshots::{Failing, checkpoint, tape};
use backstop::durable::boot::{Boot, BootConfig, BootError, Booted, Exit, OnAhead, Stage};
use backstop::durable::codec::{Postcard, State};
use backstop::durable::journal::{
    Journal, JournalConfig, OpenError, OpenMode, RecoveryMode, SyncPolicy,
};
use backstop::durable::replay::{
    Comparison, Event, EventSourced, OnRejected, Rejected, ReplayConfig, ReplayErrorKind,
    Undecodable,
};
use backstop::durable::snapshot::{CheckpointStore, MemoryStore};
use backstop::durable::storage::{MemoryStorage, Storage};
use backstop::kernel::clock::{Clock, ManualClock};
use std::cell::RefCell;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) const DIR: &str = "journal";

pub(crate) type Booting = Boot<Tape, Postcard>;

pub(crate) fn config() -> BootConfig {
    BootConfig::default().journal(journal())
}

fn journal() -> JournalConfig {
    JournalConfig::default()
        .open(OpenMode::CreateIfMissing)
        .segment_bytes(1_024)
}

pub(crate) fn boot(storage: &MemoryStorage, store: &Arc<impl CheckpointStore>) -> Booting {
    let snapshots = (store.clone() as Arc<dyn CheckpointStore>, Postcard);
    Boot::new(
        Arc::new(storage.clone()),
        DIR,
        STREAM,
        snapshots,
        Tape::default(),
    )
    .config(config())
}

pub(crate) fn append(journal: &Journal, does: Does, count: u64) {
    for _ in 0..count {
        let number = journal.status().last_sequence + 1;
        let sequence = journal.append(does as u32, &number.to_le_bytes());
        assert_eq!(sequence.unwrap(), number);
    }
}

fn numbers(booted: &Booted<Tape, Postcard>) -> u64 {
    assert_eq!(booted.state, tape(booted.sequence));
    booted.sequence
}

#[test]
fn bo1a_each_boot_finds_what_was_acknowledged() {
    let storage = MemoryStorage::new();
    let store = Arc::new(MemoryStore::new());
    let mut last = 0;
    for round in 0..6 {
        let booted = boot(&storage, &store).run().unwrap();
        assert_eq!(numbers(&booted), last);
        assert_eq!(booted.report.open.is_new, round == 0);
        assert_eq!(booted.wall.is_some(), round > 0);
        append(&booted.journal, Does::Fits, 10);
        last += 10;
        if round % 2 == 1 {
            let taken = booted.snapshotter.take(&tape(last - 3), last - 3).unwrap();
            assert_eq!(taken.unwrap().sequence, last - 3);
        }
    }
    let booted = boot(&storage, &store).run().unwrap();
    assert_eq!(booted.report.replay.snapshot, Some(last - 3));
    assert_eq!(booted.report.replay.applied, 3);
    assert_eq!(booted.report.replay.comparison, Comparison::Same);
    assert_eq!(booted.snapshotter.newest(), last - 3);
}

/// Events that take a tenth of a second each.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
struct Slow;

thread_local! {
    static CLOCK: RefCell<Option<ManualClock>> = const { RefCell::new(None) };
}

impl State for Slow {
    const TYPE: &'static str = "slow";
}

impl EventSourced for Slow {
    type Event<'a> = ();

    fn decode(_: Event<'_>) -> Result<(), Undecodable> {
        Ok(())
    }

    fn apply(&mut self, (): ()) -> Result<(), Rejected> {
        CLOCK.with_borrow(|clock| clock.as_ref().unwrap().advance(Duration::from_millis(100)));
        Ok(())
    }
}

#[test]
fn bo1b_bo1c_each_stage_is_timed_and_told() {
    let storage = MemoryStorage::new();
    let store = Arc::new(MemoryStore::new());
    append(
        &boot(&storage, &store).run().unwrap().journal,
        Does::Fits,
        10,
    );
    let manual = Clock::manual();
    CLOCK.set(Some(manual.clone()));
    let told = Arc::new(Mutex::new(Vec::new()));
    let (telling, clock) = (told.clone(), manual.clone());
    let snapshots = (store as Arc<dyn CheckpointStore>, Postcard);
    let booted = Boot::new(Arc::new(storage), DIR, STREAM, snapshots, Slow)
        .config(config())
        .clock(&manual)
        .progress(move |progress| {
            telling
                .lock()
                .unwrap()
                .push((progress.stage, progress.done, progress.total));
            // So that each stage that is told of takes its time.
            if progress.stage != Stage::Replay {
                clock.advance(Duration::from_millis(1));
            }
        })
        .run()
        .unwrap();
    let told = std::mem::take(&mut *told.lock().unwrap());
    let count = |stage| told.iter().filter(|(of, ..)| *of == stage).count() as u64;
    let ms = Duration::from_millis;
    for stage in [Stage::Look, Stage::Verify, Stage::Repair, Stage::Load] {
        let time = booted.report.time(stage);
        assert_eq!(time, ms(count(stage)), "{stage:?}: {told:?}");
    }
    assert!(count(Stage::Look) >= 1 && count(Stage::Load) >= 1 && count(Stage::Verify) >= 2);
    assert_eq!(booted.report.time(Stage::Quarantine), Duration::ZERO);
    assert_eq!(booted.report.time(Stage::Replay), ms(1_000));
    let all: Duration = Stage::ALL
        .map(|stage| booted.report.time(stage))
        .iter()
        .sum();
    assert_eq!(booted.report.took, all);
    let order: Vec<_> = told.iter().map(|(stage, ..)| *stage).collect();
    assert!(order.is_sorted(), "{order:?}");
    let replay: Vec<_> = told
        .iter()
        .filter(|(stage, ..)| *stage == Stage::Replay)
        .collect();
    assert_eq!(
        replay,
        [
            &(Stage::Replay, 3, 10),
            &(Stage::Replay, 6, 10),
            &(Stage::Replay, 9, 10)
        ],
        "four times a second at most"
    );
    let text = booted.report.to_string();
    assert!(text.contains("replay 1.0s"), "{text}");
}

/// What is in the directory of the journal.
fn contents(storage: &MemoryStorage) -> Vec<(String, Vec<u8>)> {
    let Ok(entries) = storage.list(Path::new(DIR)) else {
        return Vec::new();
    };
    let files = entries
        .into_iter()
        .filter(|entry| !entry.is_dir && entry.name != "lock");
    files
        .map(|entry| {
            let file = storage.open(&Path::new(DIR).join(&entry.name)).unwrap();
            let mut bytes = vec![0; usize::try_from(entry.len).unwrap()];
            assert_eq!(file.read_at(&mut bytes, 0).unwrap(), bytes.len());
            (entry.name, bytes)
        })
        .collect()
}

/// Flips a bit in the middle of a file's records.
fn damage(storage: &MemoryStorage, name: &str, at: usize) {
    let path = Path::new(DIR).join(name);
    let (_, mut bytes) = contents(storage)
        .into_iter()
        .find(|(of, _)| of == name)
        .unwrap();
    bytes[at] ^= 1;
    storage.remove(&path).unwrap();
    let file = storage.create_new(&path).unwrap();
    assert_eq!(file.append(&bytes).unwrap(), bytes.len());
    file.sync().unwrap();
}

#[test]
fn bo1d_a_failure_names_its_stage_and_leaves_the_way_free() {
    let storage = MemoryStorage::new();
    let store = Arc::new(MemoryStore::new());
    let booted = boot(&storage, &store).run().unwrap();
    append(&booted.journal, Does::Fits, 3);
    append(&booted.journal, Does::FailsInApply, 1);
    append(&booted.journal, Does::Fits, 1);
    drop(booted);

    let failing = Arc::new(Failing {
        store: MemoryStore::new(),
        lists: false,
    });
    let error = boot(&storage, &failing).run().unwrap_err();
    assert!(matches!(error, BootError::Snapshots(_)), "{error}");
    assert_eq!(error.stage(), Some(Stage::Look));

    let absent = Boot::new(
        Arc::new(MemoryStorage::new()),
        DIR,
        STREAM,
        (store.clone() as Arc<dyn CheckpointStore>, Postcard),
        Tape::default(),
    );
    let error = absent.run().unwrap_err();
    assert!(
        matches!(error, BootError::Open(OpenError::Absent { .. })),
        "the default takes no wrong path for a fresh start: {error}"
    );
    assert_eq!(error.stage(), Some(Stage::Verify));

    let error = boot(&storage, &store).run().unwrap_err();
    let BootError::Replay(replay) = &error else {
        panic!("{error}")
    };
    assert!(matches!(replay.kind(), ReplayErrorKind::Event(event) if event.sequence == 4));
    assert_eq!(error.stage(), Some(Stage::Replay));

    let skip = ReplayConfig::default().on_rejected(OnRejected::Skip { limit: 1 });
    let booted = boot(&storage, &store)
        .config(config().replay(skip))
        .run()
        .unwrap();
    assert_eq!(booted.state.numbers, [1, 2, 3, 5]);
    assert_eq!(booted.sequence, 5);
    assert_eq!(booted.report.replay.skipped.rejected, 1);
}

const MODES: [RecoveryMode; 4] = [
    RecoveryMode::TornTail,
    RecoveryMode::PointInTime,
    RecoveryMode::SkipDamaged,
    RecoveryMode::Strict,
];

#[test]
fn bo1e_a_snapshot_ahead_of_the_journal_refuses() {
    for events in [None, Some(0), Some(5)] {
        for mode in MODES {
            let storage = MemoryStorage::new();
            let store = Arc::new(MemoryStore::new());
            if let Some(events) = events {
                append(
                    &boot(&storage, &store).run().unwrap().journal,
                    Does::Fits,
                    events,
                );
            }
            store.save(STREAM, &checkpoint(7, &tape(7))).unwrap();
            let before = contents(&storage);
            let booted = boot(&storage, &store)
                .config(config().journal(journal().recovery(mode)))
                .run();
            if events == Some(5) && mode == RecoveryMode::SkipDamaged {
                let booted = booted.unwrap();
                assert_eq!(numbers(&booted), 7);
                assert!(booted.report.open.missing == 2, "{}", booted.report);
                continue;
            }
            let error = booted.unwrap_err();
            assert!(
                matches!(
                    error,
                    BootError::Open(OpenError::SnapshotAhead { snapshot: 7, .. })
                ),
                "{events:?} {mode:?}: {error}"
            );
            assert_eq!(contents(&storage), before, "nothing was touched");
        }
    }
    // A damaged one was published all the same.
    let store = Arc::new(Damaged {
        store: MemoryStore::new(),
        sequences: &[7],
    });
    store.save(STREAM, &checkpoint(7, &tape(7))).unwrap();
    let error = boot(&MemoryStorage::new(), &store).run().unwrap_err();
    assert!(matches!(
        error,
        BootError::Open(OpenError::SnapshotAhead { .. })
    ));
}

#[test]
fn bo1f_a_snapshot_ahead_can_be_retired_for_good() {
    let storage = MemoryStorage::new();
    let store = Arc::new(MemoryStore::new());
    let booted = boot(&storage, &store).run().unwrap();
    append(&booted.journal, Does::Fits, 5);
    drop(booted);
    store.save(STREAM, &checkpoint(4, &tape(4))).unwrap();
    // Of a history in which other events followed.
    let other = Tape {
        numbers: vec![99; 7],
        spoilt: None,
    };
    store.save(STREAM, &checkpoint(7, &other)).unwrap();
    store.save(STREAM, &checkpoint(8, &other)).unwrap();

    let booted = boot(&storage, &store)
        .config(config().on_ahead(OnAhead::Retire))
        .run()
        .unwrap();
    assert_eq!(booted.report.retired, [8, 7]);
    assert_eq!(booted.report.replay.snapshot, Some(4));
    assert_eq!(numbers(&booted), 5);
    append(&booted.journal, Does::Fits, 5);
    drop(booted);

    let booted = boot(&storage, &store).run().unwrap();
    assert_eq!(numbers(&booted), 10);
    assert!(booted.report.retired.is_empty());
    assert_eq!(booted.report.replay.passed_over.len(), 2);
    let taken = booted.snapshotter.take(&booted.state, 10).unwrap();
    assert_eq!(taken.unwrap().sequence, 10);
}

#[test]
fn bo1g_a_state_that_is_not_what_was_saved_fails_the_boot() {
    let storage = MemoryStorage::new();
    let store = Arc::new(MemoryStore::new());
    append(
        &boot(&storage, &store).run().unwrap().journal,
        Does::Fits,
        5,
    );
    let mut saved = checkpoint(3, &tape(3));
    saved.digest = saved.digest.map(|digest| digest ^ 1);
    // The event behind it would fail: it is compared first.
    store.save(STREAM, &saved).unwrap();
    let error = boot(&storage, &store).run().unwrap_err();
    let BootError::Replay(replay) = &error else {
        panic!("{error}")
    };
    assert!(
        matches!(
            replay.kind(),
            ReplayErrorKind::DigestMismatch { snapshot: 3, .. }
        ),
        "{error}"
    );
    assert_eq!(replay.report().applied, 0);
    // What is derived made anew, once: `rp3d_a_loaded_state_is_compared_with_its_digest`.
}

#[test]
fn bo1h_a_configuration_that_cannot_be_is_refused() {
    let stop = ReplayConfig::default().on_rejected(OnRejected::StopBefore);
    let storage = MemoryStorage::new();
    let store = Arc::new(MemoryStore::new());
    for (config, field) in [
        (config().replay(stop), "replay.on_rejected"),
        (config().snapshot_every(0), "snapshot_every"),
    ] {
        let error = boot(&storage, &store).config(config).run().unwrap_err();
        let BootError::Config(refused) = &error else {
            panic!("{error}")
        };
        assert_eq!(refused.field(), field);
        assert_eq!(error.stage(), None);
    }
    assert!(storage.list(Path::new(DIR)).is_err(), "nothing was begun");
}

#[test]
fn bo1i_what_was_taken_out_of_the_journal_is_no_gap() {
    let storage = MemoryStorage::new();
    let store = Arc::new(MemoryStore::new());
    append(
        &boot(&storage, &store).run().unwrap().journal,
        Does::Fits,
        60,
    );
    let names: Vec<_> = contents(&storage)
        .into_iter()
        .filter(|(name, _)| name.ends_with(".segment"))
        .map(|(name, _)| name)
        .collect();
    assert!(names.len() >= 3);
    damage(&storage, &names[1], 64 + 44);
    let error = boot(&storage, &store).run().unwrap_err();
    assert!(
        matches!(error, BootError::Open(OpenError::Damaged { .. })),
        "{error}"
    );
    let skipping = || config().journal(journal().recovery(RecoveryMode::SkipDamaged));
    let booted = boot(&storage, &store).config(skipping()).run().unwrap();
    assert_eq!(booted.report.replay.missing, 1, "{}", booted.report);
    assert_eq!(booted.state.numbers.len(), 59);
    assert_eq!(booted.sequence, 60);
    assert!(booted.report.time(Stage::Quarantine) > Duration::ZERO);
    drop(booted);
    let booted = boot(&storage, &store).config(skipping()).run().unwrap();
    assert_eq!(booted.report.replay.missing, 1);
    // Until a snapshot stands behind the gap, others do not go on over it by themselves.
    booted.snapshotter.take(&booted.state, 60).unwrap();
    drop(booted);
    let booted = boot(&storage, &store).run().unwrap();
    assert_eq!(booted.state.numbers.len(), 59);
}

/// A journal of eight records, of which the last two are lost.
fn loses_its_end(storage: &MemoryStorage, store: &Arc<MemoryStore>) {
    append(&boot(storage, store).run().unwrap().journal, Does::Fits, 8);
    // The next start writes the eighth anew, whose durability nothing had noted yet; the header of the
    // start after that notes it.
    for _ in 0..2 {
        drop(boot(storage, store).run().unwrap());
    }
    let segments: Vec<_> = contents(storage)
        .into_iter()
        .filter(|(name, _)| name.ends_with(".segment"))
        .collect();
    let record = (segments[0].1.len() - 64) / 8;
    damage(storage, &segments[0].0, 64 + 6 * record + record - 8);
    damage(storage, &segments[1].0, 64 + record - 8);
}

/// The log is longer than what can be read of it.
#[test]
fn bo1i_lost_records_at_the_very_end_are_counted() {
    let storage = MemoryStorage::new();
    let store = Arc::new(MemoryStore::new());
    loses_its_end(&storage, &store);
    assert!(boot(&storage, &store).run().is_err());
    let skipping = || config().journal(journal().recovery(RecoveryMode::SkipDamaged));
    for _ in 0..2 {
        let booted = boot(&storage, &store).config(skipping()).run().unwrap();
        assert_eq!(booted.state.numbers.len(), 6);
        assert_eq!(
            (booted.sequence, booted.report.replay.missing),
            (8, 2),
            "{}",
            booted.report
        );
    }
    let booted = boot(&storage, &store).config(skipping()).run().unwrap();
    append(&booted.journal, Does::Fits, 1);
    assert_eq!(booted.journal.status().last_sequence, 9);
    drop(booted);
    let booted = boot(&storage, &store).config(skipping()).run().unwrap();
    assert_eq!((booted.sequence, booted.report.replay.missing), (9, 2));
    assert_eq!(booted.state.numbers.len(), 7);
}

/// As above; the state that is left is published before there is another event.
#[test]
fn bo1i_a_snapshot_stands_behind_lost_records_at_once() {
    let storage = MemoryStorage::new();
    let store = Arc::new(MemoryStore::new());
    loses_its_end(&storage, &store);
    let skipping = || config().journal(journal().recovery(RecoveryMode::SkipDamaged));
    let booted = boot(&storage, &store).config(skipping()).run().unwrap();
    let taken = booted.snapshotter.take(&booted.state, booted.sequence);
    assert_eq!(taken.unwrap().unwrap().sequence, 8);
    drop(booted);
    let booted = boot(&storage, &store).run().unwrap();
    assert_eq!((booted.sequence, booted.state.numbers.len()), (8, 6));
}

/// Where the child process is told to stop.
const STOPS: &str = "BACKSTOP_STOPS";

#[test]
#[ignore = "the child process of the test below"]
fn stops_as_a_child() {
    assert!(std::env::var_os(STOPS).is_some());
    Exit::default().stop(73, "to be seen from outside");
    unreachable!("the process has ended");
}

#[test]
fn bo2a_the_way_out_is_the_hook_or_the_end_of_the_process() {
    let stopped = Arc::new(Mutex::new(Vec::new()));
    let seen = stopped.clone();
    let exit = Exit::hook(move |code, why| seen.lock().unwrap().push((code, why.to_owned())));
    let storage = MemoryStorage::new();
    let booted = boot(&storage, &Arc::new(MemoryStore::new()))
        .exit(exit)
        .run()
        .unwrap();
    booted.exit.clone().stop(70, format_args!("the {}", "disk"));
    assert_eq!(*stopped.lock().unwrap(), [(70, "the disk".to_owned())]);

    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "boot::stops_as_a_child", "--ignored"])
        .env(STOPS, "1")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(73));
}

#[test]
fn bo2a_nothing_else_in_the_library_ends_the_process() {
    let mut found = Vec::new();
    let mut dirs = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|is| is == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let ends = ["process::exit(", "process::abort(", "::abort()"];
                if ends.iter().any(|end| text.contains(end)) {
                    found.push(path.file_name().unwrap().to_owned());
                }
            }
        }
    }
    assert_eq!(found, ["exit.rs"]);
}

#[test]
fn bo1a_a_buffering_journal_is_replayed_whole() {
    let storage = MemoryStorage::new();
    let store = Arc::new(MemoryStore::new());
    let never = || config().journal(journal().sync(SyncPolicy::Never));
    let booted = boot(&storage, &store).config(never()).run().unwrap();
    append(&booted.journal, Does::Fits, 7);
    booted.journal.close().unwrap();
    drop(booted);
    let booted = boot(&storage, &store).config(never()).run().unwrap();
    assert_eq!(numbers(&booted), 7);
}
