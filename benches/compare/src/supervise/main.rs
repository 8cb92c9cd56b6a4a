//! Supervision: backstop's beside its peers, beside bare tokio tasks, and beside Erlang/OTP where that is installed.
//! `cargo bench --bin supervise` runs all and ends with a table; `-- --test` runs each once, small, and makes no table.
//!
//! | column | what it is |
//! |---|---|
//! | restart | from just before a child returns an error to the first poll of its next incarnation; the median of 2,000, each after the one before has come to rest |
//! | 1k, 10k, 100k | so many children are started and then stopped, time per child; the last is over when all their futures are dropped. `-`: the smaller crowd took more than a second |
//!
//! Each peer is set to restart at once and without end, where it can be. What each does besides:
//!
//! | row | what a child is, and what the row does not show |
//! |---|---|
//! | tokio | a task and its `JoinHandle`; a task that awaits it and spawns the next. No supervisor: the floor |
//! | backstop | a future; the wait before a restart is taken away |
//! | ractor-supervisor 0.2 | an actor with a mailbox and a name in a global registry. A stop of the supervisor kills its children, in no order |
//! | kameo 0.22 | an actor with a mailbox; the restart is given to it by a message |
//! | task-supervisor 0.5 | a future; the delay before a restart set to 0 |
//! | taskvisor 0.9 | a future; the back-off set to 0, the capacities raised to the number of children |
//! | Erlang/OTP | a process under `supervisor`, in a machine of its own (`supervise.escript`): its times are of its clock, and share nothing with the process here |

mod kameo;
mod ours;
mod ractor;
mod relay;
mod task_supervisor;
mod taskvisor;
mod tokio_tasks;

#[path = "../machine.rs"]
mod machine;

use relay::Relay;
use std::env;
use std::future::Future;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// Children at a time in the columns.
const CROWDS: [usize; 3] = [1_000, 10_000, 100_000];

/// Who took longer with a crowd is not given the next, ten times as large; one that long is measured once.
const LONGEST: Duration = Duration::from_secs(1);

/// A system that supervises.
pub(crate) trait Peer {
    const NAME: &'static str;

    /// Starts one child, [`Relay::child`], and keeps it restarting until the relay is done.
    fn restarts(relay: Arc<Relay>) -> impl Future<Output = ()> + Send + 'static;

    /// Starts `n` children that wait for their stop, has them stopped, and returns when all are gone.
    fn start_stop(n: usize) -> impl Future<Output = ()> + Send + 'static;
}

struct Row {
    name: &'static str,
    restart: Option<Duration>,
    /// Each child's.
    crowds: Vec<Option<Duration>>,
}

fn main() {
    let small = env::args().any(|arg| arg == "--test");
    let only = env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let given = |name: &str| only.as_deref().is_none_or(|only| name.contains(only));
    for (flavour, runtime) in [
        ("multi-thread, 2 workers", multi()),
        ("current-thread", current()),
    ] {
        let mut rows = Vec::new();
        if given("tokio") {
            rows.push(row::<tokio_tasks::Tasks>(&runtime, small));
        }
        if given("backstop") {
            rows.push(row::<ours::Ours>(&runtime, small));
        }
        if given("ractor") {
            rows.push(row::<ractor::Ractor>(&runtime, small));
        }
        if given("kameo") {
            rows.push(row::<kameo::Kameo>(&runtime, small));
        }
        if given("task-supervisor") {
            rows.push(row::<task_supervisor::Tasks>(&runtime, small));
        }
        if given("taskvisor") {
            rows.push(row::<taskvisor::Taskvisor>(&runtime, small));
        }
        if !small {
            print(flavour, &rows);
        }
    }
    if given("erlang") {
        erlang(small);
    }
    if !small {
        let packages = [
            "tokio",
            "ractor",
            "ractor-supervisor",
            "kameo",
            "task-supervisor",
            "taskvisor",
        ];
        println!("\n{}", machine::describe(&packages, "a run adds up to 2"));
    }
}

fn multi() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("a runtime")
}

fn current() -> Runtime {
    Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime")
}

fn row<P: Peer>(runtime: &Runtime, small: bool) -> Row {
    let times = if small { 3 } else { 2_000 };
    // In a worker, where services run, and not in the thread that blocks on the runtime.
    let restart = runtime.block_on(async {
        let relay = Relay::new(times);
        let work = P::restarts(Arc::clone(&relay));
        let done = tokio::spawn(work);
        let waited = tokio::time::timeout(Duration::from_secs(60), done).await;
        waited.ok().and_then(|_| relay.median())
    });
    let mut crowds = Vec::new();
    let mut before = Duration::ZERO;
    for n in CROWDS {
        let n = if small { 10 } else { n };
        if before > LONGEST {
            crowds.push(None);
            continue;
        }
        let once = || {
            runtime.block_on(async {
                let began = relay::now();
                tokio::spawn(P::start_stop(n)).await.expect("no panic");
                relay::now() - began
            })
        };
        let first = once();
        let rounds = if small || first > LONGEST { 0 } else { 4 };
        let mut all: Vec<_> = (0..rounds).map(|_| once()).chain([first]).collect();
        all.sort_unstable();
        before = all[all.len() / 2];
        crowds.push(Some(before / u32::try_from(n).expect("few")));
    }
    Row {
        name: P::NAME,
        restart,
        crowds,
    }
}

fn print(flavour: &str, rows: &[Row]) {
    println!(
        "\n{flavour}\n{:<20}{:>12}{:>12}{:>12}{:>12}",
        "", "restart", "1k", "10k", "100k"
    );
    let text = |time: Option<Duration>| {
        time.map_or_else(
            || "-".to_owned(),
            |time| format!("{:.2} us", time.as_secs_f64() * 1e6),
        )
    };
    for row in rows {
        print!("{:<20}{:>12}", row.name, text(row.restart));
        for time in &row.crowds {
            print!("{:>12}", text(*time));
        }
        println!();
    }
}

/// Runs the script and prints its line, in the form of the table.
fn erlang(small: bool) {
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src/supervise/supervise.escript"
    );
    let size = if small { "small" } else { "full" };
    match Command::new("escript").args([script, size]).output() {
        Ok(run) if run.status.success() => {
            let text = String::from_utf8_lossy(&run.stdout);
            if !small {
                print!("\n{text}");
            }
        }
        Ok(run) => panic!("escript: {}", String::from_utf8_lossy(&run.stderr)),
        Err(error) => println!("Erlang/OTP is left out: escript: {error}"),
    }
}
