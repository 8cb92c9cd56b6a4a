//! What somebody would try who wants to break a bulkhead.

use crate::bulkhead::{Rig, slots};
use crate::bulkhead_waits::Waiter;
use crate::rig::SECOND;
use backstop::kernel::clock::Clock;
use backstop::kernel::priority::Priority;
use backstop::policy::bulkhead::{AcquireOwned, Ask, Order, OwnedPermit};
use backstop::{Bulkhead, BulkheadConfig, Error};
use futures::task::{ArcWake, waker};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

/// A waiter that is polled by the wake itself, on the stack of whoever gave the slot back, and whose
/// call ends at once.
#[derive(Default)]
struct Inline {
    acquire: Mutex<Option<Pin<Box<AcquireOwned>>>>,
    ran: AtomicU32,
    drops: bool,
}

impl ArcWake for Inline {
    fn wake_by_ref(this: &Arc<Self>) {
        let acquire = this.acquire.lock().unwrap().take();
        let Some(mut acquire) = acquire else { return };
        if this.drops {
            return drop(acquire);
        }
        let waker = waker(this.clone());
        let polled = acquire.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(matches!(polled, Poll::Ready(Ok(_))));
        this.ran.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn bh4d_bh4e_waiters_that_run_or_go_within_their_wake_pass_the_slot_down_the_queue() {
    for drops in [false, true] {
        let rig = Rig::new(slots(1).queue(500, SECOND));
        let held = rig.bulkhead.try_acquire().unwrap();
        let waiters: Vec<Arc<Inline>> = (0..500)
            .map(|_| {
                let inline = Arc::new(Inline {
                    drops,
                    ..Inline::default()
                });
                let mut acquire = Box::pin(rig.bulkhead.acquire_owned(Ask::default()));
                let waker = waker(inline.clone());
                let polled = acquire.as_mut().poll(&mut Context::from_waker(&waker));
                assert!(polled.is_pending());
                *inline.acquire.lock().unwrap() = Some(acquire);
                inline
            })
            .collect();
        drop(held);
        let ran: u32 = waiters
            .iter()
            .map(|waiter| waiter.ran.load(Ordering::Relaxed))
            .sum();
        let totals = rig.bulkhead.totals();
        assert_eq!(
            (ran, totals.cancelled),
            if drops { (0, 500) } else { (500, 0) }
        );
        let snapshot = rig.bulkhead.snapshot();
        assert_eq!((snapshot.in_flight, snapshot.waiting), (0, 0));
        assert_eq!(snapshot.peak, 1);
    }
}

#[test]
fn bh4h_a_slot_that_comes_back_while_a_thread_unwinds_is_handed_on() {
    let rig = Rig::new(slots(1).queue(3, SECOND));
    let held = rig.bulkhead.try_acquire().unwrap();
    let mut waiter = Waiter::queued(&rig.bulkhead, Ask::default());
    let unwinds = catch_unwind(AssertUnwindSafe(|| {
        let _held = held;
        panic!("ordered");
    }));
    assert!(unwinds.is_err());
    drop(waiter.is_served());
    assert!(rig.bulkhead.try_acquire().is_ok());
}

#[test]
fn bh4c_a_waiter_that_moves_to_another_task_is_woken_there() {
    let rig = Rig::new(slots(1).queue(3, SECOND));
    let held = rig.bulkhead.try_acquire().unwrap();
    let mut acquire = Box::pin(rig.bulkhead.acquire_owned(Ask::default()));
    let tasks = [(); 3].map(|()| Arc::new(Counted::default()));
    for task in &tasks {
        let waker = waker(task.clone());
        assert!(
            acquire
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
    }
    drop(held);
    let woken = tasks.each_ref().map(|task| task.0.load(Ordering::Relaxed));
    assert_eq!(woken, [0, 0, 1]);
}

#[derive(Default)]
struct Counted(AtomicU32);

impl ArcWake for Counted {
    fn wake_by_ref(this: &Arc<Self>) {
        this.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_clock_that_steps_back_ends_no_wait_early_and_loses_none() {
    let rig = Rig::new(slots(1).queue(3, SECOND));
    let held = rig.bulkhead.try_acquire().unwrap();
    let [mut served, mut over] = [(); 2].map(|()| Waiter::queued(&rig.bulkhead, Ask::default()));
    rig.clock.step_back(10 * SECOND);
    assert!(served.poll().is_none() && over.poll().is_none());
    rig.clock.advance(10 * SECOND);
    assert!(served.poll().is_none() && over.poll().is_none());
    drop(held);
    let held = served.is_served();
    rig.clock.advance(SECOND);
    assert!(over.poll().expect("over").is_err());
    drop(held);
    assert_eq!(rig.bulkhead.in_flight(), 0);
}

#[test]
fn handles_of_every_kind_share_the_slots() {
    let bulkhead: &'static Bulkhead = Box::leak(Box::new(Bulkhead::new("one", slots(2)).unwrap()));
    let pointer = Bulkhead::from(bulkhead);
    let counted = bulkhead.clone();
    let first: OwnedPermit = pointer.try_acquire_owned().unwrap();
    let second = counted.try_acquire_owned().unwrap();
    for handle in [bulkhead, &pointer, &counted, &pointer.clone()] {
        assert!(handle.try_acquire().is_err());
        assert_eq!(handle.in_flight(), 2);
    }
    drop((pointer, counted));
    drop((first, second));
    assert_eq!(bulkhead.in_flight(), 0);
}

/// Tasks of a real runtime that wait, run, time out and are aborted. The time they take is a matter
/// of milliseconds, and nothing is asserted of it.
#[test]
fn bh4h_bh7b_tasks_that_are_aborted_at_any_moment_lose_no_slot() {
    const TASKS: u64 = 2_000;
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .unwrap();
    let config = BulkheadConfig::default()
        .max_concurrent(3)
        .queue(64, Duration::from_millis(5))
        .order(Order::Lifo);
    let bulkhead = Bulkhead::with_clock("tasks", config, Clock::system()).unwrap();
    let inside = Arc::new(AtomicU32::new(0));
    runtime.block_on(async {
        let mut tasks = Vec::new();
        for _ in 0..TASKS {
            let (bulkhead, inside) = (bulkhead.clone(), inside.clone());
            let priority = Priority::ALL[rng.usize(..4)];
            let yields = rng.u8(..4);
            let task = tokio::spawn(async move {
                let work = || async {
                    /// Counts itself out, also when its call is dropped.
                    struct Inside(Arc<AtomicU32>);
                    impl Drop for Inside {
                        fn drop(&mut self) {
                            self.0.fetch_sub(1, Ordering::SeqCst);
                        }
                    }
                    let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                    let _inside = Inside(inside.clone());
                    assert!(now <= 3, "{now} calls at once");
                    for _ in 0..yields {
                        tokio::task::yield_now().await;
                    }
                    Ok::<(), ()>(())
                };
                match bulkhead.call_with(priority, work).await {
                    Ok(()) | Err(Error::Rejected(_)) => {}
                    Err(Error::Inner(())) => panic!("no call fails"),
                }
            });
            if rng.u8(..) < 100 {
                task.abort();
            }
            tasks.push(task);
            if rng.u8(..) < 40 {
                tokio::task::yield_now().await;
            }
        }
        for task in tasks {
            if let Err(error) = task.await {
                assert!(error.is_cancelled(), "{error}");
            }
        }
    });
    drop(runtime);
    let (totals, snapshot) = (bulkhead.totals(), bulkhead.snapshot());
    assert_eq!((snapshot.in_flight, snapshot.waiting), (0, 0));
    assert_eq!(inside.load(Ordering::SeqCst), 0);
    assert!(snapshot.peak <= 3);
    // An aborted task may never have asked.
    let asked = totals.finished + totals.cancelled + totals.refused();
    assert!(asked <= TASKS && totals.finished > 0, "{totals:?}");
    let permits: Vec<_> = (0..3).map(|_| bulkhead.try_acquire().unwrap()).collect();
    drop(permits);
}
