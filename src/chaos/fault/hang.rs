//! The calls that hang on one fault.

use crate::kernel::clock::Clock;
use crate::kernel::instant::Instant;
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Holds calls until it is opened, once.
#[derive(Debug, Default)]
pub(super) struct Gate {
    waiting: Mutex<Waiting>,
    opened: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    open: bool,
    next_id: u64,
    /// By arrival: the order in which they are woken.
    wakers: BTreeMap<u64, Waker>,
}

impl Gate {
    /// Lets everybody through, from now on. The caller wakes those who wait.
    pub(super) fn open(&self) -> Vec<Waker> {
        let wakers = {
            let mut waiting = self.waiting.lock();
            waiting.open = true;
            std::mem::take(&mut waiting.wakers)
        };
        self.opened.notify_all();
        wakers.into_values().collect()
    }

    pub(super) fn is_open(&self) -> bool {
        self.waiting.lock().open
    }

    /// Ready once it is open; `place` is the caller's place among those who wait.
    pub(super) fn poll(&self, place: &mut Option<u64>, cx: &Context<'_>) -> Poll<()> {
        // Wakers are the executor's code: cloned before the lock, dropped after it.
        let waker = cx.waker().clone();
        let mut waiting = self.waiting.lock();
        if waiting.open {
            drop(waiting);
            return Poll::Ready(());
        }
        let id = *place.get_or_insert(waiting.next_id);
        waiting.next_id = waiting.next_id.max(id + 1);
        let replaced = waiting.wakers.insert(id, waker);
        drop(waiting);
        drop(replaced);
        Poll::Pending
    }

    /// Gives up a place.
    pub(super) fn leave(&self, place: Option<u64>) {
        if let Some(id) = place {
            let removed = self.waiting.lock().wakers.remove(&id);
            drop(removed);
        }
    }

    /// Blocks this thread until it is open, or the clock shows `end`.
    pub(super) fn park(&self, clock: &Clock, end: Option<Instant>) {
        let mut waiting = self.waiting.lock();
        while !waiting.open {
            let Some(end) = end else {
                self.opened.wait(&mut waiting);
                continue;
            };
            let left = end.saturating_duration_since(clock.now());
            if left.is_zero() {
                return;
            }
            // Nobody tells this gate that a clock was moved by hand, so it looks again.
            self.opened.wait_for(&mut waiting, left.min(LOOK_AGAIN));
        }
    }
}

/// As [`Clock::park_until`] looks again under tokio's clock.
const LOOK_AGAIN: Duration = Duration::from_millis(1);
