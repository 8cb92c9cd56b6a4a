//! The tree: starts children, restarts those that fail, stops them, and gives up when restarting
//! does not help.
//!
//! # Example
//!
//! ```
//! use backstop::supervise::child::ChildSpec;
//! use backstop::supervise::supervisor::{StartError, Supervisor};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), StartError> {
//! let worker = ChildSpec::new("worker", |cx| async move {
//!     cx.cancelled().await;
//!     Ok::<_, std::io::Error>(())
//! });
//! let supervisor = Supervisor::builder("root").child(worker).start().await?;
//! assert_eq!(supervisor.snapshot().children.len(), 1);
//! supervisor.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Children that block
//!
//! A child that blocks its thread cannot be aborted, and it can hold up more than itself: the worker
//! that it blocks may be the one that looks after tokio's timers, and what it woke there waits in a
//! slot that no other worker takes from. So under [`Clock::system`](crate::kernel::clock::Clock::system)
//! the deadlines of supervisors (stops, starts, watchdogs, back-offs) are kept by one thread of the
//! library's, `backstop-timer`, which is started with the first of them; and `ready()` and commands
//! wake a supervisor apart from the worker that they run on. Such a child then is an
//! [orphan](ChildState::Orphaned) when its time is over: told of, and not started a second time
//! beside itself. This holds while one worker is free.
//!
//! A child that is known to block says so: [`ChildSpec::blocking`](super::child::ChildSpec::blocking).
//! Under tokio's clock, which the feature `test-util` makes the default, there is no such thread.
//!
//! # Pausing instead of giving up
//!
//! At the top of a tree there is nobody to give up to. [`SupervisorBuilder::pausing`] holds on: each
//! failure raises a score that time halves; above a threshold what failed waits, what runs goes on,
//! and after the pause all of it tries again.
//!
//! # What one sees
//!
//! [`Supervisor::snapshot`] is the tree as it is, nested supervisors included: text by `Display`, and
//! JSON with the feature `serde`.
//!
//! ```text
//! root: running, 1 restart in its window
//! |- a     running #1, up 2m 5s
//! |- slow  backoff #1, restarts in 750ms, ended with an error: told to fail
//! `- pool  running #1, up 2m 5s, supervisor pool: running, 1 restart in its window
//!    `- worker  running #2, up 250ms
//! ```
//!
//! [`Supervisor::subscribe`] gives each event once, numbered, in order; the same goes to `tracing`,
//! target `backstop::supervise`. [`Supervisor::health_check`] makes a health check of it.
//!
//! # Rules
//!
#![doc = include_str!("RULES.md")]
#![allow(clippy::doc_markdown, reason = "a rule's id is no identifier")]

mod builder;
mod config;
mod core;
mod driver;
mod dynamic;
mod error;
mod event;
mod handle;
mod health;
mod machine;
mod snapshot;
mod snapshot_text;
mod trace;

pub use builder::SupervisorBuilder;
pub use config::{AutoShutdown, Strategy};
pub use dynamic::{DynamicSupervisor, DynamicSupervisorBuilder};
pub use error::{CommandError, Ended, StartError, Terminated};
pub use event::{SupervisorEvent, SupervisorEventKind};
pub use handle::Supervisor;
pub use snapshot::{ChildSnapshot, ChildState, Phase, TreeSnapshot};
