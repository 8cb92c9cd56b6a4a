//! The tree beside a naive model, which keeps all results and looks through them each time.

use super::rig::build;
use backstop::health::check::{Check, CheckConfig, Finding, Level, Status};
use backstop::health::tree::{Component, HealthTree, StatusOrder};
use backstop::kernel::clock::Clock;
use proptest::prelude::*;
use std::time::Duration;

/// Long enough that a result is stale after two of them and nothing more.
const PERIOD: Duration = Duration::from_secs(2);

#[derive(Clone, Debug)]
struct Shape {
    /// Component `n + 1`'s parent (taken modulo the components before it), and whether it is
    /// optional there.
    parents: Vec<(usize, bool)>,
    /// Component, level, level of errors, thresholds for failure and success.
    checks: Vec<(usize, Level, Level, u32, u32)>,
    unknown_is_worse: bool,
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Pass(usize),
    Fail(usize),
    Error(usize),
    /// Half periods.
    Advance(u8),
    Set(usize, Option<Status>),
}

fn level() -> impl Strategy<Value = Level> {
    prop_oneof![
        Just(Level::Critical),
        Just(Level::Degraded),
        Just(Level::Maintenance)
    ]
}

fn shape() -> impl Strategy<Value = Shape> {
    let parents = prop::collection::vec((any::<usize>(), any::<bool>()), 0..5);
    let check = (any::<usize>(), level(), level(), 1..4_u32, 1..4_u32);
    let checks = prop::collection::vec(check, 1..6);
    (parents, checks, any::<bool>()).prop_map(|(parents, checks, unknown_is_worse)| {
        let components = parents.len() + 1;
        let check = |(at, level, on_error, failures, successes): (_, Level, Level, _, _)| {
            (
                at % components,
                level,
                level.max(on_error),
                failures,
                successes,
            )
        };
        Shape {
            parents: parents
                .into_iter()
                .enumerate()
                .map(|(n, (parent, optional))| (parent % (n + 1), optional))
                .collect(),
            checks: checks.into_iter().map(check).collect(),
            unknown_is_worse,
        }
    })
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => any::<usize>().prop_map(Op::Pass),
        6 => any::<usize>().prop_map(Op::Fail),
        2 => any::<usize>().prop_map(Op::Error),
        4 => (0..6_u8).prop_map(Op::Advance),
        1 => (any::<usize>(), prop::option::of(0..6_usize))
            .prop_map(|(at, to)| Op::Set(at, to.map(|to| Status::ALL[to]))),
    ]
}

/// What the naive model knows: every result with its time in half periods.
struct Naive<'a> {
    shape: &'a Shape,
    results: Vec<Vec<(u64, Option<Level>)>>,
    set: Vec<Option<Status>>,
    now: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Judged {
    Starting,
    Stale,
    Passing,
    Failing(Level),
}

impl Naive<'_> {
    /// The results since the last gap of more than two periods, and whether there was none.
    fn judge(&self, check: usize) -> Judged {
        let (.., failures, successes) = self.shape.checks[check];
        let results = &self.results[check];
        let times: Vec<u64> = std::iter::once(0)
            .chain(results.iter().map(|result| result.0))
            .chain([self.now])
            .collect();
        let gaps = times.windows(2).map(|pair| pair[1] - pair[0] > 4);
        let gaps: Vec<bool> = gaps.collect();
        let last_gap = gaps.iter().rposition(|gap| *gap);
        // Gap n lies before result n.
        let since = &results[last_gap.unwrap_or(0)..];
        // Runs of the same kind, the last that is long enough deciding.
        let mut runs: Vec<Vec<Option<Level>>> = Vec::new();
        for (_, result) in since {
            match runs.last_mut() {
                Some(run) if run[0].is_some() == result.is_some() => run.push(*result),
                _ => runs.push(vec![*result]),
            }
        }
        let is_long = |run: &Vec<Option<Level>>| {
            let threshold = if run[0].is_some() {
                failures
            } else {
                successes
            };
            run.len() >= threshold as usize
        };
        let clean = runs
            .iter()
            .rposition(|run| run[0].is_none() && is_long(run));
        let after = &runs[clean.map_or(0, |at| at + 1)..];
        match after
            .iter()
            .position(|run| run[0].is_some() && is_long(run))
        {
            Some(failing) => {
                let worst = after[failing..].iter().flatten().flatten().max();
                Judged::Failing(*worst.expect("a run of failures holds one"))
            }
            None if clean.is_some() => Judged::Passing,
            None if last_gap.is_some() => Judged::Stale,
            None => Judged::Starting,
        }
    }

    fn order(&self) -> [Status; 6] {
        use Status::{Degraded, Healthy, OutOfService, Starting, Unhealthy, Unknown};
        if self.shape.unknown_is_worse {
            [
                Healthy,
                Starting,
                Degraded,
                Unhealthy,
                Unknown,
                OutOfService,
            ]
        } else {
            Status::ALL
        }
    }

    /// The status of a component, and whether it needs attention.
    fn component(&self, at: usize) -> (Status, bool) {
        let mut all = Vec::new();
        let mut doubts = 0;
        let mut flagged = false;
        for (check, &(of, level, ..)) in self.shape.checks.iter().enumerate() {
            if of != at {
                continue;
            }
            match (self.judge(check), level) {
                (Judged::Passing, _) => all.push(Status::Healthy),
                (Judged::Failing(Level::Critical), _) => all.push(Status::Unhealthy),
                (Judged::Failing(Level::Degraded), _) => all.push(Status::Degraded),
                (Judged::Failing(Level::Maintenance), _) => {
                    all.push(Status::Healthy);
                    flagged = true;
                }
                (_, Level::Maintenance) => {}
                (Judged::Starting, _) => all.push(Status::Starting),
                (Judged::Stale, Level::Degraded) => doubts += 1,
                (Judged::Stale, Level::Critical) => all.push(Status::Unknown),
            }
        }
        for (n, &(parent, optional)) in self.shape.parents.iter().enumerate() {
            if parent != at {
                continue;
            }
            let (status, needs_attention) = self.component(n + 1);
            flagged |= needs_attention;
            match status {
                Status::Unhealthy | Status::OutOfService if optional => all.push(Status::Degraded),
                Status::Unknown if optional => doubts += 1,
                status => all.push(status),
            }
        }
        let is_known = all
            .iter()
            .any(|status| !matches!(status, Status::Starting | Status::Unknown));
        if doubts > 0 {
            all.push(if is_known {
                Status::Degraded
            } else {
                Status::Unknown
            });
        }
        let order = self.order();
        let rank = |status: &Status| order.iter().position(|it| it == status);
        let worst = all.into_iter().max_by_key(rank).unwrap_or(Status::Unknown);
        (self.set[at].unwrap_or(worst), flagged)
    }
}

const NAMES: [&str; 6] = ["c0", "c1", "c2", "c3", "c4", "c5"];

fn real(shape: &Shape, order: [Status; 6], clock: &Clock) -> HealthTree {
    fn described(shape: &Shape, at: usize) -> Component {
        let mut component = Component::new(NAMES[at]);
        for (check, &(of, level, on_error, failures, successes)) in shape.checks.iter().enumerate()
        {
            if of == at {
                let config = CheckConfig::default()
                    .period(PERIOD)
                    .failure_threshold(failures)
                    .success_threshold(successes);
                let check = Check::reported(check.to_string(), level);
                component = component.check(check.on_error(on_error).config(config));
            }
        }
        for (n, &(parent, optional)) in shape.parents.iter().enumerate() {
            if parent == at {
                let child = described(shape, n + 1);
                component = component.component(if optional { child.optional() } else { child });
            }
        }
        component
    }
    let order = StatusOrder::new(order).expect("a valid order");
    let builder = HealthTree::builder("top").component(described(shape, 0));
    build(builder.order(order).clock(clock.clone()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn hc1a_hc3a_the_tree_agrees_with_a_naive_model(
        shape in shape(),
        ops in prop::collection::vec(op(), 1..60),
    ) {
        let clock = Clock::manual();
        let components = shape.parents.len() + 1;
        let mut naive = Naive {
            shape: &shape,
            results: vec![Vec::new(); shape.checks.len()],
            set: vec![None; components],
            now: 0,
        };
        let tree = real(&shape, naive.order(), &clock.clock());
        let handles: Vec<_> = NAMES[..components]
            .iter()
            .map(|name| tree.component(name).expect("it is there"))
            .collect();
        for op in ops {
            match op {
                Op::Pass(n) | Op::Fail(n) | Op::Error(n) => {
                    let n = n % shape.checks.len();
                    let (of, level, on_error, ..) = shape.checks[n];
                    let reporter = handles[of].reporter(&n.to_string()).expect("it is there");
                    let result = match op {
                        Op::Pass(_) => {
                            reporter.report(Finding::passed());
                            None
                        }
                        Op::Fail(_) => {
                            reporter.failed("x");
                            Some(level)
                        }
                        _ => {
                            reporter.error("x");
                            Some(on_error)
                        }
                    };
                    naive.results[n].push((naive.now, result));
                }
                Op::Advance(halves) => {
                    clock.advance(PERIOD / 2 * u32::from(halves));
                    naive.now += u64::from(halves);
                }
                Op::Set(at, status) => {
                    handles[at % components].set_status(status);
                    naive.set[at % components] = status;
                }
            }
            for (at, handle) in handles.iter().enumerate() {
                let health = handle.health();
                prop_assert_eq!(
                    (health.status, health.needs_attention),
                    naive.component(at),
                    "component {} after {:?}", at, op
                );
            }
        }
    }
}
