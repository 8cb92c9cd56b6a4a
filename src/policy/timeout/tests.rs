//! Whitebox tests: what composed futures rely on.

#![cfg(not(any(backstop_loom, backstop_shuttle)))]

use super::Timeout;
use super::call::{Alarm, Timed};
use super::machine::Refused;
use crate::kernel::clock::Clock;
use crate::kernel::outlet::AsIs;
use crate::kernel::rejection::Error;
use futures::FutureExt;
use std::future::pending;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_deadline_that_was_asked_for_is_the_one_that_is_kept() {
    let clock = Clock::manual();
    let timeout = Timeout::with_clock("t", SECOND, &clock).unwrap();
    let machine = timeout.machine();
    let mut alarm = pin!(Alarm::Idle);
    let deadline = alarm.as_mut().deadline(machine);
    assert_eq!(deadline, Some(clock.clock().now() + SECOND));
    // Neither time nor a new limit moves it.
    clock.advance(SECOND / 2);
    timeout.reconfigure(9 * SECOND).unwrap();
    assert_eq!(alarm.as_mut().deadline(machine), deadline);
    let mut cx = Context::from_waker(futures::task::noop_waker_ref());
    assert!(alarm.as_mut().poll(machine, &mut cx).is_pending());
    assert_eq!(alarm.as_mut().deadline(machine), deadline);
    clock.advance(SECOND / 2);
    let polled = alarm.as_mut().poll(machine, &mut cx);
    assert_eq!(polled, Poll::Ready(Refused::TimedOut(SECOND)));
}

#[test]
fn an_alarm_that_began_first_says_when_it_goes_off() {
    let clock = Clock::manual();
    let timeout = Timeout::with_clock("t", SECOND, &clock).unwrap();
    let machine = timeout.machine();
    let mut cx = Context::from_waker(futures::task::noop_waker_ref());
    let mut alarm = pin!(Alarm::Idle);
    assert!(alarm.as_mut().poll(machine, &mut cx).is_pending());
    let deadline = clock.clock().now() + SECOND;
    clock.advance(SECOND / 2);
    assert_eq!(alarm.as_mut().deadline(machine), Some(deadline));

    let unlimited = Timeout::none("t");
    let mut alarm = pin!(Alarm::Idle);
    assert_eq!(alarm.as_mut().deadline(unlimited.machine()), None);
    assert!(
        alarm
            .as_mut()
            .poll(unlimited.machine(), &mut cx)
            .is_pending()
    );
    assert_eq!(unlimited.totals().armed, 0);
}

#[test]
fn a_timed_call_composes_over_a_borrowed_and_an_owned_handle() {
    type Reply = Result<(), Error<()>>;
    let clock = Clock::manual();
    let timeout = Timeout::with_clock("t", SECOND, &clock).unwrap();
    let machine = timeout.machine();
    let mut borrowed = pin!(Timed::new(&**machine, Some(pending::<Reply>()), AsIs));
    let mut owned = Box::pin(Timed::new(machine.clone(), Some(pending::<Reply>()), AsIs));
    assert!(borrowed.as_mut().now_or_never().is_none());
    assert!(owned.as_mut().now_or_never().is_none());
    clock.advance(SECOND);
    assert!(matches!(borrowed.as_mut().now_or_never(), Some(Err(_))));
    assert!(matches!(owned.as_mut().now_or_never(), Some(Err(_))));
    assert_eq!((timeout.totals().armed, timeout.totals().timed_out), (2, 2));
}
