//! What happens in thousands is told once a second, and how often it happened with it.

use crate::kernel::instant::Instant;
use crate::kernel::sync::{AtomicU64, Ordering};
use std::time::Duration;

/// It is told once in this time.
const PAUSE: Duration = Duration::from_secs(1);

/// When something (rejections, mostly) was last told, and how often it had happened by then. It is
/// written when it is told, and at no other time.
#[derive(Debug)]
pub(crate) struct LastTold {
    /// In nanoseconds of the clock; 0 is never.
    at: AtomicU64,
    happened: AtomicU64,
}

impl Default for LastTold {
    fn default() -> Self {
        Self {
            at: AtomicU64::new(0),
            happened: AtomicU64::new(0),
        }
    }
}

impl LastTold {
    /// How many there are to tell of `now`, out of all that `happened` counts; `None` if it is too
    /// early, or another thread tells of them.
    pub(crate) fn due(&self, now: Instant, happened: impl FnOnce() -> u64) -> Option<u64> {
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
        let happened = happened();
        let before = self.happened.fetch_max(happened, Ordering::Relaxed);
        Some(happened.saturating_sub(before))
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
