//! What a supervisor tells `tracing`.

use super::event::{SupervisorEvent, SupervisorEventKind};
use crate::kernel::name::Name;
use tracing::{Level, enabled, info, warn};

/// Whether anybody listens there: a few loads.
pub(super) fn is_traced() -> bool {
    enabled!(target: "backstop::supervise", Level::WARN)
        || enabled!(target: "backstop::supervise", Level::INFO)
}

/// Failures at level warn, the rest at level info.
pub(super) fn trace(supervisor: &Name, event: &SupervisorEvent) {
    let supervisor = supervisor.as_str();
    let seq = event.seq;
    let what = event.kind.as_str();
    let child = event.kind.child().map(Name::as_str);
    match &event.kind {
        SupervisorEventKind::Exited {
            exit, incarnation, ..
        } if exit.is_failure() => {
            warn!(target: "backstop::supervise", supervisor, seq, child, incarnation, %exit, "{what}");
        }
        SupervisorEventKind::StartFailed {
            cause, incarnation, ..
        } => {
            warn!(target: "backstop::supervise", supervisor, seq, child, incarnation, %cause, "{what}");
        }
        SupervisorEventKind::GaveUp(gave_up) => {
            warn!(target: "backstop::supervise", supervisor, seq, child, why = %gave_up, "{what}");
        }
        SupervisorEventKind::Orphaned { .. } | SupervisorEventKind::Spent { .. } => {
            warn!(target: "backstop::supervise", supervisor, seq, child, "{what}");
        }
        SupervisorEventKind::Hung {
            silent,
            incarnation,
            ..
        } => {
            warn!(target: "backstop::supervise", supervisor, seq, child, incarnation, ?silent, "{what}");
        }
        SupervisorEventKind::Paused { length } => {
            warn!(target: "backstop::supervise", supervisor, seq, ?length, "{what}");
        }
        SupervisorEventKind::Restarting { delay, .. } => {
            info!(target: "backstop::supervise", supervisor, seq, child, ?delay, "{what}");
        }
        _ => info!(target: "backstop::supervise", supervisor, seq, child, "{what}"),
    }
}
