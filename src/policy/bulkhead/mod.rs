//! Bulkhead.
//!
//! # Rules
//!
#![doc = include_str!("RULES.md")]
#![allow(clippy::doc_markdown, reason = "a rule's id is no identifier")]

mod acquire;
mod call;
mod compartments;
mod compartments_book;
mod compartments_call;
mod compartments_config;
mod compartments_handle;
mod compartments_lines;
#[cfg(all(test, backstop_loom))]
mod compartments_loom_tests;
mod compartments_seat;
mod compartments_slots;
mod compartments_word;
mod config;
mod control;
mod event;
mod handle;
mod isolated;
mod isolated_config;
mod isolated_place;
mod isolated_run;
mod isolated_set;
mod isolated_threads;
mod isolated_work;
#[cfg(all(test, backstop_loom))]
mod loom_tests;
mod machine;
mod permit;
mod queue;
mod queueing;
mod service;
#[cfg(all(test, backstop_shuttle))]
mod shuttle_tests;
mod totals;
mod trace;
mod wakes;
mod word;

pub use acquire::{Acquire, AcquireOwned};
pub use compartments::{Compartments, UnknownCompartment};
pub use compartments_call::{
    AcquireCompartment, AcquireCompartmentOwned, CompartmentPermit, OwnedCompartmentPermit,
};
pub use compartments_config::{CompartmentConfig, CompartmentsConfig};
pub use compartments_handle::Compartment;
pub(crate) use compartments_handle::WeakCompartment;
pub use config::{Ask, BulkheadConfig, Order};
pub use event::{BulkheadEvent, EventKind};
pub use handle::Bulkhead;
pub(crate) use handle::WeakBulkhead;
pub use isolated::{IsolatedBulkhead, IsolatedTotals, StartError};
pub use isolated_config::IsolatedConfig;
pub use isolated_set::{IsolatedCompartments, IsolatedCompartmentsConfig};
pub use isolated_work::WorkPanicked;
pub use permit::{OwnedPermit, Permit};
pub use queueing::{
    AskFor, QueueingBulkheadFuture, QueueingBulkheadLayer, QueueingBulkheadService,
};
pub use service::{BulkheadFuture, BulkheadLayer, BulkheadService, Slots};
pub(crate) use totals::LastWords;
pub use totals::{BulkheadSnapshot, Totals};
