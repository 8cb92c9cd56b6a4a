//! What is supervised: a future that can be made again.
//!
//! A [`ChildSpec`] holds a factory and how its futures are to be treated. Each start gets a
//! [`ChildContext`] of its own: who it is, when to stop, and where its further work goes. How it
//! ended is a [`ChildExit`].
//!
//! # Example
//!
//! ```
//! use backstop::supervise::child::{ChildSpec, Readiness, Restart, Stop};
//! use std::time::Duration;
//!
//! let spec = ChildSpec::new("listener", |cx| async move {
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//!     cx.ready();
//!     loop {
//!         tokio::select! {
//!             () = cx.cancelled() => return Ok::<_, std::io::Error>(()),
//!             accepted = listener.accept() => {
//!                 let (_socket, _peer) = accepted?;
//!                 // Belongs to the child: it is told to stop with it, and waited for.
//!                 cx.spawn(async move { /* serve it */ });
//!             }
//!         }
//!     }
//! })
//! .readiness(Readiness::Explicit)
//! .restart(Restart::Permanent)
//! .stop(Stop::After(Duration::from_secs(10)));
//! # let _ = spec;
//! ```
//!
//! # What surprises
//!
//! * **`panic = "abort"` leaves no isolation.** A panic of a child then ends the process, as every
//!   panic does. Panics are told apart and restarted only where they unwind, which is the default.
//! * **A future is dropped at an await, and nowhere else.** A child that blocks its thread cannot
//!   be aborted: it becomes an orphan, is reported as one, and is not started a second time beside
//!   itself (unless [`overlap`](ChildSpec::overlap) allows it).
//! * **`tokio::spawn` inside a child is out of sight.** Only work that goes through
//!   [`ChildContext::spawn`] and [`ChildContext::spawn_blocking`] is stopped and waited for.
//! * **A worker that waits must say that it is well** if it has a watchdog:
//!   [`heartbeating`](ChildContext::heartbeating) does so while a future is pending. It vouches for the
//!   task, not for the future.
//!
//! # Rules
//!
#![doc = include_str!("RULES.md")]
#![allow(clippy::doc_markdown, reason = "a rule's id is no identifier")]

mod context;
mod exit;
mod heartbeating;
mod incarnation;
mod link;
#[cfg(all(test, backstop_loom))]
mod loom_tests;
mod run;
mod spec;
mod work;

pub use context::ChildContext;
pub(crate) use exit::guarded;
pub use exit::{BoxError, ChildExit, Failure, FailureCause, GaveUp, GaveUpReason};
pub use heartbeating::Heartbeating;
pub(crate) use incarnation::{Incarnation, Promised};
pub(crate) use link::{Link, Note, What};
pub(crate) use run::{Launch, Launched};
pub(crate) use spec::Policy;
pub use spec::{ChildSpec, Readiness, Restart, Spent, SpentHook, Stop, WhenSpent};
