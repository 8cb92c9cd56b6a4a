//! The interleavings of small cases on the whole bulkhead.
//!
//! Two threads are interrupted up to three times, three threads up to twice.

use super::*;
use crate::kernel::clock::{Clock, ManualClock};
use crate::kernel::rejection::RejectionKind;
use crate::kernel::stripe::set_thread_number;
use crate::kernel::sync::explore;
use futures::task::{ArcWake, waker};
use loom::thread::{self, JoinHandle};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

const TWO_THREADS: Option<usize> = Some(3);
const THREE_THREADS: Option<usize> = Some(2);
const SECOND: Duration = Duration::from_secs(1);

/// A waker that counts. What it counts is no part of the model.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl ArcWake for Wakes {
    fn wake_by_ref(this: &Arc<Self>) {
        this.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A call that waits, or may.
struct Waiter {
    acquire: Pin<Box<AcquireOwned>>,
    wakes: Arc<Wakes>,
}

impl Waiter {
    fn new(bulkhead: &Bulkhead) -> Self {
        Self {
            acquire: Box::pin(bulkhead.acquire_owned(Ask::default())),
            wakes: Arc::default(),
        }
    }

    /// Polls it once; `None` while it waits.
    fn poll(&mut self) -> Option<Result<OwnedPermit, RejectionKind>> {
        let waker = waker(self.wakes.clone());
        match self.acquire.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(acquired) => Some(acquired.map_err(|rejection| rejection.kind())),
            Poll::Pending => None,
        }
    }

    /// Polls it once and expects that it waits.
    fn waiting(bulkhead: &Bulkhead) -> Self {
        let mut waiter = Self::new(bulkhead);
        assert!(waiter.poll().is_none());
        waiter
    }

    fn wakes(&self) -> usize {
        self.wakes.0.load(Ordering::Relaxed)
    }

    /// Woken exactly once, and served.
    #[track_caller]
    fn is_served(mut self) -> OwnedPermit {
        assert_eq!(self.wakes(), 1, "woken once");
        self.poll().expect("woken for a slot").expect("served")
    }
}

fn rig(slots: u32) -> (Bulkhead, ManualClock) {
    let clock = Clock::manual();
    let config = BulkheadConfig::default()
        .max_concurrent(slots)
        .queue(3, SECOND);
    let bulkhead = Bulkhead::with_clock("loom", config, &clock).unwrap();
    (bulkhead, clock)
}

fn spawn<R: 'static>(
    bulkhead: &Bulkhead,
    number: usize,
    act: impl FnOnce(&Bulkhead) -> R + 'static,
) -> JoinHandle<R> {
    let bulkhead = bulkhead.clone();
    thread::spawn(move || {
        set_thread_number(number);
        act(&bulkhead)
    })
}

/// Nothing is held, nobody waits, and all slots can be taken.
#[track_caller]
fn is_idle(bulkhead: &Bulkhead) {
    let snapshot = bulkhead.snapshot();
    assert_eq!((snapshot.in_flight, snapshot.waiting), (0, 0));
    let permits: Vec<_> = (0..snapshot.limit)
        .map(|_| bulkhead.try_acquire().expect("a free slot"))
        .collect();
    assert!(bulkhead.try_acquire().is_err());
    drop(permits);
    assert_eq!(bulkhead.in_flight(), 0);
}

#[test]
fn loom_bh1a_one_slot_is_taken_once() {
    explore(TWO_THREADS, || {
        let (bulkhead, _) = rig(1);
        let other = spawn(&bulkhead, 1, |bulkhead| {
            bulkhead.try_acquire_owned().map_err(drop)
        });
        let mine = bulkhead.try_acquire_owned().map_err(drop);
        let theirs = other.join().unwrap();
        assert!(mine.is_ok() != theirs.is_ok());
        drop((mine, theirs));
        is_idle(&bulkhead);
        assert_eq!(bulkhead.snapshot().peak, 1);
    });
}

/// A slot that is given back while a call looks for one: the call gets it, at once or by a wake.
#[test]
fn loom_bh4b_a_release_beside_an_arrival_is_not_missed() {
    explore(TWO_THREADS, || {
        let (bulkhead, _) = rig(1);
        let permit = bulkhead.try_acquire_owned().unwrap();
        let other = spawn(&bulkhead, 1, |_| drop(permit));
        let mut waiter = Waiter::new(&bulkhead);
        let at_once = waiter.poll();
        other.join().unwrap();
        let permit = match at_once {
            Some(permit) => {
                assert_eq!(waiter.wakes(), 0);
                permit.unwrap()
            }
            None => waiter.is_served(),
        };
        drop(permit);
        is_idle(&bulkhead);
    });
}

/// While one waits, another that comes by does not get the slot that is given back.
#[test]
fn loom_bh4b_nobody_barges() {
    explore(THREE_THREADS, || {
        let (bulkhead, _) = rig(1);
        let permit = bulkhead.try_acquire_owned().unwrap();
        let waiter = Waiter::waiting(&bulkhead);
        let releases = spawn(&bulkhead, 1, |_| drop(permit));
        let barges = spawn(&bulkhead, 2, |bulkhead| bulkhead.try_acquire().is_ok());
        releases.join().unwrap();
        assert!(!barges.join().unwrap());
        drop(waiter.is_served());
        is_idle(&bulkhead);
    });
}

#[test]
fn loom_bh4c_two_releases_wake_two_waiters_once() {
    explore(THREE_THREADS, || {
        let (bulkhead, _) = rig(2);
        let permits = [(); 2].map(|()| bulkhead.try_acquire_owned().unwrap());
        let waiters = [(); 2].map(|()| Waiter::waiting(&bulkhead));
        let [one, two] = permits;
        let threads = [
            spawn(&bulkhead, 1, |_| drop(one)),
            spawn(&bulkhead, 2, |_| drop(two)),
        ];
        for thread in threads {
            thread.join().unwrap();
        }
        let served = waiters.map(Waiter::is_served);
        assert_eq!(bulkhead.in_flight(), 2);
        drop(served);
        is_idle(&bulkhead);
    });
}

/// A waiter is dropped while its slot comes free: the slot goes to the next, or is free.
#[test]
fn loom_bh4d_a_cancelled_waiter_passes_its_slot_on() {
    for others in [0, 1] {
        explore(TWO_THREADS, move || {
            let (bulkhead, _) = rig(1);
            let permit = bulkhead.try_acquire_owned().unwrap();
            let goes = Waiter::waiting(&bulkhead);
            let stays: Vec<_> = (0..others).map(|_| Waiter::waiting(&bulkhead)).collect();
            let releases = spawn(&bulkhead, 1, |_| drop(permit));
            drop(goes);
            releases.join().unwrap();
            stays
                .into_iter()
                .for_each(|waiter| drop(waiter.is_served()));
            assert_eq!(bulkhead.totals().cancelled, 1);
            is_idle(&bulkhead);
        });
    }
}

/// Two of a queue are dropped at once while a slot comes free.
#[test]
fn loom_bh4d_two_cancelled_waiters_lose_nothing() {
    explore(THREE_THREADS, || {
        let (bulkhead, _) = rig(1);
        let permit = bulkhead.try_acquire_owned().unwrap();
        let [one, two] = [(); 2].map(|()| Waiter::waiting(&bulkhead));
        let threads = [
            spawn(&bulkhead, 1, |_| drop(permit)),
            spawn(&bulkhead, 2, |_| drop(one)),
        ];
        drop(two);
        for thread in threads {
            thread.join().unwrap();
        }
        is_idle(&bulkhead);
    });
}

/// The end of a wait races with the grant of a slot.
#[test]
fn loom_bh4g_a_grant_and_a_timeout_exclude_each_other() {
    explore(TWO_THREADS, || {
        let (bulkhead, clock) = rig(1);
        let permit = bulkhead.try_acquire_owned().unwrap();
        let mut waiter = Waiter::waiting(&bulkhead);
        clock.advance(SECOND);
        let releases = spawn(&bulkhead, 1, |_| drop(permit));
        let ended = waiter.poll().expect("served or over");
        releases.join().unwrap();
        let totals = bulkhead.totals();
        match ended {
            Ok(permit) => {
                assert_eq!((totals.waited, totals.refused()), (1, 0));
                assert_eq!(bulkhead.in_flight(), 1);
                drop(permit);
            }
            Err(kind) => {
                assert_eq!(kind, RejectionKind::Full);
                assert_eq!((totals.waited, totals.refused_wait_over), (0, 1));
            }
        }
        is_idle(&bulkhead);
    });
}

#[test]
fn loom_bh5b_a_resize_beside_a_release_serves_two() {
    explore(TWO_THREADS, || {
        let (bulkhead, _) = rig(1);
        let permit = bulkhead.try_acquire_owned().unwrap();
        let waiters = [(); 2].map(|()| Waiter::waiting(&bulkhead));
        let releases = spawn(&bulkhead, 1, |_| drop(permit));
        bulkhead.resize(2).unwrap();
        releases.join().unwrap();
        let served = waiters.map(Waiter::is_served);
        drop(served);
        is_idle(&bulkhead);
    });
}

/// With a slot less than before, no more run than the limit says once enough have ended.
#[test]
fn loom_bh5a_a_shrinking_resize_beside_arrivals() {
    explore(TWO_THREADS, || {
        let (bulkhead, _) = rig(2);
        let running = bulkhead.try_acquire_owned().unwrap();
        let other = spawn(&bulkhead, 1, |bulkhead| {
            let permit = bulkhead.try_acquire_owned().map_err(drop);
            drop(running);
            permit
        });
        bulkhead.resize(1).unwrap();
        let mine = bulkhead.try_acquire_owned().map_err(drop);
        let theirs = other.join().unwrap();
        let out = u32::from(mine.is_ok()) + u32::from(theirs.is_ok());
        assert_eq!(bulkhead.in_flight(), out);
        // The other may have had its permit before the resize; then one of three had ended when
        // this thread got its own.
        assert!(out <= 1, "{out} beside a limit of 1");
        drop((mine, theirs));
        is_idle(&bulkhead);
    });
}

/// An isolation turns away who waits, or the slot was there first.
#[test]
fn loom_bh1e_isolation_beside_a_release() {
    explore(TWO_THREADS, || {
        let (bulkhead, _) = rig(1);
        let permit = bulkhead.try_acquire_owned().unwrap();
        let mut waiter = Waiter::waiting(&bulkhead);
        let releases = spawn(&bulkhead, 1, |_| drop(permit));
        let held = bulkhead.isolate();
        releases.join().unwrap();
        assert_eq!(waiter.wakes(), 1);
        match waiter.poll().expect("served or turned away") {
            Ok(permit) => drop(permit),
            Err(kind) => assert_eq!(kind, RejectionKind::ForcedOpen),
        }
        assert!(bulkhead.try_acquire().is_err());
        drop(held);
        is_idle(&bulkhead);
    });
}

/// An arrival beside an isolation: it is not left waiting in a bulkhead that lets nobody in.
#[test]
fn loom_bh1e_isolation_beside_an_arrival() {
    explore(TWO_THREADS, || {
        let (bulkhead, _) = rig(1);
        let permit = bulkhead.try_acquire_owned().unwrap();
        let other = spawn(&bulkhead, 1, |bulkhead| {
            let mut waiter = Waiter::new(bulkhead);
            let news = waiter.poll();
            (news.is_some(), waiter)
        });
        let held = bulkhead.isolate();
        let (has_ended, waiter) = other.join().unwrap();
        assert!(has_ended || waiter.wakes() == 1);
        drop((waiter, held, permit));
        is_idle(&bulkhead);
    });
}

/// A waiter whose waker changes beside the release is woken by the one or finds the slot itself.
#[test]
fn loom_bh4c_a_changed_waker_is_not_missed() {
    explore(TWO_THREADS, || {
        let (bulkhead, _) = rig(1);
        let permit = bulkhead.try_acquire_owned().unwrap();
        let mut waiter = Waiter::waiting(&bulkhead);
        let old = std::mem::take(&mut waiter.wakes);
        let releases = spawn(&bulkhead, 1, |_| drop(permit));
        let polled = waiter.poll();
        releases.join().unwrap();
        let woken = [old.0.load(Ordering::Relaxed), waiter.wakes()];
        let permit = match polled {
            Some(permit) => {
                assert_eq!(woken, [1, 0]);
                permit.unwrap()
            }
            None => {
                assert_eq!(woken, [0, 1]);
                waiter.poll().expect("woken").unwrap()
            }
        };
        drop(permit);
        is_idle(&bulkhead);
    });
}
