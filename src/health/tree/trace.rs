//! What a tree traces.

use super::event::{HealthEvent, HealthEventKind};

const TARGET: &str = "backstop::health";

pub(super) fn trace(event: &HealthEvent) {
    let seq = event.seq;
    match &event.kind {
        HealthEventKind::StatusChanged {
            component,
            from,
            to,
        } => tracing::info!(
            target: TARGET,
            component = component.as_str(), seq, %from, %to,
            "component changed status"
        ),
        HealthEventKind::CheckChanged {
            component,
            check,
            from,
            to,
            message,
        } => tracing::info!(
            target: TARGET,
            component = component.as_str(), check = check.as_str(), seq, %from, %to,
            message = message.as_deref(),
            "check changed state"
        ),
        HealthEventKind::RecoveryStarted {
            target, attempt, ..
        } => tracing::info!(
            target: TARGET,
            on = target.as_str(), attempt, seq,
            "recovery action began"
        ),
        HealthEventKind::RecoveryEnded {
            target,
            attempts,
            outcome,
            ..
        } => tracing::info!(
            target: TARGET,
            on = target.as_str(), attempts, outcome = outcome.as_str(), seq,
            "recovery action ended"
        ),
        HealthEventKind::Overridden { component, status } => tracing::info!(
            target: TARGET,
            component = component.as_str(), ?status, seq,
            "status was set by hand"
        ),
        HealthEventKind::Reconfigured { component, check } => tracing::info!(
            target: TARGET,
            component = component.as_str(), check = check.as_str(), seq,
            "check was reconfigured"
        ),
        HealthEventKind::Maintenance(on) => {
            tracing::info!(target: TARGET, on, seq, "maintenance mode was switched");
        }
    }
}
