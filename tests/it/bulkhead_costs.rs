//! What a bulkhead costs in memory: no call allocates, waiting allocates nothing that is not used
//! again, and handles, permits and futures keep to their sizes.

use crate::bulkhead::slots;
use crate::rig::{Echo, SECOND, allocates_nothing};
use allocation_counter::measure;
use backstop::kernel::clock::Clock;
use backstop::policy::bulkhead::{
    Acquire, AcquireOwned, Ask, BulkheadFuture, OwnedPermit, Permit, QueueingBulkheadLayer,
};
use backstop::{Bulkhead, BulkheadConfig, BulkheadLayer, Error};
use futures::FutureExt;
use std::future::{Future, ready};
use std::mem::{size_of, size_of_val};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use tower::{Layer, Service};

type Reply = Result<u8, Error<u8>>;

/// A handle that counts references and one that does not.
fn handles(config: BulkheadConfig) -> [Bulkhead; 2] {
    let new = || Bulkhead::with_clock("costs", config, Clock::system()).unwrap();
    [new(), Bulkhead::from(&*Box::leak(Box::new(new())))]
}

#[test]
fn bh4a_calls_that_find_a_slot_allocate_nothing() {
    for config in [
        slots(25),
        slots(25).queue(10, SECOND),
        slots(25).totals(false),
    ] {
        for bulkhead in handles(config) {
            allocates_nothing("calls", || {
                let reply = bulkhead.call(|| ready(Ok::<u8, u8>(1))).now_or_never();
                assert!(matches!(reply, Some(Ok(1))));
                let reply = bulkhead.call_in(|| ready(Reply::Ok(1))).now_or_never();
                assert!(matches!(reply, Some(Ok(1))));
                assert!(bulkhead.call_blocking(|| Ok::<u8, u8>(1)).is_ok());
                drop(bulkhead.try_acquire().unwrap());
                drop(bulkhead.try_acquire_owned().unwrap());
                let acquired = bulkhead.acquire(Ask::default()).now_or_never();
                assert!(acquired.unwrap().is_ok());
                let acquired = bulkhead.acquire_owned(Ask::default()).now_or_never();
                assert!(acquired.unwrap().is_ok());
            });
            let mut cx = Context::from_waker(futures::task::noop_waker_ref());
            let mut service = BulkheadLayer::new(bulkhead.clone()).layer(Echo);
            let mut queueing = QueueingBulkheadLayer::new(bulkhead.clone()).layer(Echo);
            allocates_nothing("calls through tower", || {
                assert!(service.poll_ready(&mut cx).is_ready());
                assert!(matches!(service.call(7).now_or_never(), Some(Ok(7))));
                assert!(matches!(queueing.call(7).now_or_never(), Some(Ok(7))));
            });
        }
    }
}

#[test]
fn bh1b_refusals_allocate_nothing() {
    for bulkhead in handles(slots(1)) {
        let held = bulkhead.try_acquire().unwrap();
        // The first refusal is an event.
        assert!(bulkhead.try_acquire().is_err());
        let mut service = BulkheadLayer::new(bulkhead.clone()).layer(Echo);
        let mut cx = Context::from_waker(futures::task::noop_waker_ref());
        let mut refuse = || {
            assert!(bulkhead.try_acquire().is_err());
            assert!(bulkhead.try_acquire_owned().is_err());
            assert!(bulkhead.call_blocking(|| Ok::<u8, u8>(1)).is_err());
            let reply = bulkhead.call(|| ready(Ok::<u8, u8>(1))).now_or_never();
            assert!(matches!(reply, Some(Err(Error::Rejected(_)))));
            assert!(service.poll_ready(&mut cx).is_ready());
            assert!(matches!(service.call(7).now_or_never(), Some(Err(_))));
        };
        allocates_nothing("refusals, full", &mut refuse);
        let _guard = bulkhead.isolate();
        allocates_nothing("refusals, isolated", &mut refuse);
        drop(held);
    }
}

/// As many waits at once as the queue has room for, with `ends` of them by a slot.
fn wait_in_turn(bulkhead: &Bulkhead, waiters: &mut [Option<Pin<Box<AcquireOwned>>>], ends: usize) {
    let mut cx = Context::from_waker(futures::task::noop_waker_ref());
    let mut held = Some(bulkhead.try_acquire_owned().unwrap());
    for waiter in &mut *waiters {
        let acquire = waiter.as_mut().expect("made before");
        acquire.set(bulkhead.acquire_owned(Ask::default()));
        assert!(acquire.as_mut().poll(&mut cx).is_pending());
    }
    for waiter in &mut waiters[..ends] {
        drop(held.take());
        match waiter.as_mut().expect("made before").as_mut().poll(&mut cx) {
            Poll::Ready(Ok(permit)) => held = Some(permit),
            other => panic!("{other:?}"),
        }
    }
    // The others leave the queue.
    for waiter in &mut waiters[ends..] {
        let acquire = waiter.as_mut().expect("made before");
        acquire.set(bulkhead.acquire_owned(Ask::default()));
    }
}

#[test]
fn bh4f_waiting_allocates_only_while_more_wait_than_ever_before() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    for bulkhead in handles(slots(1).queue(20, 3_600 * SECOND)) {
        let boxed = || Some(Box::pin(bulkhead.acquire_owned(Ask::default())));
        let mut waiters: Vec<_> = (0..20).map(|_| boxed()).collect();
        wait_in_turn(&bulkhead, &mut waiters, 20);
        let more_or_fewer = [20, 0, 7, 20, 13];
        let info = measure(|| {
            for ends in more_or_fewer.into_iter().cycle().take(50) {
                wait_in_turn(&bulkhead, &mut waiters, ends);
            }
        });
        assert_eq!(info.count_total, 0, "allocations of a thousand waits");
        assert_eq!(bulkhead.snapshot().in_flight, 0);
    }
}

#[test]
fn bh4f_a_thread_that_waits_again_allocates_nothing() {
    let bulkhead = Bulkhead::with_clock("x", slots(1).queue(2, SECOND), Clock::system()).unwrap();
    let _held = bulkhead.try_acquire().unwrap();
    let briefly = Ask::default().max_wait(std::time::Duration::from_nanos(1));
    assert!(bulkhead.acquire_blocking(briefly).is_err());
    let info = measure(|| {
        for _ in 0..100 {
            assert!(bulkhead.acquire_blocking(briefly).is_err());
        }
    });
    assert_eq!(info.count_total, 0);
}

/// By how much a future is larger than the one that it wraps.
fn surplus<F: Future, I: Future>(outer: &F, _inner: impl FnOnce() -> I) -> usize {
    size_of_val(outer) - size_of::<I>()
}

#[test]
fn handles_permits_and_futures_keep_to_their_sizes() {
    assert_eq!(size_of::<Bulkhead>(), 16);
    assert_eq!(size_of::<Permit<'_>>(), 8);
    assert_eq!(size_of::<OwnedPermit>(), 16);
    assert!(
        size_of::<BulkheadConfig>() <= 32,
        "{}",
        size_of::<BulkheadConfig>()
    );
    // A timer is most of it.
    let sizes = [size_of::<Acquire<'_>>(), size_of::<AcquireOwned>()];
    println!("waiting: {sizes:?}");
    assert!(sizes.iter().all(|size| *size <= 192), "{sizes:?}");

    let bulkhead = Bulkhead::new("sizes", slots(1)).unwrap();
    let large = || async {
        let ballast = [1_u8; 1_000];
        ready(()).await;
        Ok::<u8, u8>(ballast[0])
    };
    // A small call has the size of a wait; a large one is larger by its slot.
    let small = bulkhead.call(|| ready(Ok::<u8, u8>(1)));
    assert!(size_of_val(&small) <= 200, "{}", size_of_val(&small));
    let sizes = [
        surplus(&bulkhead.call(large), large),
        size_of::<BulkheadFuture<[u8; 1_000]>>() - 1_000,
    ];
    println!("over the inner future: {sizes:?}");
    assert!(sizes.iter().all(|size| *size <= 48), "{sizes:?}");
    let mut small = pin!(small);
    assert!(small.as_mut().now_or_never().is_some());
}

#[test]
fn a_bulkhead_keeps_to_its_memory() {
    let new = || Bulkhead::with_clock("memory", slots(25), Clock::system()).unwrap();
    let first = new();
    let mut second = None;
    let info = measure(|| second = Some(new()));
    drop((first, second));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let stripes = i64::try_from(cores.next_power_of_two().min(64)).unwrap();
    println!("with {stripes} stripes: {} bytes", info.bytes_current);
    // Each stripe of totals is padded to two lines of 64 bytes.
    assert!(
        info.bytes_current <= 768 + 128 * stripes,
        "{}",
        info.bytes_current
    );
}
