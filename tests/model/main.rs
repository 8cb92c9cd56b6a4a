//! Model tests: the breaker and a naive model take the same steps and must agree after each.

mod budget;
mod bulkhead;
mod compartments;
mod naive;
mod pair;
mod script;

use naive::{Dropped, How, Settings, Window};
use pair::{Op, Pair, Seen};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::time::Duration;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

/// So many times the steps of a short run.
fn soak() -> u64 {
    if std::env::var_os("BACKSTOP_SOAK").is_some() {
        50
    } else {
        1
    }
}

/// A stretch of time in which things go one way.
struct Phase {
    steps_left: u64,
    /// In thousandths.
    fails: u64,
    is_slow: u64,
    /// The next advance of the clock is a choice of these.
    pace: [u64; 4],
}

/// Steps of one pair out of one seed, phase by phase: clean, dirty, tripping.
struct Run {
    pair: Pair,
    settings: Settings,
    rng: fastrand::Rng,
    phase: Phase,
    last: VecDeque<Op>,
    seed: u64,
}

impl Run {
    fn new(settings: Settings, grain: Duration, seed: u64) -> Self {
        Self {
            pair: Pair::new(settings.clone(), grain),
            settings,
            rng: fastrand::Rng::with_seed(seed),
            phase: Phase {
                steps_left: 0,
                fails: 0,
                is_slow: 0,
                pace: [0; 4],
            },
            last: VecDeque::new(),
            seed,
        }
    }

    fn next_phase(&mut self) {
        let rng = &mut self.rng;
        let (width, buckets) = match self.settings.window {
            Window::Time { width, buckets } => (width, buckets),
            Window::None | Window::Count(_) => (SECOND, 10),
        };
        self.phase = Phase {
            steps_left: rng.u64(20..600),
            fails: [0, 0, 10, 100, 300, 450, 550, 900, 1_000][rng.usize(..9)],
            is_slow: [0, 0, 0, 100, 600][rng.usize(..5)],
            pace: [
                [0, 0, 0, MS],
                [0, width / 7, width / 3, width],
                [0, 0, width, width * 2],
                [1, width - 1, width * buckets, width * (buckets - 1)],
            ][rng.usize(..4)],
        };
    }

    fn how(&mut self) -> How {
        let rng = &mut self.rng;
        match rng.u64(..1_000) {
            0..20 => How::Ignored,
            20..40 => How::Dropped,
            _ if rng.u64(..1_000) >= self.phase.fails => How::Success,
            _ if rng.u8(..) > 250 => How::Failure {
                hint: Some(rng.u64(..10 * SECOND)),
            },
            _ => How::Failure { hint: None },
        }
    }

    /// A step that belongs to the phase, or now and then an idle gap, a bucket's edge, a reset.
    fn op(&mut self) -> Op {
        if self.phase.steps_left == 0 {
            self.next_phase();
        }
        self.phase.steps_left -= 1;
        let open = self.pair.model().remaining().is_some();
        match self.rng.u16(..1_000) {
            0 | 1 => Op::Reset,
            2..=4 => {
                let span = script::span(&self.settings, 3);
                Op::Advance(span * self.rng.u64(10..1_000))
            }
            5..=40 => match self.pair.model().to_next_edge() {
                Some(edge) => Op::Advance(edge - u64::from(self.rng.u8(..) == 0)),
                None => Op::Advance(self.rng.u64(..SECOND)),
            },
            41..=60 => {
                let number = self.rng.u64(..);
                Op::Advance(script::span(&self.settings, number))
            }
            61..=300 => Op::Advance(self.phase.pace[self.rng.usize(..4)]),
            301..=500 if open => Op::WaitAsTold,
            _ => {
                let limit = self.settings.slow.map_or(0, |(limit, _)| limit);
                let takes = if self.rng.u64(..1_000) < self.phase.is_slow {
                    limit + self.rng.u64(..2)
                } else {
                    0
                };
                let how = self.how();
                Op::Call { how, takes }
            }
        }
    }

    /// Any step at all.
    fn odd_op(&mut self) -> Op {
        let (kind, number) = (self.rng.u8(..), self.rng.u64(..));
        script::op(&self.settings, kind, number)
    }

    fn take(&mut self, op: Op) {
        if let Op::Reconfigure(settings) = &op {
            self.settings = settings.clone();
        }
        self.last.push_back(op.clone());
        if self.last.len() > 24 {
            self.last.pop_front();
        }
        if let Err(disagreement) = self.pair.step(op) {
            let last: Vec<_> = self.last.iter().map(|op| format!("{op:?}\n")).collect();
            panic!(
                "{disagreement}\nseed {}, step {}, {:?}\nlast steps:\n{}",
                self.seed,
                self.pair.seen().steps,
                self.settings,
                last.concat()
            );
        }
    }
}

fn base() -> Settings {
    script::settings(0)
}

fn timed(width: u64, buckets: u64) -> Settings {
    Settings {
        window: Window::Time { width, buckets },
        ..base()
    }
}

/// One configuration after the other, each over as many steps, on a clock with and without grain.
fn windows(table: &[Settings], steps: u64) -> Seen {
    let mut sum = Seen::default();
    for (n, settings) in table.iter().enumerate() {
        let grain = [Duration::ZERO, Duration::from_millis(4)][n % 2];
        let seed = 1_000 + n as u64;
        let mut run = Run::new(settings.clone(), grain, seed);
        for _ in 0..steps * soak() / table.len() as u64 {
            let op = run.op();
            run.take(op);
        }
        let of_run = run.pair.seen();
        assert!(of_run.trips > 0, "no trip with seed {seed}, {settings:?}");
        sum.add(of_run);
    }
    println!("{sum:?}");
    sum
}

#[test]
fn cb1a_cb2a_cb2b_cb3b_a_count_window_agrees_with_a_naive_one_after_every_step() {
    let slow = Settings {
        slow: Some((SECOND, 600_000)),
        minimum: 20,
        ..base()
    };
    let table = [
        base(),
        Settings {
            window: Window::Count(100),
            minimum: 20,
            ..base()
        },
        slow.clone(),
        Settings {
            window: Window::Count(1),
            minimum: 1,
            ..slow.clone()
        },
        Settings {
            window: Window::Count(65),
            failures_only: true,
            ..slow.clone()
        },
        Settings {
            consecutive: Some(4),
            dropped: Dropped::FailureIfSlow,
            failure_rate: Some(333_333),
            ..slow
        },
        Settings {
            window: Window::None,
            consecutive: Some(3),
            ..base()
        },
    ];
    let seen = windows(&table, 800_000);
    assert!(seen.trips >= 1_000 && seen.resets >= 1_000, "{seen:?}");
}

#[test]
fn cb2a_cb4a_cb4b_cb4c_a_time_window_agrees_with_a_naive_one_after_every_step() {
    let slow = Settings {
        slow: Some((50 * MS, 600_000)),
        ..timed(SECOND, 10)
    };
    let table = [
        timed(SECOND, 10),
        timed(100 * MS, 10),
        timed(10 * MS, 1),
        Settings {
            minimum: 1,
            failure_rate: Some(1_000_000),
            ..timed(MS, 60)
        },
        slow.clone(),
        Settings {
            failures_only: true,
            minimum: 40,
            ..slow.clone()
        },
        Settings {
            consecutive: Some(4),
            dropped: Dropped::Failure,
            failure_rate: Some(333_333),
            ..slow
        },
        timed(7 * MS, 3),
    ];
    let seen = windows(&table, 1_000_000);
    assert!(seen.trips >= 1_000 && seen.resets >= 1_000, "{seen:?}");
    assert!(seen.gaps >= 1_000 && seen.edges >= 1_000, "{seen:?}");
}

#[test]
fn cb5b_cb5c_cb6a_cb7a_cb8b_cb9b_cb14d_g4a_whatever_is_done_to_it_the_model_agrees() {
    let mut seen = Seen::default();
    let runs = 500 * soak();
    for seed in 0..runs {
        let settings = script::settings(fastrand::Rng::with_seed(seed).u64(..));
        let grain = Duration::from_millis(4 * (seed % 2));
        let mut run = Run::new(settings, grain, seed);
        for _ in 0..1_000 {
            let op = if run.rng.u8(..) < 128 {
                run.odd_op()
            } else {
                run.op()
            };
            run.take(op);
        }
        seen.add(run.pair.seen());
    }
    println!("{seen:?}");
    assert!(seen.trips >= 1_000 && seen.resets >= 1_000, "{seen:?}");
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn cb2a_cb6a_g4a_any_few_steps_agree_and_shrink_when_they_do_not(
        first in any::<u64>(),
        lags in any::<bool>(),
        numbers in prop::collection::vec((any::<u8>(), any::<u64>()), 1..150),
    ) {
        let mut settings = script::settings(first);
        let grain = Duration::from_millis(4 * u64::from(lags));
        let mut pair = Pair::new(settings.clone(), grain);
        let mut taken = Vec::new();
        for (kind, number) in numbers {
            let number = if script::has_number(kind) { number } else { 0 };
            let op = script::op(&settings, kind, number);
            if let Op::Reconfigure(changed) = &op {
                settings = changed.clone();
            }
            taken.push(format!("{op:?}\n"));
            if let Err(disagreement) = pair.step(op) {
                prop_assert!(false, "{disagreement}\nafter\n{}{settings:?}", taken.concat());
            }
        }
    }
}
