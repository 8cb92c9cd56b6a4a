//! A breaker on a manual clock, and short words for what tests do with it.

use backstop::kernel::clock::{Clock, ManualClock};
use backstop::kernel::event::Subscriber;
use backstop::kernel::outcome::Verdict;
use backstop::kernel::rejection::{Rejection, RejectionKind};
use backstop::kernel::window::Counts;
use backstop::policy::circuit_breaker::{CircuitBreakerEvent, EventKind, State};
use backstop::{CircuitBreaker, CircuitBreakerConfig, Error};
use std::future::{Ready, ready};
use std::num::NonZeroUsize;
use std::task::{Context, Poll};
use std::time::Duration;

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) struct Rig {
    pub(crate) breaker: CircuitBreaker,
    pub(crate) clock: ManualClock,
    events: Subscriber<CircuitBreakerEvent>,
}

/// The default without jitter, so that waits are exact.
pub(crate) fn config() -> CircuitBreakerConfig {
    CircuitBreakerConfig::default().open_wait_jitter(0.0)
}

impl Rig {
    pub(crate) fn new(config: CircuitBreakerConfig) -> Self {
        Self::on(Clock::manual(), config)
    }

    pub(crate) fn on(clock: ManualClock, config: CircuitBreakerConfig) -> Self {
        let breaker =
            CircuitBreaker::with_clock("rig", config, &clock).expect("a valid configuration");
        let events = breaker.subscribe(NonZeroUsize::new(100_000).expect("not zero"));
        Self {
            breaker,
            clock,
            events,
        }
    }

    pub(crate) fn record(&self, verdict: Verdict) {
        self.breaker
            .try_acquire()
            .expect("admitted")
            .record(verdict);
    }

    pub(crate) fn succeed(&self, times: usize) {
        (0..times).for_each(|_| self.record(Verdict::success()));
    }

    pub(crate) fn fail(&self, times: usize) {
        (0..times).for_each(|_| self.record(Verdict::failure()));
    }

    /// A call that takes `time` and succeeds.
    pub(crate) fn take(&self, time: Duration) {
        let permit = self.breaker.try_acquire().expect("admitted");
        self.clock.advance(time);
        permit.success();
    }

    /// Opens a closed circuit by failures alone.
    pub(crate) fn trip(&self) {
        for _ in 0..200 {
            if self.state() == State::Open {
                return;
            }
            self.fail(1);
        }
        panic!("200 failures did not open the circuit");
    }

    /// Opens it and waits until it is due.
    pub(crate) fn trip_and_wait(&self) {
        self.trip();
        let rejection = self.rejection();
        self.clock
            .advance(rejection.retry_after().expect("an open circuit says when"));
    }

    pub(crate) fn state(&self) -> State {
        self.breaker.state()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.breaker.snapshot().counts
    }

    pub(crate) fn rejection(&self) -> Rejection {
        self.breaker.try_acquire().map(drop).expect_err("rejected")
    }

    pub(crate) fn rejects(&self, kind: RejectionKind) -> bool {
        self.breaker
            .try_acquire()
            .is_err_and(|rejection| rejection.kind() == kind)
    }

    /// What happened since the last look.
    pub(crate) fn events(&mut self) -> Vec<EventKind> {
        std::iter::from_fn(|| self.events.try_recv())
            .map(|event| event.kind)
            .collect()
    }

    /// The states it went through since the last look.
    pub(crate) fn states(&mut self) -> Vec<State> {
        self.events()
            .into_iter()
            .filter_map(|event| match event {
                EventKind::StateChanged { to, .. } => Some(to),
                _ => None,
            })
            .collect()
    }
}

/// Allocations are counted per thread, so tests beside this one do not disturb it.
#[track_caller]
pub(crate) fn allocates_nothing(what: &str, mut act: impl FnMut()) {
    // Once for what is made on first use, of the thread and of the process.
    act();
    let info = allocation_counter::measure(|| (0..300).for_each(|_| act()));
    assert_eq!(
        (info.count_total, info.bytes_total),
        (0, 0),
        "allocations of 300 {what}"
    );
}

/// A service that is always ready and answers at once.
#[derive(Clone)]
pub(crate) struct Echo;

impl tower::Service<u8> for Echo {
    type Response = u8;
    type Error = Error<u8>;
    type Future = Ready<Result<u8, Error<u8>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u8) -> Self::Future {
        ready(Ok(request))
    }
}
