//! backstop's circuit breaker beside its peers: the same work, one process, one run. `cargo bench` here does it all and
//! ends with a table; `cargo bench -- --test` runs each bench once and makes no table.
//!
//! The work is a call that is ready at its first poll, so what is measured is the breaker. Every breaker opens at 50 %
//! failures of at least 20 calls, or the nearest it offers, and stays open for an hour so that no measurement meets a
//! half-open one. Time windows are 10 s long and filled over all of it (tower-resilience's at once, with as many calls);
//! count windows hold 100 calls. Each sample is measured only after a call showed that the breaker is closed (or open,
//! where rejections are measured), and the same is asserted again afterwards. A peer is used as its documentation shows.
//!
//! | peer | what decides | what it does not do |
//! |---|---|---|
//! | tower-resilience, count | failures / calls since the last change of state, once 100 calls are in | no minimum below 100, and its "sliding window" does not slide: nothing leaves the counts |
//! | tower-resilience, time | a record of each call of the last 10 s, all scanned after each call | no buckets: the cost grows with the rate of calls, here 1 000/s |
//! | seatbelt | ten buckets with a running sum, under a mutex | no count window; no handle to use without a service |
//! | recloser | a ring of 100 under a spin lock | no minimum below the window: it decides from call 101 on; no time window; no limit on half-open calls |
//! | failsafe | a moving average over time, under a mutex; a success only records | no count window, no exact rate; nothing opens in the first 10 s; no limit on half-open calls |
//! | circuitbreaker-rs | failures / calls since it was created or closed again, in atomics | no window that decides: the policies with one are never told of a call |
//! | bare, fetch_add | nothing | not breakers: the backend as a plain tower service; one relaxed `fetch_add` (F) |
//!
//! tower-resilience has tower layers only, and seatbelt both its own trait and tower: these rows go through a `Service`
//! that is polled ready before each call. The others have no tower layer and are called natively. Every clone of a peer
//! shares an `Arc`; each ratio is to the row of ours that does too. Ours counts totals (successes, failures, rejections
//! ...) in every row but the one that says so; of the peers, circuitbreaker-rs counts successes and failures, and seatbelt rejections.
//!
//! Two threads: one calls without a pause, the other's calls are timed. tower-resilience's lock is async, so its calls
//! can be pending: it is measured between two tasks of tokio's runtime, as in a service, the others between two threads.

mod call;
mod drive;
mod ours;
mod peers;
mod suite;
mod table;

use std::env;
use std::process::ExitCode;
use std::sync::atomic::AtomicU64;
use std::thread::available_parallelism;
use std::time::{Duration, SystemTime};

use criterion::Criterion;
use tokio::runtime::Builder;

use crate::call::{Backend, FetchAdd, Tower};
use crate::suite::{Plan, Row, Scenario, Suite, Window};

/// Named here, so that the table reads what this run wrote whatever the environment says.
pub(crate) const OUTPUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/criterion");

fn main() -> ExitCode {
    let given = |flag: &str| env::args().any(|arg| arg == flag);
    // As criterion decides it: without `--bench` it tests.
    let test = given("--test") || !given("--bench");
    if available_parallelism().map_or(1, usize::from) < 2 {
        eprintln!(
            "two threads on one core would measure its scheduler: at least two cores are needed"
        );
        return ExitCode::FAILURE;
    }
    let plan = if test {
        Plan {
            window: Duration::from_secs(1),
            fill: 400,
        }
    } else {
        Plan {
            window: Duration::from_secs(10),
            fill: 10_000,
        }
    };
    let started = SystemTime::now();
    let rows = run(plan);
    if test || given("--list") || given("--profile-time") {
        println!("No table: nothing was measured.");
        return ExitCode::SUCCESS;
    }
    match table::print(&rows, started) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("no table: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(plan: Plan) -> Vec<(Scenario, Row)> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("a runtime");
    // seatbelt's clock registers its driver with the runtime it is made in.
    let _entered = runtime.enter();
    let mut criterion = Criterion::default()
        .output_directory(OUTPUT.as_ref())
        .without_plots()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .nresamples(10_000)
        .configure_from_args();
    let mut rows = Vec::new();
    for scenario in Scenario::ALL {
        let mut suite = Suite::new(&mut criterion, &runtime, scenario, plan);
        references(&mut suite);
        ours::rows(&mut suite);
        peer_rows(&mut suite);
        rows.extend(suite.finish());
    }
    criterion.final_summary();
    rows
}

fn references(suite: &mut Suite<'_>) {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    suite.row(Row::new(table::F, Window::None), || FetchAdd(&COUNTER));
    suite.row(Row::new(table::BARE, Window::None), || Tower(Backend));
}

fn peer_rows(suite: &mut Suite<'_>) {
    use ours::{CLONED, TIME, TOWER, TOWER_TIME};
    use peers::*;

    let span = suite.plan.window;
    let calls = |name| Row::new(name, Window::Calls);
    let timed = |name| Row::new(name, Window::Span).like(TIME);
    let resilience = |name, window| Row::new(name, window).pends();

    let row = resilience("tower-resilience-count", Window::Calls).like(TOWER);
    suite.row(row, || tower_resilience(None));
    let row = resilience("tower-resilience-time", Window::Log).like(TOWER_TIME);
    suite.row(row, || tower_resilience(Some(span)));
    suite.row(timed("seatbelt-tower").like(TOWER_TIME), || {
        seatbelt_tower(span)
    });
    suite.row(timed("seatbelt-layered"), || seatbelt_layered(span));
    suite.row(calls("recloser").like(CLONED), recloser);
    suite.row(timed("failsafe"), || failsafe(span));
    suite.row(calls("circuitbreaker-rs").like(CLONED), circuitbreaker_rs);
}
