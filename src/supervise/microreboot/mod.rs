//! Microreboot: restarts the failing component, not the process.
#![allow(clippy::doc_markdown, reason = "a rule's id is no identifier")]
#![allow(dead_code, reason = "the manager that drives the machines")]

mod cap;
mod flights;
mod gate;
mod groups;
mod ladder;
mod landing;
mod phases;
mod record;
mod storm;

pub use cap::RebootCap;
pub use gate::{
    Drain, Drained, Gate, GateConfig, GateFuture, GateLayer, GateService, GateState, Idempotence,
    IsIdempotent, NoneIdempotent, Pass, Reboot,
};
pub use ladder::Ladder;
pub use record::{
    CallsSeen, Phase, PhaseRecord, PhaseResult, RebootRecord, RecordOutcome, Rung, StartedFrom,
    Trigger,
};
pub use storm::{StormGate, StormRule};
