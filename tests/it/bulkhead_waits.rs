//! The rules of the bulkhead's queue.

use crate::bulkhead::{Rig, refused, slots};
use crate::rig::{MS, SECOND};
use backstop::kernel::clock::Clock;
use backstop::kernel::priority::Priority;
use backstop::kernel::rejection::{Rejection, RejectionKind};
use backstop::policy::bulkhead::{Ask, EventKind, Order, OwnedPermit, QueueingBulkheadLayer};
use backstop::{Bulkhead, BulkheadConfig, Error};
use futures::FutureExt;
use futures::task::{ArcWake, waker};
use std::future::{Future, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use tower::{Layer, Service};

#[derive(Default)]
pub(crate) struct Wakes(AtomicUsize);

impl ArcWake for Wakes {
    fn wake_by_ref(this: &Arc<Self>) {
        this.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A call in the queue, and how often it was woken.
pub(crate) struct Waiter {
    acquire: Pin<Box<dyn Future<Output = Result<OwnedPermit, Rejection>>>>,
    wakes: Arc<Wakes>,
}

impl Waiter {
    pub(crate) fn new(bulkhead: &Bulkhead, ask: impl Into<Ask>) -> Self {
        Self {
            acquire: Box::pin(bulkhead.acquire_owned(ask)),
            wakes: Arc::default(),
        }
    }

    /// In the queue.
    #[track_caller]
    pub(crate) fn queued(bulkhead: &Bulkhead, ask: impl Into<Ask>) -> Self {
        let mut waiter = Self::new(bulkhead, ask);
        assert!(waiter.poll().is_none(), "it waits");
        waiter
    }

    pub(crate) fn poll(&mut self) -> Option<Result<OwnedPermit, Rejection>> {
        let waker = waker(self.wakes.clone());
        match self.acquire.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(acquired) => Some(acquired),
            Poll::Pending => None,
        }
    }

    pub(crate) fn wakes(&self) -> usize {
        self.wakes.0.load(Ordering::Relaxed)
    }

    /// Woken once, for a slot.
    #[track_caller]
    pub(crate) fn is_served(&mut self) -> OwnedPermit {
        assert_eq!(self.wakes(), 1, "woken once");
        self.poll().expect("there is news").expect("a slot")
    }
}

fn queue(of: u32) -> BulkheadConfig {
    slots(of).queue(3, SECOND)
}

#[test]
fn bh1c_a_queue_has_an_end_and_so_has_each_wait() {
    let rig = Rig::new(queue(1));
    let _held = rig.bulkhead.try_acquire().unwrap();
    let mut waiters = [(); 3].map(|()| Waiter::queued(&rig.bulkhead, Ask::default()));
    assert_eq!(rig.bulkhead.snapshot().waiting, 3);
    let full = Waiter::new(&rig.bulkhead, Ask::default()).poll();
    assert_eq!(refused(full.expect("no room to wait")), RejectionKind::Full);
    let saturated = EventKind::Saturated {
        limit: 1,
        waiting: 3,
    };
    assert_eq!(rig.events(), [saturated]);

    rig.clock.advance(SECOND - MS);
    assert!(waiters.iter_mut().all(|waiter| waiter.poll().is_none()));
    assert!(waiters.iter().all(|waiter| waiter.wakes() == 0));
    rig.clock.advance(MS);
    for waiter in &mut waiters {
        assert_eq!(waiter.wakes(), 1);
        assert_eq!(refused(waiter.poll().expect("over")), RejectionKind::Full);
        assert!(waiter.poll().is_none(), "it has nothing more to say");
    }
    let totals = rig.bulkhead.totals();
    assert_eq!((totals.refused_full, totals.refused_wait_over), (1, 3));
    assert_eq!(rig.bulkhead.snapshot().waiting, 0);
}

#[test]
fn bh1c_a_call_waits_as_long_as_it_asks_for() {
    let rig = Rig::new(queue(1));
    let held = rig.bulkhead.try_acquire().unwrap();
    let impatient = Ask::default().max_wait(std::time::Duration::ZERO);
    let at_once = Waiter::new(&rig.bulkhead, impatient).poll();
    assert_eq!(
        refused(at_once.expect("it does not wait")),
        RejectionKind::Full
    );
    let blocking = rig.bulkhead.acquire_blocking(impatient);
    assert_eq!(refused(blocking), RejectionKind::Full);
    let mut short = Waiter::queued(&rig.bulkhead, Ask::default().max_wait(MS));
    let mut long = Waiter::queued(
        &rig.bulkhead,
        Ask::default().max_wait(std::time::Duration::MAX),
    );
    rig.clock.advance(MS);
    assert!(short.poll().expect("over").is_err());
    rig.clock.advance(3_600 * SECOND);
    assert!(long.poll().is_none());
    drop(held);
    drop(long.is_served());
}

#[test]
fn bh1c_a_wait_that_is_reconfigured_goes_on_as_it_began() {
    let rig = Rig::new(queue(1));
    let held = rig.bulkhead.try_acquire().unwrap();
    let mut waiters = [(); 3].map(|()| Waiter::queued(&rig.bulkhead, Ask::default()));
    rig.bulkhead.reconfigure(slots(1)).unwrap();
    let newcomer = Waiter::new(&rig.bulkhead, Ask::default()).poll();
    assert_eq!(refused(newcomer.expect("no queue")), RejectionKind::Full);
    drop(held);
    for waiter in &mut waiters {
        drop(waiter.is_served());
    }
}

#[test]
fn bh1d_a_higher_class_goes_first_and_then_the_order() {
    let classes = [
        Priority::Sheddable,
        Priority::Critical,
        Priority::CriticalPlus,
        Priority::SheddablePlus,
        Priority::Critical,
        Priority::CriticalPlus,
    ];
    for (order, expected) in [
        (Order::Fifo, [2, 5, 1, 4, 3, 0]),
        (Order::Lifo, [5, 2, 4, 1, 3, 0]),
    ] {
        let rig = Rig::new(slots(1).queue(9, SECOND).order(order));
        let mut held = Some(rig.bulkhead.try_acquire_owned().unwrap());
        let mut waiters = classes.map(|class| Waiter::queued(&rig.bulkhead, class));
        for next in expected {
            drop(held.take());
            let woken: Vec<usize> = (0..6).filter(|n| waiters[*n].wakes() == 1).collect();
            assert!(woken.contains(&next), "{woken:?} without {next}");
            held = Some(waiters[next].is_served());
            assert_eq!(rig.bulkhead.in_flight(), 1);
        }
        drop(held);
    }
}

#[test]
fn bh1d_the_order_can_be_exchanged_while_calls_wait() {
    let rig = Rig::new(queue(1));
    let held = rig.bulkhead.try_acquire().unwrap();
    let mut waiters = [(); 3].map(|()| Waiter::queued(&rig.bulkhead, Ask::default()));
    rig.bulkhead
        .reconfigure(queue(1).order(Order::Lifo))
        .unwrap();
    drop(held);
    drop(waiters[2].is_served());
    rig.bulkhead.reconfigure(queue(1)).unwrap();
    // The second had the slot before the order was changed back.
    drop(waiters[1].is_served());
    drop(waiters[0].is_served());
}

#[test]
fn bh1e_who_waits_is_turned_away_by_isolation_and_by_a_limit_of_zero() {
    let rig = Rig::new(queue(1));
    let held = rig.bulkhead.try_acquire().unwrap();
    let ways: [(&dyn Fn(), RejectionKind); 2] = [
        (&|| drop(rig.bulkhead.isolate()), RejectionKind::ForcedOpen),
        (&|| rig.bulkhead.resize(0).unwrap(), RejectionKind::Full),
    ];
    for (shut, kind) in ways {
        let mut waiters = [(); 3].map(|()| Waiter::queued(&rig.bulkhead, Ask::default()));
        shut();
        for waiter in &mut waiters {
            assert_eq!(waiter.wakes(), 1);
            assert_eq!(refused(waiter.poll().expect("turned away")), kind);
        }
    }
    let totals = rig.bulkhead.totals();
    assert_eq!((totals.refused_forced_open, totals.refused_full), (3, 3));
    assert_eq!(rig.bulkhead.snapshot().waiting, 0);
    drop(held);
    assert_eq!(rig.bulkhead.in_flight(), 0);
}

#[test]
fn bh4b_a_free_slot_is_not_for_those_who_come_by() {
    let rig = Rig::new(queue(1));
    let held = rig.bulkhead.try_acquire().unwrap();
    let mut waiter = Waiter::queued(&rig.bulkhead, Priority::Sheddable);
    drop(held);
    // It is the waiter's, who has not been polled yet.
    assert_eq!(rig.bulkhead.in_flight(), 1);
    assert_eq!(refused(rig.bulkhead.try_acquire()), RejectionKind::Full);
    let mut behind = Waiter::queued(&rig.bulkhead, Priority::CriticalPlus);
    drop(waiter.is_served());
    assert_eq!(refused(rig.bulkhead.try_acquire()), RejectionKind::Full);
    drop(behind.is_served());
    assert!(rig.bulkhead.try_acquire().is_ok());
    assert_eq!(rig.bulkhead.totals().waited, 2);
}

#[test]
fn bh4c_each_slot_wakes_one() {
    let rig = Rig::new(slots(2).queue(9, SECOND));
    let held = [(); 2].map(|()| rig.bulkhead.try_acquire().unwrap());
    let mut waiters = [(); 4].map(|()| Waiter::queued(&rig.bulkhead, Ask::default()));
    let wakes = |waiters: &[Waiter]| waiters.iter().map(Waiter::wakes).collect::<Vec<_>>();
    let [one, two] = held;
    drop(one);
    assert_eq!(wakes(&waiters), [1, 0, 0, 0]);
    drop(two);
    assert_eq!(wakes(&waiters), [1, 1, 0, 0]);
    let permits = [0, 1].map(|n| waiters[n].is_served());
    drop(permits);
    assert_eq!(wakes(&waiters), [1, 1, 1, 1]);
    let cancelled = waiters[2].wakes.clone();
    let [_, _, two, three] = waiters;
    drop((two, three));
    assert_eq!(cancelled.0.load(Ordering::Relaxed), 1);
    assert_eq!(rig.bulkhead.in_flight(), 0);
}

#[test]
fn bh4d_who_leaves_leaves_no_hole() {
    for leaves in 0..3 {
        let rig = Rig::new(queue(1));
        let held = rig.bulkhead.try_acquire().unwrap();
        let mut waiters =
            Vec::from([(); 3].map(|()| Waiter::queued(&rig.bulkhead, Ask::default())));
        let gone = waiters.remove(leaves);
        let gone_wakes = gone.wakes.clone();
        drop(gone);
        assert_eq!(rig.bulkhead.snapshot().waiting, 2);
        // Its room in the queue is free again, behind the others.
        waiters.push(Waiter::queued(&rig.bulkhead, Ask::default()));
        drop(held);
        for waiter in &mut waiters {
            drop(waiter.is_served());
        }
        assert_eq!(gone_wakes.0.load(Ordering::Relaxed), 0);
        assert_eq!(rig.bulkhead.totals().cancelled, 1);
        assert!(rig.bulkhead.try_acquire().is_ok());
    }
}

#[test]
fn bh4d_who_leaves_with_a_slot_passes_it_on() {
    let rig = Rig::new(queue(1));
    let held = rig.bulkhead.try_acquire().unwrap();
    let [first, mut second] = [(); 2].map(|()| Waiter::queued(&rig.bulkhead, Ask::default()));
    drop(held);
    assert_eq!((first.wakes(), second.wakes()), (1, 0));
    drop(first);
    drop(second.is_served());
    let held = rig.bulkhead.try_acquire().expect("nobody waits");
    let last = Waiter::queued(&rig.bulkhead, Ask::default());
    drop(held);
    drop(last);
    assert!(rig.bulkhead.try_acquire().is_ok());
    let totals = rig.bulkhead.totals();
    assert_eq!((totals.cancelled, totals.waited), (2, 1));
    assert_eq!(totals.finished, 4);
}

/// A waker that panics when it is woken.
struct Panicking;

impl ArcWake for Panicking {
    fn wake_by_ref(_: &Arc<Self>) {
        panic!("a waker that panics, as ordered");
    }
}

#[test]
fn bh4e_a_waker_that_panics_keeps_nobody_from_being_woken() {
    // More than are woken at once, with the panics at the first and in the middle.
    let rig = Rig::new(slots(1).queue(40, SECOND));
    let held = rig.bulkhead.try_acquire().unwrap();
    let panicking = waker(Arc::new(Panicking));
    let mut bad: Vec<_> = (0..1)
        .map(|_| Box::pin(rig.bulkhead.acquire_owned(Ask::default())))
        .collect();
    for acquire in &mut bad {
        let polled = acquire.as_mut().poll(&mut Context::from_waker(&panicking));
        assert!(polled.is_pending());
    }
    let mut waiters: Vec<_> = (0..30)
        .map(|_| Waiter::queued(&rig.bulkhead, Ask::default()))
        .collect();
    let grows = catch_unwind(AssertUnwindSafe(|| rig.bulkhead.resize(100).unwrap()));
    assert!(grows.is_err(), "the panic goes on");
    let permits: Vec<_> = waiters.iter_mut().map(Waiter::is_served).collect();
    assert_eq!(rig.bulkhead.in_flight(), 32);
    drop((permits, held, bad));
    assert_eq!(rig.bulkhead.in_flight(), 0);
}

#[test]
fn bh4g_a_slot_that_came_before_the_end_of_the_wait_is_kept() {
    let rig = Rig::new(queue(1));
    let held = rig.bulkhead.try_acquire().unwrap();
    let [mut served, mut over] = [(); 2].map(|()| Waiter::queued(&rig.bulkhead, Ask::default()));
    drop(held);
    // Both waits are over now, but the first had its slot before.
    rig.clock.advance(SECOND);
    let permit = served.poll().expect("news").expect("the slot counts");
    assert_eq!(refused(over.poll().expect("over")), RejectionKind::Full);
    drop(permit);
    let totals = rig.bulkhead.totals();
    assert_eq!((totals.waited, totals.refused_wait_over), (1, 1));
    assert_eq!(rig.bulkhead.in_flight(), 0);
}

#[test]
fn bh5b_with_more_slots_as_many_go_on_as_fit() {
    let rig = Rig::new(slots(1).queue(40, SECOND));
    let held = rig.bulkhead.try_acquire().unwrap();
    let mut waiters: Vec<_> = (0..30)
        .map(|_| Waiter::queued(&rig.bulkhead, Ask::default()))
        .collect();
    let woken = |waiters: &[Waiter]| waiters.iter().filter(|waiter| waiter.wakes() == 1).count();
    rig.bulkhead.resize(3).unwrap();
    assert_eq!(woken(&waiters), 2);
    rig.bulkhead.resize(25).unwrap();
    assert_eq!(woken(&waiters), 24);
    // Fewer again: nobody goes on before 24 of the 25 have ended.
    let permits: Vec<_> = waiters
        .drain(..24)
        .map(|mut waiter| waiter.is_served())
        .collect();
    rig.bulkhead.resize(1).unwrap();
    for permit in permits {
        assert_eq!(woken(&waiters), 0);
        drop(permit);
    }
    drop(held);
    for waiter in &mut waiters {
        drop(waiter.is_served());
    }
    assert_eq!(rig.bulkhead.snapshot().peak, 25);
}

#[test]
fn a_call_waits_runs_and_can_be_dropped_in_the_queue() {
    let rig = Rig::new(queue(1));
    let held = rig.bulkhead.try_acquire().unwrap();
    let mut cx = Context::from_waker(futures::task::noop_waker_ref());
    let mut ran = 0;
    {
        let mut call = Box::pin(rig.bulkhead.call_with(Priority::CriticalPlus, || {
            ran += 1;
            ready(Ok::<u8, u8>(1))
        }));
        assert!(call.as_mut().poll(&mut cx).is_pending());
        let mut dropped = Box::pin(rig.bulkhead.call(|| ready(Ok::<u8, u8>(1))));
        assert!(dropped.as_mut().poll(&mut cx).is_pending());
        drop(dropped);
        drop(held);
        assert!(matches!(call.as_mut().poll(&mut cx), Poll::Ready(Ok(1))));
        assert!(call.as_mut().poll(&mut cx).is_pending());
    }
    assert_eq!(ran, 1);
    let held = rig.bulkhead.try_acquire().unwrap();
    let mut over = Box::pin(rig.bulkhead.call(|| ready(Ok::<u8, u8>(1))));
    assert!(over.as_mut().poll(&mut cx).is_pending());
    rig.clock.advance(SECOND);
    let Poll::Ready(Err(Error::Rejected(rejection))) = over.as_mut().poll(&mut cx) else {
        panic!("the wait is over");
    };
    assert_eq!(rejection.kind(), RejectionKind::Full);
    drop(held);
    let totals = rig.bulkhead.totals();
    assert_eq!(
        (totals.waited, totals.cancelled, totals.refused_wait_over),
        (1, 1, 1)
    );
}

#[test]
fn without_timers_a_wait_is_refused_as_such() {
    for clock in [Clock::system(), Clock::tokio()] {
        let bulkhead = Bulkhead::with_clock("bare", queue(1), clock).unwrap();
        let held = bulkhead.try_acquire().unwrap();
        let waits = bulkhead.acquire(Ask::default()).now_or_never();
        assert_eq!(refused(waits.expect("at once")), RejectionKind::NoRuntime);
        assert_eq!(bulkhead.snapshot().waiting, 0);
        assert_eq!(bulkhead.totals().refused_no_runtime, 1);
        assert!(
            !bulkhead.snapshot().is_saturated,
            "it says nothing about the load"
        );
        drop(held);
        assert!(
            bulkhead
                .acquire(Ask::default())
                .now_or_never()
                .expect("at once")
                .is_ok()
        );
    }
}

#[test]
fn a_blocking_call_waits_on_its_thread() {
    for clock in [Clock::system(), Clock::tokio(), Clock::manual().clock()] {
        let bulkhead = Bulkhead::with_clock("threads", slots(1).queue(3, 3_600 * SECOND), clock);
        let bulkhead = bulkhead.unwrap();
        let held = bulkhead.try_acquire().unwrap();
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| bulkhead.call_blocking(|| Ok::<u8, u8>(1)));
            while bulkhead.snapshot().waiting == 0 {
                std::thread::yield_now();
            }
            drop(held);
            assert!(matches!(waits.join().unwrap(), Ok(1)));
        });
        assert_eq!(bulkhead.totals().waited, 1);
        assert_eq!(bulkhead.in_flight(), 0);
    }
}

#[test]
fn bh1c_a_blocking_wait_has_an_end() {
    let Rig {
        bulkhead, clock, ..
    } = Rig::new(queue(1));
    let _held = bulkhead.try_acquire().unwrap();
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| refused(bulkhead.acquire_blocking(Ask::default())));
        while bulkhead.snapshot().waiting == 0 {
            std::thread::yield_now();
        }
        // It may not have begun to wait for the clock yet, so the clock goes on until it ends.
        while !waits.is_finished() {
            clock.advance(SECOND);
            std::thread::yield_now();
        }
        assert_eq!(waits.join().unwrap(), RejectionKind::Full);
    });
    assert_eq!(bulkhead.snapshot().waiting, 0);
    assert_eq!(bulkhead.totals().refused_wait_over, 1);
}

#[cfg(feature = "test-util")]
#[tokio::test(start_paused = true)]
async fn bh1c_under_tokio_a_wait_ends_by_its_timers() {
    let bulkhead = Bulkhead::with_clock("tokio", queue(1), Clock::tokio()).unwrap();
    let held = bulkhead.acquire(Ask::default()).await.unwrap();
    let clock = Clock::tokio();
    let start = clock.now();
    assert_eq!(
        refused(bulkhead.acquire(Ask::default()).await),
        RejectionKind::Full
    );
    let waited = clock.now().saturating_duration_since(start);
    assert!(waited >= SECOND && waited < 2 * SECOND);
    let waits = bulkhead.acquire(Ask::default());
    let (served, ()) = futures::join!(waits, async {
        tokio::time::advance(SECOND / 2).await;
        drop(held);
    });
    assert!(served.is_ok());
}

/// What an inner service saw.
#[derive(Clone, Debug, Default)]
struct Probe {
    asked: Arc<AtomicUsize>,
    clones_ready: bool,
    in_flight_when_asked: Arc<AtomicUsize>,
    bulkhead: Option<Bulkhead>,
    opens: Arc<AtomicUsize>,
}

impl Service<u8> for Probe {
    type Response = u8;
    type Error = Error<u8>;
    type Future = std::future::Ready<Result<u8, Error<u8>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let in_flight = self.bulkhead.as_ref().map_or(0, Bulkhead::in_flight);
        self.in_flight_when_asked
            .store(in_flight as usize, Ordering::Relaxed);
        match self.opens.load(Ordering::Relaxed) {
            0 => {
                self.clones_ready = true;
                Poll::Ready(Ok(()))
            }
            1 => Poll::Ready(Err(Error::Inner(9))),
            _ => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn call(&mut self, request: u8) -> Self::Future {
        assert!(self.clones_ready, "called without being ready");
        ready(Ok(request))
    }
}

#[test]
fn bh6b_the_slot_comes_first_and_then_the_readiness() {
    let rig = Rig::new(queue(1));
    let probe = Probe {
        bulkhead: Some(rig.bulkhead.clone()),
        ..Probe::default()
    };
    let mut service = QueueingBulkheadLayer::new(rig.bulkhead.clone()).layer(probe.clone());
    let mut cx = Context::from_waker(futures::task::noop_waker_ref());
    let held = rig.bulkhead.try_acquire().unwrap();
    assert!(service.poll_ready(&mut cx).is_ready());
    let mut call = Box::pin(service.call(7));
    assert_eq!(
        rig.bulkhead.snapshot().waiting,
        0,
        "not before it is polled"
    );
    assert!(call.as_mut().poll(&mut cx).is_pending());
    assert_eq!(rig.bulkhead.snapshot().waiting, 1);
    assert_eq!(
        probe.asked.load(Ordering::Relaxed),
        0,
        "no readiness waits in the queue"
    );
    drop(held);
    assert!(matches!(call.as_mut().poll(&mut cx), Poll::Ready(Ok(7))));
    assert!(call.as_mut().poll(&mut cx).is_pending());
    assert_eq!(probe.asked.load(Ordering::Relaxed), 1);
    assert_eq!(probe.in_flight_when_asked.load(Ordering::Relaxed), 1);
    assert_eq!(rig.bulkhead.in_flight(), 0);

    // An inner service that is not ready is waited for with the slot, an error is the call's.
    probe.opens.store(2, Ordering::Relaxed);
    let mut call = Box::pin(service.call(7));
    assert!(call.as_mut().poll(&mut cx).is_pending());
    assert_eq!(rig.bulkhead.in_flight(), 1);
    probe.opens.store(1, Ordering::Relaxed);
    let polled = call.as_mut().poll(&mut cx);
    assert!(matches!(polled, Poll::Ready(Err(Error::Inner(9)))));
    assert_eq!(rig.bulkhead.in_flight(), 0);
    probe.opens.store(2, Ordering::Relaxed);
    let mut call = Box::pin(service.call(7));
    assert!(call.as_mut().poll(&mut cx).is_pending());
    drop(call);
    assert_eq!(rig.bulkhead.in_flight(), 0);
}

#[test]
fn bh1d_a_queueing_service_asks_by_the_request() {
    let rig = Rig::new(queue(1));
    let by_request = |request: &u8| {
        Ask::from(if *request == 1 {
            Priority::CriticalPlus
        } else {
            Priority::Sheddable
        })
    };
    let layer = QueueingBulkheadLayer::new(rig.bulkhead.clone()).asking(by_request);
    let mut service = layer.layer(Probe::default());
    let mut cx = Context::from_waker(futures::task::noop_waker_ref());
    let held = rig.bulkhead.try_acquire().unwrap();
    let mut calls = [0, 1].map(|request| Box::pin(service.call(request)));
    for call in &mut calls {
        assert!(call.as_mut().poll(&mut cx).is_pending());
    }
    drop(held);
    let [unimportant, important] = &mut calls;
    assert!(unimportant.as_mut().poll(&mut cx).is_pending());
    assert!(important.as_mut().poll(&mut cx).is_ready());
    assert!(unimportant.as_mut().poll(&mut cx).is_ready());
}
