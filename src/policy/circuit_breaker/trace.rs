//! What a circuit breaker traces: each change of its state, and now and then that it rejects.

use super::event::{CircuitBreakerEvent, EventKind};
use super::machine::Machine;
use super::totals::Counter;
use crate::kernel::rejection::RejectionKind;

const TARGET: &str = "backstop::policy";

impl Machine {
    /// Tells at most once a second that calls are rejected. Where nobody listens, it is one relaxed
    /// load; where somebody does, one more reading of the clock.
    #[inline]
    pub(super) fn trace_rejection(&self, kind: RejectionKind) {
        if tracing::event_enabled!(target: TARGET, tracing::Level::DEBUG) {
            self.tell_rejections(kind);
        }
    }

    #[cold]
    #[inline(never)]
    fn tell_rejections(&self, kind: RejectionKind) {
        const REJECTIONS: [Counter; 3] = [
            Counter::RejectedOpen,
            Counter::RejectedForcedOpen,
            Counter::RejectedProbesFull,
        ];
        let all = || {
            let sums = REJECTIONS.map(|counter| self.totals.sum(counter as usize));
            sums.into_iter().fold(0, u64::saturating_add)
        };
        if let Some(rejected) = self.told.due(self.front.clock.coarse(), all) {
            tracing::debug!(
                target: TARGET,
                name = self.front.name.as_str(), reason = kind.as_str(), rejected,
                "circuit breaker rejects calls"
            );
        }
    }

    pub(super) fn trace(&self, event: &CircuitBreakerEvent) {
        let (name, seq) = (self.front.name.as_str(), event.seq);
        match &event.kind {
            EventKind::StateChanged {
                from,
                to,
                reason,
                wait,
            } => tracing::info!(
                target: TARGET,
                name, seq, %from, %to, reason = reason.as_str(), ?wait,
                "circuit breaker changed state"
            ),
            EventKind::WouldHaveOpened { reason } => tracing::info!(
                target: TARGET,
                name, seq, reason = reason.as_str(),
                "circuit breaker would have opened"
            ),
            EventKind::ProbeWrittenOff => tracing::info!(
                target: TARGET,
                name, seq,
                "circuit breaker wrote off a silent probe"
            ),
            EventKind::Reset | EventKind::Reconfigured => tracing::info!(
                target: TARGET,
                name, seq, what = ?event.kind,
                "circuit breaker was changed by hand"
            ),
        }
    }
}
