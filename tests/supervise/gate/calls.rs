//! Calls at an open gate and at a shut one.

use super::{MS, REFUSED, Reply, SECOND, Task, config, gate, refused_for, rejected};
use backstop::Error;
use backstop::kernel::ratio::Ratio;
use backstop::kernel::rejection::RejectionKind;
use backstop::supervise::microreboot::{CallsSeen, Gate, GateState, Idempotence};
use futures::FutureExt;
use std::cell::Cell;
use std::future::{pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

const IDEMPOTENT: Idempotence = Idempotence::Idempotent;

fn ask(gate: &Gate) -> impl Future<Output = Reply> {
    gate.call_with(IDEMPOTENT, || ready(Ok(7)))
}

#[test]
fn mr8a_a_call_through_an_open_gate_ends_as_itself() {
    let (gate, _clock) = gate(config());
    assert!(matches!(
        gate.call(|| ready(Ok::<_, u8>(7))).now_or_never(),
        Some(Ok(7))
    ));
    let failed = gate.call(|| ready(Err::<u8, _>(1))).now_or_never();
    assert!(matches!(failed, Some(Err(Error::Inner(1)))));
    let mut dropped = Task::new(gate.call(pending::<Result<u8, u8>>));
    dropped.is_pending();
    assert_eq!(gate.in_flight(), 1);
    drop(dropped);
    assert_eq!(
        (gate.in_flight(), gate.seen()),
        (0, CallsSeen { bad: 1, all: 3 })
    );
    for polls in [false, true] {
        let panics = gate.call(|| -> futures::future::BoxFuture<'_, Result<u8, u8>> {
            assert!(polls, "while it is made");
            Box::pin(async { panic!("while it is polled") })
        });
        assert!(catch_unwind(AssertUnwindSafe(|| panics.now_or_never())).is_err());
    }
    assert_eq!(
        (gate.in_flight(), gate.seen()),
        (0, CallsSeen { bad: 3, all: 5 })
    );
}

#[test]
fn mr8a_an_operation_that_panics_is_a_failure_and_its_call_says_no_more() {
    let (gate, _clock) = gate(config());
    for waits in [false, true] {
        let reboot = waits.then(|| gate.begin_reboot());
        let mut call = Task::new(
            gate.call_with(IDEMPOTENT, || -> futures::future::Ready<Reply> {
                panic!("while it is made")
            }),
        );
        if let Some(reboot) = reboot {
            call.is_pending();
            reboot.succeed();
        }
        assert!(catch_unwind(AssertUnwindSafe(|| call.poll())).is_err());
        call.is_pending();
        drop(call);
        assert_eq!((gate.in_flight(), gate.parked()), (0, 0));
        let bad = 1 + u64::from(waits);
        assert_eq!(gate.seen(), CallsSeen { bad, all: bad });
    }
}

/// Panics where the last of it is dropped.
struct Explosive;

impl Wake for Explosive {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Explosive {
    fn drop(&mut self) {
        panic!("the last waker is dropped");
    }
}

#[test]
fn mr8a_a_waker_that_panics_where_it_is_dropped_keeps_no_place() {
    let (gate, _clock) = gate(config());
    for ends in [false, true] {
        let is_ready = Cell::new(false);
        let mut call = Box::pin(gate.call(|| {
            poll_fn(|_| {
                if is_ready.get() {
                    Poll::Ready(Ok::<u8, u8>(7))
                } else {
                    Poll::Pending
                }
            })
        }));
        let waker = Waker::from(Arc::new(Explosive));
        let mut cx = Context::from_waker(&waker);
        assert!(call.as_mut().poll(&mut cx).is_pending());
        assert_eq!(gate.in_flight(), 1);
        // Only the gate has it now.
        drop(waker);
        is_ready.set(ends);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            if ends {
                let _ = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            }
            drop(call);
        }));
        assert!(panicked.is_err(), "it was not dropped");
        assert_eq!(gate.in_flight(), 0);
        assert_eq!(gate.seen().all, 1 + u64::from(ends));
    }
}

#[test]
fn mr8b_a_call_of_which_nothing_is_known_is_refused_at_once() {
    let (gate, _clock) = gate(config());
    let _reboot = gate.begin_reboot();
    assert_eq!(gate.state(), GateState::Restarting);
    let ran = Cell::new(false);
    let call = gate.call(|| {
        ran.set(true);
        ready(Ok::<u8, u8>(7))
    });
    assert_eq!(rejected(call.now_or_never().unwrap()), REFUSED);
    assert!(!ran.get());
    assert!(
        gate.enter(Idempotence::Unknown)
            .unwrap_err()
            .retry_after()
            .is_none()
    );
    let error = gate.enter(IDEMPOTENT).unwrap_err();
    assert_eq!(
        error.to_string(),
        "gate `index` is restarting; retry after 1.0s"
    );
}

#[test]
fn mr8c_an_idempotent_call_waits_and_goes_through() {
    let (gate, clock) = gate(config());
    let reboot = gate.begin_reboot();
    let ran = Cell::new(0);
    let mut call = Task::new(gate.call_with(IDEMPOTENT, || {
        ran.set(ran.get() + 1);
        ready(Ok::<u8, u8>(7))
    }));
    call.is_pending();
    call.is_pending();
    clock.advance(900 * MS);
    assert!(!call.is_woken());
    assert_eq!((gate.parked(), ran.get()), (1, 0));
    reboot.succeed();
    assert!(matches!(call.ready(), Ok(7)));
    assert_eq!(
        (gate.parked(), ran.get(), gate.state()),
        (0, 1, GateState::Open)
    );
}

#[test]
fn mr8c_a_gate_that_is_shut_again_before_the_waiter_came_keeps_it() {
    let (gate, clock) = gate(config());
    let reboot = gate.begin_reboot();
    let mut call = Task::new(ask(&gate));
    call.is_pending();
    clock.advance(100 * MS);
    reboot.succeed();
    let again = gate.begin_reboot();
    assert!(call.is_woken());
    call.is_pending();
    assert_eq!(gate.parked(), 1);
    again.succeed();
    assert!(matches!(call.ready(), Ok(7)));
}

#[test]
fn mr8d_the_time_to_come_back_is_the_longest_of_the_last_eight() {
    let (gate, clock) = gate(config());
    assert_eq!(gate.retry_after(), Some(SECOND));
    let reboot = |took| {
        let reboot = gate.begin_reboot();
        clock.advance(took);
        reboot.succeed();
    };
    reboot(300 * MS);
    assert_eq!(gate.retry_after(), Some(300 * MS));
    reboot(700 * MS);
    (0..7).for_each(|_| reboot(200 * MS));
    assert_eq!(gate.retry_after(), Some(700 * MS));
    reboot(200 * MS);
    assert_eq!(gate.retry_after(), Some(200 * MS));
    let failed = gate.begin_reboot();
    clock.advance(50 * SECOND);
    failed.fail();
    assert_eq!(gate.retry_after(), None);
    assert!(gate.reopen());
    assert_eq!(
        gate.retry_after(),
        Some(200 * MS),
        "one that failed says nothing"
    );
}

#[test]
fn mr8d_jitter_only_adds() {
    let (gate, _clock) = gate(config().jitter(Ratio::new(0.5).unwrap()));
    let _reboot = gate.begin_reboot();
    let told: Vec<_> = (0..100).map(|_| gate.retry_after().unwrap()).collect();
    assert!(
        told.iter()
            .all(|told| (SECOND..SECOND * 3 / 2).contains(told)),
        "{told:?}"
    );
    assert!(told.iter().max() > told.iter().min());
}

#[test]
fn mr8e_only_so_many_wait() {
    let (gate, _clock) = gate(config().max_parked(2));
    let _reboot = gate.begin_reboot();
    let mut waiting: Vec<_> = (0..2).map(|_| Task::new(ask(&gate))).collect();
    waiting.iter_mut().for_each(Task::is_pending);
    assert_eq!(
        rejected(ask(&gate).now_or_never().unwrap()),
        refused_for(SECOND)
    );
    waiting.pop();
    let mut next = Task::new(ask(&gate));
    next.is_pending();
    assert_eq!(gate.parked(), 2);
    gate.reconfigure(config().without_parking()).unwrap();
    assert_eq!(
        rejected(ask(&gate).now_or_never().unwrap()),
        refused_for(SECOND)
    );
}

#[test]
fn mr8f_a_wait_has_an_end() {
    let (gate, clock) = gate(config());
    let reboot = gate.begin_reboot();
    let mut call = Task::new(ask(&gate));
    call.is_pending();
    clock.advance(2 * SECOND - MS);
    call.is_pending();
    clock.advance(MS);
    assert_eq!(rejected(call.ready()), refused_for(SECOND));
    assert_eq!(gate.parked(), 0);
    call.is_pending();
    drop(reboot);
}

#[test]
fn mr8f_nobody_waits_without_timers() {
    let gate =
        Gate::with_clock("index", config(), backstop::kernel::clock::Clock::tokio()).unwrap();
    let _reboot = gate.begin_reboot();
    let (kind, ..) = rejected(ask(&gate).now_or_never().unwrap());
    assert_eq!((kind, gate.parked()), (RejectionKind::NoRuntime, 0));
}

#[test]
fn mr8g_a_reboot_that_fails_turns_away_who_waits() {
    let (gate, clock) = gate(config());
    let reboot = gate.begin_reboot();
    let mut call = Task::new(ask(&gate));
    call.is_pending();
    reboot.fail();
    assert_eq!(rejected(call.ready()), REFUSED);
    assert_eq!((gate.state(), gate.parked()), (GateState::Down, 0));
    assert_eq!(rejected(ask(&gate).now_or_never().unwrap()), REFUSED);
    let next = gate.begin_reboot();
    let mut call = Task::new(ask(&gate));
    call.is_pending();
    assert!(!gate.reopen(), "a reboot is under way");
    clock.advance(MS);
    next.succeed();
    assert!(matches!(call.ready(), Ok(7)));
    gate.begin_reboot().fail();
    assert!(gate.reopen());
    assert!(matches!(ask(&gate).now_or_never(), Some(Ok(7))));
}
