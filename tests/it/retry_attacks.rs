//! What would break it: handles used from all that they call, clocks that jump, tasks that fight.

use crate::retry_rig::{Rig, plain, poll};
use crate::rig::{MS, SECOND};
use backstop::kernel::budget::BudgetConfig;
use backstop::kernel::clock::Clock;
use backstop::policy::retry::{RetryEvent, RetryTotals};
use backstop::{Error, Retry, RetryConfig};
use futures::FutureExt;
use futures::task::{ArcWake, waker};
use std::future::{Future, pending, ready};
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::task::Context;
use std::time::Duration;

/// Runs a test in a thread of its own and fails if it does not come back.
fn returns(test: impl FnOnce() + Send + 'static) {
    let (done, is_done) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        test();
        let _ = done.send(());
    });
    match is_done.recv_timeout(60 * SECOND) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it is locked up"),
        // It panicked, and says so when it is joined.
        Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => thread.join().expect("no panic"),
    }
}

fn at_once() -> RetryConfig {
    plain()
        .waits(|| std::iter::repeat(Duration::ZERO))
        .budget(BudgetConfig::default())
}

fn leaked() -> &'static Retry {
    let retry = Retry::with_clock("attacks", at_once(), Clock::manual()).unwrap();
    Box::leak(Box::new(retry))
}

/// Uses everything that a handle offers, and waits for nothing.
fn poke(retry: &Retry) {
    let _ = retry.call_blocking(|_| Err::<(), _>("no"));
    look(retry);
}

/// The same without a call that may have to wait.
fn look(retry: &Retry) {
    let _: RetryTotals = retry.totals();
    let _ = retry.budget_balance();
    let _ = format!("{retry:?}");
    let _ = retry.call(|_| ready(Ok::<_, &str>(()))).now_or_never();
    drop(retry.isolate());
    let _ = retry.reconfigure(retry.config());
    let _ = retry.subscribe(NonZeroUsize::MIN).try_recv();
    retry.reset();
}

/// An error that uses the handle when it is dropped.
#[derive(Debug)]
struct Poking(&'static Retry);

impl Drop for Poking {
    fn drop(&mut self) {
        look(self.0);
    }
}

#[test]
fn operation_predicate_waits_and_errors_may_use_the_handle() {
    returns(|| {
        let retry = leaked();
        let made = Arc::new(AtomicU32::new(0));
        let count = made.clone();
        let config = at_once().waits(move || {
            count.fetch_add(1, Ordering::Relaxed);
            // A configuration of its own, so that this does not come back here.
            let inner = Retry::with_clock("inner", at_once(), Clock::manual()).unwrap();
            poke(&inner);
            std::iter::from_fn(move || {
                poke(&inner);
                Some(Duration::ZERO)
            })
        });
        retry.reconfigure(config).unwrap();
        let when = |result: Result<&u8, &Poking>| {
            let inner = Retry::with_clock("inner", at_once(), Clock::manual()).unwrap();
            poke(&inner);
            let _ = retry.totals();
            result.is_err()
        };
        let call = retry.call_with(when, |attempt| {
            let _ = (retry.totals(), retry.config(), retry.isolate());
            let error = Poking(retry);
            let number = attempt.number;
            async move {
                if number > 2 {
                    return Ok(7);
                }
                Err(error)
            }
        });
        assert!(matches!(call.now_or_never(), Some(Ok(7))));
        let blocked = retry.call_blocking(|_| Err::<(), _>(Poking(retry)));
        drop(blocked);
        assert!(made.load(Ordering::Relaxed) >= 1);
    });
}

#[test]
fn old_waits_are_dropped_under_no_lock() {
    struct PokingWaits(&'static Retry, Arc<AtomicU32>);
    impl Drop for PokingWaits {
        fn drop(&mut self) {
            // It has all locks to itself, those of a change included.
            let _ = (self.0.config(), self.0.isolate());
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }
    returns(|| {
        let retry = leaked();
        let dropped = Arc::new(AtomicU32::new(0));
        for _ in 0..3 {
            let held = PokingWaits(retry, dropped.clone());
            let config = at_once().waits(move || {
                let _ = &held;
                std::iter::repeat(Duration::ZERO)
            });
            retry.reconfigure(config).unwrap();
        }
        retry.reconfigure(at_once()).unwrap();
        assert_eq!(dropped.load(Ordering::Relaxed), 3);
    });
}

#[test]
fn a_subscribers_waker_may_use_the_handle() {
    struct PokingWaker(&'static Retry, AtomicU32);
    impl ArcWake for PokingWaker {
        fn wake_by_ref(this: &Arc<Self>) {
            poke(this.0);
            this.1.fetch_add(1, Ordering::Relaxed);
        }
    }
    returns(|| {
        let retry = leaked();
        let mut events = retry.subscribe(NonZeroUsize::MIN);
        let watching = Arc::new(PokingWaker(retry, AtomicU32::new(0)));
        {
            let waker = waker(watching.clone());
            let mut next = Box::pin(events.recv());
            assert!(
                next.poll_unpin(&mut Context::from_waker(&waker))
                    .is_pending()
            );
        }
        let _ = retry.call_blocking(|_| Err::<(), _>("down"));
        assert_eq!(watching.1.load(Ordering::Relaxed), 1);
        let event: Option<RetryEvent> = events.try_recv();
        assert!(event.is_some());
    });
}

/// A wait, an attempt and the operation's values drop what uses the handle, in any state.
#[test]
fn futures_dropped_in_any_state_may_use_the_handle() {
    returns(|| {
        let retry = leaked();
        retry
            .reconfigure(plain().budget(BudgetConfig::in_flight(0.2, 1)))
            .unwrap();
        let held = Poking(retry);
        let mut waiting = Box::pin(retry.call(move |_| {
            let _ = &held;
            ready(Err::<(), _>(Poking(retry)))
        }));
        assert!(poll(waiting.as_mut()).is_pending());
        drop(waiting);
        let mut running = Box::pin(retry.call(|_| {
            let held = Poking(retry);
            async move {
                let _held = held;
                pending::<Result<(), Poking>>().await
            }
        }));
        assert!(poll(running.as_mut()).is_pending());
        drop(running);
        assert_eq!(retry.budget_balance(), Some(1));
    });
}

#[test]
fn a_clock_that_steps_back_makes_a_wait_longer_and_nothing_else() {
    let rig = Rig::new(plain().deadline(SECOND));
    let mut call = Box::pin(rig.retry.call(|_| async { Err::<(), _>("down") }));
    assert!(poll(call.as_mut()).is_pending());
    rig.clock.step_back(SECOND);
    assert!(poll(call.as_mut()).is_pending());
    rig.clock.advance(SECOND + 10 * MS);
    assert!(poll(call.as_mut()).is_pending());
    rig.clock.step_back(3_600 * SECOND);
    assert!(poll(call.as_mut()).is_pending());
    // A jump over everything: the third attempt is made, and it is the last.
    rig.clock.advance(1_000_000 * SECOND);
    assert!(matches!(rig.run(call), Err(Error::Inner("down"))));
    assert_eq!(rig.retry.totals().attempts, 3);
}

/// The waker of a call is what wakes it after its wait.
#[test]
fn a_wait_wakes_the_task_that_polled_last_and_polls_itself_never() {
    struct Counting(AtomicU32);
    impl ArcWake for Counting {
        fn wake_by_ref(this: &Arc<Self>) {
            this.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let rig = Rig::new(plain());
    let [first, second] = [(); 2].map(|()| Arc::new(Counting(AtomicU32::new(0))));
    let mut call = Box::pin(rig.retry.call(|_| async { Err::<(), _>("down") }));
    for task in [&first, &second] {
        let waker = waker(task.clone());
        let polled = call.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
    }
    rig.clock.advance(9 * MS);
    let woken = || [&first, &second].map(|task| task.0.load(Ordering::Relaxed));
    assert_eq!(woken(), [0, 0]);
    rig.clock.advance(MS);
    assert_eq!(woken(), [0, 1]);
}

/// 64 tasks on a runtime of many threads, at the edge of a budget that all share.
#[test]
fn rt5f_rt7b_64_tasks_at_the_edge_of_a_budget() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(8)
        .build()
        .unwrap();
    // 10 for the minimum, and a fifth of 64 * 50 calls.
    let budget = BudgetConfig::token_bucket(10 * SECOND, 1, 0.2);
    let config = at_once().max_attempts(100).budget(budget);
    let retry = Retry::with_clock("edge", config, Clock::manual()).unwrap();
    let attempts = Arc::new(AtomicU64::new(0));
    runtime.block_on(async {
        let tasks = (0..64).map(|_| {
            let (retry, attempts) = (retry.clone(), attempts.clone());
            tokio::spawn(async move {
                for _ in 0..50 {
                    let call = retry.call(|_| {
                        attempts.fetch_add(1, Ordering::Relaxed);
                        async {
                            tokio::task::yield_now().await;
                            Err::<(), _>("down")
                        }
                    });
                    assert!(call.await.is_err());
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
    });
    let totals = retry.totals();
    assert_eq!(totals.attempts, attempts.load(Ordering::Relaxed));
    assert_eq!(totals.calls(), 3_200);
    assert_eq!(totals.retries + retry.budget_balance().unwrap(), 10 + 640);
    assert_eq!(totals.retries + totals.calls(), totals.attempts);
}

/// A future that is moved before it is polled, boxed or not, is the same call.
#[test]
fn a_call_may_move_until_it_is_polled() {
    let rig = Rig::new(plain());
    let calls: Vec<_> = (0..4)
        .map(|_| rig.retry.call(|_| ready(Ok::<_, ()>(1))))
        .collect();
    for call in calls.into_iter().rev() {
        let boxed: Pin<Box<dyn Future<Output = _>>> = Box::pin(call);
        assert!(boxed.now_or_never().is_some());
    }
    assert_eq!(rig.retry.totals().success, 4);
}
