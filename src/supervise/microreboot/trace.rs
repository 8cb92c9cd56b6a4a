//! What goes to `tracing`.

use super::event::{MicrorebootEvent, MicrorebootEventKind as Kind};
use crate::kernel::name::Name;

const TARGET: &str = "backstop::supervise";

/// Changes at level info, trouble at warn, what a human must see at error.
pub(crate) fn event(manager: &Name, event: &MicrorebootEvent) {
    let manager = manager.as_str();
    match &event.kind {
        Kind::Reported {
            component,
            fault,
            reporter,
            episode,
            joined,
        } => {
            tracing::info!(target: TARGET, manager, episode, %component, %fault, %reporter, joined, "component reported");
        }
        Kind::Began {
            episode,
            component,
            rung,
            ..
        } => {
            tracing::info!(target: TARGET, manager, episode, %component, %rung, "reboot begins");
        }
        Kind::PhaseEnded { episode, phase } => {
            let (component, took, result) = (&phase.component, phase.took, &phase.result);
            tracing::debug!(target: TARGET, manager, episode, component, phase = %phase.phase, ?took, %result, "phase ended");
        }
        Kind::Ended(record) => {
            let (episode, component) = (record.episode, &record.component);
            let (rung, outcome) = (record.rung, record.outcome);
            tracing::info!(target: TARGET, manager, episode, component, %rung, %outcome, "reboot ended");
        }
        Kind::Skipped {
            episode,
            component,
            rung,
            why,
        } => {
            tracing::warn!(target: TARGET, manager, episode, %component, %rung, why = why.name(), "rung left out");
        }
        Kind::StormBegan => tracing::warn!(target: TARGET, manager, "storm: nothing new begins"),
        Kind::StormEnded => tracing::info!(target: TARGET, manager, "storm over"),
        Kind::HandedOver(notice) => {
            tracing::error!(target: TARGET, manager, episode = notice.episode, "{notice}");
        }
        Kind::Acknowledged { component } => {
            tracing::info!(target: TARGET, manager, %component, "acknowledged");
        }
        Kind::HistoryUnavailable { error } => {
            tracing::warn!(target: TARGET, manager, %error, "history not available, counting in memory");
        }
    }
}
