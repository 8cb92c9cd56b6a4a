//! Timeout: ends calls that are pending for too long.
#![allow(clippy::doc_markdown, reason = "a rule's id is no identifier")]

pub(crate) mod call;
mod config;
mod deadline;
mod handle;
pub(crate) mod machine;
mod service;
mod totals;

pub use config::TimeoutConfig;
pub use deadline::Deadline;
pub use handle::Timeout;
pub(crate) use handle::WeakTimeout;
pub use service::{TimeoutFuture, TimeoutLayer, TimeoutService};
pub(crate) use totals::LastWords;
pub use totals::Totals;
