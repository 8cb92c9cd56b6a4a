//! A retry on a manual clock, and an upstream that does as it is told.

use crate::rig::MS;
use backstop::kernel::backoff::Backoff;
use backstop::kernel::budget::BudgetConfig;
use backstop::kernel::clock::{Clock, ManualClock};
use backstop::kernel::event::Subscriber;
use backstop::policy::retry::{RetryEvent, RetryEventKind};
use backstop::{Retry, RetryConfig};
use futures::task::noop_waker_ref;
use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// Three attempts, 10 ms apart, without a budget.
pub(crate) fn plain() -> RetryConfig {
    RetryConfig::default()
        .backoff(Backoff::constant(10 * MS))
        .budget(BudgetConfig::none())
}

pub(crate) struct Rig {
    pub(crate) retry: Retry,
    pub(crate) clock: ManualClock,
    events: Subscriber<RetryEvent>,
}

impl Rig {
    pub(crate) fn new(config: RetryConfig) -> Self {
        let clock = Clock::manual();
        let retry = Retry::with_clock("rig", config, &clock).expect("a valid configuration");
        let events = retry.subscribe(NonZeroUsize::new(100_000).expect("not zero"));
        Self {
            retry,
            clock,
            events,
        }
    }

    /// What happened since the last look.
    pub(crate) fn events(&mut self) -> Vec<RetryEventKind> {
        std::iter::from_fn(|| self.events.try_recv())
            .map(|event| event.kind)
            .collect()
    }

    /// The waits before the attempts of a call that always fails.
    pub(crate) fn waits(&self) -> Vec<Duration> {
        let mut at = Vec::new();
        let clock = self.clock.clock();
        let call = self.retry.call(|_| {
            at.push(clock.now());
            async { Err::<(), _>("down") }
        });
        assert!(self.run(call).is_err());
        at.windows(2)
            .map(|pair| pair[1].saturating_duration_since(pair[0]))
            .collect()
    }

    /// Runs a call to its end, a millisecond at a time.
    pub(crate) fn run<F: Future>(&self, call: F) -> F::Output {
        run(&self.clock, call)
    }
}

/// Runs a future to its end, a millisecond of the clock at a time.
pub(crate) fn run<F: Future>(clock: &ManualClock, call: F) -> F::Output {
    let mut call = Box::pin(call);
    for _ in 0..1_000_000 {
        if let Poll::Ready(output) = poll(call.as_mut()) {
            return output;
        }
        clock.advance(MS);
    }
    panic!("it does not end within 1,000 s");
}

pub(crate) fn poll<F: Future>(call: Pin<&mut F>) -> Poll<F::Output> {
    call.poll(&mut Context::from_waker(noop_waker_ref()))
}
