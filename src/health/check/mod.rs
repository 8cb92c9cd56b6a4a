//! One check of a component.
//!
//! (docs)

mod action;
mod config;
mod finding;
mod machine;
mod run;
mod spec;
mod status;

pub use action::RecoveryAction;
pub use config::CheckConfig;
pub(crate) use finding::RunResult;
pub use finding::{CheckResult, Ending, Finding, Observed};
pub use machine::CheckState;
pub(crate) use machine::{CheckMachine, Episode};
pub(crate) use run::{Lane, Ran, Work, run};
pub use spec::Check;
pub use status::{Level, Probe, Status};
