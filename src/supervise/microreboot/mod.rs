//! Microreboot: restarts the failing component, not the process.
#![allow(clippy::doc_markdown, reason = "a rule's id is no identifier")]

mod gate;
mod record;

pub use gate::{
    Drain, Drained, Gate, GateConfig, GateFuture, GateLayer, GateService, GateState, Idempotence,
    IsIdempotent, NoneIdempotent, Pass, Reboot,
};
pub use record::{
    CallsSeen, Phase, PhaseRecord, PhaseResult, RebootRecord, RecordOutcome, Rung, StartedFrom,
    Trigger,
};
