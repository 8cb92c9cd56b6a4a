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
