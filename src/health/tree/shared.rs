//! What the clones of a tree's handle share: the machine under its lock, and what is read without it.

use super::component::{HealthTreeBuilder, Plan};
use super::event::HealthEvent;
use super::figures::Figures;
use super::machine::State;
use super::rollup::Summary;
use super::trace::trace;
use crate::health::check::{Check, CheckConfig, CheckResult, Lane, RunResult, Status};
use crate::kernel::clock::Clock;
use crate::kernel::event::{self, Events, Subscriber};
use crate::kernel::instant::Instant;
use crate::kernel::rng::Rolls;
use crate::kernel::sync::{AtomicU32, AtomicU64, Mutex, Ordering};
use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

/// How well a component is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Health {
    /// The worst of its checks and of the components beneath it, or what was set by hand.
    pub status: Status,
    /// A check of level [`Maintenance`](crate::health::check::Level::Maintenance) fails, in it or
    /// beneath it.
    pub needs_attention: bool,
    /// The tree is in maintenance mode.
    pub in_maintenance: bool,
}

impl Health {
    fn bits(summary: Summary, in_maintenance: bool) -> u32 {
        u32::from(summary.status.code())
            | u32::from(summary.flagged) << 3
            | u32::from(in_maintenance) << 4
    }

    const fn from_bits(bits: u32) -> Self {
        Self {
            status: Status::from_code((bits & 7) as u8),
            needs_attention: bits & 8 != 0,
            in_maintenance: bits & 16 != 0,
        }
    }
}

/// What is read of one component without the lock.
#[derive(Debug)]
struct Front {
    word: AtomicU32,
    /// Tells that the word changed; there once somebody watches.
    watch: OnceLock<watch::Sender<()>>,
}

pub(super) struct Tree {
    fronts: Box<[Front]>,
    /// The last moment, on the clock, at which nothing in the tree is stale. It is written behind
    /// the words and read before them: who sees a later one sees the words that belong to it.
    fresh_until: AtomicU64,
    /// Whether it is alive (1) and has started (2).
    probes: AtomicU32,
    state: Mutex<Sequenced>,
    events: Events<HealthEvent>,
    pub(super) clock: Clock,
    index: HashMap<String, usize>,
    /// The checks as they were described, in the order of the machine's.
    pub(super) checks: Vec<Check>,
    pub(super) lanes: Vec<Lane>,
    /// One for each check: its settings are others now.
    pub(super) retimed: Vec<Arc<Notify>>,
    pub(super) figures: Arc<Figures>,
    /// A start-up check passed.
    pub(super) gate: Arc<Notify>,
    /// A recovery may be due, or something is stale earlier than it was to be.
    pub(super) work: Arc<Notify>,
    /// The tasks that run it.
    pub(super) drivers: Mutex<Option<JoinSet<()>>>,
}

struct Sequenced {
    state: State,
    seq: u64,
}

const ALIVE: u32 = 1;
const STARTED: u32 = 2;

impl Tree {
    pub(super) fn new(plan: Plan, builder: &HealthTreeBuilder) -> Self {
        let clock = builder.clock.clone();
        let rolls = builder.seed.map_or_else(Rolls::random, Rolls::seeded);
        let state = State::new(&plan, builder.order, rolls, clock.now());
        let front = |summary| Front {
            word: AtomicU32::new(Health::bits(summary, false)),
            watch: OnceLock::new(),
        };
        let names = plan.nodes.iter().map(|node| node.name.as_str().to_owned());
        Self {
            fronts: state.nodes.iter().map(|node| front(node.now)).collect(),
            fresh_until: AtomicU64::new(state.fresh_until().as_nanos()),
            probes: AtomicU32::new(probes(&state)),
            events: Events::new(),
            index: names.zip(0..).collect(),
            lanes: plan.checks.iter().map(|_| Lane::default()).collect(),
            retimed: plan.checks.iter().map(|_| Arc::default()).collect(),
            figures: Arc::new(Figures::new(plan.checks.len())),
            checks: plan.checks.into_iter().map(|(_, check)| check).collect(),
            state: Mutex::new(Sequenced { state, seq: 0 }),
            clock,
            gate: Arc::default(),
            work: Arc::default(),
            drivers: Mutex::new(None),
        }
    }

    pub(super) fn find(&self, component: &str) -> Option<usize> {
        self.index.get(component).copied()
    }

    /// How well a component is: two loads and a reading of the clock. Only who comes first after
    /// something has become stale takes the lock, to note that.
    #[inline]
    pub(super) fn health(&self, node: usize) -> Health {
        self.refresh();
        Health::from_bits(self.fronts[node].word.load(Ordering::Acquire))
    }

    pub(super) fn statuses(&self) -> Vec<Status> {
        self.refresh();
        let status = |front: &Front| Health::from_bits(front.word.load(Ordering::Acquire)).status;
        self.fronts.iter().map(status).collect()
    }

    #[inline]
    fn refresh(&self) {
        let fresh_until = self.fresh_until.load(Ordering::Acquire);
        if self.clock.coarse().as_nanos() > fresh_until {
            self.expire();
        }
    }

    #[cold]
    fn expire(&self) {
        let now = self.clock.now();
        self.locked(|state| state.expire(now));
    }

    pub(super) fn is_alive(&self) -> bool {
        self.refresh();
        self.probes.load(Ordering::Acquire) & ALIVE != 0
    }

    pub(super) fn has_started(&self) -> bool {
        self.refresh();
        self.probes.load(Ordering::Acquire) & STARTED != 0
    }

    pub(super) fn subscribe(&self, capacity: NonZeroUsize) -> Subscriber<HealthEvent> {
        self.events.subscribe(capacity)
    }

    /// Wakes whenever the health of the component changed.
    pub(super) fn watch(&self, node: usize) -> watch::Receiver<()> {
        let watch = self.fronts[node]
            .watch
            .get_or_init(|| watch::Sender::new(()));
        watch.subscribe()
    }

    /// Takes the result of a check.
    pub(super) fn record(&self, id: usize, result: RunResult, took: Option<Duration>) {
        self.figures.count(id, result.ending, took);
        let wall = self.clock.wall();
        let now = self.clock.now();
        let result = CheckResult {
            ending: result.ending,
            message: result.message,
            observed: result.observed,
            took,
            wall,
        };
        self.locked(|state| state.record(id, result, now));
    }

    /// Takes other settings of a check.
    pub(super) fn reconfigure(&self, id: usize, config: CheckConfig) {
        let now = self.clock.now();
        self.locked(|state| state.reconfigure(id, config, now));
        self.retimed[id].notify_one();
    }

    /// Runs `act` under the lock, and tells what follows from it after the unlock.
    pub(super) fn locked<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        let mut held = self.state.lock();
        let result = act(&mut held.state);
        let aftermath = self.publish(&mut held);
        drop(held);
        aftermath.run(self);
        result
    }

    fn publish(&self, held: &mut Sequenced) -> Aftermath {
        let state = &mut held.state;
        let outbox = std::mem::take(&mut state.outbox);
        let mut changed = outbox.changed;
        changed.sort_unstable();
        changed.dedup();
        for &at in &changed {
            let bits = Health::bits(state.nodes[at].now, state.maintenance);
            self.fronts[at].word.store(bits, Ordering::Release);
        }
        // Nothing is written that does not change: those who read it keep their line.
        let probes = probes(state);
        if self.probes.load(Ordering::Relaxed) != probes {
            self.probes.store(probes, Ordering::Release);
        }
        let fresh_until = state.fresh_until().as_nanos();
        let before = self.fresh_until.load(Ordering::Relaxed);
        if before != fresh_until {
            self.fresh_until.store(fresh_until, Ordering::Release);
        }
        // Nothing to tell, as after most results: no reading of the clock.
        let at = if outbox.notes.is_empty() {
            Instant::from_nanos(0)
        } else {
            self.clock.now()
        };
        let notes: Vec<HealthEvent> = outbox
            .notes
            .into_iter()
            .map(|kind| {
                held.seq = held.seq.saturating_add(1);
                HealthEvent {
                    seq: held.seq,
                    at,
                    kind,
                }
            })
            .collect();
        Aftermath {
            // Queued under the lock, so that all subscribers see one order.
            queued: self.events.enqueue(&notes),
            notes,
            changed,
            gate_opened: outbox.gate_opened,
            has_work: outbox.has_work || fresh_until < before,
        }
    }
}

fn probes(state: &State) -> u32 {
    let alive = if state.is_dead() { 0 } else { ALIVE };
    let started = if state.has_started() { STARTED } else { 0 };
    alive | started
}

/// What has to wait for the unlock, because it runs code that is not ours.
struct Aftermath {
    queued: event::Aftermath<HealthEvent>,
    notes: Vec<HealthEvent>,
    changed: Vec<usize>,
    gate_opened: bool,
    has_work: bool,
}

impl Aftermath {
    fn run(self, tree: &Tree) {
        self.notes.iter().for_each(trace);
        self.queued.run();
        for at in self.changed {
            if let Some(watch) = tree.fronts[at].watch.get() {
                watch.send_replace(());
            }
        }
        if self.gate_opened {
            tree.gate.notify_waiters();
        }
        if self.has_work {
            tree.work.notify_one();
        }
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthTree")
            .field("health", &self.health(0))
            .field("components", &self.fronts.len())
            .field("checks", &self.checks.len())
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}
