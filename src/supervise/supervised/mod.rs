//! Supervised services: a tower service whose worker is a supervised child.
//!
//! Calls go through a bounded queue to the worker. When it crashes its supervisor restarts it, and
//! callers are told to come back, instead of waiting for an answer that never comes.
//!
//! ```text
//!   callers ---> [ queue ] ---> worker        up
//!   callers ---> Restarting, retry_after      down: between two incarnations of the worker
//! ```
//!
//! # Example
//!
//! ```
//! use backstop::supervise::supervised::{Supervised, SupervisedConfig};
//! use backstop::supervise::supervisor::Supervisor;
//! use tower::{BoxError, Service, ServiceExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let mut doubler = Supervised::<u32, u32, BoxError>::new("doubler", SupervisedConfig::default())?;
//! let worker = doubler.child(|_cx, mut calls| async move {
//!     while let Some(call) = calls.recv().await {
//!         let answer = call.request() * 2;
//!         call.answer(Ok(answer));
//!     }
//!     Ok::<(), BoxError>(())
//! });
//! let supervisor = Supervisor::builder("service").child(worker).start().await?;
//! # while !doubler.is_up() { tokio::task::yield_now().await }
//! assert_eq!(doubler.ready().await?.call(21).await?, 42);
//! supervisor.stop().await;
//! assert!(doubler.ready().await?.call(21).await.is_err());
//! # Ok(())
//! # }
//! ```
//!
//! # A worker with a state
//!
//! [`calls`](Supervised::calls) can be taken in any child, so also in a
#![cfg_attr(
    feature = "durable",
    doc = "[checkpointed](crate::supervise::checkpointed) one:"
)]
#![cfg_attr(
    not(feature = "durable"),
    doc = "checkpointed one (feature `durable`):"
)]
//!
//! ```text
//! let child = checkpointed.child(move |cx, restored| {
//!     let service = service.clone();
//!     async move {
//!         let mut state = restored.map(|restored| restored.state).unwrap_or_default();
//!         let mut calls = service.calls();     // Up from here on.
//!         while let Some(call) = calls.recv().await { .. }
//!         Ok(())
//!     }
//! });
//! ```
//!
//! # What surprises
//!
//! * **A call that the worker had is not repeated by a default retry**: it may have been done. Its
//!   rejection has no `retry_after`.
//! * **It is always ready.** Back-pressure is tower's `ConcurrencyLimit` outside.
//! * **Between a supervisor's end and its next start it is down**, and says `Restarting`; whether anybody
//!   restarts it, it does not know.
//!
//! # Rules
//!
#![doc = include_str!("RULES.md")]
#![allow(clippy::doc_markdown, reason = "a rule's id is no identifier")]

mod calls;
mod config;
mod desk;
mod handle;
#[cfg(all(test, backstop_loom))]
mod loom_tests;
mod machine;

pub use calls::{Answer, Call, Calls, Recv};
pub use config::SupervisedConfig;
pub use handle::{Supervised, SupervisedFuture};
