//! One check: what is asked, how it is run, and when its results make it pass or fail.
//!
//! ```text
//!              successes in a row            failures in a row
//!   Starting ---------------------> Passing ------------------> Failing
//!      |      failures in a row        |  ^  successes in a row    |
//!      +--------------------------------------------------------> |
//!      |                               |  +------------------------+
//!      | the last result is too old    v                           |
//!      +---------------------------> Stale <-----------------------+
//!                                      | enough results in a row decide anew
//!                                      +-----> Passing or Failing
//! ```
//!
//! A [`Check`] belongs to a component of a [tree](super::tree), which runs it.
//!
//! ```
//! use backstop::health::check::{Check, CheckConfig, Finding, Level};
//! use std::time::Duration;
//!
//! // Asked each 5 s, in a task of its own, for a second at most.
//! let queue = Check::new("depth", Level::Degraded, || async {
//!     let depth = 17_u32; // ask the queue
//!     let finding = if depth > 1000 { Finding::failed("it backs up") } else { Finding::passed() };
//!     Ok::<_, std::io::Error>(finding.observed(depth, "messages"))
//! })
//! .config(CheckConfig::default().period(Duration::from_secs(5)))
//! // Not to reach it is worse than to find it long.
//! .on_error(Level::Critical);
//! # let _ = queue;
//! ```
//!
//! # When not to use it
//!
//! For what each call finds out anyway: a check sees one moment in a period, a
//! [circuit breaker](crate::policy::circuit_breaker) sees the calls. Have those report to a check
//! that is [`reported`](Check::reported).
//!
//! # What surprises
//!
//! * **A check that blocks cannot be aborted.** It is not started again beside itself, and counts as
//!   a failure each period. It holds up one thread of the runtime: use [`Check::blocking`].
//! * **A gap decides anew.** After a check was stale, a pass from before the gap means nothing.
//! * **A failing check gets no milder** by a milder failure; only by clean results.
//! * **Messages are kept to 1 KiB.** They may hold what an error says, secrets too: think of who
//!   reads them.
//!
//! # Rules
//!
#![doc = include_str!("RULES.md")]
#![allow(clippy::doc_markdown, reason = "a rule's id is no identifier")]

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
#[cfg(feature = "checks")]
pub(crate) use run::Inside;
pub(crate) use run::{Lane, Ran, Work, run};
pub use spec::Check;
pub use status::{Level, Probe, Status};
