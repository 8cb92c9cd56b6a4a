//! What survives a crash: backstop's journal beside its peers and beside what the disk itself can do, in one process and
//! one run. `cargo bench --bin durable` does it all and ends with a table; a name runs what has it in its own
//! (`cargo bench --bin durable -- commit-64`, `-- wal-db`); `-- --test` runs each bench once and makes no table.
//!
//! All write the same payload into directories of one file system, which is a disk's: a run refuses a memory one, where a
//! sync does nothing. `BACKSTOP_BENCH_DIR` names the place, else it is `target`. Each row has a new log; after 2^18 records
//! it gets another, so that no run fills a disk. A peer is used as its documentation shows. What is said here of peers is
//! held by `tests/peers/` where a test can show it (`cargo test --features claims --test peers`); what is not is marked
//! *source*.
//!
//! # What each does, and does not do
//!
//! Every peer's records are there after a re-open, and every `commit` row returns when its record is synced.
//!
//! | peer | what a commit is | what it does not do |
//! |---|---|---|
//! | okaywal 0.3 | an entry of one chunk, copied into a buffer under the file's lock; one thread syncs for all that wait, others write meanwhile. Its files are filled with zeros ahead and used again, so that a sync has no file length to store | stay usable after a failed sync: the writer that met it gets the error, every later one waits for ever. Keep records: it is a log before another storage, and a file of 768 KiB is handed to that (here to nobody) and used again. Append without a sync; read without opening anew; lock its directory |
//! | wal-db 1.1 | `append_and_sync`: the place is taken by one atomic add, each record is a `pwrite` of its own, one thread syncs for all that wait | remember a failed sync: the next one reports the records of the failed one durable. Sync the directory that names a new file; lock the file, so that two handles write over each other; tell damage in the middle from a torn end, unless asked to (`OpenPolicy::Strict`) |
//! | redb 4.6 | a write transaction of one insert with `Durability::Immediate`, its default: a B-tree, one sync each | group: one writer at a time, and each has a sync of its own. Be a log: it is the whole store, with keys, reads and a free list, which a log leaves to others |
//! | fjall 3.1 | an insert, then `persist(SyncData)`; `-sync-all` is its documentation's `SyncAll` | group: the journal's lock is held while it syncs, and every writer has a sync of its own (*source*). Be a log: it is an LSM tree, whose journal cannot be had alone |
//!
//! redb and fjall refuse everything after a failed sync, until they are opened anew; so does ours.
//!
//! # Floors
//!
//! | row | what it is |
//! |---|---|
//! | raw-append | the payload written to the end of a file, which grows, and `fdatasync` |
//! | raw-overwrite | the same into a file that was filled with zeros and synced before: no length to store, so less to sync |
//! | naive | 64 threads, each with `raw-append` of its own under one mutex |
//! | raw-write | the payload written to the end of a file, and nothing synced |
//! | memcpy | the payload copied to the end of a buffer in memory, which is forgotten when it has 1 MiB |
//! | raw-write-1m | the same, and it is written to the end of a file when it has 1 MiB |
//! | raw-read | the payloads, one behind the other, read from a warm file in pieces of 128 KiB, which stay in a core's cache |
//! | raw-read-crc | the same, and the CRC-32C of each payload |
//!
//! # Scenarios
//!
//! `commit`: 256 bytes, one thread, durable on return. `commit-64`: the same from 64 threads at once, time per record of
//! all. `append`: 256 bytes without a sync, by one thread; what a record then survives differs. In a kernel's cache it
//! survives the end of the process (raw-write, wal-db, fjall); in the process it does not (memcpy, backstop,
//! wal-db-memory, which is wal-db on its `MemStore`: what its own "105 ns" are of).
//! `replay-100b`, `replay-64k`: the log is opened and read to its end, its files warm, time per record. backstop and wal-db
//! verify all records as they open and then again as they read; okaywal reads once, while it opens, as
//! only there a user can read all. backstop-read is the reading alone, of an open journal. A database's start is no replay,
//! so redb and fjall have no row there.
//!
//! Records per sync are counted where a log lets its user see its syncs: wal-db by a store of our own around its
//! `FileStore`. okaywal shows none.

#[path = "../estimate.rs"]
mod estimate;
#[path = "../machine.rs"]
mod machine;

mod disk;
mod floors;
mod log;
mod measure;
mod ours;
mod peers;
mod scenario;
mod suite;
mod table;

use std::env;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use criterion::Criterion;

use crate::disk::Disk;
use crate::estimate::OUTPUT;
use crate::floors::{Copied, Overwrite, Raw, RawRead};
use crate::ours::{Ours, Read, Reopened};
use crate::scenario::Work;
use crate::suite::{Measured, Suite};

fn main() -> ExitCode {
    let given = |flag: &str| env::args().any(|arg| arg == flag);
    // As criterion decides it: without `--bench` it tests.
    let test = given("--test") || !given("--bench");
    let disk = match Disk::find() {
        Ok(disk) => disk,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let started = SystemTime::now();
    let measured = run(&disk, if test { 100 } else { u64::MAX });
    if test || given("--list") || given("--profile-time") || measured.is_empty() {
        println!("No table: nothing was measured.");
        return ExitCode::SUCCESS;
    }
    match table::print(&measured, &disk, started) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("no table: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(disk: &Disk, replayed: u64) -> Vec<Measured> {
    let mut criterion = Criterion::default()
        .output_directory(OUTPUT.as_ref())
        .without_plots()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .nresamples(10_000)
        .configure_from_args();
    let mut measured = Vec::new();
    for scenario in &scenario::ALL {
        let mut suite = Suite::new(&mut criterion, disk, scenario, replayed);
        floor_rows(&mut suite);
        our_rows(&mut suite);
        peers::rows(&mut suite);
        measured.extend(suite.finish());
    }
    criterion.final_summary();
    measured
}

fn floor_rows(suite: &mut Suite<'_>) {
    match suite.scenario.work {
        Work::Commit { threads: 1 } => {
            suite.writes("raw-append", Raw::synced);
            suite.writes("raw-overwrite", Overwrite::new);
        }
        Work::Commit { .. } => suite.writes("naive", Raw::synced),
        Work::Append => {
            suite.writes("memcpy", |_| Copied::forgotten());
            suite.writes("raw-write-1m", Copied::written);
            suite.writes("raw-write", Raw::unsynced);
        }
        Work::Replay { .. } => {
            suite.replays("raw-read", RawRead::new(false));
            suite.replays("raw-read-crc", RawRead::new(true));
        }
    }
}

fn our_rows(suite: &mut Suite<'_>) {
    match suite.scenario.work {
        Work::Commit { .. } => suite.writes(table::OURS, Ours::synced),
        Work::Append => suite.writes(table::OURS, Ours::buffered),
        Work::Replay { .. } => {
            suite.replays(table::OURS, Reopened);
            suite.replays("backstop-read", Read::default());
        }
    }
}
