//! What supervision costs, each beside its floor in the same run.
//!
//! | row | what it is | floor |
//! |---|---|---|
//! | `restart_error`, `restart_panic` | a child that ends at its first poll, from one such end to the next | `spawn_join_in_worker`, and with a panic |
//! | `start_stop_1k` .. `100k` | so many children are started and stopped, time per child | `bare_1k` .. `100k`: spawn, first poll, cancel, join |
//! | `health_status`, `gate_open`, `gate_open_no_drain` | one call | `fetch_add` |
//!
//! `idle_child_bytes` is printed at the end: what a child takes that waits for its stop, with its task.
//! Where a runtime matters, each row is measured on one of two workers (`multi`) and on that of one
//! thread (`current`).

#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark reads the time itself"
)]

use backstop::health::tree::{Component, HealthTree};
use backstop::kernel::clock::Clock;
use backstop::supervise::budget::RestartBackoff;
use backstop::supervise::child::ChildSpec;
use backstop::supervise::microreboot::{Gate, GateConfig};
use backstop::supervise::supervisor::{Supervisor, SupervisorBuilder};
use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use std::convert::Infallible;
use std::future::ready;
use std::hint::black_box;
use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

const GROUP: &str = "supervise";

fn runtimes() -> [(&'static str, Runtime); 2] {
    let multi = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build();
    let current = Builder::new_current_thread().enable_time().build();
    [
        ("multi", multi.expect("a runtime")),
        ("current", current.expect("a runtime")),
    ]
}

/// In a worker, where services run, and not in the thread that blocks on the runtime.
fn inside(runtime: &Runtime, work: impl Future<Output = Duration> + Send + 'static) -> Duration {
    runtime.block_on(async { tokio::spawn(work).await.expect("no panic") })
}

// --- Restarts ---

#[derive(Clone, Copy)]
enum Ends {
    Error,
    Panic,
}

impl Ends {
    fn now(self) -> Result<(), &'static str> {
        match self {
            Self::Error => Err("planned"),
            // Without the hook, which prints.
            Self::Panic => resume_unwind(Box::new("planned")),
        }
    }
}

async fn joins(ends: Ends, times: u64) -> Duration {
    let began = Instant::now();
    for _ in 0..times {
        let ended = tokio::spawn(async move { ends.now() }).await;
        black_box(ended.is_err());
    }
    began.elapsed()
}

/// From the first poll of the first incarnation to that of the one that is `times` later.
async fn restarts(ends: Ends, times: u64) -> Duration {
    struct Shared {
        runs: AtomicU64,
        began: OnceLock<Instant>,
        took: OnceLock<Duration>,
        done: Notify,
    }
    let shared = Arc::new(Shared {
        runs: AtomicU64::new(0),
        began: OnceLock::new(),
        took: OnceLock::new(),
        done: Notify::new(),
    });
    let child = shared.clone();
    let child = ChildSpec::new("child", move |cx| {
        let shared = child.clone();
        async move {
            let run = shared.runs.fetch_add(1, Ordering::Relaxed);
            let began = *shared.began.get_or_init(Instant::now);
            if run < times {
                return ends.now();
            }
            let _ = shared.took.set(began.elapsed());
            shared.done.notify_one();
            cx.cancelled().await;
            Ok(())
        }
    });
    let supervisor = Supervisor::builder("bench")
        .never_give_up(true)
        .backoff(RestartBackoff::none())
        .child(child)
        .start()
        .await
        .expect("it starts");
    shared.done.notified().await;
    supervisor.stop().await;
    *shared.took.get().expect("it is done")
}

// --- Starts and stops ---

fn waiting(n: usize) -> SupervisorBuilder {
    (0..n).fold(Supervisor::builder("bench"), |builder, child| {
        builder.child(ChildSpec::new(format!("child-{child}"), |cx| async move {
            cx.cancelled().await;
            Ok::<_, Infallible>(())
        }))
    })
}

async fn start_stop(n: usize) -> Duration {
    let builder = waiting(n);
    let began = Instant::now();
    let supervisor = builder.start().await.expect("it starts");
    // As the floor's: each has been polled before it is stopped.
    tokio::task::yield_now().await;
    supervisor.stop().await;
    began.elapsed()
}

async fn bare(n: usize) -> Duration {
    let began = Instant::now();
    let children: Vec<_> = (0..n)
        .map(|_| {
            let token = CancellationToken::new();
            let signal = token.clone();
            (token, tokio::spawn(async move { signal.cancelled().await }))
        })
        .collect();
    tokio::task::yield_now().await;
    for (token, child) in children.into_iter().rev() {
        token.cancel();
        child.await.expect("no panic");
    }
    began.elapsed()
}

fn in_runtimes(c: &mut Criterion) {
    let mut group = c.benchmark_group(GROUP);
    for (flavour, runtime) in runtimes() {
        for (floor, ours, ends) in [
            ("spawn_join_in_worker", "restart_error", Ends::Error),
            ("spawn_join_panic_in_worker", "restart_panic", Ends::Panic),
        ] {
            group.bench_function(format!("{floor}/{flavour}"), |b| {
                b.iter_custom(|times| inside(&runtime, joins(ends, times)));
            });
            group.bench_function(format!("{ours}/{flavour}"), |b| {
                b.iter_custom(|times| inside(&runtime, restarts(ends, times)));
            });
        }
        for (name, n) in [("1k", 1_000), ("10k", 10_000), ("100k", 100_000)] {
            group.sample_size(10).sampling_mode(SamplingMode::Flat);
            group.throughput(Throughput::Elements(n as u64));
            group.bench_function(format!("bare_{name}/{flavour}"), |b| {
                b.iter_custom(|times| (0..times).map(|_| inside(&runtime, bare(n))).sum());
            });
            group.bench_function(format!("start_stop_{name}/{flavour}"), |b| {
                b.iter_custom(|times| (0..times).map(|_| inside(&runtime, start_stop(n))).sum());
            });
        }
        group.sample_size(100).sampling_mode(SamplingMode::Auto);
    }
    group.finish();
}

// --- One call ---

fn succeeds<T, E>(call: impl Future<Output = Result<T, E>>) -> bool {
    let mut call = pin!(call);
    match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result.is_ok(),
        Poll::Pending => unreachable!("the operation is ready at once"),
    }
}

fn calls(c: &mut Criterion) {
    let mut group = c.benchmark_group(GROUP);
    let counter = AtomicU64::new(0);
    group.bench_function("fetch_add", |b| {
        b.iter(|| counter.fetch_add(1, Ordering::Relaxed));
    });
    let health = HealthTree::builder("bench")
        .component(Component::new("part"))
        .build()
        .expect("a tree");
    group.bench_function("health_status", |b| b.iter(|| health.status()));
    let config = GateConfig::default();
    for (name, config) in [
        ("gate_open", config),
        ("gate_open_no_drain", config.without_drain()),
    ] {
        let gate = Gate::new("bench", config).expect("a gate");
        group.bench_function(name, |b| {
            b.iter(|| succeeds(gate.call(|| ready(black_box(Ok::<u32, u32>(1))))));
        });
    }
    group.finish();
}

/// Of children that have been polled, on one thread, so that all they allocate is seen.
fn idle_child(_: &mut Criterion) {
    const CHILDREN: usize = 10_000;
    // A benchmark of the wrong clock would be worth nothing.
    assert_ne!(
        format!("{:?}", Clock::default()),
        "Clock::tokio()",
        "benchmarks run without the feature `test-util`"
    );
    let runtime = Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let builder = waiting(CHILDREN);
    let mut supervisor = None;
    let used = allocation_counter::measure(|| {
        supervisor = Some(runtime.block_on(async {
            let supervisor = builder.start().await.expect("it starts");
            tokio::task::yield_now().await;
            supervisor
        }));
    });
    let bytes = used.bytes_current / i64::try_from(CHILDREN).expect("few");
    println!("{GROUP}/idle_child_bytes: {bytes} (goal: 1024), without its specification");
    drop(supervisor);
}

criterion_group!(benches, in_runtimes, calls, idle_child);
criterion_main!(benches);
