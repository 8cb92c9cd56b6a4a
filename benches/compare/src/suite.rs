//! Fills, verifies and measures one row of one scenario after the other.

use std::thread;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion};
use tokio::runtime::Runtime;

use crate::call::{Peer, Seen};
use crate::drive::{Always, Mix, Outcomes, alone, contended, contended_tasks};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    Healthy,
    Failing,
    Open,
    TwoThreads,
}

impl Scenario {
    pub(crate) const ALL: [Self; 4] = [Self::Healthy, Self::Failing, Self::Open, Self::TwoThreads];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Failing => "failing-1-percent",
            Self::Open => "open",
            Self::TwoThreads => "two-threads",
        }
    }

    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Healthy => "healthy: every call succeeds, the window is full",
            Self::Failing => {
                "failing-1-percent: as healthy, but one call in a hundred fails, at random"
            }
            Self::Open => "open: every call is rejected",
            Self::TwoThreads => {
                "two-threads: as healthy, per call of one thread while another calls without a pause"
            }
        }
    }

    fn failing_per_mille(self) -> u64 {
        match self {
            Self::Healthy | Self::TwoThreads => 0,
            Self::Failing => 10,
            Self::Open => 1000,
        }
    }
}

/// What the cost of a peer's call depends on, and so how it is filled.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Window {
    /// Keeps nothing of its calls and cannot open.
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
    pub(crate) window: Window,
    /// Its lock is async: a contended call can be pending, and needs a runtime to be woken by.
    pub(crate) pends: bool,
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
    scenario: Scenario,
    rows: Vec<(Scenario, Row)>,
    group: BenchmarkGroup<'a, WallTime>,
    runtime: &'a Runtime,
    mix: Mix,
}

impl<'a> Suite<'a> {
    pub(crate) fn new(
        c: &'a mut Criterion,
        runtime: &'a Runtime,
        scenario: Scenario,
        plan: Plan,
    ) -> Self {
        let group = c.benchmark_group(scenario.name());
        Self {
            scenario,
            plan,
            rows: Vec::new(),
            group,
            runtime,
            mix: Mix::of(scenario.failing_per_mille()),
        }
    }

    /// Measures what `make` builds. A scenario that the row cannot show (`Open` without a breaker) is left out.
    pub(crate) fn row<P: Peer>(&mut self, row: Row, make: impl Fn() -> P) {
        if self.scenario == Scenario::Open && row.window == Window::None {
            return;
        }
        let (scenario, plan, runtime, mut mix) =
            (self.scenario, self.plan, self.runtime, self.mix.clone());
        let filled = || fill(make(), row.window, plan, self.mix.clone());
        // Built inside: a row that the command line filters out must not be filled for ten seconds.
        let mut peer = None;
        self.group.bench_function(row.name, |b| {
            let peer = peer.get_or_insert_with(filled);
            b.iter_custom(|iters| {
                let renewed = row.window == Window::Log && scenario != Scenario::Open;
                let chunk = if renewed { PER_FILL } else { iters };
                let mut spent = Duration::ZERO;
                for n in chunks(iters, chunk) {
                    let fresh = if renewed { filled() } else { peer.clone() };
                    let mut watched = fresh.clone();
                    verify(&mut watched, scenario);
                    spent += match scenario {
                        Scenario::TwoThreads if row.pends => contended_tasks(runtime, fresh, n),
                        Scenario::TwoThreads => contended(fresh, n),
                        Scenario::Failing => alone(fresh, n, &mut mix),
                        Scenario::Healthy => alone(fresh, n, &mut Always(false)),
                        Scenario::Open => alone(fresh, n, &mut Always(true)),
                    };
                    verify(&mut watched, scenario);
                }
                spent
            });
        });
        self.rows.push((scenario, row));
    }

    pub(crate) fn finish(self) -> Vec<(Scenario, Row)> {
        self.group.finish();
        self.rows
    }
}

fn chunks(total: u64, size: u64) -> impl Iterator<Item = u64> {
    (0..total.div_ceil(size)).map(move |i| size.min(total - i * size))
}

/// An open breaker stays open for an hour, so closed before and after means closed all along.
fn verify<P: Peer>(peer: &mut P, scenario: Scenario) {
    let settled = if scenario == Scenario::Open {
        Seen::Rejected
    } else {
        Seen::Done
    };
    assert_eq!(
        peer.call(false),
        settled,
        "the breaker is not as {scenario:?} needs it"
    );
}

fn fill<P: Peer>(mut peer: P, window: Window, plan: Plan, mut mix: Mix) -> P {
    let (steps, pause) = match window {
        Window::Span => (STEPS + 1, plan.window / STEPS),
        _ => (1, Duration::ZERO),
    };
    for _ in 0..steps {
        thread::sleep(pause);
        for _ in 0..plan.fill / steps {
            peer.call(mix.fails());
        }
    }
    peer
}
