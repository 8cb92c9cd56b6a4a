//! The long form of the example `microreboot`: what a fault costs when the process is restarted, and when
//! only the component is.
//!
//! ```text
//! cargo bench --bench recovery --features durable -- --long
//! ```
//!
//! Its CSV, table and plot are in `target/recovery`, or where `--out` says; those of some runs are in
//! `results`. Without a form among the arguments it does nothing, as it takes an hour.

#[path = "../../examples/microreboot/app/mod.rs"]
mod app;

use std::process::ExitCode;

fn main() -> ExitCode {
    app::main(None)
}
