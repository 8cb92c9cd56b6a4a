//! The judgements of the experiment, tried on cases whose answer is known.

use crate::app::service::world::Bid;
use crate::app::trial::audit::audit;
use crate::app::trial::detector::{Judge, THRESHOLD};
use crate::app::trial::fault::Fault;
use crate::app::trial::generator::Record;
use crate::app::trial::outcome::{Times, outcomes};
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
