//! What the heads of `src/main.rs` and `src/durable/main.rs` say that peers do, or do not: each claim is a test, on the version that is measured.
//!
//! A peer that mends its ways fails the test: then the sentence goes, and the peer gets the rows it was left out of.

mod breakers;
mod fjall;
mod okaywal;
mod ours;
mod redb;
mod seatbelt;
mod syncs;
mod tower_layers;
mod tower_resilience;
mod wal_db;

use std::future::Ready;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use tokio::runtime::{Builder, Runtime};
use tower::Service;

/// A runtime with timers, which many peers need even for a call that is ready at once.
fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime")
}

fn poll_once<T>(future: impl Future<Output = T>) -> Poll<T> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn poll_ready<S: Service<bool>>(service: &mut S) -> Poll<Result<(), S::Error>> {
    service.poll_ready(&mut Context::from_waker(Waker::noop()))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Failed;

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("failed")
    }
}

impl std::error::Error for Failed {}

/// Answers at once: with an error to `true`. Counts its clones.
#[derive(Default)]
struct Answers {
    clones: Arc<AtomicUsize>,
}

impl Clone for Answers {
    fn clone(&self) -> Self {
        self.clones.fetch_add(1, Ordering::Relaxed);
        Self {
            clones: Arc::clone(&self.clones),
        }
    }
}

impl Service<bool> for Answers {
    type Response = ();
    type Error = Failed;
    type Future = Ready<Result<(), Failed>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, fails: bool) -> Self::Future {
        std::future::ready(if fails { Err(Failed) } else { Ok(()) })
    }
}

/// Counts how often it was woken.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Bell {
    fn rung(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Allocations of one call, after a few that make what is made only once.
fn allocations(mut call: impl FnMut()) -> u64 {
    (0..3).for_each(|_| call());
    allocation_counter::measure(call).count_total
}
