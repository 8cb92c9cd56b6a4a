//! Bulkhead.
//!
//! # Rules
//!
#![doc = include_str!("RULES.md")]
#![allow(clippy::doc_markdown, reason = "a rule's id is no identifier")]

mod acquire;
mod call;
mod config;
mod control;
mod event;
mod handle;
#[cfg(all(test, backstop_loom))]
mod loom_tests;
mod machine;
mod permit;
mod queue;
mod queueing;
mod service;
mod totals;
mod trace;
mod wakes;
mod word;

pub use acquire::{Acquire, AcquireOwned};
pub use config::{Ask, BulkheadConfig, Order};
pub use event::{BulkheadEvent, EventKind};
pub use handle::Bulkhead;
pub(crate) use handle::WeakBulkhead;
pub use permit::{OwnedPermit, Permit};
pub use queueing::{
    AskFor, QueueingBulkheadFuture, QueueingBulkheadLayer, QueueingBulkheadService,
};
pub use service::{BulkheadFuture, BulkheadLayer, BulkheadService};
pub(crate) use totals::LastWords;
pub use totals::{BulkheadSnapshot, Totals};
