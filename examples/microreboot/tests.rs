//! The judgements of the experiment, tried on cases whose answer is known.

use crate::app::service::world::Bid;
use crate::app::trial::arm::{Arm, Starts};
use crate::app::trial::audit::audit;
use crate::app::trial::detector::{Judge, THRESHOLD};
use crate::app::trial::fault::Fault;
use crate::app::trial::generator::{Load, Record};
use crate::app::trial::outcome::{Times, outcomes};
use crate::app::trial::plot;
use crate::app::trial::predict::failures;
use crate::app::trial::recoveries::Recoveries;
use crate::app::trial::stats::{BreakEven, Spread, break_even};
use std::time::Duration;

#[test]
fn a_component_is_reported_when_it_has_failed_so_often_in_a_row() {
    let mut judge = Judge::default();
    for _ in 1..THRESHOLD {
        assert_eq!(judge.judge(&["search"].into()), None);
    }
    assert_eq!(judge.judge(&[].into()), None, "one round was well");
    for _ in 1..THRESHOLD {
        assert_eq!(judge.judge(&["search"].into()), None);
    }
    assert_eq!(judge.judge(&["search"].into()), Some("search"));
}

#[test]
fn who_goes_through_a_failing_one_is_not_to_blame() {
    let mut judge = Judge::default();
    let failing = ["bidding", "store", "account"].into();
    let last = (0..THRESHOLD).map(|_| judge.judge(&failing)).last();
    assert_eq!(last, Some(Some("store")));
}

const fn bid(key: u64, amount: u64) -> Bid {
    Bid {
        key,
        item: 1,
        user: 0,
        amount,
    }
}

#[test]
fn what_is_lost_doubled_changed_or_made_up_is_found() {
    let sent = [bid(1, 10), bid(2, 20)];
    assert!(audit(&[bid(1, 10)], &[bid(1, 10)], &sent).is_empty());
    // Taken, and the answer was lost.
    assert!(audit(&sent, &[bid(1, 10)], &sent).is_empty());
    for stored in [
        &[][..],
        &[bid(1, 10), bid(1, 10)],
        &[bid(1, 11)],
        &[bid(1, 10), bid(3, 30)],
    ] {
        assert!(
            !audit(stored, &[bid(1, 10)], &sent).is_empty(),
            "{stored:?}"
        );
    }
}

#[test]
fn a_break_even_is_where_the_lines_cross() {
    let points = [(1.0, 0.0, 10.0), (2.0, 20.0, 10.0)];
    assert_eq!(break_even(&points), Some(BreakEven::At(1.5)));
    assert_eq!(break_even(&points[1..]), Some(BreakEven::Below(2.0)));
    assert_eq!(break_even(&points[..1]), Some(BreakEven::Above(1.0)));
    assert_eq!(break_even(&[]), None);
}

#[test]
fn quartiles_are_values_that_were_measured() {
    let spread = Spread::of([4.0, 1.0, 3.0, 2.0]);
    let figures = [spread.low, spread.median, spread.high, spread.mean];
    let differs = |(a, b): (f64, f64)| (a - b).abs() > 1e-12;
    let expected = [1.0, 2.0, 3.0, 2.5];
    assert!(
        !figures.into_iter().zip(expected).any(differs),
        "{figures:?}"
    );
}

fn record(due: u64, kind: &str, took: u64, end: &str) -> Record {
    let (kind, end) = (kind.to_owned(), end.to_owned());
    Record {
        due,
        behind: 7,
        kind,
        took,
        end,
    }
}

#[test]
fn a_request_is_counted_once_by_when_it_was_due() {
    let fault = Fault {
        kind: "leak",
        component: "search",
    };
    let mut times = [Times::of(fault, 100), Times::of(fault, 200)];
    times[0].recovered = Some(Duration::from_micros(50));
    let records = [
        record(99, "item", 500, "late"),
        record(100, "item", 500, "late"),
        record(149, "item", 30, "ok"),
        record(150, "bid", 1, "401"),
        record(90, "action", 60, "wrong"),
        record(160, "lost_session", 0, "lost"),
        record(200, "item", 1, "wrong"),
    ];
    let (outcomes, calm, behind) = outcomes(&times, &records);
    assert_eq!((calm, behind), ((1, 1), Duration::from_micros(7)));
    let first = &outcomes[0];
    assert_eq!((first.requests, first.failed, first.logged_out), (3, 2, 1));
    assert_eq!(
        (first.during, first.p99),
        ((2, 1), Duration::from_micros(500))
    );
    assert_eq!(
        (first.actions, first.failed_actions, first.lost_sessions),
        (1, 1, 1)
    );
    assert_eq!((outcomes[1].requests, outcomes[1].failed), (1, 1));
}

#[test]
fn the_plot_is_made_of_the_csv_alone() {
    let csv = "arm,cost_s,failed,predicted,failed_actions,lost_sessions,detect_s,recover_s,p99_s\n\
        process,0.5,10,12,1,3,0.2,0.9,0.1\nprocess,0.5,30,12,1,3,,,0.1\nmicroreboot,0.5,1,1,0,0,0.2,0.3,0.1\n";
    let svg = plot(csv, "a title").unwrap();
    assert_eq!(
        svg.matches("<circle").count(),
        6 * 2,
        "six figures of two cells"
    );
    assert!(svg.contains("a title") && svg.contains(">microreboot<"));
    assert!(
        plot("arm,cost_s\nprocess,1\n", "").is_err(),
        "columns are missing"
    );
}

fn starts(whole: f64, search: f64) -> Starts {
    Starts {
        whole: Duration::from_secs_f64(whole),
        parts: [("search".to_owned(), Duration::from_secs_f64(search))].into(),
    }
}

#[test]
fn a_prediction_is_the_rate_times_the_share_times_the_time() {
    let fault = Fault {
        kind: "panic",
        component: "search",
    };
    let load = Load {
        rate: 100.0,
        users: 1,
    };
    let predicted = |name| {
        failures(
            Arm::named(name).unwrap(),
            fault,
            load,
            5.0,
            &starts(3.0, 0.75),
        )
    };
    // It takes a quarter of a second to notice, and 15 of 100 search.
    assert!((predicted("microreboot") - 100.0 * 0.15).abs() < 1e-9);
    // All that is away for longer than the deadline: 3 s less 2 s, and what was searched until it was noticed.
    let logged_out = predicted("process") - (100.0 + 100.0 * 0.15 * 0.25);
    assert!((0.0..=32.0).contains(&logged_out), "{logged_out}");
    // A second is bridged by further attempts if the budget has enough of them, and it has for a few.
    assert!(predicted("microreboot+retry") < 1e-9);
    assert!(
        predicted("process+retry") > predicted("process"),
        "attempts are shorter than the deadline, and few"
    );
}

#[test]
fn the_report_knows_what_the_experimenter_knows() {
    let record = r#"[{"sequence":1,"episode":1,"component":"search","members":["search"],"fault":"probe",
        "reporter":"detector","reports":1,"trigger":"report","rung":"component","phases":[],"outcome":"cured",
        "started_from":null,"onset":{"secs_since_epoch":10,"nanos_since_epoch":0},
        "began":{"secs_since_epoch":10,"nanos_since_epoch":0},"ended":{"secs_since_epoch":11,"nanos_since_epoch":0},
        "was_clear":null,"calls":null}]"#;
    let second = 1_000_000;
    let fault = Fault {
        kind: "slow",
        component: "search",
    };
    let times = [Times::of(fault, 8 * second)];
    let requests = [record_of(9 * second, "ok"), record_of(10 * second, "late")];
    let (outcomes, ..) = outcomes(&times, &requests);
    let recoveries = Recoveries {
        records: serde_json::from_str(record).unwrap(),
        from: 8 * second,
        until: 20 * second,
    };
    let report = recoveries.report(&outcomes, 1).unwrap();
    assert_eq!(
        report.mttr_seconds.value(),
        Some(3.0),
        "from the fault, not from its report"
    );
    assert_eq!(report.false_positives.value(), Some(1.0), "there was none");
    assert_eq!(report.blast_radius.value(), Some(0.5));
}

fn record_of(due: u64, end: &str) -> Record {
    record(due, "item", 1, end)
}
