//! What a bulkhead traces: each event, and now and then that it refuses.

use super::event::{BulkheadEvent, EventKind};
use super::machine::Machine;
use crate::kernel::rejection::RejectionKind;

const TARGET: &str = "backstop::policy";

impl Machine {
    /// Tells at most once a second that calls are refused. Where nobody listens, it is one relaxed
    /// load; where somebody does, one more reading of the clock.
    pub(super) fn trace_rejection(&self, kind: RejectionKind) {
        if tracing::event_enabled!(target: TARGET, tracing::Level::DEBUG) {
            self.tell_rejections(kind);
        }
    }

    #[cold]
    #[inline(never)]
    fn tell_rejections(&self, kind: RejectionKind) {
        let all = || self.read_totals().refused();
        if let Some(rejected) = self.told.due(self.clock.coarse(), all) {
            tracing::debug!(
                target: TARGET,
                name = self.name.as_str(), reason = kind.as_str(), rejected,
                "bulkhead refuses calls"
            );
        }
    }

    pub(super) fn trace(&self, event: &BulkheadEvent) {
        let (name, seq) = (self.name.as_str(), event.seq);
        match event.kind {
            EventKind::Saturated { limit, waiting } => tracing::info!(
                target: TARGET,
                name, seq, limit, waiting,
                "bulkhead is saturated and refuses calls"
            ),
            EventKind::Relieved { refused } => tracing::info!(
                target: TARGET,
                name, seq, refused,
                "bulkhead has refused no call for a second"
            ),
            EventKind::Resized { from, to } => tracing::info!(
                target: TARGET,
                name, seq, from, to,
                "bulkhead was resized"
            ),
            EventKind::Reconfigured
            | EventKind::Isolated
            | EventKind::Released
            | EventKind::Reset => tracing::info!(
                target: TARGET,
                name, seq, what = ?event.kind,
                "bulkhead was changed by hand"
            ),
        }
    }
}
