//! The report against a naive one that marks each second.

use super::*;
use crate::supervise::microreboot::{
    CallsSeen, RebootRecord, RecordOutcome as Outcome, Rung, Trigger,
};
use proptest::prelude::*;
use std::time::{Duration, SystemTime};

/// Seconds after some point in time.
fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + second)
}

fn record(episode: u64, trigger: Trigger, outcome: Outcome, times: [u64; 2]) -> RebootRecord {
    RebootRecord {
        sequence: 0,
        episode,
        component: String::from("cart"),
        members: Vec::new(),
        fault: String::from("no_reply"),
        reporter: String::from("prober"),
        reports: 1,
        trigger,
        rung: Rung::Component,
        phases: Vec::new(),
        outcome,
        started_from: None,
        onset: at(times[0]),
        began: at(times[0]),
        ended: at(times[1]),
        was_clear: None,
        calls: None,
    }
}

fn numbered(mut records: Vec<RebootRecord>) -> Vec<RebootRecord> {
    for (sequence, record) in (1..).zip(&mut records) {
        record.sequence = sequence;
    }
    records
}

fn window(from: u64, until: u64) -> Observation {
    Observation::new(at(from), at(until))
        .unwrap()
        .min_samples(1)
}

fn close(one: Option<f64>, other: f64) -> bool {
    one.is_some_and(|one| (one - other).abs() < 1e-9)
}

#[test]
fn nothing_failed() {
    let report = RecoveryReport::over(&window(0, 100), Vec::<RebootRecord>::new());
    assert_eq!(
        (report.mttr_seconds, report.mtbf_seconds),
        (Figure::None, Figure::None)
    );
    let whole = Figure::Known {
        value: 1.0,
        samples: 0,
    };
    assert_eq!(
        (report.availability, report.measured_availability),
        (whole, whole)
    );
    assert_eq!(
        (report.success, report.blast_radius),
        (Figure::None, Figure::None)
    );
    assert!(
        report
            .to_string()
            .contains("MTTR                    none\n"),
        "{report}"
    );
}

#[test]
fn the_figures_of_two_incidents() {
    let mut cured = record(1, Trigger::Report, Outcome::Cured, [10, 14]);
    cured.was_clear = Some(false);
    cured.calls = Some(CallsSeen { bad: 10, all: 100 });
    let mut failed = record(2, Trigger::Report, Outcome::Failed, [20, 24]);
    failed.was_clear = Some(true);
    failed.calls = Some(CallsSeen { bad: 5, all: 50 });
    let handed = record(2, Trigger::Report, Outcome::HandedOver, [20, 25]);
    let mut acknowledged = record(2, Trigger::ByHand, Outcome::Acknowledged, [20, 36]);
    acknowledged.calls = Some(CallsSeen { bad: 90, all: 300 });
    let records = numbered(vec![cured, failed, handed, acknowledged]);
    let report = RecoveryReport::over(&window(0, 100), &records);
    assert!(close(report.mttr_seconds.value(), 10.0), "(4 + 16) / 2");
    assert!(close(report.mtbf_seconds.value(), 40.0), "(100 - 20) / 2");
    assert!(close(report.availability.value(), 0.8));
    assert!(close(report.measured_availability.value(), 0.8));
    assert!(close(report.success.value(), 0.5));
    assert!(close(report.automation.value(), 0.5));
    assert!(close(report.partial_automation.value(), 0.5));
    assert!(close(report.false_positives.value(), 0.5));
    assert!(
        close(report.blast_radius.value(), 0.25),
        "of whole episodes"
    );
    assert_eq!(report.mttr_seconds.samples(), 2);
    // Before it was acknowledged it was a task, and the incident was open.
    let then = RecoveryReport::over(&window(0, 30), &records);
    assert_eq!((then.open, then.closed, then.open_tasks), (1, 1, 1));
    assert!(close(Some(then.debt_seconds), 5.0) && close(Some(then.downtime_seconds), 14.0));
    let tasks = window(0, 30).open_task(at(10)).open_task(at(31));
    let then = RecoveryReport::over(&tasks, &records);
    assert_eq!(then.open_tasks, 2);
    assert!(close(Some(then.debt_seconds), 25.0));
}

#[test]
fn too_few_samples_are_no_number() {
    let one = numbered(vec![record(1, Trigger::Report, Outcome::Cured, [10, 14])]);
    let report = RecoveryReport::over(&Observation::new(at(0), at(100)).unwrap(), &one);
    let few = Figure::InsufficientData {
        samples: 1,
        needed: 5,
    };
    for figure in [
        report.mttr_seconds,
        report.mtbf_seconds,
        report.availability,
        report.success,
        report.automation,
    ] {
        assert_eq!(figure, few);
    }
    assert!(close(report.measured_availability.value(), 0.96));
    assert!(
        report
            .to_string()
            .contains("MTTR                    insufficient data (1 of 5)")
    );
    #[cfg(feature = "serde")]
    {
        let json = serde_json::to_value(report).unwrap();
        assert_eq!(json["mttr_seconds"]["state"], "insufficient_data");
        assert_eq!(
            serde_json::from_value::<RecoveryReport>(json).unwrap(),
            report
        );
    }
}

#[test]
fn what_is_no_incident_and_what_has_no_outcome_changes_nothing() {
    let records = numbered(vec![
        record(1, Trigger::Rejuvenation, Outcome::Cured, [10, 14]),
        record(2, Trigger::Rejuvenation, Outcome::Failed, [20, 24]),
    ]);
    let nothing = RecoveryReport::over(&window(0, 100), Vec::<RebootRecord>::new());
    assert_eq!(RecoveryReport::over(&window(0, 100), &records), nothing);
    let later = numbered(vec![record(1, Trigger::Report, Outcome::Cured, [200, 204])]);
    assert_eq!(RecoveryReport::over(&window(0, 100), &later), nothing);
    let other = window(0, 300).component("search");
    assert_eq!(RecoveryReport::over(&other, &later).started, 0);
    let cut_off = numbered(vec![record(
        1,
        Trigger::Report,
        Outcome::Abandoned,
        [10, 14],
    )]);
    let report = RecoveryReport::over(&window(0, 100), &cut_off);
    assert_eq!((report.success, report.open), (Figure::None, 1));
}

#[test]
fn a_clock_that_stepped_back_makes_no_negative_time() {
    let records = numbered(vec![record(1, Trigger::Report, Outcome::Cured, [50, 40])]);
    let report = RecoveryReport::over(&window(0, 100), &records);
    assert!(close(report.mttr_seconds.value(), 0.0));
    assert!(close(Some(report.downtime_seconds), 0.0));
    assert!(close(report.measured_availability.value(), 1.0));
}

#[test]
fn a_window_without_time_is_refused() {
    let error = Observation::new(at(5), at(5)).unwrap_err();
    assert_eq!(error.field(), "until");
}

/// One incident as the naive report sees it: seconds from and until, and how it was closed.
#[derive(Clone, Copy, Debug)]
struct Naive {
    from: u64,
    took: u64,
    failed_first: bool,
    /// 0: automation; 1: a human alone; 2: nobody.
    closed: u8,
}

impl Naive {
    fn records(self, episode: u64) -> Vec<RebootRecord> {
        let end = self.from + self.took;
        let mut records = Vec::new();
        let mut push = |trigger, outcome, at| {
            records.push(record(episode, trigger, outcome, [self.from, at]));
        };
        if self.failed_first {
            push(Trigger::Report, Outcome::Failed, self.from);
        }
        match self.closed {
            0 => push(Trigger::Report, Outcome::Cured, end),
            1 => {
                push(Trigger::Report, Outcome::HandedOver, self.from);
                push(Trigger::ByHand, Outcome::Acknowledged, end);
            }
            _ => push(Trigger::Report, Outcome::HandedOver, self.from),
        }
        records
    }

    fn is_open_at(self, second: u64) -> bool {
        self.from <= second && (self.closed == 2 || second < self.from + self.took)
    }

    fn closed_within(self, from: u64, until: u64) -> bool {
        self.closed != 2 && (from..until).contains(&(self.from + self.took))
    }
}

fn naive() -> impl Strategy<Value = Naive> {
    (0_u64..100, 0_u64..60, any::<bool>(), 0_u8..3).prop_map(
        |(from, took, failed_first, closed)| Naive {
            from,
            took,
            failed_first,
            closed,
        },
    )
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn same(figure: Figure, naive: Option<f64>) -> bool {
    match (figure.value(), naive) {
        (None, None) => true,
        (Some(one), Some(other)) => (one - other).abs() < 1e-9,
        _ => false,
    }
}

proptest! {
    #[test]
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    fn it_agrees_with_a_naive_one(
        incidents in prop::collection::vec(naive(), 0..8),
        from in 0_u64..60,
        length in 1_u64..120,
    ) {
        let until = from + length;
        let records: Vec<_> = (1..).zip(&incidents).flat_map(|(n, one)| one.records(n)).collect();
        let report = RecoveryReport::over(&window(from, until), numbered(records));
        // What ended at or behind the end of the window is not known by then.
        let known: Vec<Naive> = incidents
            .into_iter()
            .filter(|one| one.failed_first || one.closed != 0 || one.from + one.took < until)
            .filter(|one| one.from < until)
            .map(|mut one| {
                if one.from + one.took >= until {
                    one.closed = 2;
                }
                one
            })
            .collect();
        let down = (from..until).filter(|at| known.iter().any(|one| one.is_open_at(*at)));
        let down = down.count() as u64;
        prop_assert!(close(Some(report.downtime_seconds), down as f64));
        let closed: Vec<_> = known.iter().filter(|one| one.closed_within(from, until)).collect();
        let took: u64 = closed.iter().map(|one| one.took).sum();
        let mttr = share(took, closed.len() as u64);
        prop_assert!(same(report.mttr_seconds, mttr), "{report}");
        let started = known.iter().filter(|one| one.from >= from).count() as u64;
        let mtbf = share(length - down, started);
        prop_assert!(same(report.mtbf_seconds, mtbf), "{report}");
        let by = |automated: bool, tried: bool| {
            let closed = closed.iter().filter(|one| (one.closed == 0) == automated);
            closed.filter(|one| automated || one.failed_first == tried).count() as u64
        };
        prop_assert!(same(report.automation, share(by(true, false), closed.len() as u64)));
        prop_assert!(same(report.partial_automation, share(by(false, true), closed.len() as u64)));
        let failed = known.iter().filter(|one| one.failed_first && one.from >= from).count() as u64;
        let cured = closed.iter().filter(|one| one.closed == 0).count() as u64;
        prop_assert!(same(report.success, share(cured, cured + failed)));
        if let (Some(mttr), Some(mtbf)) = (mttr, mtbf) {
            let computed = (mttr + mtbf > 0.0).then(|| mtbf / (mtbf + mttr));
            prop_assert!(same(report.availability, computed), "{report}");
        }
        for figure in [report.availability, report.measured_availability] {
            prop_assert!(figure.value().is_none_or(|share| (0.0..=1.0).contains(&share)));
        }
    }
}
