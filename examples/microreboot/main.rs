//! What a fault costs when the process is restarted, and when only the component is.
//!
//! ```text
//! cargo run --release --example microreboot --features durable
//! ```
//!
//! An auction of nine components is a process of its own, and so is the load on it. Faults are done to
//! it while it runs: deadlocks, damaged state, leaks, panics, a dependency that hangs, wrong answers. A
//! detector outside of it notices, and the arms differ in what is done then. It prints what failed.
//!
//! Without arguments this is a smoke run of less than a minute, which shows that all of it works and says
//! little of the figures.
//!
//! | form | |
//! |---|---|
//! | `--smoke` | three faults in four arms at one start-up cost |
//! | `--medium` | ten minutes: six faults a cell, all arms, three start-up costs |
//! | `--long` | an hour: 24 faults a cell; `cargo bench --bench recovery --features durable -- --long` |
//! | `--drill` | ten minutes: 300 faults and 300 disturbances that are none, through the detector |
//! | `--cost` | instructions of a request with support for restarts and without (needs valgrind) |
//!
//! `plot --csv FILE --svg FILE --title TITLE` plots a CSV that was kept.
//!
//! Any part can be changed: `--arms process,gate+retry --costs 0.05,5 --faults 6 --rate 100 --users 10
//! --seed 7 --out DIR`.
//!
//! | exit code | |
//! |---|---|
//! | 0 | all faults were noticed and cured, and nothing was lost or doubled |
//! | 1 | not so |
//! | 3 | void: the machine was too busy to say (the load generator was late) |

mod app;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

fn main() -> ExitCode {
    app::main(Some("--smoke"))
}
