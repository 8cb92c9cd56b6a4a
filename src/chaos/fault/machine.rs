//! The decision: which faults there are, and what they do to a call. No user code.

use super::config::{Fault, FaultKind};
use super::counts::Counters;
use super::hang::Gate;
use crate::kernel::clock::Clock;
use crate::kernel::config::ConfigError;
use crate::kernel::instant::Instant;
use crate::kernel::name::Name;
use crate::kernel::rng::nth_roll;
use crate::kernel::sync::wake_all;
use crate::kernel::sync::{AtomicBool, AtomicU64, Mutex, Ordering, Published};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Each call draws for each fault, so there are not to be many.
const MOST_FAULTS: usize = 1_000;

/// The number of an injected fault, from 1, in the order of injection. It means something to the
/// injector that gave it and to no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FaultId(pub(super) u64);

impl fmt::Display for FaultId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A fault that is being injected.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct InjectedFault {
    /// Its number.
    pub id: FaultId,
    /// Its name, if it has one.
    pub name: Option<Name>,
    /// What it does.
    pub kind: FaultKind,
    /// The share of the calls that it hits.
    pub probability: f64,
    /// How long it has to live; `None` until it is removed.
    pub remaining: Option<Duration>,
}

/// A fault in force.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) id: FaultId,
    pub(super) fault: Fault,
    pub(super) end: Option<Instant>,
    pub(super) gate: Gate,
    seed: u64,
    draws: AtomicU64,
}

impl Active {
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.end.is_some_and(|end| now >= end)
    }

    fn hits(&self) -> bool {
        let draw = self.draws.fetch_add(1, Ordering::Relaxed);
        nth_roll(self.seed, draw) < self.fault.probability
    }

    fn shown(&self, now: Instant) -> InjectedFault {
        InjectedFault {
            id: self.id,
            name: self.fault.name.clone(),
            kind: self.fault.kind,
            probability: self.fault.probability,
            remaining: self.end.map(|end| end.saturating_duration_since(now)),
        }
    }
}

/// What is to become of one call.
#[derive(Debug, Default)]
pub(super) struct Draw {
    pub(super) latency: Duration,
    pub(super) then: Then,
}

/// What comes after the latencies.
#[derive(Debug, Default)]
pub(super) enum Then {
    #[default]
    Proceed,
    Error,
    Panic(Arc<Active>),
    Hang(Arc<Active>),
}

impl Then {
    /// The greater one happens.
    fn rank(&self) -> u8 {
        match self {
            Self::Proceed => 0,
            Self::Error => 1,
            Self::Panic(_) => 2,
            Self::Hang(_) => 3,
        }
    }
}

impl Draw {
    fn add(&mut self, fault: &Arc<Active>) {
        let then = match fault.fault.kind {
            FaultKind::Latency(latency) => {
                self.latency = self.latency.saturating_add(latency);
                return;
            }
            FaultKind::Error => Then::Error,
            FaultKind::Panic => Then::Panic(fault.clone()),
            FaultKind::Hang => Then::Hang(fault.clone()),
        };
        if then.rank() > self.then.rank() {
            self.then = then;
        }
    }

    fn is_nothing(&self) -> bool {
        self.latency.is_zero() && matches!(self.then, Then::Proceed)
    }
}

type Faults = Vec<Arc<Active>>;

#[derive(Debug)]
pub(super) struct Machine {
    pub(super) seed: u64,
    pub(super) clock: Clock,
    pub(super) counters: Arc<Counters>,
    /// Whether there are faults: all that a call reads while there are none.
    busy: AtomicBool,
    faults: Published<Faults>,
    /// The number of the last fault; its lock serialises changes of the list.
    last_id: Mutex<u64>,
}

impl Machine {
    pub(super) fn new(seed: u64, clock: Clock) -> Self {
        Self {
            seed,
            clock,
            counters: Arc::default(),
            busy: AtomicBool::new(false),
            faults: Published::empty(),
            last_id: Mutex::new(0),
        }
    }

    /// Draws for one call; `None` if nothing happens to it.
    #[inline]
    pub(super) fn draw(&self) -> Option<Draw> {
        if self.is_quiet() {
            None
        } else {
            self.draw_from_faults()
        }
    }

    /// Whether there are no faults.
    #[inline]
    pub(super) fn is_quiet(&self) -> bool {
        !self.busy.load(Ordering::Relaxed)
    }

    #[cold]
    fn draw_from_faults(&self) -> Option<Draw> {
        let now = self.clock.now();
        let mut draw = Draw::default();
        let mut is_stale = false;
        self.faults.read(|faults| {
            for fault in faults {
                if fault.is_over(now) {
                    is_stale = true;
                } else if fault.hits() {
                    draw.add(fault);
                }
            }
        });
        if is_stale {
            self.remove_if(|fault| fault.is_over(now));
        }
        (!draw.is_nothing()).then_some(draw)
    }

    pub(super) fn inject(&self, fault: Fault) -> Result<FaultId, ConfigError> {
        fault.validate()?;
        let now = self.clock.now();
        self.remove_if(|fault| fault.is_over(now));
        let (id, kind, ttl) = {
            let mut last_id = self.last_id.lock();
            let mut faults = self.faults.read(Faults::clone).unwrap_or_default();
            if faults.len() >= MOST_FAULTS {
                let allowed = format!("at most {MOST_FAULTS} at a time");
                return Err(ConfigError::new("faults", faults.len() + 1, allowed));
            }
            *last_id += 1;
            let active = Arc::new(Active {
                id: FaultId(*last_id),
                end: fault.ttl.map(|ttl| now + ttl),
                gate: Gate::default(),
                // The bits of a roll are as good as a seed, and no two faults share their rolls.
                seed: nth_roll(self.seed, *last_id).to_bits(),
                draws: AtomicU64::new(0),
                fault,
            });
            let told = (active.id, active.fault.kind, active.fault.ttl);
            faults.push(active);
            self.faults.replace(Some(Arc::new(faults)));
            self.busy.store(true, Ordering::Relaxed);
            told
        };
        tracing::info!(target: "backstop::chaos", %id, ?kind, ?ttl, "fault injected");
        Ok(id)
    }

    /// Ends the faults that `is_over` says, and their hangs; how many.
    pub(super) fn remove_if(&self, is_over: impl Fn(&Active) -> bool) -> usize {
        let (removed, replaced) = {
            let _last_id = self.last_id.lock();
            let faults = self.faults.read(Faults::clone).unwrap_or_default();
            let (removed, kept) = faults
                .into_iter()
                .partition::<Faults, _>(|fault| is_over(fault));
            if removed.is_empty() {
                return 0;
            }
            self.busy.store(!kept.is_empty(), Ordering::Relaxed);
            (
                removed,
                self.faults
                    .replace((!kept.is_empty()).then(|| Arc::new(kept))),
            )
        };
        drop(replaced);
        let wakers = removed.iter().flat_map(|fault| fault.gate.open()).collect();
        for fault in &removed {
            tracing::info!(target: "backstop::chaos", id = %fault.id, "fault ended");
        }
        wake_all(wakers);
        removed.len()
    }

    /// The faults in force, in the order of injection.
    pub(super) fn shown(&self) -> Vec<InjectedFault> {
        let now = self.clock.now();
        self.remove_if(|fault| fault.is_over(now));
        self.faults
            .read(|faults| faults.iter().map(|fault| fault.shown(now)).collect())
            .unwrap_or_default()
    }
}

/// With the last handle gone, nobody could end what hangs.
impl Drop for Machine {
    fn drop(&mut self) {
        self.remove_if(|_| true);
    }
}
