//! What a breaker costs in memory: no call allocates, and handles, futures and breakers keep to
//! their sizes.
//!
//! Allocations are counted per thread, so tests beside these do not disturb them.

use crate::rig::{Echo, SECOND, allocates_nothing, config};
use allocation_counter::measure;
use backstop::kernel::clock::{Clock, ManualClock};
use backstop::kernel::keyed::Keyed;
use backstop::policy::circuit_breaker::{
    CircuitBreakerFuture, OwnedPermit, Permit, ProbeDecision, State, Window,
};
use backstop::policy::timeout::TimeoutFuture;
use backstop::{CircuitBreaker, CircuitBreakerConfig, CircuitBreakerLayer, Error, Rejection};
use backstop::{Timeout, TimeoutLayer};
use futures::FutureExt;
use std::future::{Future, Ready, pending, ready};
use std::mem::{size_of, size_of_val};
use std::pin::pin;
use std::task::{Context, Poll};
use tower::{Layer, Service};

type Reply = Result<u8, Error<u8>>;

/// A handle that counts references and one that does not.
fn handles(config: &CircuitBreakerConfig) -> [CircuitBreaker; 2] {
    let new = || CircuitBreaker::with_clock("costs", config.clone(), Clock::system()).unwrap();
    [new(), CircuitBreaker::from(&*Box::leak(Box::new(new())))]
}

/// Every way to make a call that succeeds.
#[track_caller]
fn successes_allocate_nothing(what: &str, breaker: &CircuitBreaker) {
    let call = |way: &str, act: &mut dyn FnMut()| {
        allocates_nothing(&format!("calls, {way}, {what}"), act);
    };
    call("async", &mut || {
        let reply = breaker.call(|| ready(Ok::<u8, u8>(1))).now_or_never();
        assert!(matches!(reply, Some(Ok(1))));
    });
    call("async in a stack", &mut || {
        let reply = breaker.call_in(|| ready(Reply::Ok(1))).now_or_never();
        assert!(matches!(reply, Some(Ok(1))));
    });
    call("blocking", &mut || {
        assert!(breaker.call_blocking(|| Ok::<u8, u8>(1)).is_ok());
    });
    call("permit", &mut || breaker.try_acquire().unwrap().success());
    call("owned permit", &mut || {
        breaker.try_acquire_owned().unwrap().success();
    });
    call("ignored", &mut || breaker.try_acquire().unwrap().ignore());
    call("dropped", &mut || drop(breaker.try_acquire().unwrap()));
    let mut service = CircuitBreakerLayer::new(breaker.clone()).layer(Echo);
    let mut cx = Context::from_waker(futures::task::noop_waker_ref());
    call("tower", &mut || {
        assert!(service.poll_ready(&mut cx).is_ready());
        assert!(matches!(service.call(7).now_or_never(), Some(Ok(7))));
    });
}

fn windows() -> [(&'static str, CircuitBreakerConfig); 4] {
    [
        ("count window", config().minimum_calls(100)),
        (
            "time window",
            config()
                .window(Window::time(10 * SECOND, 10))
                .minimum_calls(1_000_000),
        ),
        ("consecutive", CircuitBreakerConfig::consecutive(1_000_000)),
        (
            "slow calls and durations",
            config()
                .minimum_calls(100)
                .slow_calls(SECOND, 0.9)
                .durations(true),
        ),
    ]
}

#[test]
fn calls_that_succeed_allocate_nothing() {
    for (window, config) in windows() {
        for (breaker, handle) in handles(&config).iter().zip(["counted", "static"]) {
            (0..100).for_each(|_| breaker.try_acquire().unwrap().success());
            successes_allocate_nothing(&format!("{window}, clean, {handle}"), breaker);
            breaker.try_acquire().unwrap().failure();
            successes_allocate_nothing(&format!("{window}, dirty, {handle}"), breaker);
            assert_eq!(breaker.state(), State::Closed);
        }
    }
}

#[test]
fn calls_that_fail_allocate_nothing() {
    for (window, config) in windows() {
        let [breaker, _] = handles(&config.failure_rate(1.0));
        breaker.try_acquire().unwrap().success();
        allocates_nothing(&format!("failures, {window}"), || {
            let failed = breaker.call_blocking(|| Err::<u8, u8>(1));
            assert!(matches!(failed, Err(Error::Inner(1))));
            breaker.try_acquire().unwrap().success();
        });
        assert_eq!(breaker.state(), State::Closed);
    }
}

/// Every way to be rejected.
#[track_caller]
fn rejections_allocate_nothing(what: &str, breaker: &CircuitBreaker) {
    allocates_nothing(&format!("rejections, {what}"), || {
        assert!(breaker.try_acquire().is_err());
        assert!(breaker.try_acquire_owned().is_err());
        assert!(breaker.call_blocking(|| Ok::<u8, u8>(1)).is_err());
        let reply = breaker.call(|| ready(Ok::<u8, u8>(1))).now_or_never();
        assert!(matches!(reply, Some(Err(Error::Rejected(_)))));
    });
    let mut service = CircuitBreakerLayer::new(breaker.clone()).layer(Echo);
    let mut cx = Context::from_waker(futures::task::noop_waker_ref());
    allocates_nothing(&format!("rejections through tower, {what}"), || {
        assert!(service.poll_ready(&mut cx).is_ready());
        assert!(matches!(service.call(7).now_or_never(), Some(Err(_))));
    });
}

#[test]
fn rejections_by_value_allocate_nothing() {
    let hour = 3_600 * SECOND;
    let patient = config().probe_max_wait(hour).probes(1);
    let patient = patient.probe_decision(ProbeDecision::All);
    for (breaker, handle) in handles(&patient).iter().zip(["counted", "static"]) {
        breaker.transition_to(State::Open).unwrap();
        rejections_allocate_nothing(&format!("open, {handle}"), breaker);
        breaker.transition_to(State::HalfOpen).unwrap();
        let probe = breaker.try_acquire().unwrap();
        rejections_allocate_nothing(&format!("probes full, {handle}"), breaker);
        drop(probe);
        breaker.force_open();
        rejections_allocate_nothing(&format!("forced open, {handle}"), breaker);
    }
    let named = CircuitBreaker::new(String::from("a name of its own"), config()).unwrap();
    named.force_open();
    rejections_allocate_nothing("a name that is shared", &named);
}

#[test]
fn a_hit_in_a_keyed_set_allocates_nothing() {
    let hosts = Keyed::<String, CircuitBreaker>::new("hosts", 100, config()).unwrap();
    allocates_nothing("calls of a key that is known", || {
        hosts.get("a.example").try_acquire().unwrap().success();
        assert!(hosts.peek("a.example").is_some());
    });
}

/// By how much a future is larger than the one that it wraps.
fn surplus<F: Future, I: Future>(outer: &F, _inner: impl FnOnce() -> I) -> usize {
    size_of_val(outer) - size_of::<I>()
}

#[test]
fn handles_permits_and_futures_keep_to_their_sizes() {
    assert_eq!(size_of::<CircuitBreaker>(), 16);
    assert!(size_of::<Permit<'_>>() <= 24, "{}", size_of::<Permit<'_>>());
    assert!(
        size_of::<OwnedPermit>() <= 32,
        "{}",
        size_of::<OwnedPermit>()
    );
    assert_eq!(size_of::<Rejection>(), 72);
    assert_eq!(size_of::<Poll<Reply>>(), 72);

    let breaker = CircuitBreaker::new("sizes", config()).unwrap();
    let small = || ready(Ok::<u8, u8>(1));
    let large = || async {
        let ballast = [1_u8; 1_000];
        ready(()).await;
        Ok::<u8, u8>(ballast[0])
    };
    let sizes = [
        surplus(&breaker.call(small), small),
        surplus(&breaker.call(large), large),
        size_of::<CircuitBreakerFuture<Ready<Reply>>>() - size_of::<Ready<Reply>>(),
        size_of::<CircuitBreakerFuture<[u8; 1_000]>>() - 1_000,
    ];
    println!("over the inner future: {sizes:?}");
    assert!(sizes.iter().all(|size| *size <= 46), "{sizes:?}");
}

/// The bytes that are on the heap for what `make` makes.
fn heap<T>(make: impl Fn() -> T) -> u64 {
    let first = make();
    let mut second = None;
    let info = measure(|| second = Some(make()));
    drop((first, second));
    u64::try_from(info.bytes_current).unwrap()
}

/// What the machine has: a stripe for each core, at most 64.
fn stripes() -> u64 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    cores.next_power_of_two().min(64) as u64
}

#[test]
fn breakers_keep_to_their_memory() {
    let clock: ManualClock = Clock::manual();
    let new = |config: CircuitBreakerConfig| {
        let clock = clock.clone();
        move || CircuitBreaker::with_clock("memory", config.clone(), &clock).unwrap()
    };
    let count = heap(new(config()));
    let time = heap(new(config().window(Window::time(10 * SECOND, 10))));
    let stripes = stripes();
    println!("with {stripes} stripes: count window {count} bytes, time window {time} bytes");
    // Each further stripe is a line of totals (two of 64 bytes), and the cells of the window.
    let totals = 128 * (stripes.max(2) - 2);
    // The aim is 1 KiB. The state's line and the counters' lines are padded to 128 bytes, and so is
    // the count of references before them, so that no two cores share one: 512 bytes of it.
    assert!(count <= 1_408 + totals, "count window: {count}");
    let cells = (4 * 16 * 8 + 128) * (stripes.max(2) - 2);
    assert!(time <= 3_168 + totals + cells, "time window: {time}");
}

#[test]
fn a_key_costs_at_most_a_kibibyte_until_two_threads_meet() {
    let bytes = windows().map(|(window, config)| {
        let hosts = Keyed::<u32, CircuitBreaker>::new("hosts", 100_000, config).unwrap();
        hosts.get(&0).try_acquire().unwrap().success();
        let keys = 10_000;
        let info = measure(|| {
            for key in 1..=keys {
                hosts.get(&key).try_acquire().unwrap().success();
            }
        });
        (window, info.bytes_current / i64::from(keys))
    });
    println!("bytes of a key: {bytes:?}");
    // The aim of 1 KiB holds but for time windows (their cells alone are 640 bytes) and histograms.
    let most = [896, 2_016, 864, 10_160];
    for ((window, bytes), most) in bytes.into_iter().zip(most) {
        assert!(bytes <= most, "{window}: {bytes}");
    }
}

#[test]
fn a_call_under_a_timeout_allocates_nothing() {
    let clock = Clock::manual();
    let new = || Timeout::with_clock("costs", SECOND, &clock).unwrap();
    for timeout in [new(), Timeout::from(&*Box::leak(Box::new(new())))] {
        allocates_nothing("calls that are ready at once", || {
            let reply = timeout.call(|| ready(Ok::<u8, u8>(1))).now_or_never();
            assert!(matches!(reply, Some(Ok(1))));
            let reply = timeout.call_in(|| ready(Reply::Ok(1))).now_or_never();
            assert!(matches!(reply, Some(Ok(1))));
        });
        let mut service = TimeoutLayer::new(timeout.clone()).layer(Echo);
        let mut cx = Context::from_waker(futures::task::noop_waker_ref());
        allocates_nothing("calls through tower", || {
            assert!(service.poll_ready(&mut cx).is_ready());
            assert!(matches!(service.call(7).now_or_never(), Some(Ok(7))));
        });
        allocates_nothing("deadlines", || {
            assert!(timeout.deadline().check().is_ok());
        });
        let isolation = timeout.isolate();
        allocates_nothing("rejections", || {
            let reply = timeout.call(|| ready(Ok::<u8, u8>(1))).now_or_never();
            assert!(matches!(reply, Some(Err(Error::Rejected(_)))));
        });
        drop(isolation);
    }
}

/// On tokio's clock the timer is a part of the future. (A manual clock keeps a list of sleepers.)
#[tokio::test(start_paused = true)]
async fn a_call_that_waits_and_one_that_times_out_allocate_nothing() {
    let timeout = Timeout::with_clock("costs", SECOND, Clock::tokio()).unwrap();
    let reply = timeout.call(pending::<Result<u8, u8>>).await;
    assert!(matches!(reply, Err(Error::Rejected(_))));
    let mut cx = Context::from_waker(futures::task::noop_waker_ref());
    let mut call = pin!(timeout.call(pending::<Result<u8, u8>>));
    let info = measure(|| assert!(call.as_mut().poll(&mut cx).is_pending()));
    assert_eq!(info.count_total, 0, "to wait");
    tokio::time::advance(2 * SECOND).await;
    let info = measure(|| assert!(call.as_mut().poll(&mut cx).is_ready()));
    assert_eq!(info.count_total, 0, "to time out");
}

#[test]
fn timeouts_and_their_futures_keep_to_their_sizes() {
    assert_eq!(size_of::<Timeout>(), 16);
    let timeout = Timeout::none("sizes");
    let small = || ready(Ok::<u8, u8>(1));
    let sizes = [
        surplus(&timeout.call(small), small),
        size_of::<TimeoutFuture<[u8; 1_000]>>() - 1_000,
    ];
    let timer = size_of::<backstop::kernel::clock::Sleep>();
    println!("over the inner future: {sizes:?}, of which the timer has {timer}");
    assert!(sizes.iter().all(|size| *size <= timer + 64), "{sizes:?}");
    let clock = Clock::manual();
    let bytes = heap(|| Timeout::with_clock("memory", SECOND, &clock).unwrap());
    println!("a timeout: {bytes} bytes");
    assert!(bytes <= 384 + 128 * stripes(), "{bytes}");
}
