//! gRPC's retry throttling (gRFC A6), in thousandths of a token.

use super::config::THOUSAND;
use crate::kernel::sync::{AtomicU64, Ordering};

#[derive(Debug)]
pub(super) struct Tokens {
    tokens: AtomicU64,
    max: u64,
    ratio: u64,
}

impl Tokens {
    pub(super) fn new(max: u64, ratio: u64) -> Self {
        Self {
            tokens: AtomicU64::new(max),
            max,
            ratio,
        }
    }

    /// While all tokens are there: one load.
    #[inline]
    pub(super) fn succeed(&self) {
        if self.tokens.load(Ordering::Relaxed) < self.max {
            self.change(|tokens| tokens.saturating_add(self.ratio).min(self.max));
        }
    }

    pub(super) fn fail(&self) {
        self.change(|tokens| tokens.saturating_sub(THOUSAND));
    }

    fn change(&self, to: impl Fn(u64) -> u64) {
        let mut tokens = self.tokens.load(Ordering::Relaxed);
        while let Err(now) = self.tokens.compare_exchange_weak(
            tokens,
            to(tokens),
            Ordering::Relaxed,
            Ordering::Relaxed,
        ) {
            tokens = now;
        }
    }

    pub(super) fn allows(&self) -> bool {
        2 * self.tokens.load(Ordering::Relaxed) > self.max
    }

    /// How many failed attempts in a row would still be tried again.
    pub(super) fn balance(&self) -> u64 {
        let twice = 2 * self.tokens.load(Ordering::Relaxed);
        // Allowed after `n` more failures iff 2 * (tokens - 1000 n) > max.
        (twice.saturating_sub(self.max)).saturating_sub(1) / (2 * THOUSAND)
    }

    pub(super) fn reset(&self) {
        self.tokens.store(self.max, Ordering::Relaxed);
    }
}
