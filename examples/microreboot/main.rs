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
//! little of the figures. The long form is `cargo bench --bench recovery --features durable -- --long`.
//!
//! | exit code | |
//! |---|---|
//! | 0 | all faults were noticed and cured, and nothing was lost or doubled |
//! | 1 | not so |
//! | 3 | void: the machine was too busy to say (the load generator was late) |

mod app;

use app::trial::Plan;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    app::main(&arguments, Plan::smoke)
}
