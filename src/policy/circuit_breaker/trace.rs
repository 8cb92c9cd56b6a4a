//! What a circuit breaker traces: each change of its state, and now and then that it rejects.

use super::event::{CircuitBreakerEvent, EventKind};
use super::machine::Machine;
use super::totals::Counter;
use crate::kernel::instant::Instant;
use crate::kernel::rejection::RejectionKind;
use crate::kernel::sync::{AtomicU64, Ordering};
use std::time::Duration;

const TARGET: &str = "backstop::policy";

/// Rejections are told once in this time.
const PAUSE: Duration = Duration::from_secs(1);

/// When rejections were last told, and how many there had been by then. It is written when they are
/// told, and at no other time.
#[derive(Debug)]
pub(super) struct LastTold {
    /// In nanoseconds of the clock; 0 is never.
    at: AtomicU64,
    rejected: AtomicU64,
}

impl Default for LastTold {
    fn default() -> Self {
        Self {
            at: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
        }
    }
}

impl LastTold {
    /// How many there are to tell of `now`, out of all that `rejected` counts; `None` if it is too
    /// early, or another thread tells of them.
    fn due(&self, now: Instant, rejected: impl FnOnce() -> u64) -> Option<u64> {
        let last = self.at.load(Ordering::Relaxed);
        let since = now.saturating_duration_since(Instant::from_nanos(last));
        if last != 0 && since < PAUSE {
            return None;
        }
        let now = now.as_nanos().max(1);
        let claim = self
            .at
            .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed);
        claim.ok()?;
        let rejected = rejected();
        let before = self.rejected.fetch_max(rejected, Ordering::Relaxed);
        Some(rejected.saturating_sub(before))
    }
}

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

#[cfg(all(test, not(any(backstop_loom, backstop_shuttle))))]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(0) + Duration::from_millis(millis)
    }

    #[test]
    fn rejections_are_due_once_a_second() {
        let told = LastTold::default();
        let mut due = Vec::new();
        for (millis, rejected) in [(0, 1), (999, 5), (1_001, 6), (1_002, 7), (9_000, 9)] {
            due.push(told.due(at(millis), || rejected));
        }
        // The clock's origin is a time as any other.
        assert_eq!(due, [Some(1), None, Some(5), None, Some(3)]);
        // A clock that steps back is quiet until it has caught up.
        assert_eq!(told.due(at(3_000), || 10), None);
        assert_eq!(told.due(at(10_000), || 10), Some(1));
    }
}

#[cfg(all(test, backstop_loom))]
mod loom_tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn loom_one_of_two_threads_tells() {
        loom::model(|| {
            let told = Arc::new(LastTold::default());
            let other = {
                let told = told.clone();
                loom::thread::spawn(move || told.due(Instant::from_nanos(7), || 2))
            };
            let mine = told.due(Instant::from_nanos(7), || 2);
            let theirs = other.join().unwrap();
            assert!(mine.xor(theirs) == Some(2), "{mine:?} {theirs:?}");
        });
    }
}
