//! The restarts that were granted, as far back as they count.

use super::RestartBudget;
use crate::kernel::instant::Instant;
use std::collections::VecDeque;

/// A sliding window of granted restarts; time is an argument.
///
/// At most as many times as the budget grants, oldest first. Nothing is allocated before the first
/// one.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    budget: RestartBudget,
    /// In milliseconds, never falling.
    granted: VecDeque<u64>,
}

const MS: u64 = 1_000_000;

const fn millis(now: Instant) -> u64 {
    now.as_nanos() / MS
}

impl Window {
    pub(crate) const fn new(budget: RestartBudget) -> Self {
        Self {
            budget,
            granted: VecDeque::new(),
        }
    }

    /// Charges one restart: true if it is granted, false if it is one too many.
    ///
    /// What is refused is not recorded, as it is no restart.
    pub(crate) fn charge(&mut self, now: Instant) -> bool {
        let now = millis(now);
        // The clock stepped back: what it granted "later" was granted by now.
        for later in self.granted.iter_mut().rev().take_while(|at| **at > now) {
            *later = now;
        }
        while self
            .granted
            .front()
            .is_some_and(|at| !self.counts(*at, now))
        {
            self.granted.pop_front();
        }
        let is_granted = self.granted.len() < self.capacity();
        if is_granted {
            self.granted.push_back(now);
        }
        is_granted
    }

    /// How many restarts the window counts now.
    pub(crate) fn used(&self, now: Instant) -> u32 {
        let now = millis(now);
        let counted = self
            .granted
            .iter()
            .rev()
            .take_while(|at| self.counts(**at, now));
        u32::try_from(counted.count()).unwrap_or(u32::MAX)
    }

    fn counts(&self, at: u64, now: u64) -> bool {
        now.saturating_sub(at) < self.span()
    }

    fn span(&self) -> u64 {
        u64::try_from(self.budget.within().as_millis()).unwrap_or(u64::MAX)
    }

    const fn capacity(&self) -> usize {
        self.budget.restarts() as usize
    }

    /// How many times are held.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.granted.len()
    }
}
