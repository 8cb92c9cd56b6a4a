//! What composes policies: calls whose attempts somebody else starts, within somebody's deadline.

use super::*;
use crate::kernel::backoff::Backoff;
use crate::kernel::budget::BudgetConfig;
use crate::kernel::clock::{Clock, ManualClock};
use crate::kernel::instant::Instant;
use crate::kernel::outcome::AnyError;
use crate::kernel::outlet::AsIs;
use crate::kernel::rejection::Error;
use crate::kernel::shared::Shared;
use futures::task::noop_waker_ref;
use std::cell::Cell;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

fn retry() -> (Retry, ManualClock) {
    let clock = Clock::manual();
    let config = RetryConfig::default()
        .backoff(Backoff::constant(10 * MS))
        .budget(BudgetConfig::none())
        .deadline(1_000 * MS);
    let retry = Retry::with_clock("driven", config, &clock).expect("valid");
    (retry, clock)
}

/// Starts attempts that fail at once, as long as it has some.
struct Failing {
    left: u32,
    started: Rc<Cell<u32>>,
}

impl StartAttempt<u8, Error<u32>> for Failing {
    type Future = Ready<Result<u8, Error<u32>>>;

    fn can_repeat(&self) -> bool {
        self.left > 0
    }

    fn start(
        &mut self,
        attempt: Attempt<'_, Error<u32>>,
        mut place: Pin<&mut Option<Self::Future>>,
    ) {
        self.left = self.left.saturating_sub(1);
        self.started.set(self.started.get() + 1);
        assert_eq!(self.started.get(), attempt.number);
        place.set(Some(ready(Err(Error::Inner(attempt.number)))));
    }
}

/// Runs it to its end; the number of attempts, and the time that it took.
fn end(clock: &ManualClock, call: impl Future<Output = Result<u8, Error<u32>>>) -> (u32, Duration) {
    let mut call = Box::pin(call);
    let begun = clock.clock().now();
    loop {
        match call
            .as_mut()
            .poll(&mut Context::from_waker(noop_waker_ref()))
        {
            Poll::Ready(Err(Error::Inner(attempts))) => {
                let took = clock.clock().now().saturating_duration_since(begun);
                return (attempts, took);
            }
            Poll::Ready(other) => panic!("{other:?}"),
            Poll::Pending => clock.advance(MS),
        }
    }
}

#[test]
fn rt3a_a_limit_from_outside_holds_beside_the_deadline() {
    for (limit, attempts) in [(None, 3), (Some(10), 1), (Some(11), 2), (Some(5_000), 3)] {
        let (retry, clock) = retry();
        let failing = || Failing {
            left: 9,
            started: Rc::default(),
        };
        let at = |limit: Option<u32>| -> Option<Instant> {
            limit.map(|limit| clock.clock().now() + limit * MS)
        };
        let expected = (attempts, 10 * MS * (attempts - 1));
        let call = retry.drive::<_, _, u8, _>(failing(), AnyError, at(limit));
        assert_eq!(end(&clock, call), expected, "{limit:?}");
        let call = retry.drive_owned::<_, _, u8, _>(failing(), DefaultRetry, at(limit));
        drop(retry.clone());
        assert_eq!(end(&clock, call), expected, "{limit:?}, owned");
        let stopped = u64::from(attempts < 3) * 2;
        assert_eq!(retry.totals().deadline, stopped);
    }
}

#[test]
fn rt4c_a_starter_that_has_nothing_left_ends_the_call() {
    let (retry, clock) = retry();
    let started = Rc::new(Cell::new(0));
    let failing = Failing {
        left: 2,
        started: started.clone(),
    };
    let call = retry.drive::<_, _, u8, _>(failing, AnyError, None);
    assert_eq!(end(&clock, call).0, 2);
    assert_eq!(started.get(), 2);
    assert_eq!(retry.totals().not_repeatable, 1);
}

#[test]
fn rt7b_a_first_attempt_can_be_started_before_the_call_is_polled() {
    let (retry, clock) = retry();
    let mut flight = Flight::new(Shared::clone(retry.machine()), None);
    assert!(flight.begin());
    let first = ready(Err(Error::Inner(1)));
    let started = Rc::new(Cell::new(1));
    let failing = Failing { left: 9, started };
    let call =
        Retrying::<_, _, _, _, Error<u32>, _>::started(flight, first, failing, AnyError, AsIs);
    assert_eq!(end(&clock, call).0, 3);
    assert_eq!(retry.totals().attempts, 3);
}
