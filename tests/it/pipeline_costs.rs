//! What a pipeline costs in memory: no call allocates while nothing goes wrong, pending or not.
//!
//! Allocations are counted per thread, so tests beside these do not disturb them.

use crate::rig::allocates_nothing;
use backstop::kernel::clock::Clock;
use backstop::{BulkheadConfig, Error, Pipeline, PipelineConfig};
use futures::FutureExt;
use std::future::{Future, poll_fn, ready};
use std::mem::size_of_val;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

type Reply = Result<u8, u8>;

fn pipelines(config: &PipelineConfig) -> [Pipeline; 2] {
    let new = || Pipeline::with_clock("costs", config.clone(), Clock::system()).unwrap();
    [new(), Pipeline::from(&*Box::leak(Box::new(new())))]
}

/// Pending once, and woken at once.
fn pending_once() -> impl Future<Output = Reply> {
    let mut polled = false;
    poll_fn(move |cx| {
        if std::mem::replace(&mut polled, true) {
            return Poll::Ready(Ok(1));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}

#[test]
fn a_call_that_is_ready_allocates_nothing() {
    for pipeline in pipelines(&PipelineConfig::default()) {
        allocates_nothing("calls", || {
            let call = pipeline.call(|_| ready(Reply::Ok(1)));
            assert!(matches!(call.now_or_never(), Some(Ok(1))));
        });
        allocates_nothing("calls on clones", || {
            let pipeline = pipeline.clone();
            let call = pipeline.call_or(|_| ready(Reply::Ok(1)), Err);
            assert!(matches!(call.now_or_never(), Some(Ok(1))));
        });
    }
}

#[test]
fn a_call_that_is_pending_in_time_allocates_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    for pipeline in pipelines(&PipelineConfig::default()) {
        allocates_nothing("pending calls", || {
            let reply = runtime.block_on(pipeline.call(|_| pending_once()));
            assert!(matches!(reply, Ok(1)));
        });
    }
}

#[test]
fn a_call_that_is_refused_allocates_nothing() {
    let full = PipelineConfig::default().bulkhead(BulkheadConfig::default().max_concurrent(0));
    for pipeline in pipelines(&full) {
        allocates_nothing("refusals by the bulkhead", || {
            let call = pipeline.call(|_| ready(Reply::Ok(1)));
            assert!(matches!(call.now_or_never(), Some(Err(Error::Rejected(_)))));
        });
    }
    for pipeline in pipelines(&PipelineConfig::default()) {
        pipeline.circuit_breaker().unwrap().force_open();
        allocates_nothing("refusals by the breaker", || {
            let call = pipeline.call(|_| ready(Reply::Ok(1)));
            assert!(matches!(call.now_or_never(), Some(Err(Error::Rejected(_)))));
        });
    }
}

#[test]
fn sizes_are_kept() {
    let [pipeline, _] = pipelines(&PipelineConfig::default());
    assert!(size_of_val(&pipeline) <= 16);
    let call = pipeline.call(|_| ready(Reply::Ok(1)));
    let size = size_of_val(&call);
    // Three timers of tokio's (two limits and a wait for a slot) are 112 bytes each.
    assert!(size <= 640, "a call is {size} bytes");
    drop(call);
    let mut call = pin!(pipeline.call(|_| pending_once()));
    let mut cx = Context::from_waker(futures::task::noop_waker_ref());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let _entered = runtime.enter();
    assert!(call.as_mut().poll(&mut cx).is_pending());
    let armed = [pipeline.total_timeout(), pipeline.attempt_timeout()];
    let armed = armed.map(|timeout| timeout.totals().armed);
    assert_eq!(armed, [1, 1]);
    assert!(pipeline.total_timeout().config().limit() > Some(Duration::ZERO));
}
