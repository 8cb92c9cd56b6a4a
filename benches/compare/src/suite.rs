//! Fills, verifies and measures one row of one scenario after the other.

use std::thread;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion};
use tokio::runtime::Runtime;

use crate::call::Peer;
use crate::drive::{Always, Asks, Mix, alone, contended, contended_tasks};
use crate::scenario::{Load, Scenario};

/// What the cost of a peer's call depends on, and so how it is filled.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Window {
    /// Keeps nothing of its calls that their cost depends on.
    None,
    /// Filled by a number of calls.
    Calls,
    /// Filled over the whole span, so that no bucket is empty and none is the first.
    Span,
    /// Keeps a record of each call and scans them all: the cost grows with the calls in the window, so it is filled
    /// anew every few calls. That many calls are 1 000 a second, and none is old enough to be dropped yet.
    Log,
}

#[derive(Clone)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    window: Window,
    /// Its lock is async: a contended call can be pending, and needs a runtime to be woken by.
    pends: bool,
    /// For a peer, the row of ours that does the same work in the same style.
    pub(crate) like: Option<&'static str>,
}

impl Row {
    pub(crate) fn new(name: &'static str, window: Window) -> Self {
        Self {
            name,
            window,
            pends: false,
            like: None,
        }
    }

    pub(crate) fn like(self, ours: &'static str) -> Self {
        Self {
            like: Some(ours),
            ..self
        }
    }

    pub(crate) fn pends(self) -> Self {
        Self {
            pends: true,
            ..self
        }
    }
}

/// A row that was run, and not left out by a filter on the command line.
pub(crate) struct Measured {
    pub(crate) scenario: &'static Scenario,
    pub(crate) row: Row,
}

/// Sizes that a test run shrinks.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) window: Duration,
    pub(crate) fill: u32,
}

/// Calls measured between two fills of a `Window::Log`: 5 % of a full window.
const PER_FILL: u64 = 500;
/// Steps of a fill over the span, more than any peer has buckets.
const STEPS: u32 = 40;

pub(crate) struct Suite<'a> {
    pub(crate) plan: Plan,
    pub(crate) scenario: &'static Scenario,
    measured: Vec<Measured>,
    group: BenchmarkGroup<'a, WallTime>,
    runtime: &'a Runtime,
    mix: Mix,
}

impl<'a> Suite<'a> {
    pub(crate) fn new(
        c: &'a mut Criterion,
        runtime: &'a Runtime,
        scenario: &'static Scenario,
        plan: Plan,
    ) -> Self {
        Self {
            scenario,
            plan,
            measured: Vec::new(),
            group: c.benchmark_group(scenario.name),
            runtime,
            mix: Mix::of(scenario.load.failing_per_mille()),
        }
    }

    /// Measures what `make` builds.
    pub(crate) fn row<P: Peer>(&mut self, row: Row, make: impl Fn() -> P) {
        assert!(!self.scenario.confuses(row.name), "{}", row.name);
        let (load, plan, runtime, mut mix) = (
            self.scenario.load,
            self.plan,
            self.runtime,
            self.mix.clone(),
        );
        let filled = || fill(make(), row.window, plan, self.mix.clone());
        // Built inside: a row that the command line filters out must not be filled for ten seconds.
        let mut peer = None;
        self.group.bench_function(row.name, |b| {
            let peer = peer.get_or_insert_with(filled);
            b.iter_custom(|iters| {
                let renewed = row.window == Window::Log && load != Load::Refused;
                let chunk = if renewed { PER_FILL } else { iters };
                let mut spent = Duration::ZERO;
                for n in chunks(iters, chunk) {
                    let fresh = if renewed { filled() } else { peer.clone() };
                    let mut watched = fresh.clone();
                    verify(&mut watched, load);
                    spent += match load {
                        Load::TwoThreads if row.pends => contended_tasks(runtime, fresh, n),
                        Load::TwoThreads => contended(runtime, fresh, n),
                        Load::Failing => alone(fresh, n, &mut mix),
                        _ => alone(fresh, n, &mut Always(load.ask())),
                    };
                    verify(&mut watched, load);
                }
                spent
            });
        });
        if peer.is_some() {
            self.measured.push(Measured {
                scenario: self.scenario,
                row,
            });
        }
    }

    pub(crate) fn finish(self) -> Vec<Measured> {
        self.group.finish();
        self.measured
    }
}

fn chunks(total: u64, size: u64) -> impl Iterator<Item = u64> {
    (0..total.div_ceil(size)).map(move |i| size.min(total - i * size))
}

/// An open breaker stays open for an hour, so closed before and after means closed all along.
fn verify<P: Peer>(peer: &mut P, load: Load) {
    let (ask, settled) = load.probe();
    assert_eq!(
        peer.call(ask),
        settled,
        "the policy is not in the state that {load:?} needs"
    );
}

fn fill<P: Peer>(mut peer: P, window: Window, plan: Plan, mut mix: Mix) -> P {
    let (steps, pause) = match window {
        Window::None => return peer,
        Window::Span => (STEPS + 1, plan.window / STEPS),
        Window::Calls | Window::Log => (1, Duration::ZERO),
    };
    for _ in 0..steps {
        thread::sleep(pause);
        for _ in 0..plan.fill / steps {
            peer.call(mix.next());
        }
    }
    peer
}
