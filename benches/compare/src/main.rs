//! backstop's policies beside their peers: the same work, one process, one run. `cargo bench --bin compare` does it all
//! and ends with a table; a name runs the family of it (`cargo bench --bin compare -- bulkhead`; `breaker`, `timeout`,
//! `retry`, `stack`), and the table has what was run; `-- --test` runs each bench once and makes no table. What survives a
//! crash is measured by `--bin durable`; without a name `cargo bench` runs both.
//!
//! The work is a call that is ready at its first poll, so what is measured is the policy. All get the values of
//! `settings.rs`, or the nearest they offer. Each sample is measured only after a call showed that the policy is in the
//! state that is meant (a breaker closed or open, a bulkhead full, a retry that retries), and the same is asserted again
//! afterwards. A peer is used as its documentation shows. What is said here of peers is held by `tests/peers/` where a
//! test can show it: `cargo test --features claims --test peers`.
//!
//! # Breakers
//!
//! Every breaker opens at 50 % failures of at least 20 calls and stays open for an hour, so that no measurement meets a
//! half-open one. Time windows are 10 s long and filled over all of it (tower-resilience's at once, with as many calls);
//! count windows hold 100 calls.
//!
//! | peer | what decides | what it does not do |
//! |---|---|---|
//! | tower-resilience, count | failures / calls since the last change of state, once 100 calls are in | no minimum below 100, and its "sliding window" does not slide: nothing leaves the counts |
//! | tower-resilience, time | a record of each call of the last 10 s, all scanned after each call | no buckets: the cost grows with the rate of calls, here 1 000/s |
//! | seatbelt | ten buckets with a running sum, under a mutex | no count window; no handle to use without a service |
//! | recloser | a ring of 100 under a spin lock | no minimum below the window: it decides from call 101 on; no time window; no limit on half-open calls |
//! | failsafe | a moving average over time, under a mutex; a success only records | no count window, no exact rate; nothing opens in the first 10 s; no limit on half-open calls |
//! | circuitbreaker-rs | failures / calls since it was created or closed again, in atomics | no window that decides: the policies with one are never told of a call |
//!
//! # Bulkheads
//!
//! | row | what it does | what it does not do |
//! |---|---|---|
//! | tower | `ConcurrencyLimit`: `poll_ready` takes a permit of tokio's semaphore, or waits without an end | refuse; count; a clone that was polled ready and then left idle holds its permit |
//! | tower-shed | `LoadShed` around it refuses | give permits back: a clone that was refused stays in the semaphore's queue, takes the next permit and keeps it, so that no other call is let in though none runs |
//! | tower-resilience | `reject_when_full`: the permit is taken inside a boxed future, 3 allocations | refuse at once: it waits for a tokio timer of no time, which a later tick of the runtime's clock ends; so it has no row in `bulkhead-full` |
//! | tower-resilience-waits | its default: waits without an end | |
//! | tower-resilience-pressure | its `backpressure`: as `ConcurrencyLimit` | as `ConcurrencyLimit`, idle clones included |
//!
//! # Timeouts
//!
//! No call here needs a timer. tower, tower-resilience and tokio make one all the same (a reading of the clock and a
//! reference to the runtime; it is registered only when the call is pending), and panic outside of a runtime;
//! tower-resilience boxes the call, 2 allocations. seatbelt makes a timer of its own crate `tick`, which reads no clock
//! before it is polled; it keeps the waker of the task that polled it first, so that a call that moved to another task is
//! not woken when its time is over. None counts calls.
//!
//! # Retries
//!
//! Three attempts, 100 ms and twice that between them, and a budget of a fifth of the calls where there are budgets.
//!
//! | peer | what it does | what it does not do |
//! |---|---|---|
//! | tower | the policy is the user's: here its two examples in one; `TpsBudget` under a mutex | wait; retry without a `Clone` of the service for each call, retried or not; 60 % of retries (it allows 100 %); keep deposits for longer than half of its span while calls come |
//! | tower-resilience | boxed, 2 allocations; a token bucket under a mutex | a share of the calls: a success earns a whole retry; no wait: a wait of no time is a timer, so it has no row in `retry-fails-once` |
//! | seatbelt | boxed through tower, not boxed by its own trait | a budget; through tower its first attempt goes to a clone that was never polled ready, which panics over a `ConcurrencyLimit` |
//! | backon | a future around a closure; nothing is shared | a budget; a tower layer |
//!
//! # Stacks
//!
//! Total timeout, bulkhead, retry, breaker (count window; seatbelt has time windows only), attempt timeout.
//! tower-resilience has all five. seatbelt has no bulkhead: through tower the stack has tower's, by its own trait it has
//! four. tower has no breaker: four too. Ours is a `Pipeline`, the five policies each by its own handle, and the five
//! layers.
//!
//! # Rows
//!
//! bare is the backend as a plain tower service, fetch_add one relaxed `fetch_add` (F): not policies. Rows of tower
//! layers (tower, tower-resilience, seatbelt-tower) go through a `Service` that is polled ready before each call, the
//! others are called natively. Every clone of a peer shares an `Arc`, where it shares anything; each ratio is to the row
//! of ours that does too. Ours counts totals in every row but the one that says so (a timeout, the calls that were
//! pending); of the breakers, circuitbreaker-rs counts successes and failures, and seatbelt rejections; of the other peers
//! none counts.
//!
//! Two threads: one calls without a pause, the other's calls are timed. The lock of tower-resilience's breaker is async,
//! so its calls can be pending: it and its stack are measured between two tasks of tokio's runtime, as in a service, the
//! others between two threads.

mod call;
mod drive;
mod estimate;
mod machine;
mod ours;
mod peers;
mod scenario;
mod settings;
mod suite;
mod table;

use std::env;
use std::process::ExitCode;
use std::sync::atomic::AtomicU64;
use std::thread::available_parallelism;
use std::time::{Duration, SystemTime};

use criterion::Criterion;
use tokio::runtime::Builder;

use crate::call::{Again, Backend, FetchAdd, Tower};
use crate::estimate::OUTPUT;
use crate::scenario::Load;
use crate::suite::{Measured, Plan, Row, Suite, Window};

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
    let measured = run(plan);
    if test || given("--list") || given("--profile-time") || measured.is_empty() {
        println!("No table: nothing was measured.");
        return ExitCode::SUCCESS;
    }
    match table::print(&measured, started) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("no table: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(plan: Plan) -> Vec<Measured> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("a runtime");
    // seatbelt's clock registers its driver with the runtime it is made in, and tokio's timers belong to one.
    let _entered = runtime.enter();
    let mut criterion = Criterion::default()
        .output_directory(OUTPUT.as_ref())
        .without_plots()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .nresamples(10_000)
        .configure_from_args();
    let mut measured = Vec::new();
    for scenario in &scenario::ALL {
        let mut suite = Suite::new(&mut criterion, &runtime, scenario, plan);
        references(&mut suite);
        ours::rows(&mut suite);
        peers::rows(&mut suite);
        measured.extend(suite.finish());
    }
    criterion.final_summary();
    measured
}

fn references(suite: &mut Suite<'_>) {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let bare = Row::new(table::BARE, Window::None);
    let load = suite.scenario.load;
    // Nothing refuses a bare call.
    if load == Load::Refused {
        return;
    }
    suite.row(Row::new(table::F, Window::None), || FetchAdd(&COUNTER));
    if load == Load::FailsOnce {
        suite.row(bare, || Again(Tower(Backend)));
    } else {
        suite.row(bare, || Tower(Backend));
    }
}
