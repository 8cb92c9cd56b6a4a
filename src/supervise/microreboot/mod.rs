//! Microreboot: restarts the failing component, not the process.
#![allow(clippy::doc_markdown, reason = "a rule's id is no identifier")]

mod record;

pub use record::{
    CallsSeen, Phase, PhaseRecord, PhaseResult, RebootRecord, RecordOutcome, Rung, StartedFrom,
    Trigger,
};
