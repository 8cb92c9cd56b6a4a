//! How much memory a replay takes.

use backstop::durable::boot::{Boot, BootConfig};
use backstop::durable::codec::{Postcard, State};
use backstop::durable::journal::{JournalConfig, OpenMode, SyncPolicy};
use backstop::durable::replay::{
    Event, EventSourced, OnRejected, Rejected, ReplayConfig, Undecodable,
};
use backstop::durable::snapshot::{CheckpointStore, MemoryStore};
use backstop::durable::storage::{FsStorage, Storage};
use backstop::kernel::clock::Clock;
use std::sync::Arc;

const MIB: u64 = 1 << 20;

/// Bytes of the state.
const STATE: u64 = 8 * MIB;

/// What a replay may take beside two states.
const BESIDE: u64 = 16 * MIB;

/// Of the events, one in so many is rejected when it has changed the state.
const REJECTED: u64 = 997;

/// A state of a fixed size, into which each event is added.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Block(Vec<u64>);

impl Block {
    fn new() -> Self {
        Self(vec![0; usize::try_from(STATE / 8).unwrap()])
    }
}

impl State for Block {
    const TYPE: &'static str = "block";
}

impl EventSourced for Block {
    type Event<'a> = (u64, &'a [u8]);

    fn decode(event: Event<'_>) -> Result<(u64, &[u8]), Undecodable> {
        Ok((event.sequence, event.payload))
    }

    fn apply(&mut self, (sequence, payload): (u64, &[u8])) -> Result<(), Rejected> {
        let at = usize::try_from(sequence * 7_919).unwrap() % self.0.len();
        self.0[at] += u64::from(payload[0]);
        if sequence % REJECTED == 0 {
            return Err(Rejected::new("too late"));
        }
        Ok(())
    }
}

/// Boots on a journal of so many bytes of records of `payload` bytes, and tells what that took.
fn peak(bytes: u64, payload: usize) -> u64 {
    let dir = tempfile::tempdir().unwrap();
    let storage: Arc<dyn Storage> = Arc::new(FsStorage);
    let boot = || {
        let store = Arc::new(MemoryStore::new()) as Arc<dyn CheckpointStore>;
        let journal = JournalConfig::default()
            .open(OpenMode::CreateIfMissing)
            .sync(SyncPolicy::Never);
        let skip = ReplayConfig::default().on_rejected(OnRejected::Skip { limit: u64::MAX });
        let dir = dir.path().join("journal");
        Boot::new(
            storage.clone(),
            dir,
            "block",
            (store, Postcard),
            Block::new(),
        )
        .config(BootConfig::default().journal(journal).replay(skip))
        .clock(Clock::system())
        .run()
        .unwrap()
    };
    let count = bytes / (payload as u64 + 48);
    {
        let booted = boot();
        let payload = vec![1; payload];
        for _ in 0..count {
            booted.journal.append(1, &payload).unwrap();
        }
        booted.journal.close().unwrap();
    }
    let mut report = None;
    let measured = allocation_counter::measure(|| {
        let booted = boot();
        assert_eq!(booted.sequence, count);
        report = Some(booted.report);
    });
    let report = report.unwrap();
    assert_eq!(report.replay.copies, count / REJECTED + 1);
    println!(
        "{} MiB of {payload} B: {} KiB at most, {report}",
        bytes / MIB,
        measured.bytes_max / 1_024,
    );
    measured.bytes_max
}

#[test]
fn rp1n_the_length_of_the_journal_takes_no_memory() {
    let bytes = match std::env::var_os("BACKSTOP_SOAK") {
        Some(_) => 2_048 * MIB,
        None => 64 * MIB,
    };
    for payload in [100, 65_536] {
        let peak = peak(bytes, payload);
        assert!(peak >= 2 * STATE, "two states were there: {peak}");
        assert!(peak <= 2 * STATE + BESIDE, "{peak}");
    }
}
