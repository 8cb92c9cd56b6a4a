//! Boot: a service's way up, which is the same after a crash and after anything else.
//!
//! # Rules
//!
#![doc = include_str!("RULES.md")]
#![allow(clippy::doc_markdown, reason = "a rule's id is no identifier")]

mod config;
mod error;
mod exit;
mod handle;
mod report;
mod snapshotter;
mod watch;

pub use config::{BootConfig, OnAhead};
pub use error::BootError;
pub use exit::Exit;
pub use handle::{Boot, Booted};
pub use report::{BootProgress, BootReport, Stage};
pub use snapshotter::{SnapshotError, Snapshotter, Taken};
