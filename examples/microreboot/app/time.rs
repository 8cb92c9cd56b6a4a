//! The time, as processes on one machine share it.

use backstop::kernel::clock::Clock;
use backstop::kernel::instant::Instant;
use std::time::{Duration, UNIX_EPOCH};

/// Not the default clock: that is tokio's where tests are built.
pub(crate) const fn clock() -> Clock {
    Clock::system()
}

/// Microseconds since 1970.
pub(crate) fn micros() -> u64 {
    let since = clock()
        .wall()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

pub(crate) fn now() -> Instant {
    clock().now()
}

pub(crate) fn since(earlier: Instant) -> Duration {
    now().saturating_duration_since(earlier)
}

pub(crate) async fn sleep(duration: Duration) {
    sleep_until(now() + duration).await;
}

pub(crate) async fn sleep_until(time: Instant) {
    clock()
        .sleep_until(time)
        .expect("a runtime with timers")
        .await;
}
