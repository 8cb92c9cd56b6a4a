//! The settings that ours and every peer get, or the nearest a peer offers.

use std::time::Duration;

/// Calls in a count window.
pub(crate) const CALLS: usize = 100;
pub(crate) const MINIMUM: u32 = 20;
/// Of failures, that opens a breaker.
pub(crate) const RATE: f64 = 0.5;
/// Longer than any measurement: an open breaker stays open, so a closed one was never open.
pub(crate) const OPEN_WAIT: Duration = Duration::from_secs(3600);

/// Calls that may run at once. A full bulkhead has one permit, and that is out.
pub(crate) const CONCURRENT: usize = 25;

/// Longer than any call here takes.
pub(crate) const TOTAL_LIMIT: Duration = Duration::from_secs(30);
pub(crate) const ATTEMPT_LIMIT: Duration = Duration::from_secs(10);

/// The first included.
pub(crate) const ATTEMPTS: u32 = 3;
/// Before the first retry; twice as long before the next.
pub(crate) const WAIT: Duration = Duration::from_millis(100);

/// A budget allows the retry of a fifth of the calls of ten seconds, and ten retries a second whatever the calls.
pub(crate) const BUDGET_SPAN: Duration = Duration::from_secs(10);
pub(crate) const BUDGET_RATE: u32 = 10;
pub(crate) const BUDGET_SHARE: f32 = 0.2;
/// For calls that all fail once: ten retries are allowed for each.
pub(crate) const AMPLE_SHARE: f32 = 10.0;
