//! Compartments and a naive set of them take the same steps, and must agree after each.
//!
//! The naive one keeps lists of calls and reads the rules off them, from scratch, each time.

use backstop::kernel::clock::{Clock, ManualClock};
use backstop::kernel::rejection::Rejection;
use backstop::policy::bulkhead::{
    Compartment, CompartmentConfig, Compartments, CompartmentsConfig, Order, OwnedCompartmentPermit,
};
use futures::task::{ArcWake, waker};
use proptest::prelude::*;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

const COMPARTMENTS: usize = 3;
const NAMES: [&str; COMPARTMENTS] = ["a", "b", "c"];
const OWED_FOR: u64 = 10;
const MAX_WAIT: u64 = 25;

const fn ticks(ticks: u64) -> Duration {
    Duration::from_millis(ticks)
}

#[derive(Clone, Copy, Debug)]
struct Share {
    limit: usize,
    guaranteed: usize,
    max_waiting: usize,
    lifo: bool,
}

#[derive(Clone, Debug)]
struct Plan {
    total: usize,
    shares: [Share; COMPARTMENTS],
    /// Beside so many others that no word holds the counts of all: each call takes the lock then.
    crowded: bool,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A call that does not wait.
    Try(usize),
    /// A call that may.
    Ask(usize),
    /// One of the running calls ends.
    End(usize),
    /// One of the waiting callers leaves, whether or not it has its slot by now.
    Leave(usize),
    Pass(u64),
}

/// What a caller has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stands {
    Waits,
    Runs,
    Refused,
}

#[derive(Clone, Copy, Debug)]
struct Caller {
    id: usize,
    at: usize,
    deadline: u64,
    stands: Stands,
}

/// The rules, by the book.
struct Naive {
    plan: Plan,
    now: u64,
    /// By age.
    callers: Vec<Caller>,
    /// Slots owed to a compartment, until when.
    owed: [(usize, u64); COMPARTMENTS],
}

impl Naive {
    fn count(&self, at: usize, stands: Stands) -> usize {
        let all = self.callers.iter();
        all.filter(|caller| caller.at == at && caller.stands == stands)
            .count()
    }

    fn running(&self, at: usize) -> usize {
        self.count(at, Stands::Runs)
    }

    fn lacks(&self, at: usize) -> usize {
        self.plan.shares[at]
            .guaranteed
            .saturating_sub(self.running(at))
    }

    fn may_run(&self, at: usize) -> bool {
        let running: usize = (0..COMPARTMENTS).map(|at| self.running(at)).sum();
        let free = self.plan.total - running;
        let owed: usize = (0..COMPARTMENTS)
            .map(|other| self.owed[other].0.min(self.lacks(other)))
            .sum();
        self.running(at) < self.plan.shares[at].limit
            && free > 0
            && (self.lacks(at) > 0 || free > owed)
    }

    fn run(&mut self, n: usize) {
        let at = self.callers[n].at;
        if self.lacks(at) > 0 {
            self.owed[at].0 = self.owed[at].0.saturating_sub(1);
        }
        self.callers[n].stands = Stands::Runs;
    }

    fn refuse(&mut self, n: usize) {
        let at = self.callers[n].at;
        self.callers[n].stands = Stands::Refused;
        if self.lacks(at) > 0 {
            let owed = (self.owed[at].0 + 1).min(self.lacks(at));
            self.owed[at] = (owed, self.now + OWED_FOR);
        }
    }

    /// Whoever can run now does: those below their guarantee first, then by the age of the oldest
    /// of a compartment.
    fn settle(&mut self) {
        for owed in &mut self.owed {
            if owed.1 <= self.now {
                owed.0 = 0;
            }
        }
        loop {
            let mut heads: Vec<(bool, usize, usize)> = Vec::new();
            for at in 0..COMPARTMENTS {
                let mut line: Vec<usize> = (0..self.callers.len())
                    .filter(|&n| self.callers[n].at == at)
                    .filter(|&n| self.callers[n].stands == Stands::Waits)
                    .collect();
                let Some(&oldest) = line.first() else {
                    continue;
                };
                if self.plan.shares[at].lifo {
                    line.reverse();
                }
                if self.running(at) < self.plan.shares[at].limit {
                    heads.push((self.lacks(at) == 0, oldest, line[0]));
                }
            }
            heads.sort_unstable();
            match heads.first() {
                Some(&(.., n)) if self.may_run(self.callers[n].at) => self.run(n),
                _ => return,
            }
        }
    }

    fn call(&mut self, id: usize, at: usize, waits: bool) {
        self.settle();
        self.callers.push(Caller {
            id,
            at,
            deadline: self.now + MAX_WAIT,
            stands: Stands::Waits,
        });
        let n = self.callers.len() - 1;
        if self.may_run(at) {
            self.run(n);
        } else if !waits || self.count(at, Stands::Waits) > self.plan.shares[at].max_waiting {
            self.refuse(n);
        }
    }

    fn gone(&mut self, id: usize) {
        self.callers.retain(|caller| caller.id != id);
        self.settle();
    }

    /// One tick: debts that end come before waits that do, as slots come before refusals.
    fn tick(&mut self) {
        self.now += 1;
        self.settle();
        for n in 0..self.callers.len() {
            let caller = self.callers[n];
            if caller.stands == Stands::Waits && caller.deadline <= self.now {
                self.refuse(n);
            }
        }
        self.settle();
    }
}

type Waits = Pin<Box<dyn Future<Output = Result<OwnedCompartmentPermit, Rejection>>>>;

#[derive(Default)]
struct Woken(AtomicBool);

impl ArcWake for Woken {
    fn wake_by_ref(this: &Arc<Self>) {
        this.0.store(true, Ordering::SeqCst);
    }
}

enum Real {
    Waits(Waits, Arc<Woken>),
    Runs(#[expect(dead_code, reason = "held for its drop")] OwnedCompartmentPermit),
    Refused,
}

impl Real {
    fn of(result: Result<OwnedCompartmentPermit, Rejection>) -> Self {
        result.map_or(Self::Refused, Self::Runs)
    }

    fn stands(&self) -> Stands {
        match self {
            Self::Waits(..) => Stands::Waits,
            Self::Runs(_) => Stands::Runs,
            Self::Refused => Stands::Refused,
        }
    }

    /// Polls only if it was woken: a waiter that is not told never finds out.
    fn look(&mut self) -> bool {
        let Self::Waits(future, woken) = self else {
            return false;
        };
        if !woken.0.swap(false, Ordering::SeqCst) {
            return false;
        }
        let waker = waker(woken.clone());
        if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            *self = Self::of(result);
        }
        true
    }
}

struct Pair {
    naive: Naive,
    clock: ManualClock,
    set: Compartments,
    compartments: [Compartment; COMPARTMENTS],
    real: Vec<(usize, Real)>,
    next_id: usize,
}

impl Pair {
    fn new(plan: Plan) -> Self {
        let clock = Clock::manual();
        let mut config = CompartmentsConfig::new()
            .total(u32::try_from(plan.total).unwrap())
            .owed_for(ticks(OWED_FOR));
        for (name, share) in NAMES.into_iter().zip(plan.shares) {
            let number = |number: usize| u32::try_from(number).unwrap();
            let order = if share.lifo { Order::Lifo } else { Order::Fifo };
            let mut compartment = CompartmentConfig::new(number(share.limit))
                .guaranteed(number(share.guaranteed))
                .order(order);
            if share.max_waiting > 0 {
                compartment = compartment.queue(number(share.max_waiting), ticks(MAX_WAIT));
            }
            config = config.compartment(name, compartment);
        }
        if plan.crowded {
            for n in COMPARTMENTS..64 {
                config = config.compartment(format!("other {n}"), CompartmentConfig::new(0));
            }
        }
        let set = Compartments::with_clock("model", config, &clock).unwrap();
        Self {
            naive: Naive {
                plan,
                now: 0,
                callers: Vec::new(),
                owed: [(0, 0); COMPARTMENTS],
            },
            clock,
            compartments: NAMES.map(|name| set.require(name).unwrap()),
            set,
            real: Vec::new(),
            next_id: 0,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Try(at) | Step::Ask(at) => {
                let waits = matches!(step, Step::Ask(_));
                let id = self.next_id;
                self.next_id += 1;
                self.naive.call(id, at, waits);
                let compartment = &self.compartments[at];
                let real = if waits {
                    let woken = Arc::new(Woken(AtomicBool::new(true)));
                    let mut real = Real::Waits(Box::pin(compartment.acquire_owned()), woken);
                    real.look();
                    real
                } else {
                    Real::of(compartment.try_acquire_owned())
                };
                self.real.push((id, real));
            }
            Step::End(n) => self.remove(n, Stands::Runs),
            Step::Leave(n) => self.remove(n, Stands::Waits),
            Step::Pass(ticks) => {
                for _ in 0..ticks {
                    self.naive.tick();
                    self.clock.advance(self::ticks(1));
                    self.look();
                }
            }
        }
        self.look();
        self.agree();
    }

    /// Takes the n-th of those out that stand like this.
    fn remove(&mut self, n: usize, stands: Stands) {
        let like: Vec<usize> = (0..self.real.len())
            .filter(|&n| self.real[n].1.stands() == stands)
            .collect();
        let Some(&at) = like.get(n % like.len().max(1)) else {
            return;
        };
        let (id, real) = self.real.remove(at);
        drop(real);
        self.naive.gone(id);
    }

    fn look(&mut self) {
        while self.real.iter_mut().any(|(_, real)| real.look()) {}
    }

    fn agree(&mut self) {
        for caller in &self.naive.callers {
            let real = self.real.iter().find(|(id, _)| *id == caller.id).unwrap();
            assert_eq!(real.1.stands(), caller.stands, "{caller:?}");
        }
        for (at, compartment) in self.compartments.iter().enumerate() {
            assert_eq!(compartment.in_flight() as usize, self.naive.running(at));
            let waiting = self.naive.count(at, Stands::Waits);
            assert_eq!(compartment.snapshot().waiting as usize, waiting);
        }
        assert!(self.set.in_flight() as usize <= self.naive.plan.total);
        self.real
            .retain(|(_, real)| real.stands() != Stands::Refused);
        self.naive
            .callers
            .retain(|caller| caller.stands != Stands::Refused);
    }
}

fn share() -> impl Strategy<Value = Share> {
    (0..6_usize, 0..4_usize, 0..4_usize, any::<bool>()).prop_map(
        |(limit, guaranteed, max_waiting, lifo)| Share {
            limit,
            guaranteed: guaranteed.min(limit),
            max_waiting,
            lifo,
        },
    )
}

fn plan() -> impl Strategy<Value = Plan> {
    let shares = [share(), share(), share()];
    (1..4_usize, shares, any::<bool>()).prop_map(|(more, shares, crowded)| {
        let guaranteed: usize = shares.iter().map(|share| share.guaranteed).sum();
        let mut plan = Plan {
            total: guaranteed.max(1) + more - 1,
            shares,
            crowded,
        };
        // A limit of 0 refuses at once, where a full one waits.
        for share in &mut plan.shares {
            if share.limit == 0 {
                share.max_waiting = 0;
            }
        }
        plan
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..COMPARTMENTS).prop_map(Step::Try),
        4 => (0..COMPARTMENTS).prop_map(Step::Ask),
        4 => (0..64_usize).prop_map(Step::End),
        1 => (0..64_usize).prop_map(Step::Leave),
        2 => prop_oneof![Just(1), Just(OWED_FOR - 1), Just(OWED_FOR), Just(MAX_WAIT)]
            .prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn bh2d_bh2e_bh2f_bh2g_bh2h_a_set_and_a_naive_one_agree(
        plan in plan(),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut pair = Pair::new(plan);
        for step in steps {
            pair.step(step);
        }
        // Let go, every slot is there again.
        let running = pair.real.len();
        for _ in 0..running {
            let (id, real) = pair.real.remove(0);
            drop(real);
            pair.naive.gone(id);
            pair.look();
        }
        assert_eq!(pair.set.in_flight(), 0);
    }
}
