//! One result for all that wait for it.

use crate::kernel::sync::{Mutex, wake_all};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// A result that comes once, and that any number of futures wait for.
#[derive(Debug)]
pub(crate) struct Landing<T> {
    waiting: Mutex<Waiting<T>>,
}

#[derive(Debug)]
struct Waiting<T> {
    result: Option<T>,
    next_seat: u64,
    wakers: Vec<(u64, Waker)>,
}

impl<T: Clone> Landing<T> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            waiting: Mutex::new(Waiting {
                result: None,
                next_seat: 0,
                wakers: Vec::new(),
            }),
        })
    }

    /// Brings the result, unless there is one already; whether it did.
    pub(crate) fn land(&self, result: T) -> bool {
        let wakers = {
            let mut waiting = self.waiting.lock();
            if waiting.result.is_some() {
                return false;
            }
            waiting.result = Some(result);
            std::mem::take(&mut waiting.wakers)
        };
        // Wakers are the executor's code, so they run after the unlock.
        wake_all(wakers.into_iter().map(|(_, waker)| waker).collect());
        true
    }
}

/// A seat among those that wait. Dropping it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Seat<T> {
    landing: Arc<Landing<T>>,
    seat: Option<u64>,
}

impl<T: Clone> Seat<T> {
    pub(crate) const fn new(landing: Arc<Landing<T>>) -> Self {
        Self {
            landing,
            seat: None,
        }
    }

    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<T> {
        let waker = cx.waker().clone();
        let mut waiting = self.landing.waiting.lock();
        if let Some(result) = waiting.result.clone() {
            drop(waiting);
            return Poll::Ready(result);
        }
        let replaced = if let Some(seat) = self.seat {
            let mine = waiting.wakers.iter_mut().find(|(at, _)| *at == seat);
            mine.map(|(_, mine)| std::mem::replace(mine, waker))
        } else {
            let seat = waiting.next_seat;
            waiting.next_seat += 1;
            waiting.wakers.push((seat, waker));
            self.seat = Some(seat);
            None
        };
        drop(waiting);
        drop(replaced);
        Poll::Pending
    }
}

impl<T> Drop for Seat<T> {
    fn drop(&mut self) {
        let Some(seat) = self.seat else { return };
        let mut waiting = self.landing.waiting.lock();
        let at = waiting.wakers.iter().position(|(at, _)| *at == seat);
        let mine = at.map(|at| waiting.wakers.swap_remove(at));
        drop(waiting);
        drop(mine);
    }
}
