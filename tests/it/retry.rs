//! What is tried again, when, and for how long.

use crate::rig::MS;
use backstop::kernel::backoff::{Backoff, Jitter};
use backstop::kernel::clock::{Clock, ManualClock};
use backstop::{Error, Retry, RetryConfig};

#[test]
fn smoke() {
    let clock: ManualClock = Clock::manual();
    let config = RetryConfig::default().backoff(Backoff::constant(10 * MS).jitter(Jitter::None));
    let retry = Retry::with_clock("x", config, &clock).unwrap();
    let mut calls = 0;
    let mut call = Box::pin(retry.call(|attempt| {
        calls += 1;
        assert_eq!(attempt.number, calls);
        std::future::ready(Err::<u8, u32>(calls))
    }));
    let waker = futures::task::noop_waker_ref();
    let mut cx = std::task::Context::from_waker(waker);
    assert!(call.as_mut().poll(&mut cx).is_pending());
    clock.advance(10 * MS);
    assert!(call.as_mut().poll(&mut cx).is_pending());
    clock.advance(10 * MS);
    assert!(matches!(
        call.as_mut().poll(&mut cx),
        std::task::Poll::Ready(Err(Error::Inner(3)))
    ));
    drop(call);
    println!("{:?} {:?}", retry.totals(), retry);
}
