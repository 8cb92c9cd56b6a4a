//! Our own stalls: a process that did not run saw no heartbeats, and that is not their senders' fault.

use crate::kernel::clock::{Clock, NoRuntime};
use crate::kernel::instant::Instant;
use crate::kernel::sync::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

/// How often the timer is to go off.
const PERIOD: Duration = Duration::from_millis(500);

/// From this lateness on it is a stall; and so long no one is convicted after it, so that the heartbeats that
/// queued up meanwhile are seen first. Both are Cassandra's `MAX_LOCAL_PAUSE`.
const STALL: Duration = Duration::from_secs(5);

/// Watches whether this process runs at all. Clones are the same one.
///
/// A process that was stopped, swapped out or starved of its runtime's threads comes back to silence on all
/// sides, and would convict everyone at once. [`run`](Self::run) is a timer; when it goes off more than 5 s late,
/// no detector that has this watch convicts anybody for the 5 s that follow.
///
/// ```
/// use backstop::health::failure_detector::{FailureDetector, FailureDetectorConfig, StallWatch};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), backstop::ConfigError> {
/// let stalls = StallWatch::new();
/// tokio::spawn({
///     let stalls = stalls.clone();
///     async move { stalls.run().await }
/// });
/// let node = FailureDetector::new("node-7", FailureDetectorConfig::default())?.stalls(&stalls);
/// # let _ = node;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct StallWatch(Arc<Watch>);

#[derive(Debug)]
struct Watch {
    clock: Clock,
    /// Nobody is convicted before this, in nanoseconds of the clock.
    suspended_until: AtomicU64,
    stalls: AtomicU64,
}

impl StallWatch {
    /// On the default clock.
    pub fn new() -> Self {
        Self::with_clock(Clock::default())
    }

    /// The same with a clock: that of the detectors.
    pub fn with_clock(clock: impl Into<Clock>) -> Self {
        Self(Arc::new(Watch {
            clock: clock.into(),
            suspended_until: AtomicU64::new(0),
            stalls: AtomicU64::new(0),
        }))
    }

    /// Watches until it is dropped: spawn it on the runtime that receives the heartbeats.
    ///
    /// # Errors
    ///
    /// Ends only where there is no runtime for its timer.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it watches no longer; what it noticed goes on being considered.
    pub async fn run(&self) -> NoRuntime {
        loop {
            let due = self.0.clock.now() + PERIOD;
            match self.0.clock.sleep_until(due) {
                Ok(sleep) => sleep.await,
                Err(error) => return error,
            }
            self.ticked(due, self.0.clock.now());
        }
    }

    /// For those who have a timer of their own: it was to go off at `due`, and went off at `now`.
    pub fn ticked(&self, due: Instant, now: Instant) {
        let late = now.saturating_duration_since(due);
        if late > STALL {
            let until = (now + STALL).as_nanos();
            self.0.suspended_until.fetch_max(until, Ordering::Relaxed);
            self.0.stalls.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                target: "backstop::health",
                late_seconds = late.as_secs_f64(),
                "this process stalled: silence convicts nobody for a while"
            );
        }
    }

    /// Whether convictions are suspended.
    pub fn is_suspended(&self) -> bool {
        self.is_suspended_at(self.0.clock.now())
    }

    pub(super) fn is_suspended_at(&self, now: Instant) -> bool {
        now.as_nanos() < self.0.suspended_until.load(Ordering::Relaxed)
    }

    /// How many stalls there were.
    pub fn stalls(&self) -> u64 {
        self.0.stalls.load(Ordering::Relaxed)
    }
}

impl Default for StallWatch {
    fn default() -> Self {
        Self::new()
    }
}
