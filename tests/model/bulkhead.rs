//! The bulkhead beside a naive one: a plain list of those who wait, searched from the front each
//! time. They must agree after every step on who runs, who waits, who was woken how often, and on
//! all counts.

use backstop::kernel::clock::{Clock, ManualClock};
use backstop::kernel::managed::Isolation;
use backstop::kernel::priority::Priority;
use backstop::kernel::rejection::{Rejection, RejectionKind};
use backstop::policy::bulkhead::{AcquireOwned, Ask, Order, OwnedPermit, Totals};
use backstop::{Bulkhead, BulkheadConfig};
use futures::task::{ArcWake, waker};
use proptest::prelude::*;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

const MS: u64 = 1_000_000;
const MAX_WAIT: u64 = 100 * MS;
const RELIEF: u64 = 1_000 * MS;

#[derive(Clone, Copy, Debug)]
enum Op {
    TryAcquire,
    /// A call asks, is polled once, and may wait.
    Arrive(Priority, Option<u64>),
    /// The n-th of those that have not ended is polled.
    Poll(usize),
    /// The n-th of those is dropped.
    Cancel(usize),
    /// The n-th of those that run ends.
    Finish(usize),
    Advance(u64),
    StepBack(u64),
    Resize(u32),
    Reconfigure(u32, u32, Order),
    Isolate,
    /// The last guard is dropped.
    Release,
    Reset,
}

fn op((kind, number): (u8, u64)) -> Op {
    let nth = usize::try_from(number >> 8).unwrap_or(0);
    let small = u32::try_from(number % 5).unwrap_or(0);
    match kind % 32 {
        0..=3 => Op::TryAcquire,
        4..=11 => {
            let priority = Priority::ALL[nth % 4];
            let wait = match number % 4 {
                0 => Some((number >> 8) % (64 * MS)),
                _ => None,
            };
            Op::Arrive(priority, wait)
        }
        12..=15 => Op::Poll(nth),
        16 | 17 => Op::Cancel(nth),
        18..=23 => Op::Finish(nth),
        24 | 25 => Op::Advance([MS, MAX_WAIT - 1, MAX_WAIT, RELIEF / 2][nth % 4]),
        26 if number % 4 == 0 => Op::StepBack(MS * 10),
        26 | 27 => Op::Resize(small),
        28 => {
            let order = [Order::Fifo, Order::Lifo][nth % 2];
            Op::Reconfigure(small, u32::try_from(nth % 4).unwrap_or(0), order)
        }
        29 => Op::Isolate,
        30 => Op::Release,
        _ if number % 8 == 0 => Op::Reset,
        _ => Op::Finish(nth),
    }
}

// --- The naive one ---

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Waits,
    Served,
    TurnedAway(RejectionKind),
}

/// A call that has not heard the end of its wait.
#[derive(Clone, Debug)]
struct Call {
    priority: Priority,
    deadline: u64,
    standing: Standing,
    wakes: u32,
    timer_is_set: bool,
}

#[derive(Debug)]
struct Naive {
    limit: usize,
    max_waiting: usize,
    order: Order,
    isolations: usize,
    now: u64,
    /// Slots taken, those of calls that do not know it yet included.
    taken: usize,
    calls: Vec<Call>,
    saturated: bool,
    refused_at: u64,
    peak: usize,
    totals: Totals,
}

impl Naive {
    fn waiting(&self) -> usize {
        let waits = |call: &&Call| call.standing == Standing::Waits;
        self.calls.iter().filter(waits).count()
    }

    fn take(&mut self) {
        self.taken += 1;
        self.peak = self.peak.max(self.taken);
    }

    /// Whoever is next: by class, then by order of arrival. The calls are kept in that order.
    fn next(&self) -> Option<usize> {
        let waiting =
            || (0..self.calls.len()).filter(|n| self.calls[*n].standing == Standing::Waits);
        let best = waiting().map(|n| self.calls[n].priority).max()?;
        let mut of_class = waiting().filter(|n| self.calls[*n].priority == best);
        match self.order {
            Order::Fifo => of_class.next(),
            Order::Lifo => of_class.next_back(),
        }
    }

    fn settle(&mut self) {
        while let Some(next) = self.next() {
            let standing = if self.isolations > 0 {
                Standing::TurnedAway(RejectionKind::ForcedOpen)
            } else if self.limit == 0 {
                Standing::TurnedAway(RejectionKind::Full)
            } else if self.taken < self.limit {
                self.take();
                Standing::Served
            } else {
                return;
            };
            self.calls[next].standing = standing;
            self.calls[next].wakes += 1;
        }
    }

    fn refuse(&mut self, kind: RejectionKind, after_a_wait: bool) -> RejectionKind {
        if kind == RejectionKind::ForcedOpen {
            self.totals.refused_forced_open += 1;
            return kind;
        }
        if after_a_wait {
            self.totals.refused_wait_over += 1;
        } else {
            self.totals.refused_full += 1;
        }
        self.saturated = true;
        self.refused_at = self.now;
        kind
    }

    /// `Some` if it is known at once.
    fn arrive(&mut self, ask: Option<(Priority, u64)>) -> Option<Result<(), RejectionKind>> {
        if self.isolations > 0 {
            return Some(Err(self.refuse(RejectionKind::ForcedOpen, false)));
        }
        if self.taken < self.limit && self.waiting() == 0 {
            self.take();
            return Some(Ok(()));
        }
        match ask {
            Some((priority, wait))
                if wait > 0 && self.limit > 0 && self.waiting() < self.max_waiting =>
            {
                self.calls.push(Call {
                    priority,
                    deadline: self.now.saturating_add(wait),
                    standing: Standing::Waits,
                    wakes: 0,
                    timer_is_set: true,
                });
                None
            }
            _ => Some(Err(self.refuse(RejectionKind::Full, false))),
        }
    }

    fn poll(&mut self, nth: usize) -> Option<Result<(), RejectionKind>> {
        let call = self.calls[nth].clone();
        let news = match call.standing {
            Standing::Served => {
                self.totals.waited += 1;
                Ok(())
            }
            Standing::TurnedAway(kind) => Err(self.refuse(kind, false)),
            Standing::Waits if self.now >= call.deadline => {
                Err(self.refuse(RejectionKind::Full, true))
            }
            Standing::Waits => {
                self.calls[nth].timer_is_set = true;
                return None;
            }
        };
        self.calls.remove(nth);
        Some(news)
    }

    fn cancel(&mut self, nth: usize) {
        self.totals.cancelled += 1;
        if self.calls.remove(nth).standing == Standing::Served {
            self.taken -= 1;
            self.settle();
        }
    }

    fn finish(&mut self) {
        self.totals.finished += 1;
        self.taken -= 1;
        self.settle();
    }

    fn set_time(&mut self, now: u64) {
        self.now = now;
        for call in &mut self.calls {
            if call.timer_is_set && now >= call.deadline {
                call.timer_is_set = false;
                call.wakes += 1;
            }
        }
    }

    fn look(&mut self) {
        if self.saturated && self.now.saturating_sub(self.refused_at) >= RELIEF {
            self.saturated = false;
        }
    }
}

// --- Both ---

#[derive(Default)]
struct Wakes(AtomicU32);

impl ArcWake for Wakes {
    fn wake_by_ref(this: &Arc<Self>) {
        this.0.fetch_add(1, Ordering::Relaxed);
    }
}

struct Pair {
    real: Bulkhead,
    clock: ManualClock,
    naive: Naive,
    calls: Vec<(Pin<Box<AcquireOwned>>, Arc<Wakes>)>,
    permits: Vec<OwnedPermit>,
    guards: Vec<Isolation>,
}

fn config(limit: u32, max_waiting: u32, order: Order) -> BulkheadConfig {
    let config = BulkheadConfig::default().max_concurrent(limit).order(order);
    match max_waiting {
        0 => config,
        _ => config.queue(max_waiting, Duration::from_nanos(MAX_WAIT)),
    }
}

impl Pair {
    fn new(limit: u32, max_waiting: u32, order: Order) -> Self {
        let clock = Clock::manual();
        let config = config(limit, max_waiting, order);
        let real = Bulkhead::with_clock("model", config, &clock).expect("a valid configuration");
        Self {
            real,
            naive: Naive {
                limit: limit as usize,
                max_waiting: max_waiting as usize,
                order,
                isolations: 0,
                now: clock.clock().now().as_nanos(),
                taken: 0,
                calls: Vec::new(),
                saturated: false,
                refused_at: 0,
                peak: 0,
                totals: Totals::default(),
            },
            clock,
            calls: Vec::new(),
            permits: Vec::new(),
            guards: Vec::new(),
        }
    }

    /// Keeps the permit, and says what it was.
    fn heard(&mut self, news: Result<OwnedPermit, Rejection>) -> Result<(), RejectionKind> {
        let permit = news.map_err(|rejection| rejection.kind())?;
        self.permits.push(permit);
        Ok(())
    }

    fn poll_real(&mut self, nth: usize) -> Option<Result<(), RejectionKind>> {
        let (acquire, woken) = &mut self.calls[nth];
        let waker = waker(woken.clone());
        match acquire.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => None,
            Poll::Ready(news) => {
                drop(self.calls.remove(nth));
                Some(self.heard(news))
            }
        }
    }

    fn step(&mut self, op: Op) {
        let calls = self.calls.len();
        match op {
            Op::TryAcquire => {
                let news = self.real.try_acquire_owned();
                assert_eq!(Some(self.heard(news)), self.naive.arrive(None));
            }
            Op::Arrive(priority, wait) => {
                let ask = Ask::from(priority);
                let ask = wait.map_or(ask, |wait| ask.max_wait(Duration::from_nanos(wait)));
                let acquire = Box::pin(self.real.acquire_owned(ask));
                self.calls.push((acquire, Arc::default()));
                let wait = wait.unwrap_or(MAX_WAIT);
                let expected = self.naive.arrive(Some((priority, wait)));
                assert_eq!(self.poll_real(calls), expected);
            }
            Op::Poll(nth) if calls > 0 => {
                let expected = self.naive.poll(nth % calls);
                assert_eq!(self.poll_real(nth % calls), expected);
            }
            Op::Cancel(nth) if calls > 0 => {
                drop(self.calls.remove(nth % calls));
                self.naive.cancel(nth % calls);
            }
            Op::Finish(nth) if !self.permits.is_empty() => {
                let nth = nth % self.permits.len();
                drop(self.permits.remove(nth));
                self.naive.finish();
            }
            Op::Poll(_) | Op::Cancel(_) | Op::Finish(_) => {}
            Op::Advance(by) => {
                self.clock.advance(Duration::from_nanos(by));
                self.naive.set_time(self.naive.now + by);
            }
            Op::StepBack(by) => {
                self.clock.step_back(Duration::from_nanos(by));
                self.naive.set_time(self.naive.now - by);
            }
            Op::Resize(limit) => {
                self.real.resize(limit).expect("a valid limit");
                self.naive.limit = limit as usize;
                self.naive.settle();
            }
            Op::Reconfigure(limit, max_waiting, order) => {
                let config = config(limit, max_waiting, order);
                self.real
                    .reconfigure(config)
                    .expect("a valid configuration");
                self.naive.limit = limit as usize;
                self.naive.max_waiting = max_waiting as usize;
                self.naive.order = order;
                self.naive.settle();
            }
            Op::Isolate => {
                self.guards.push(self.real.isolate());
                self.naive.isolations += 1;
                self.naive.settle();
            }
            Op::Release => {
                self.naive.isolations -= usize::from(self.guards.pop().is_some());
                self.naive.settle();
            }
            Op::Reset => {
                self.real.reset();
                self.naive.saturated = false;
                self.naive.peak = self.naive.taken;
            }
        }
        self.compare();
    }

    fn compare(&mut self) {
        let naive = &mut self.naive;
        naive.look();
        let real = self.real.snapshot();
        assert_eq!(real.in_flight as usize, naive.taken);
        assert_eq!(real.waiting as usize, naive.waiting());
        assert_eq!(real.limit as usize, naive.limit);
        assert_eq!(real.peak as usize, naive.peak);
        assert_eq!(real.is_isolated, naive.isolations > 0);
        assert_eq!(real.is_saturated, naive.saturated);
        assert_eq!(self.real.totals(), naive.totals);
        let served = |call: &&Call| call.standing == Standing::Served;
        let unknown = naive.calls.iter().filter(served).count();
        assert_eq!(self.permits.len() + unknown, naive.taken);
        let woken = |(_, wakes): &(_, Arc<Wakes>)| wakes.0.load(Ordering::Relaxed);
        let real: Vec<u32> = self.calls.iter().map(woken).collect();
        let naive: Vec<u32> = naive.calls.iter().map(|call| call.wakes).collect();
        assert_eq!(real, naive, "who was woken how often");
    }

    /// Everybody goes, and all slots are free.
    fn end(mut self) {
        while !self.calls.is_empty() {
            self.step(Op::Cancel(0));
        }
        while !self.guards.is_empty() {
            self.step(Op::Release);
        }
        while !self.permits.is_empty() {
            self.step(Op::Finish(0));
        }
        assert_eq!(self.real.in_flight(), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1_000 * u32::try_from(crate::soak()).unwrap_or(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn bh1a_bh1d_bh4b_bh4c_bh4d_bh7b_the_bulkhead_does_as_the_naive_one(
        limit in 0_u32..4,
        max_waiting in 0_u32..5,
        is_lifo in any::<bool>(),
        ops in prop::collection::vec(any::<(u8, u64)>().prop_map(op), 1..200),
    ) {
        let order = if is_lifo { Order::Lifo } else { Order::Fifo };
        let mut pair = Pair::new(limit, max_waiting, order);
        for op in ops {
            pair.step(op);
        }
        pair.end();
    }
}
