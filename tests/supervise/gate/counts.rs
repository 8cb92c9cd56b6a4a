//! What a gate counts, and what it costs.

use super::{MS, SECOND, Task, config, gate};
use allocation_counter::measure;
use backstop::Rejection;
use backstop::kernel::outcome::Outcome;
use backstop::supervise::microreboot::{CallsSeen, Gate, GateFuture, GateLayer, Idempotence};
use futures::FutureExt;
use std::future::{Ready, ready};
use std::task::{Context, Poll};
use tower::{Layer, Service};

fn ok(gate: &Gate) {
    assert!(
        gate.call(|| ready(Ok::<u8, u8>(1)))
            .now_or_never()
            .unwrap()
            .is_ok()
    );
}

fn err(gate: &Gate) {
    assert!(
        gate.call(|| ready(Err::<u8, u8>(1)))
            .now_or_never()
            .unwrap()
            .is_err()
    );
}

#[test]
fn mr8m_each_call_is_counted_once() {
    for config in [config(), config().without_drain()] {
        let (gate, _clock) = gate(config);
        ok(&gate);
        err(&gate);
        gate.enter(Idempotence::Unknown)
            .unwrap()
            .end(Outcome::Failure);
        gate.enter(Idempotence::Unknown)
            .unwrap()
            .end(Outcome::Ignored);
        drop(gate.enter(Idempotence::Unknown).unwrap());
        assert_eq!(gate.seen(), CallsSeen { bad: 2, all: 5 });
        let reboot = gate.begin_reboot();
        err(&gate);
        let mut waits =
            Task::new(gate.call_with(Idempotence::Idempotent, || ready(Ok::<u8, u8>(1))));
        waits.is_pending();
        assert_eq!(gate.seen(), CallsSeen { bad: 3, all: 6 });
        reboot.succeed();
        assert!(waits.ready().is_ok());
        assert_eq!(gate.seen(), CallsSeen { bad: 3, all: 7 });
    }
}

#[test]
fn mr8m_a_call_over_its_objective_is_bad_from_when_it_asked() {
    let (gate, clock) = gate(config().objective(100 * MS));
    for (took, bad) in [(100, 0), (101, 1)] {
        let pass = gate.enter(Idempotence::Unknown).unwrap();
        clock.advance(took * MS);
        pass.end(Outcome::Success);
        assert_eq!(gate.seen().bad, bad);
    }
    // It waited outside, and took no time then.
    let reboot = gate.begin_reboot();
    let mut waits = Task::new(gate.call_with(Idempotence::Idempotent, || ready(Ok::<u8, u8>(1))));
    waits.is_pending();
    clock.advance(101 * MS);
    reboot.succeed();
    assert!(waits.ready().is_ok());
    assert_eq!(gate.seen(), CallsSeen { bad: 2, all: 3 });
}

#[test]
fn mr8m_an_outage_begins_with_the_first_failure_after_ten_quiet_seconds() {
    let (gate, clock) = gate(config());
    (0..5).for_each(|_| ok(&gate));
    assert_eq!(
        gate.seen_at_onset(),
        CallsSeen { bad: 0, all: 5 },
        "no failure yet"
    );
    err(&gate);
    (0..4).for_each(|_| ok(&gate));
    clock.advance(9 * SECOND);
    err(&gate);
    let onset = gate.seen_at_onset();
    assert_eq!(onset, CallsSeen { bad: 0, all: 5 });
    assert_eq!(gate.seen().since(onset), CallsSeen { bad: 2, all: 6 });
    clock.advance(10 * SECOND);
    assert_eq!(gate.seen_at_onset(), gate.seen(), "it is over");
    err(&gate);
    assert_eq!(gate.seen_at_onset(), CallsSeen { bad: 2, all: 11 });
    clock.step_back(5 * SECOND);
    err(&gate);
    assert_eq!(gate.seen_at_onset(), CallsSeen { bad: 2, all: 11 });
}

#[derive(Clone)]
struct Echo;

impl Service<u8> for Echo {
    type Response = u8;
    type Error = Rejection;
    type Future = Ready<Result<u8, Rejection>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u8) -> Self::Future {
        ready(Ok(request))
    }
}

#[track_caller]
fn allocates_nothing(what: &str, mut act: impl FnMut()) {
    act();
    let info = measure(|| (0..100).for_each(|_| act()));
    assert_eq!(info.count_total, 0, "{what}");
}

#[test]
fn mr8p_calls_and_refusals_allocate_nothing() {
    let shapes = [
        config(),
        config().without_drain(),
        config().objective(SECOND),
    ];
    for config in shapes {
        let (counted, _clock) = gate(config);
        let leaked: &'static Gate = Box::leak(Box::new(gate(config).0));
        for gate in [counted, Gate::from(leaked)] {
            let mut service = GateLayer::new(gate.clone()).layer(Echo);
            let mut cx = Context::from_waker(futures::task::noop_waker_ref());
            allocates_nothing("calls", || {
                ok(&gate);
                err(&gate);
                gate.enter(Idempotence::Unknown)
                    .unwrap()
                    .end(Outcome::Success);
                assert!(service.poll_ready(&mut cx).is_ready());
                assert_eq!(service.call(7).now_or_never().unwrap().ok(), Some(7));
            });
            let _reboot = gate.begin_reboot();
            allocates_nothing("refusals", || {
                err(&gate);
                assert!(gate.enter(Idempotence::Idempotent).is_err());
                assert!(service.poll_ready(&mut cx).is_ready());
                assert!(service.call(7).now_or_never().unwrap().is_err());
            });
        }
    }
}

#[test]
fn mr8p_refusals_of_those_who_would_wait_allocate_nothing() {
    let (gate, _clock) = gate(config().without_parking());
    let _reboot = gate.begin_reboot();
    allocates_nothing("no room to wait", || {
        let call = gate.call_with(Idempotence::Idempotent, || ready(Ok::<u8, u8>(1)));
        assert!(call.now_or_never().unwrap().is_err());
    });
}

/// Takes large requests.
#[derive(Clone)]
struct Upload;

impl Service<[u8; 1_000]> for Upload {
    type Response = u8;
    type Error = Rejection;
    type Future = Ready<Result<u8, Rejection>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: [u8; 1_000]) -> Self::Future {
        ready(Ok(request[0]))
    }
}

/// By how much a future is larger than the one that it wraps.
fn surplus<F, I>(outer: &F, _inner: impl FnOnce() -> I) -> usize {
    size_of_val(outer) - size_of::<I>()
}

#[test]
fn mr8p_a_call_has_no_room_for_a_wait() {
    let (gate, _clock) = gate(config());
    let large = || async {
        let ballast = [1_u8; 1_000];
        ready(()).await;
        Ok::<u8, u8>(ballast[0])
    };
    let sizes = [
        surplus(&gate.call(|| ready(Ok::<u8, u8>(1))), || {
            ready(Ok::<u8, u8>(1))
        }),
        surplus(&gate.call(large), large),
        size_of::<GateFuture<Upload, [u8; 1_000]>>() - size_of::<Ready<Result<u8, Rejection>>>(),
    ];
    println!("over the inner future: {sizes:?}");
    assert!(sizes.iter().all(|size| *size <= 80), "{sizes:?}");
    assert_eq!(size_of::<Gate>(), 16);
}

#[test]
fn mr8m_an_objective_is_taken_and_dropped_while_calls_are_inside() {
    let (gate, clock) = gate(config());
    let took = |gate: &Gate, times: u32| {
        let pass = gate.enter(Idempotence::Unknown).unwrap();
        clock.advance(times * MS);
        pass.end(Outcome::Success);
        gate.seen().bad
    };
    assert_eq!(took(&gate, 200), 0);
    let untimed = gate.enter(Idempotence::Unknown).unwrap();
    for config in [config().without_drain(), config()] {
        gate.reconfigure(config.objective(100 * MS)).unwrap();
        let timed = gate.enter(Idempotence::Unknown).unwrap();
        let bad = gate.seen().bad;
        assert_eq!(took(&gate, 101), bad + 1);
        gate.reconfigure(config).unwrap();
        assert_eq!(took(&gate, 101), bad + 1);
        timed.end(Outcome::Success);
        assert_eq!(gate.seen().bad, bad + 1, "there is none any more");
    }
    untimed.end(Outcome::Success);
    assert_eq!((gate.seen().bad, gate.in_flight()), (2, 0));
}

#[test]
fn mr8p_calls_that_wait_allocate_nothing_once_there_is_room() {
    let (gate, _clock) = gate(config());
    let mut cx = Context::from_waker(futures::task::noop_waker_ref());
    allocates_nothing("calls that wait", || {
        let mut call = std::pin::pin!(gate.call(std::future::pending::<Result<u8, u8>>));
        assert!(call.as_mut().poll(&mut cx).is_pending());
        assert!(call.as_mut().poll(&mut cx).is_pending());
    });
}
