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

#[path = "compare/src/durable/disk.rs"]
mod disk;
#[path = "compare/src/estimate.rs"]
mod estimate;
#[path = "compare/src/durable/floors.rs"]
mod floors;
#[path = "compare/src/durable/log.rs"]
mod log;
#[path = "compare/src/durable/measure.rs"]
mod measure;

use backstop::durable::journal::{Journal, bench_fresh, bench_totals};
use backstop::kernel::clock::Clock;
use criterion::{Criterion, SamplingMode, Throughput};
use disk::Disk;
use estimate::{Estimate, OUTPUT};
use floors::{Copied, Overwrite, Raw, RawRead};
use log::{Log, together};
use measure::{Bench, noise};
use std::env;
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::runtime::{Builder, Runtime};

const GROUP: &str = "durable";

/// Bytes of a record that is written.
const RECORD: usize = 256;

struct Ours(Journal);

impl Ours {
    /// Every append is durable on return.
    fn synced(dir: &Path) -> Self {
        Self(bench_fresh(dir, false))
    }

    /// Nobody syncs.
    fn buffered(dir: &Path) -> Self {
        Self(bench_fresh(dir, true))
    }
}

impl Log for Ours {
    fn write(&self, payload: &[u8]) {
        self.0.append(7, payload).expect("an append");
    }

    fn syncs(&self) -> Option<u64> {
        Some(bench_totals(&self.0).1)
    }
}

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
    println!("\non {}", disk.file_system);
    goals(&disk, &runtime, started);
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
    tasks(&mut bench, runtime);
    replays(&mut bench, replayed);
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
    bench.writes("raw_write_1m", 1, payload, Copied::written);
    bench.writes("append_buffered", 1, payload, Ours::buffered);
}

/// What a task waits for; it is spawned, as in a service.
fn tasks(bench: &mut Bench<'_>, runtime: &Runtime) {
    bench.group.bench_function("thread_hop", |b| {
        b.iter_custom(|hops| {
            runtime
                .block_on(runtime.spawn(hop(hops)))
                .expect("no panic")
        });
    });
    let dir = bench.disk.dir();
    let mut journal = None;
    bench.group.bench_function("commit_1_async", |b| {
        let journal = journal.get_or_insert_with(|| Ours::synced(dir.path()).0);
        b.iter_custom(|records| {
            let appends = append(journal.clone(), records);
            runtime.block_on(runtime.spawn(appends)).expect("no panic")
        });
    });
}

async fn hop(hops: u64) -> Duration {
    let start = Instant::now();
    for _ in 0..hops {
        tokio::task::spawn_blocking(|| ()).await.expect("no panic");
    }
    start.elapsed()
}

async fn append(journal: Journal, records: u64) -> Duration {
    let payload = noise(RECORD);
    let start = Instant::now();
    for _ in 0..records {
        journal.append_async(7, &payload).await.expect("an append");
    }
    start.elapsed()
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
    }
}

/// The median of what was measured.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// What a lone writer waits for, in turns: the disk's mood is the same for all.
struct Turns {
    raw: Duration,
    commit: Duration,
    hop: Duration,
    commit_async: Duration,
}

impl Turns {
    fn measure(disk: &Disk, runtime: &Runtime) -> Self {
        let dirs = [(); 3].map(|()| disk.dir());
        let raw = Raw::synced(dirs[0].path());
        let ours = Ours::synced(dirs[1].path());
        let tasks = Ours::synced(dirs[2].path()).0;
        let payload = noise(RECORD);
        let [mut raws, mut commits, mut hops, mut asyncs] = [(); 4].map(|()| Vec::new());
        for _ in 0..2_000 {
            raws.push(log::alone(&raw, &payload, 1));
            commits.push(log::alone(&ours, &payload, 1));
            hops.push(runtime.block_on(runtime.spawn(hop(1))).expect("no panic"));
            let append = append(tasks.clone(), 1);
            asyncs.push(runtime.block_on(runtime.spawn(append)).expect("no panic"));
        }
        Self {
            raw: median(raws),
            commit: median(commits),
            hop: median(hops),
            commit_async: median(asyncs),
        }
    }
}

/// 64 writers in turns: each with a sync of its own, and in groups.
struct Crowd {
    naive: f64,
    ours: f64,
    records_per_sync: f64,
}

impl Crowd {
    fn measure(disk: &Disk) -> Self {
        let dirs = [(); 2].map(|()| disk.dir());
        let naive = Raw::synced(dirs[0].path());
        let ours = Ours::synced(dirs[1].path());
        let payload = noise(RECORD);
        let [mut naives, mut groups] = [(); 2].map(|()| Vec::new());
        for _ in 0..11 {
            naives.push(together(&naive, 64, &payload, 1_000) / 1_000);
            groups.push(together(&ours, 64, &payload, 20_000) / 20_000);
        }
        let rate = |times| 1.0 / median(times).as_secs_f64();
        let syncs = ours.syncs().unwrap_or(1);
        Self {
            naive: rate(naives),
            ours: rate(groups),
            records_per_sync: 220_000.0 / syncs as f64,
        }
    }
}

fn goals(disk: &Disk, runtime: &Runtime, started: SystemTime) {
    let turns = Turns::measure(disk, runtime);
    let crowd = Crowd::measure(disk);
    let us = |time: Duration| time.as_secs_f64() * 1e6;
    let line = |what: &str, is: String, goal: &str| println!("  {what:<46}{is:>34}   {goal}");
    println!();
    line("", "measured".into(), "goal");
    let over = |a: Duration, b: Duration| a.as_secs_f64() / b.as_secs_f64();
    line(
        "a lone commit over a raw write and fdatasync",
        format!(
            "{:.2} ({:.0} / {:.0} us)",
            over(turns.commit, turns.raw),
            us(turns.commit),
            us(turns.raw)
        ),
        "<= 1.1",
    );
    let floor = turns.raw + turns.hop;
    line(
        "the same from a task, over that and a hop",
        format!(
            "{:.2} ({:.0} / {:.0} us)",
            over(turns.commit_async, floor),
            us(turns.commit_async),
            us(floor)
        ),
        "<= 1.1",
    );
    line(
        "64 threads over a sync for each record",
        format!(
            "{:.1} ({:.0} / {:.0} records/s)",
            crowd.ours / crowd.naive,
            crowd.ours,
            crowd.naive
        ),
        ">= 20",
    );
    line(
        "records per sync of 64 threads",
        format!("{:.1}", crowd.records_per_sync),
        ">= 28",
    );
    let _ = started;
}
