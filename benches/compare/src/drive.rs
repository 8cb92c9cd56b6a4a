//! Makes the calls: alone, or beside another thread that makes the same.

use std::hint::{black_box, spin_loop};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::call::{Ask, Peer};

pub(crate) fn alone<P: Peer>(mut peer: P, calls: u64, asks: &mut impl Asks) -> Duration {
    let start = Instant::now();
    for _ in 0..calls {
        black_box(peer.call(black_box(asks.next())));
    }
    start.elapsed()
}

/// Time of one thread's calls while another calls too.
pub(crate) fn contended<P: Peer>(runtime: &Runtime, peer: P, calls: u64) -> Duration {
    let signals = Signals::default();
    thread::scope(|scope| {
        let mut other = peer.clone();
        let signals = &signals;
        scope.spawn(move || {
            // tokio's timers, which some peers make for each call, belong to a runtime.
            let _entered = runtime.enter();
            signals.meet();
            while !signals.stop.load(Ordering::Relaxed) {
                black_box(other.call(black_box(Ask::Succeed)));
            }
        });
        signals.meet();
        let spent = alone(peer, calls, &mut Always(Ask::Succeed));
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
            black_box(other.call_pending(black_box(Ask::Succeed)).await);
        }
    });
    let timed = runtime.spawn(async move {
        signals.meet();
        let start = Instant::now();
        for _ in 0..calls {
            black_box(peer.call_pending(black_box(Ask::Succeed)).await);
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

pub(crate) trait Asks {
    fn next(&mut self) -> Ask;
}

pub(crate) struct Always(pub(crate) Ask);

impl Asks for Always {
    fn next(&mut self) -> Ask {
        self.0
    }
}

/// Drawn before measuring: the same sequence for every peer, and a load per call instead of a random number.
#[derive(Clone)]
pub(crate) struct Mix {
    asks: Arc<[Ask; Self::LEN]>,
    next: usize,
}

impl Mix {
    const LEN: usize = 1 << 12;

    pub(crate) fn of(failing_per_mille: u64) -> Self {
        let mut x = 0x2545_f491_4f6c_dd1d_u64;
        let asks = std::array::from_fn(|_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            if x % 1000 < failing_per_mille {
                Ask::Fail
            } else {
                Ask::Succeed
            }
        });
        Self {
            asks: Arc::new(asks),
            next: 0,
        }
    }
}

impl Asks for Mix {
    fn next(&mut self) -> Ask {
        self.next = (self.next + 1) % Self::LEN;
        self.asks[self.next]
    }
}
