//! The machine by hand, and against a naive one.

use super::config::RejuvenationConfig;
use super::machine::{Machine, Step};
use crate::kernel::instant::Instant;
use crate::kernel::ratio::Ratio;
use proptest::prelude::*;
use std::time::Duration;

fn at(second: u64) -> Instant {
    Instant::from_nanos(1 << 62) + Duration::from_secs(second)
}

fn machine(parts: usize) -> Machine {
    Machine::new(RejuvenationConfig::default(), parts)
}

/// Measures these shares at a second, and says what followed each.
fn steps(machine: &mut Machine, second: u64, free: &[f64]) -> Vec<Step> {
    free.iter()
        .map(|free| machine.measured(Some(*free), at(second)))
        .collect()
}

use Step::{Reboot, Wait};

#[test]
fn mr9a_a_round_begins_below_the_alarm_and_ends_when_it_is_fine() {
    let mut machine = machine(3);
    assert_eq!(steps(&mut machine, 0, &[0.9, 0.36, 0.35]), [Wait; 3]);
    assert_eq!(
        steps(&mut machine, 0, &[0.34, 0.5, 0.8, 0.4]),
        [Reboot(0), Reboot(1), Wait, Wait]
    );
    assert!(!machine.in_round());
}

#[test]
fn mr9b_a_round_reboots_no_component_twice() {
    let mut machine = machine(2);
    assert_eq!(
        steps(&mut machine, 0, &[0.1, 0.1, 0.1]),
        [Reboot(0), Reboot(1), Wait]
    );
    // The next round, a period later.
    assert_eq!(steps(&mut machine, 30, &[0.1]), [Reboot(0)]);
}

#[test]
fn mr9c_who_released_most_last_time_goes_first() {
    let mut machine = machine(4);
    let first = steps(&mut machine, 0, &[0.2, 0.3, 0.6, 0.5, 0.9]);
    assert_eq!(first, [Reboot(0), Reboot(1), Reboot(2), Reboot(3), Wait]);
    // They released 0.1, 0.3, -0.1 and 0.4.
    let second = steps(&mut machine, 4_000, &[0.2; 5]);
    assert_eq!(second, [Reboot(3), Reboot(1), Reboot(0), Reboot(2), Wait]);
}

#[test]
fn mr9d_at_most_so_many_within_any_hour() {
    let config = RejuvenationConfig::default().most_per_hour(2);
    let mut machine = Machine::new(config, 1);
    let round = |machine: &mut Machine, second| steps(machine, second, &[0.1, 0.9])[0];
    assert_eq!(round(&mut machine, 0), Reboot(0));
    assert_eq!(round(&mut machine, 1_800), Reboot(0));
    assert_eq!(round(&mut machine, 3_599), Wait);
    assert!(!machine.in_round(), "the round is over");
    assert_eq!(round(&mut machine, 3_600), Reboot(0), "it slides");
    assert_eq!(round(&mut machine, 5_399), Wait);
    machine.measured(Some(0.1), at(5_400));
    machine.refused();
    assert_eq!(
        round(&mut machine, 5_401),
        Reboot(0),
        "a refused one is not counted"
    );
    machine.measured(Some(0.1), at(7_200));
    machine.failed();
    assert_eq!(round(&mut machine, 7_201), Wait, "a failed one is");
}

#[test]
fn mr9e_what_is_unknown_reboots_nothing_and_ends_a_round() {
    let mut machine = machine(2);
    for free in [
        None,
        Some(f64::NAN),
        Some(-0.1),
        Some(1.1),
        Some(f64::INFINITY),
    ] {
        assert_eq!(machine.measured(free, at(0)), Wait);
        assert_eq!(steps(&mut machine, 0, &[0.1]), [Reboot(0)]);
        assert_eq!(machine.measured(free, at(0)), Wait);
        assert!(!machine.in_round());
        assert_eq!(machine.released().collect::<Vec<_>>(), [None, None]);
    }
}

#[test]
fn mr9f_a_reboot_that_fails_or_is_refused_ends_the_round() {
    for end in [Machine::failed, Machine::refused] {
        let mut machine = machine(2);
        assert_eq!(steps(&mut machine, 0, &[0.1]), [Reboot(0)]);
        end(&mut machine);
        assert!(!machine.in_round());
        assert_eq!(machine.released().collect::<Vec<_>>(), [None, None]);
    }
}

#[test]
fn a_configuration_that_cannot_be_is_refused() {
    let config = RejuvenationConfig::default();
    let share = |share| Ratio::new(share).unwrap();
    assert!(config.validate().is_ok());
    for (field, config) in [
        ("fine", config.fine(share(0.35))),
        ("period", config.period(Duration::ZERO)),
        ("probe_timeout", config.probe_timeout(Duration::ZERO)),
        ("most_per_hour", config.most_per_hour(0)),
        ("most_per_hour", config.most_per_hour(1_001)),
    ] {
        assert_eq!(config.validate().unwrap_err().field(), field);
    }
}

/// What a rejuvenation did, kept whole, and every decision drawn from all of it.
#[derive(Default)]
struct Naive {
    /// When, which, and what it released if that was measured.
    log: Vec<(u64, usize, Option<f64>)>,
    /// The reboots of the present round.
    round: Option<Vec<usize>>,
    before: Option<f64>,
}

impl Naive {
    fn measured(&mut self, free: Option<f64>, second: u64, parts: usize) -> Step {
        let before = self.before.take();
        let Some(free) = free else {
            self.round = None;
            return Wait;
        };
        if let (Some(before), Some(last)) = (before, self.log.last_mut()) {
            last.2 = Some(free - before);
        }
        let goes_on = match self.round {
            Some(_) => free < 0.8,
            None => free < 0.35,
        };
        if !goes_on {
            self.round = None;
            return Wait;
        }
        let mut done = self.round.take().unwrap_or_default();
        let released = |part: usize| {
            let mut of = self.log.iter().rev().filter(|(_, which, _)| *which == part);
            of.find_map(|(_, _, released)| *released)
                .unwrap_or(0.0)
                .max(0.0)
        };
        let mut left: Vec<usize> = (0..parts).filter(|part| !done.contains(part)).collect();
        left.sort_by(|a, b| released(*b).total_cmp(&released(*a)));
        let recent = self
            .log
            .iter()
            .filter(|(then, ..)| second - then < 3_600)
            .count();
        match left.first() {
            Some(part) if recent < 6 => {
                done.push(*part);
                self.round = Some(done);
                self.log.push((second, *part, None));
                self.before = Some(free);
                Reboot(*part)
            }
            _ => Wait,
        }
    }
}

proptest! {
    #[test]
    fn mr9a_mr9b_mr9c_mr9d_it_agrees_with_a_naive_one(
        parts in 1_usize..5,
        measurements in prop::collection::vec((0_u64..900, prop::option::weighted(0.95, 0_u32..=10)), 1..80),
    ) {
        let (mut machine, mut naive) = (machine(parts), Naive::default());
        let mut second = 0;
        for (after, tenths) in measurements {
            second += after;
            let free = tenths.map(|tenths| f64::from(tenths) / 10.0);
            let step = machine.measured(free, at(second));
            prop_assert_eq!(step, naive.measured(free, second, parts));
            prop_assert_eq!(machine.in_round(), naive.round.is_some());
        }
    }
}
