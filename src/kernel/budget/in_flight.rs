//! The share of calls in flight that may be further attempts.

use super::config::Share;
use crate::kernel::stripe::{default_stripes, thread_number};
use crate::kernel::sync::{AtomicU64, Ordering};
use crossbeam_utils::CachePadded;

#[derive(Debug)]
pub(super) struct InFlight {
    /// Calls in flight. A call may end on another thread than it began on, so a stripe alone may be
    /// below zero; their sum, modulo 2^64, is right.
    calls: Box<[CachePadded<AtomicU64>]>,
    retries: CachePadded<AtomicU64>,
    share: Share,
    at_least: u64,
}

impl InFlight {
    pub(super) fn new(share: Share, at_least: u64) -> Self {
        Self {
            calls: (0..default_stripes())
                .map(|_| CachePadded::new(AtomicU64::new(0)))
                .collect(),
            retries: CachePadded::new(AtomicU64::new(0)),
            share,
            at_least,
        }
    }

    #[inline]
    fn stripe(&self) -> &AtomicU64 {
        // The number of stripes is a power of two.
        &self.calls[thread_number() & (self.calls.len() - 1)]
    }

    #[inline]
    pub(super) fn enter(&self) {
        self.stripe().fetch_add(1, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn leave(&self) {
        self.stripe().fetch_sub(1, Ordering::Relaxed);
    }

    fn limit(&self) -> u64 {
        let calls = self.calls.iter().fold(0_u64, |sum, stripe| {
            sum.wrapping_add(stripe.load(Ordering::Relaxed))
        });
        // While calls come and go, a sum can be off by those, and so below zero.
        let calls = if calls > u64::MAX / 2 { 0 } else { calls };
        self.share.of(calls).max(self.at_least)
    }

    pub(super) fn try_take(&self) -> bool {
        let mut retries = self.retries.load(Ordering::Relaxed);
        loop {
            if retries >= self.limit() {
                return false;
            }
            match self.retries.compare_exchange_weak(
                retries,
                retries + 1,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => retries = now,
            }
        }
    }

    pub(super) fn give_back(&self) {
        self.retries.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn balance(&self) -> u64 {
        let retries = self.retries.load(Ordering::Relaxed);
        self.limit().saturating_sub(retries)
    }
}

#[cfg(all(test, not(any(backstop_loom, backstop_shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn a_sum_below_zero_is_none_in_flight() {
        let budget = InFlight::new(Share::new(0.5).unwrap(), 3);
        // What a sum over stripes can show while a call moves between two threads.
        budget.leave();
        assert_eq!(budget.limit(), 3);
        for _ in 0..11 {
            budget.enter();
        }
        assert_eq!(budget.limit(), 5);
    }
}
