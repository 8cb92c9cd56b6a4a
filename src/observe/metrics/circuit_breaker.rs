//! What is published of a circuit breaker, and of a keyed set of them.

use super::exporter::Exported;
use super::exporter::sealed::{Sealed, Source};
use super::figures::{Figure, Figures};
use super::meters::{Level, Spread, Tally};
use crate::kernel::keyed::{self, Keyed};
use crate::kernel::managed::Managed;
use crate::kernel::rejection::RejectionKind;
use crate::kernel::window::Counts;
use crate::observe::names::{
    CIRCUIT_BREAKER_FAILURE_RATIO, CIRCUIT_BREAKER_KEYED_ENTRIES, CIRCUIT_BREAKER_KEYED_OVERFLOWS,
    CIRCUIT_BREAKER_STATE, Metric, POLICY_CALL_DURATION, POLICY_CALLS, POLICY_REJECTIONS,
};
use crate::policy::circuit_breaker::{
    CircuitBreaker, LastWords, State, Totals, WeakCircuitBreaker,
};
use std::hash::Hash;
use std::sync::Arc;

impl Exported for CircuitBreaker {}

impl Sealed for CircuitBreaker {
    fn source(&self) -> Box<dyn Source> {
        let (policy, name) = (Managed::policy(self), self.name().as_str());
        Box::new(Breaker {
            weak: self.downgrade(),
            last_words: self.last_words(),
            calls: Calls::new(policy, name),
            durations: Spread::new(POLICY_CALL_DURATION.series([policy, name])),
            states: States::new(&CIRCUIT_BREAKER_STATE, name),
            failure_ratio: Level::new(CIRCUIT_BREAKER_FAILURE_RATIO.series([name])),
        })
    }
}

impl<K> Exported for Keyed<K, CircuitBreaker> where K: Hash + Eq + Send + Sync + 'static {}

impl<K> Sealed for Keyed<K, CircuitBreaker>
where
    K: Hash + Eq + Send + Sync + 'static,
{
    fn source(&self) -> Box<dyn Source> {
        let policy = Managed::policy(self.overflow());
        let name = self.name().as_str();
        Box::new(Set {
            upgrade: Box::new(self.downgrade()),
            last_words: self.last_words(),
            calls: Calls::new(policy, name),
            states: States::new(&CIRCUIT_BREAKER_KEYED_ENTRIES, name),
            overflows: Tally::new(CIRCUIT_BREAKER_KEYED_OVERFLOWS.series([name])),
        })
    }
}

/// A circuit breaker on its own.
struct Breaker {
    weak: WeakCircuitBreaker,
    last_words: LastWords,
    calls: Calls,
    durations: Spread,
    states: States,
    failure_ratio: Level,
}

impl Source for Breaker {
    fn id(&self) -> usize {
        Arc::as_ptr(&self.last_words).addr()
    }

    fn publish(&mut self) {
        let Some(breaker) = self.weak.upgrade() else {
            return;
        };
        let figures = breaker.figures();
        let totals = breaker.totals();
        let durations = breaker.durations();
        drop(breaker);
        self.calls.tell(&totals, figures.has_successes);
        if let Some(durations) = durations {
            self.durations.tell(&durations);
        }
        self.failure_ratio.set(failure_ratio(figures.counts));
        self.states.show(figures.state);
    }

    fn bury(&mut self) -> bool {
        let Some(farewell) = self.last_words.get() else {
            return false;
        };
        self.calls.tell(&farewell.totals, false);
        if let Some(durations) = &farewell.durations {
            self.durations.tell(durations);
        }
        self.failure_ratio.clear();
        self.states.clear();
        true
    }
}

/// A keyed set of circuit breakers.
struct Set<K> {
    upgrade: Box<dyn Fn() -> Option<Keyed<K, CircuitBreaker>> + Send + Sync>,
    last_words: keyed::LastWords<CircuitBreaker>,
    calls: Calls,
    states: States,
    overflows: Tally,
}

impl<K> Source for Set<K>
where
    K: Hash + Eq + Send + Sync + 'static,
{
    fn id(&self) -> usize {
        Arc::as_ptr(&self.last_words).addr()
    }

    fn publish(&mut self) {
        let Some(set) = (self.upgrade)() else {
            return;
        };
        let totals = set.totals();
        let overflowed = set.overflowed();
        let has_successes = set.overflow().figures().has_successes;
        let mut entries = [0_u32; State::ALL.len()];
        set.for_each(|_, breaker| {
            let state = breaker.state();
            for (count, of) in entries.iter_mut().zip(State::ALL) {
                *count += u32::from(state == of);
            }
        });
        drop(set);
        self.calls.tell(&totals, has_successes);
        self.overflows.tell(overflowed);
        self.states.count(entries);
    }

    fn bury(&mut self) -> bool {
        let Some(farewell) = self.last_words.get() else {
            return false;
        };
        self.calls.tell(&farewell.remains, false);
        self.overflows.tell(farewell.overflowed);
        self.states.clear();
        true
    }
}

/// All but successes.
const OUTCOMES: [Figure<Totals>; 4] = [
    ("failure", |totals| totals.failure),
    ("ignored", |totals| totals.ignored),
    ("dropped", |totals| totals.dropped),
    ("late", |totals| totals.late),
];

const REASONS: [Figure<Totals>; 3] = [
    (RejectionKind::Open.as_str(), |totals| totals.rejected_open),
    (RejectionKind::ForcedOpen.as_str(), |totals| {
        totals.rejected_forced_open
    }),
    (RejectionKind::ProbesFull.as_str(), |totals| {
        totals.rejected_probes_full
    }),
];

/// The counters of a policy's calls and rejections.
struct Calls {
    success: Tally,
    outcomes: Figures<Totals>,
    reasons: Figures<Totals>,
}

impl Calls {
    fn new(policy: &str, name: &str) -> Self {
        Self {
            success: Tally::new(POLICY_CALLS.series([policy, name, "success"])),
            outcomes: Figures::new(&POLICY_CALLS, [policy, name], &OUTCOMES),
            reasons: Figures::new(&POLICY_REJECTIONS, [policy, name], &REASONS),
        }
    }

    /// A policy that does not count its successes has none to show: 0 would be a lie.
    fn tell(&mut self, totals: &Totals, has_successes: bool) {
        if has_successes {
            self.success.tell(totals.success);
        } else {
            self.success.tell_if_any(totals.success);
        }
        self.outcomes.tell(totals);
        self.reasons.tell(totals);
    }
}

/// A gauge per state.
struct States(Vec<(State, Level)>);

impl States {
    fn new(metric: &Metric, name: &str) -> Self {
        let level = |state: State| Level::new(metric.series([name, state.as_str()]));
        Self(State::ALL.map(|state| (state, level(state))).into())
    }

    /// 1 for `state`, 0 for the others; these first, so that no scrape sees two.
    fn show(&mut self, state: State) {
        for (_, level) in self.0.iter_mut().filter(|(of, _)| *of != state) {
            level.set(0.0);
        }
        for (_, level) in self.0.iter_mut().filter(|(of, _)| *of == state) {
            level.set(1.0);
        }
    }

    /// How many are in each state, in the order of [`State::ALL`].
    fn count(&mut self, entries: [u32; State::ALL.len()]) {
        for ((_, level), count) in self.0.iter_mut().zip(entries) {
            level.set(f64::from(count));
        }
    }

    fn clear(&self) {
        self.0.iter().for_each(|(_, level)| level.clear());
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share is exact enough")]
fn failure_ratio(counts: Counts) -> f64 {
    counts.failed as f64 / counts.recorded.max(1) as f64
}
