//! Waiting on a thread for something that wakes it, or for the clock.

use super::{Clock, Kind};
use crate::kernel::instant::Instant;
use crate::kernel::sync::{Thread, current_thread};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

struct Unparker(Thread);

impl Wake for Unparker {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// A waker for this thread while it is in [`Clock::park_on`]. Made once per thread.
#[cfg(not(any(backstop_loom, backstop_shuttle)))]
pub(crate) fn unparker() -> Waker {
    thread_local! {
        static UNPARKER: Waker = Arc::new(Unparker(current_thread())).into();
    }
    // A thread that is ending has none left.
    UNPARKER
        .try_with(Waker::clone)
        .unwrap_or_else(|_| Arc::new(Unparker(current_thread())).into())
}

/// The same for a checker's threads, which share the thread that they run on.
#[cfg(any(backstop_loom, backstop_shuttle))]
pub(crate) fn unparker() -> Waker {
    Arc::new(Unparker(current_thread())).into()
}

impl Clock {
    /// Blocks this thread until `poll`, which hands `waker` (this thread's [`unparker`]) to what it
    /// waits for, is ready; or until the clock shows `deadline` or later, which is `None`.
    ///
    /// Under tokio's clock it looks again each millisecond, because a paused clock wakes nobody.
    pub(crate) fn park_on<T>(
        &self,
        deadline: Instant,
        waker: &Waker,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Option<T> {
        let mut cx = Context::from_waker(waker);
        // A manual clock wakes its sleepers when it is advanced; the others need a runtime for that.
        let sleep = match &self.0 {
            Kind::Manual(_) => self.sleep_until(deadline).ok(),
            Kind::System | Kind::Tokio => None,
        };
        let mut sleep = pin!(sleep);
        loop {
            if let Poll::Ready(value) = poll(&mut cx) {
                return Some(value);
            }
            let left = deadline.saturating_duration_since(self.now());
            if left.is_zero() {
                return None;
            }
            match sleep.as_mut().as_pin_mut() {
                Some(sleep) => {
                    if sleep.poll(&mut cx).is_pending() {
                        std::thread::park();
                    }
                }
                None => std::thread::park_timeout(self.longest_park(left)),
            }
        }
    }

    /// How long a thread may sleep before it must look at the clock again.
    pub(super) fn longest_park(&self, left: Duration) -> Duration {
        match self.0 {
            Kind::Tokio => left.min(Duration::from_millis(1)),
            _ => left,
        }
    }
}

#[cfg(all(test, not(any(backstop_loom, backstop_shuttle))))]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn only_a_clock_that_may_be_paused_is_looked_at_meanwhile() {
        assert_eq!(Clock::system().longest_park(SECOND), SECOND);
        let ms = Duration::from_millis(1);
        assert_eq!(Clock::tokio().longest_park(SECOND), ms);
        assert_eq!(Clock::tokio().longest_park(ms / 2), ms / 2);
    }

    #[test]
    fn a_parked_thread_is_woken_by_what_it_waits_for() {
        for clock in [Clock::system(), Clock::tokio(), Clock::manual().clock()] {
            let place = Mutex::new(None::<Waker>);
            let is_done = AtomicBool::new(false);
            std::thread::scope(|scope| {
                let parked = scope.spawn(|| {
                    let forever = clock.now() + 3_600 * SECOND;
                    clock.park_on(forever, &unparker(), |cx| {
                        *place.lock().unwrap() = Some(cx.waker().clone());
                        if is_done.load(Ordering::Acquire) {
                            Poll::Ready(7)
                        } else {
                            Poll::Pending
                        }
                    })
                });
                let waker = loop {
                    if let Some(waker) = place.lock().unwrap().take() {
                        break waker;
                    }
                    std::thread::yield_now();
                };
                is_done.store(true, Ordering::Release);
                waker.wake();
                assert_eq!(parked.join().unwrap(), Some(7), "{clock:?}");
            });
        }
    }

    #[test]
    fn a_deadline_ends_it() {
        for clock in [Clock::system(), Clock::tokio()] {
            let deadline = clock.now() + Duration::from_millis(2);
            let parked = clock.park_on(deadline, &unparker(), |_| Poll::<()>::Pending);
            assert_eq!(parked, None);
            assert!(clock.now() >= deadline);
        }
    }

    #[test]
    fn a_manual_clock_that_is_advanced_ends_it() {
        let manual = Clock::manual();
        let clock = manual.clock();
        let deadline = clock.now() + SECOND;
        let polls = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let parked = scope.spawn(|| {
                clock.park_on(deadline, &unparker(), |_| {
                    polls.store(true, Ordering::Release);
                    Poll::<()>::Pending
                })
            });
            while !polls.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
            manual.advance(SECOND);
            assert_eq!(parked.join().unwrap(), None);
        });
    }
}
