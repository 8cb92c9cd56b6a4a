//! A service on boot, journal and snapshots, with a crash at every call of its storage: of its boots, its
//! appends, its snapshots and its compactions.

use crate::harness::{Image, Sweep, is_soak, sweep};
use backstop::durable::boot::{Boot, BootConfig, BootError, Booted, SnapshotError};
use backstop::durable::codec::{Postcard, State};
use backstop::durable::journal::{AppendError, JournalConfig, OpenMode, SyncPolicy};
use backstop::durable::replay::{Digest, Digester, Event, EventSourced, Rejected, Undecodable};
use backstop::durable::snapshot::{DirectoryConfig, DirectoryError, DirectoryStore};
use backstop::durable::storage::faulty::{FaultyStorage, SyncKind};
use backstop::kernel::clock::Clock;
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// What was counted: event n adds n, so a missing or a second one shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Sum {
    events: u64,
    sum: u64,
}

impl Sum {
    fn of(events: u64) -> Self {
        let sum = events * (events + 1) / 2;
        Self { events, sum }
    }
}

impl State for Sum {
    const TYPE: &'static str = "sum";
}

impl EventSourced for Sum {
    type Event<'a> = u64;

    fn decode(event: Event<'_>) -> Result<u64, Undecodable> {
        let (number, _) = event
            .payload
            .split_first_chunk()
            .ok_or(Undecodable::new("short"))?;
        Ok(u64::from_le_bytes(*number))
    }

    fn apply(&mut self, number: u64) -> Result<(), Rejected> {
        self.events += 1;
        self.sum += number;
        Ok(())
    }

    fn digest(&self) -> Option<Digest> {
        Some(
            Digester::new()
                .number(self.events)
                .number(self.sum)
                .finish(),
        )
    }
}

fn boot(disk: &FaultyStorage, sync: SyncPolicy) -> Result<Booted<Sum, Postcard>, Box<dyn Error>> {
    let directory = DirectoryConfig::default().keep(2).lock_wait(Duration::ZERO);
    let disk = Arc::new(disk.clone());
    let store: Result<_, DirectoryError> =
        DirectoryStore::open(disk.clone(), "snapshots", directory);
    // Of the smallest segments, so that compaction has something to remove.
    let journal = JournalConfig::default()
        .open(OpenMode::CreateIfMissing)
        .segment_bytes(1_024)
        .lock_wait(Duration::ZERO)
        .sync(sync);
    let booted: Result<_, BootError> = Boot::new(
        disk,
        "journal",
        "sum",
        (Arc::new(store?) as _, Postcard),
        Sum::default(),
    )
    .config(BootConfig::default().journal(journal).snapshot_every(3))
    .clock(Clock::system())
    .run();
    Ok(booted?)
}

/// Some lives of the service, each with some events and the snapshots that are due. What it answers are
/// the events that it was told to be durable.
fn run(disk: &FaultyStorage, sync: SyncPolicy) -> Vec<u64> {
    let mut acked = Vec::new();
    let lives: &[u64] = if is_soak() { &[7, 7, 7, 7] } else { &[4, 3] };
    for events in lives {
        if live(disk, sync, *events, &mut acked).is_err() {
            break;
        }
    }
    acked
}

fn live(
    disk: &FaultyStorage,
    sync: SyncPolicy,
    events: u64,
    acked: &mut Vec<u64>,
) -> Result<(), Box<dyn Error>> {
    let mut booted = boot(disk, sync)?;
    for _ in 0..events {
        let number = booted.sequence + 1;
        let mut payload = number.to_le_bytes().to_vec();
        // Three of them and a header fill a segment.
        payload.resize(250, 0);
        let appended: Result<u64, AppendError> = booted.journal.append(1, &payload);
        booted.sequence = appended?;
        booted.state.apply(number)?;
        if sync == SyncPolicy::Always {
            acked.push(number);
        }
        if booted.snapshotter.is_due(number) {
            let taken: Result<_, SnapshotError> = booted.snapshotter.take(&booted.state, number);
            if let Some(error) = taken?.and_then(|taken| taken.compact_error) {
                return Err(error.into());
            }
            // A snapshot is one of events that are durable.
            if acked.last() != Some(&number) {
                acked.push(number);
            }
        }
    }
    Ok(())
}

fn check_state(disk: &FaultyStorage, acked: &[u64]) -> Result<(), String> {
    let booted = boot(disk, SyncPolicy::Always).map_err(|error| format!("no boot: {error}"))?;
    let acked = acked.last().copied().unwrap_or(0);
    if booted.state != Sum::of(booted.sequence) || booted.sequence < acked {
        return Err(format!("{} events are {:?}", booted.sequence, booted.state));
    }
    Ok(())
}

fn check(image: &Image, acked: &[u64], sync: SyncPolicy) -> Result<(), String> {
    // An opening of it may be cut short, too.
    if image.is_extreme() {
        image.reopen(
            |disk| drop(boot(disk, sync)),
            |disk| check_state(disk, acked),
        )?;
    }
    check_state(&image.disk, acked)
}

fn swept(name: &str, start: &FaultyStorage, sync: SyncPolicy) -> Sweep {
    sweep(
        name,
        start,
        |disk| run(disk, sync),
        |image, acked| check(image, acked, sync),
    )
}

#[test]
fn bo1a_bo3a_bo3d_a_crash_anywhere_loses_nothing_that_was_acknowledged() {
    for sync in [SyncPolicy::Always, SyncPolicy::Never] {
        let start = FaultyStorage::new();
        swept(&format!("boot {sync:?}"), &start, sync).holds();
    }
}

#[test]
fn bo3a_each_kind_of_sync_is_needed() {
    for kind in SyncKind::ALL {
        let start = FaultyStorage::new().ignoring(kind);
        swept(
            &format!("boot without {kind:?}"),
            &start,
            SyncPolicy::Always,
        )
        .fails();
    }
}
