//! Makes the calls: alone, or beside another thread that makes the same.

use std::hint::{black_box, spin_loop};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::call::Peer;

pub(crate) fn alone<P: Peer>(mut peer: P, calls: u64, outcomes: &mut impl Outcomes) -> Duration {
    let start = Instant::now();
    for _ in 0..calls {
        black_box(peer.call(black_box(outcomes.fails())));
    }
    start.elapsed()
}

/// Time of one thread's calls while another calls too.
pub(crate) fn contended<P: Peer>(peer: P, calls: u64) -> Duration {
    let signals = Signals::default();
    thread::scope(|scope| {
        let mut other = peer.clone();
        let signals = &signals;
        scope.spawn(move || {
            signals.meet();
            while !signals.stop.load(Ordering::Relaxed) {
                black_box(other.call(black_box(false)));
            }
        });
        signals.meet();
        let spent = alone(peer, calls, &mut Always(false));
        signals.stop.store(true, Ordering::Relaxed);
        spent
    })
}

/// The same with two tokio tasks: a call that is pending costs its wake as it would in a service.
pub(crate) fn contended_tasks<P: Peer>(runtime: &Runtime, mut peer: P, calls: u64) -> Duration {
    let signals = Arc::new(Signals::default());
    let (mut other, others) = (peer.clone(), signals.clone());
    let hammer = runtime.spawn(async move {
        others.meet();
        while !others.stop.load(Ordering::Relaxed) {
            black_box(other.call_pending(black_box(false)).await);
        }
    });
    let timed = runtime.spawn(async move {
        signals.meet();
        let start = Instant::now();
        for _ in 0..calls {
            black_box(peer.call_pending(black_box(false)).await);
        }
        let spent = start.elapsed();
        signals.stop.store(true, Ordering::Relaxed);
        spent
    });
    let spent = runtime.block_on(timed).expect("no peer panics");
    runtime.block_on(hammer).expect("no peer panics");
    spent
}

/// On lines of their own: `stop` is read after every call and must not share one with what a peer writes.
#[derive(Default)]
#[repr(align(128))]
struct Signals {
    arrived: AtomicUsize,
    stop: AtomicBool,
}

impl Signals {
    /// Blocks the thread, on purpose: two get past it only if each has a core or its turn on one.
    fn meet(&self) {
        self.arrived.fetch_add(1, Ordering::AcqRel);
        while self.arrived.load(Ordering::Acquire) < 2 {
            spin_loop();
        }
    }
}

pub(crate) trait Outcomes {
    fn fails(&mut self) -> bool;
}

pub(crate) struct Always(pub(crate) bool);

impl Outcomes for Always {
    fn fails(&mut self) -> bool {
        self.0
    }
}

/// Drawn before measuring: the same sequence for every peer, and a load per call instead of a random number.
#[derive(Clone)]
pub(crate) struct Mix {
    fails: Arc<[bool; Self::LEN]>,
    next: usize,
}

impl Mix {
    const LEN: usize = 1 << 12;

    pub(crate) fn of(failing_per_mille: u64) -> Self {
        let mut x = 0x2545_f491_4f6c_dd1d_u64;
        let fails = std::array::from_fn(|_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x % 1000 < failing_per_mille
        });
        Self {
            fails: Arc::new(fails),
            next: 0,
        }
    }
}

impl Outcomes for Mix {
    fn fails(&mut self) -> bool {
        self.next = (self.next + 1) % Self::LEN;
        self.fails[self.next]
    }
}
