//! What a journal and its snapshots cost, each beside what the disk, the kernel or the memory can do, in one run. It ends
//! with what was measured beside what is meant to be reached.
//!
//! The logs are on a disk's file system (in `target`, or where `BACKSTOP_BENCH_DIR` says); a memory one is refused, as a
//! sync does nothing there. The peers are in `benches/compare`, whose floors these are.

#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark reads the time itself"
)]
#![expect(
    clippy::cast_precision_loss,
    reason = "figures for people have a few digits"
)]

#[path = "../compare/src/durable/disk.rs"]
mod disk;
#[path = "../compare/src/estimate.rs"]
mod estimate;
mod files;
#[path = "../compare/src/durable/floors.rs"]
mod floors;
mod goals;
#[path = "../compare/src/durable/log.rs"]
mod log;
#[path = "../compare/src/durable/measure.rs"]
mod measure;
#[path = "../compare/src/durable/ours.rs"]
mod ours;
mod snapshots;
mod tasks;

use backstop::kernel::clock::Clock;
use criterion::{Criterion, SamplingMode, Throughput};
use disk::Disk;
use estimate::OUTPUT;
use files::{read_whole, replace};
use floors::{Copied, Overwrite, Raw, RawRead};
use measure::{Bench, noise};
use ours::{Ours, Read, Reopened};
use snapshots::Checkpoints;
use std::env;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};
use tokio::runtime::{Builder, Runtime};

const GROUP: &str = "durable";

/// Bytes of a record that is written.
const RECORD: usize = 256;

/// Bytes of a state that is saved.
const STATE: usize = 1 << 20;

fn main() -> ExitCode {
    // A benchmark of the wrong clock would be worth nothing.
    assert_ne!(
        format!("{:?}", Clock::default()),
        "Clock::tokio()",
        "benchmarks run without the feature `test-util`"
    );
    let given = |flag: &str| env::args().any(|arg| arg == flag);
    let only_tests = given("--test") || !given("--bench");
    let disk = match Disk::find() {
        Ok(disk) => disk,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let started = SystemTime::now();
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("a runtime");
    run(&disk, &runtime, if only_tests { 100 } else { u64::MAX });
    if only_tests || given("--list") || given("--profile-time") {
        return ExitCode::SUCCESS;
    }
    goals::print(&disk, &runtime, started);
    ExitCode::SUCCESS
}

fn run(disk: &Disk, runtime: &Runtime, replayed: u64) {
    let mut criterion = Criterion::default()
        .output_directory(OUTPUT.as_ref())
        .without_plots()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let mut group = criterion.benchmark_group(GROUP);
    // Samples of one size: a small one of many threads would be their start and their end.
    group.sampling_mode(SamplingMode::Flat);
    group.throughput(Throughput::Elements(1));
    let mut bench = Bench { group, disk };
    writes(&mut bench);
    tasks::rows(&mut bench, runtime);
    replays(&mut bench, replayed);
    snapshots(&mut bench);
    drop(bench);
    criterion.final_summary();
}

fn writes(bench: &mut Bench<'_>) {
    let payload = noise(RECORD);
    let payload = payload.as_slice();
    bench.writes("raw_fdatasync", 1, payload, Raw::synced);
    bench.writes("raw_fdatasync_overwrite", 1, payload, Overwrite::new);
    bench.writes("commit_1", 1, payload, Ours::synced);
    bench.writes("naive_64", 64, payload, Raw::synced);
    for (id, threads) in [("commit_8", 8), ("commit_64", 64)] {
        let written = bench.writes(id, threads, payload, Ours::synced);
        if let Some(records) = written.and_then(|written| written.records_per_sync) {
            println!("{GROUP}/{id}: {records:.1} records per sync");
        }
    }
    bench.writes("raw_write", 1, payload, Raw::unsynced);
    bench.writes("raw_write_1m", 1, payload, Copied::written);
    bench.writes("append_buffered", 1, payload, Ours::buffered);
}

fn replays(bench: &mut Bench<'_>, replayed: u64) {
    let small = noise(100);
    let large = noise(64 << 10);
    for (size, payload, records) in [("100b", &small, 100_000), ("64k", &large, 1_000)] {
        let records = replayed.min(records);
        for (floor, is_checked) in [("raw_read", false), ("raw_crc", true)] {
            let id = format!("{floor}_{size}");
            bench.replays(&id, payload, records, RawRead::new(is_checked));
        }
        let id = format!("replay_{size}");
        bench.replays(&id, payload, records, Read::default());
        let id = format!("reopen_{size}");
        bench.replays(&id, payload, records, Reopened);
    }
}

/// A state of 1 MiB.
fn snapshots(bench: &mut Bench<'_>) {
    let state = noise(STATE);
    let dirs = [(); 3].map(|()| bench.disk.dir());
    let raw = dirs[0].path();
    bench
        .group
        .bench_function("raw_replace", |b| b.iter(|| replace(raw, &state)));
    let mut saved = Checkpoints::open(&dirs[1].path().join("store"), state.clone());
    bench
        .group
        .bench_function("snapshot_save", |b| b.iter(|| saved.save()));
    let raw = dirs[2].path();
    replace(raw, &state);
    bench.group.bench_function("raw_read_crc_1m", |b| {
        b.iter(|| black_box(crc32c::crc32c(&read_whole(raw))));
    });
    let mut loaded = Checkpoints::open(&dirs[2].path().join("store"), state);
    (0..3).for_each(|_| loaded.save());
    bench.group.bench_function("snapshot_load", |b| {
        b.iter(|| assert_eq!(loaded.load(), STATE));
    });
}
