//! What a task waits for; it is spawned, as in a service.

use crate::measure::{Bench, noise};
use crate::ours::Ours;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

pub(crate) fn rows(bench: &mut Bench<'_>, runtime: &Runtime) {
    bench.group.bench_function("thread_hop", |b| {
        b.iter_custom(|hops| {
            runtime
                .block_on(runtime.spawn(hop(hops)))
                .expect("no panic")
        });
    });
    let dir = bench.disk.dir();
    let mut ours = None;
    bench.group.bench_function("commit_1_async", |b| {
        let ours = ours.get_or_insert_with(|| Arc::new(Ours::synced(dir.path())));
        b.iter_custom(|records| {
            let appends = append(Arc::clone(ours), records);
            runtime.block_on(runtime.spawn(appends)).expect("no panic")
        });
    });
}

/// To a thread of the blocking pool and back.
pub(crate) async fn hop(hops: u64) -> Duration {
    let start = Instant::now();
    for _ in 0..hops {
        tokio::task::spawn_blocking(|| ()).await.expect("no panic");
    }
    start.elapsed()
}

pub(crate) async fn append(ours: Arc<Ours>, records: u64) -> Duration {
    let payload = noise(crate::RECORD);
    let start = Instant::now();
    for _ in 0..records {
        let appended = ours.journal.append_async(7, &payload).await;
        appended.expect("an append");
    }
    start.elapsed()
}
