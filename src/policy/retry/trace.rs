//! What a retry traces: what changed, that its budget is empty, and that it cannot wait.

use super::event::{RetryEvent, RetryEventKind};
use super::machine::Machine;
use crate::kernel::instant::Instant;
use crate::kernel::sync::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const TARGET: &str = "backstop::policy";

/// What goes on is told once in this time.
const PAUSE: Duration = Duration::from_secs(1);

/// Whether the budget is empty, as one that wavers at its edge is told: a budget that gives one
/// retry in five calls is empty all the time.
#[derive(Debug)]
pub(super) struct Crossing {
    is_empty: AtomicBool,
    /// In nanoseconds of the clock.
    last_refused: AtomicU64,
}

impl Default for Crossing {
    fn default() -> Self {
        Self {
            is_empty: AtomicBool::new(false),
            last_refused: AtomicU64::new(0),
        }
    }
}

impl Crossing {
    /// The budget refused a retry; `true` if that is news.
    pub(super) fn refused(&self, now: Instant) -> bool {
        self.last_refused
            .fetch_max(now.as_nanos(), Ordering::Relaxed);
        !self.is_empty.load(Ordering::Relaxed) && !self.is_empty.swap(true, Ordering::Relaxed)
    }

    /// The budget gave a retry; `true` if that is news.
    pub(super) fn granted(&self, now: Instant) -> bool {
        if !self.is_empty.load(Ordering::Relaxed) {
            return false;
        }
        let last = Instant::from_nanos(self.last_refused.load(Ordering::Relaxed));
        now.saturating_duration_since(last) >= PAUSE && self.is_empty.swap(false, Ordering::Relaxed)
    }
}

/// When it was last told that calls cannot wait, in nanoseconds of the clock; 0 is never.
#[derive(Debug)]
pub(super) struct LastTold(AtomicU64);

impl Default for LastTold {
    fn default() -> Self {
        Self(AtomicU64::new(0))
    }
}

impl LastTold {
    fn is_due(&self, now: Instant) -> bool {
        let last = self.0.load(Ordering::Relaxed);
        let since = now.saturating_duration_since(Instant::from_nanos(last));
        let now = now.as_nanos().max(1);
        (last == 0 || since >= PAUSE)
            && self
                .0
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

impl Machine {
    pub(super) fn trace_no_timer(&self, now: Instant) {
        if self.told.is_due(now) {
            tracing::warn!(
                target: TARGET,
                name = self.name.as_str(),
                "retry cannot wait: no tokio runtime with timers here"
            );
        }
    }

    pub(super) fn trace(&self, event: &RetryEvent) {
        let (name, seq) = (self.name.as_str(), event.seq);
        match event.kind {
            RetryEventKind::BudgetEmpty => tracing::info!(
                target: TARGET, name, seq,
                "retry budget is empty"
            ),
            RetryEventKind::BudgetRecovered => tracing::info!(
                target: TARGET, name, seq,
                "retry budget has recovered"
            ),
            RetryEventKind::Isolated(_) | RetryEventKind::Reset | RetryEventKind::Reconfigured => {
                tracing::info!(
                    target: TARGET, name, seq, what = ?event.kind,
                    "retry was changed by hand"
                );
            }
            // Facts about single calls are for subscribers.
            RetryEventKind::Retrying { .. } | RetryEventKind::GaveUp { .. } => {}
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
    fn a_budget_at_its_edge_is_empty_until_it_refused_nothing_for_a_second() {
        let crossing = Crossing::default();
        assert!(!crossing.granted(at(5)));
        assert!(crossing.refused(at(10)));
        assert!(!crossing.granted(at(11)));
        assert!(!crossing.refused(at(500)));
        assert!(!crossing.granted(at(1_499)));
        assert!(crossing.granted(at(1_500)));
        assert!(!crossing.granted(at(9_000)));
        // A clock that steps back brings no news.
        assert!(crossing.refused(at(9_000)));
        assert!(!crossing.refused(at(1_000)));
        assert!(!crossing.granted(at(2_500)));
    }

    #[test]
    fn what_goes_on_is_told_once_a_second() {
        let told = LastTold::default();
        let due = [0, 1, 999, 1_001, 1_002, 500, 9_000].map(|millis| told.is_due(at(millis)));
        assert_eq!(due, [true, false, false, true, false, false, true]);
    }
}
