//! Timeouts, rule by rule, on a manual clock and under paused tokio.

use crate::rig::{MS, SECOND};
use backstop::kernel::clock::{Clock, ManualClock};
use backstop::kernel::rejection::{Executed, Facts, RejectionKind};
use backstop::{Error, Rejection, Timeout, TimeoutConfig};
use futures::FutureExt;
use std::cell::Cell;
use std::future::{Future, pending, poll_fn, ready};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

type Reply = Result<u8, Error<u8>>;

fn timeout(limit: Duration) -> (Timeout, ManualClock) {
    let clock = Clock::manual();
    let timeout = Timeout::with_clock("t", limit, &clock).expect("above zero");
    (timeout, clock)
}

/// Pending until it was polled `polls` times, and never wakes.
fn after(polls: u32) -> impl Future<Output = Result<u8, u8>> {
    let mut left = polls;
    poll_fn(move |_| match left {
        0 => Poll::Ready(Ok(1)),
        _ => {
            left -= 1;
            Poll::Pending
        }
    })
}

fn never() -> impl Future<Output = Result<u8, u8>> {
    pending()
}

#[track_caller]
fn rejection(reply: Option<Reply>) -> Rejection {
    match reply {
        Some(Err(Error::Rejected(rejection))) => rejection,
        other => panic!("a rejection was expected: {other:?}"),
    }
}

#[test]
fn to1a_time_counts_from_the_first_pending() {
    let (timeout, clock) = timeout(SECOND);
    let mut call = pin!(timeout.call(|| {
        clock.advance(3_600 * SECOND);
        never()
    }));
    clock.advance(3_600 * SECOND);
    assert!(call.as_mut().now_or_never().is_none());
    clock.advance(SECOND - Duration::from_nanos(1));
    assert!(call.as_mut().now_or_never().is_none());
    clock.advance(Duration::from_nanos(1));
    let rejection = rejection(call.as_mut().now_or_never());
    assert_eq!(rejection.kind(), RejectionKind::TimedOut);
    assert_eq!(rejection.executed(), Executed::Unknown);
    assert_eq!(rejection.facts(), Facts::Time { limit: SECOND });
    assert_eq!(rejection.retry_after(), None);
}

#[test]
fn to1f_a_result_wins_over_a_time_that_is_over() {
    let (timeout, clock) = timeout(SECOND);
    let mut call = pin!(timeout.call(|| after(1)));
    assert!(call.as_mut().now_or_never().is_none());
    clock.advance(SECOND);
    assert!(matches!(call.as_mut().now_or_never(), Some(Ok(1))));
    assert_eq!(timeout.totals().timed_out, 0);
}

#[test]
fn g6_a_plain_zero_is_refused_and_none_is_no_limit_timeout() {
    let refused = Timeout::new("t", Duration::ZERO).unwrap_err();
    assert_eq!((refused.field(), refused.value()), ("limit", "0s"));
    let timeout = Timeout::none("t");
    assert_eq!(timeout.config(), TimeoutConfig::none());
    // No runtime is needed for a timer that is not there.
    assert!(timeout.call(never).now_or_never().is_none());
    assert_eq!(timeout.totals().armed, 0);
    let _ = (ready(()), Cell::new(1), MS);
}
