//! What was measured beside what is meant to be reached.

use crate::GROUP;
use crate::disk::Disk;
use crate::estimate::Estimate;
use crate::floors::Raw;
use crate::log::{Log, alone, together};
use crate::measure::noise;
use crate::ours::Ours;
use crate::tasks::{append, hop};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::runtime::Runtime;

pub(crate) fn print(disk: &Disk, runtime: &Runtime, started: SystemTime) {
    println!(
        "\non {}; medians of measurements in turns, where two are compared",
        disk.file_system
    );
    line("", "measured", "goal");
    lone(disk, runtime);
    crowd(disk);
    let of = |id| Estimate::read(GROUP, id, started).ok();
    let ns = |id| of(id).map_or(f64::NAN, |estimate| estimate.ns);
    let give = |id| 100.0 * of(id).map_or(f64::NAN, |estimate| estimate.error);
    let (took, bare) = (ns("append_buffered"), ns("raw_write_1m"));
    let text = format!(
        "{took:.0} ns +- {:.0} % ({bare:.0} for copy and write)",
        give("append_buffered")
    );
    line("an append that is buffered", &text, "<= 150 ns");
    let millions = |id| 1e3 / ns(id);
    let text = format!(
        "{:.1} +- {:.0} % ({:.1} for read and CRC)",
        millions("replay_100b"),
        give("replay_100b"),
        millions("raw_crc_100b")
    );
    line("replay of 100 bytes, million records/s", &text, ">= 20");
    let bandwidth = |id| f64::from(64 << 10) / ns(id);
    let text = format!(
        "{:.1} +- {:.0} % ({:.1} for read and CRC)",
        bandwidth("replay_64k"),
        give("replay_64k"),
        bandwidth("raw_crc_64k")
    );
    line("replay of 64 KiB, GB/s", &text, ">= 8");
    println!("NaN: its bench was not run.");
}

fn line(what: &str, measured: &str, goal: &str) {
    println!("  {what:<46}{measured:>46}   {goal}");
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// One writer: in turns, so that the disk's mood is the same for all.
fn lone(disk: &Disk, runtime: &Runtime) {
    let dirs = [(); 3].map(|()| disk.dir());
    let raw = Raw::synced(dirs[0].path());
    let ours = Ours::synced(dirs[1].path());
    let tasks = Arc::new(Ours::synced(dirs[2].path()));
    let payload = noise(crate::RECORD);
    let [mut raws, mut commits, mut hops, mut asyncs] = [(); 4].map(|()| Vec::new());
    for _ in 0..2_000 {
        raws.push(alone(&raw, &payload, 1));
        commits.push(alone(&ours, &payload, 1));
        hops.push(runtime.block_on(runtime.spawn(hop(1))).expect("no panic"));
        let append = append(Arc::clone(&tasks), 1);
        asyncs.push(runtime.block_on(runtime.spawn(append)).expect("no panic"));
    }
    let [raw, commit, hop, commit_async] = [raws, commits, hops, asyncs].map(median);
    let over = |what, time: Duration, floor: Duration| {
        let ratio = time.as_secs_f64() / floor.as_secs_f64();
        let (time, floor) = (time.as_micros(), floor.as_micros());
        line(what, &format!("{ratio:.2} ({time} / {floor} us)"), "<= 1.1");
    };
    over("a lone commit over a raw write and fdatasync", commit, raw);
    over("from a task, over that and a hop", commit_async, raw + hop);
}

/// 64 writers: each with a sync of its own, and in groups.
fn crowd(disk: &Disk) {
    const ROUNDS: u64 = 11;
    const RECORDS: u64 = 20_000;
    let dirs = [(); 2].map(|()| disk.dir());
    let naive = Raw::synced(dirs[0].path());
    let ours = Ours::synced(dirs[1].path());
    let payload = noise(crate::RECORD);
    let before = ours.syncs().unwrap_or_default();
    let [mut naives, mut groups] = [(); 2].map(|()| Vec::new());
    for _ in 0..ROUNDS {
        naives.push(together(&naive, 64, &payload, 1_000) / 1_000);
        groups.push(together(&ours, 64, &payload, RECORDS) / 20_000);
    }
    let syncs = ours.syncs().unwrap_or_default() - before;
    let [naive, ours] = [naives, groups].map(|times| 1.0 / median(times).as_secs_f64());
    line(
        "64 threads over a sync for each record",
        &format!("{:.1} ({ours:.0} / {naive:.0} records/s)", ours / naive),
        ">= 20",
    );
    let per_sync = (ROUNDS * RECORDS) as f64 / syncs as f64;
    line("their records per sync", &format!("{per_sync:.1}"), ">= 28");
}
