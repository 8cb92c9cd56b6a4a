//! Microreboot: restarts the failing component, not the process.
#![allow(clippy::doc_markdown, reason = "a rule's id is no identifier")]

mod cap;
mod component;
mod config;
mod core;
mod event;
mod flight;
mod flights;
mod gate;
mod groups;
mod history;
#[cfg(feature = "durable")]
mod history_store;
mod hooks;
mod inner;
mod ladder;
mod landing;
mod manager;
mod outcome;
mod part;
mod phases;
mod record;
mod resume;
mod rung;
mod snapshot;
mod storm;
#[cfg(all(test, feature = "test-util", not(any(backstop_loom, backstop_shuttle))))]
mod tests;
mod trace;

pub use cap::RebootCap;
pub use component::{AddError, Component};
pub use config::{MicrorebootConfig, PhaseLimits};
pub use event::{MicrorebootEvent, MicrorebootEventKind, Notice, Skip};
pub use gate::{
    Drain, Drained, Gate, GateConfig, GateFuture, GateLayer, GateService, GateState, Idempotence,
    IsIdempotent, NoneIdempotent, Pass, Reboot,
};
pub use history::{HistoryError, HistoryState, MemoryHistory, RebootHistory};
#[cfg(feature = "durable")]
#[cfg_attr(docsrs, doc(cfg(feature = "durable")))]
pub use history_store::CheckpointHistory;
pub use ladder::Ladder;
pub use manager::{ManagerError, MicrorebootManager, MicrorebootManagerBuilder};
pub use outcome::{RebootOutcome, Refusal, Report, Reported};
pub use record::{
    CallsSeen, Phase, PhaseRecord, PhaseResult, RebootRecord, RecordOutcome, Rung, StartedFrom,
    Trigger,
};
pub use snapshot::{ComponentSnapshot, MicrorebootSnapshot};
pub use storm::{StormGate, StormRule};

/// The code with which the process rung ends the process: `EX_TEMPFAIL`, try again.
pub const EXIT_CODE: i32 = 75;
