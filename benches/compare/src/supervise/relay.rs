//! The child that every peer runs, and what it tells.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, Semaphore};

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

pub(crate) fn now() -> Duration {
    START.elapsed()
}

/// Tells a child when to fail, and notes how long its next incarnation was in coming.
#[derive(Debug)]
pub(crate) struct Relay {
    failed_at: AtomicU64,
    times: Mutex<Vec<Duration>>,
    wanted: usize,
    /// One permit for each incarnation that runs.
    running: Semaphore,
    kick: Notify,
}

impl Relay {
    pub(crate) fn new(wanted: usize) -> Arc<Self> {
        Arc::new(Self {
            failed_at: AtomicU64::new(0),
            times: Mutex::new(Vec::with_capacity(wanted)),
            wanted,
            running: Semaphore::new(0),
            kick: Notify::new(),
        })
    }

    /// An incarnation is polled for the first time.
    pub(crate) fn runs(&self) {
        let at = self.failed_at.swap(0, Ordering::Relaxed);
        if at > 0 {
            let time = now().saturating_sub(Duration::from_nanos(at));
            self.times
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(time);
        }
        self.running.add_permits(1);
    }

    /// The next thing is the error.
    pub(crate) fn fails(&self) {
        let at = u64::try_from(now().as_nanos()).expect("a short run");
        self.failed_at.store(at, Ordering::Relaxed);
    }

    /// A whole child that is a future: it runs until it is told to fail.
    pub(crate) async fn child(&self) -> Planned {
        self.runs();
        self.kick.notified().await;
        self.fails();
        Planned
    }

    /// Has the child fail as often as is wanted, with `kick` where it is not a future.
    pub(crate) async fn drive(&self, mut kick: impl FnMut(&Self)) {
        for _ in 0..=self.wanted {
            self.running.acquire().await.expect("never closed").forget();
            // What the supervisor does after the start is not part of the next time.
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            kick(self);
        }
        self.running.acquire().await.expect("never closed").forget();
    }

    pub(crate) fn kick(&self) {
        self.kick.notify_one();
    }

    pub(crate) fn median(&self) -> Option<Duration> {
        let mut times = self
            .times
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        times.sort_unstable();
        times.get(times.len() / 2).copied()
    }
}

#[derive(Debug)]
pub(crate) struct Planned;

impl std::fmt::Display for Planned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("planned")
    }
}

impl std::error::Error for Planned {}

/// Counts children that run, and waits until the last is gone.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    started: AtomicUsize,
    gone: AtomicUsize,
    of: usize,
    all: Notify,
}

impl Crowd {
    pub(crate) fn new(of: usize) -> Arc<Self> {
        Arc::new(Self {
            of,
            ..Self::default()
        })
    }

    /// A child keeps this while it runs.
    pub(crate) fn join(self: &Arc<Self>) -> Member {
        if self.started.fetch_add(1, Ordering::AcqRel) + 1 == self.of {
            self.all.notify_one();
        }
        Member(Arc::clone(self))
    }

    /// All have been polled.
    pub(crate) async fn full(&self) {
        while self.started.load(Ordering::Acquire) < self.of {
            self.all.notified().await;
        }
    }

    /// All are gone.
    pub(crate) async fn empty(&self) {
        while self.gone.load(Ordering::Acquire) < self.of {
            self.all.notified().await;
        }
    }
}

#[derive(Debug)]
pub(crate) struct Member(Arc<Crowd>);

impl Drop for Member {
    fn drop(&mut self) {
        if self.0.gone.fetch_add(1, Ordering::AcqRel) + 1 == self.0.of {
            self.0.all.notify_one();
        }
    }
}
