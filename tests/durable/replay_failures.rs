//! Events that fail, and states that are not valid.

use crate::replay_rig::{ALL, APPLIED, COPIES, Does, Fold, STREAM, Tape, fold, stream};
use backstop::durable::replay::{
    Digester, EventSourced, FailedEvent, Failure, OnRejected, OnUndecodable, Replay, ReplayConfig,
    ReplayError, ReplayErrorKind as Kind, Replayer, Target,
};
use proptest::prelude::*;

fn replay(events: &[Does], config: ReplayConfig) -> Result<Replay<Tape>, ReplayError> {
    Replayer::new(&stream(events), STREAM, Tape::default())
        .config(config)
        .run()
}

fn skip(limit: u64) -> ReplayConfig {
    ReplayConfig::default()
        .on_rejected(OnRejected::Skip { limit })
        .on_undecodable(OnUndecodable::AsRejected)
}

fn failing() -> impl Iterator<Item = Does> {
    ALL.into_iter().filter(|does| does.failure().is_some())
}

#[test]
fn rp2a_an_event_that_fails_leaves_nothing_behind() {
    for does in failing() {
        let events = [Does::Fits, Does::Fits, does, does, Does::Fits, does];
        let replayed = replay(&events, skip(3)).unwrap();
        assert_eq!(replayed.state.numbers, [1, 2, 5], "{does:?}");
        assert_eq!(replayed.sequence, 6);
        assert_eq!(replayed.report.applied, 3);
    }
}

#[test]
fn rp2b_by_default_an_event_that_fails_ends_the_replay() {
    for does in failing() {
        let error = replay(&[Does::Fits, does, Does::Fits], ReplayConfig::default()).unwrap_err();
        let Kind::Event(event) = error.kind() else {
            panic!("{error}")
        };
        assert_eq!((event.sequence, event.kind), (2, does as u32));
        assert_eq!(Some(event.failure), does.failure());
        assert_eq!(error.report().through, 1);
        assert_eq!(error.report().skipped.total(), 0);
    }
}

#[test]
fn rp2c_the_limit_is_of_all_failures_together() {
    let three = [Does::FailsInApply, Does::FailsInDecode, Does::PanicsInApply];
    let replayed = replay(&three, skip(3)).unwrap();
    let skipped = replayed.report.skipped;
    assert_eq!(
        (skipped.rejected, skipped.undecodable, skipped.panicked),
        (1, 1, 1)
    );
    let error = replay(&three, skip(2)).unwrap_err();
    let Kind::TooManySkipped { limit: 2, event } = error.kind() else {
        panic!("{error}")
    };
    assert_eq!(event.sequence, 3);
    assert_eq!(error.report().skipped.total(), 2);
    let error = replay(&[Does::FailsInCheck], skip(0)).unwrap_err();
    assert!(matches!(
        error.kind(),
        Kind::TooManySkipped { limit: 0, .. }
    ));
}

#[test]
fn rp2d_a_replay_can_end_before_the_event_that_fails() {
    let config = ReplayConfig::default()
        .on_rejected(OnRejected::StopBefore)
        .on_undecodable(OnUndecodable::AsRejected);
    for does in failing() {
        let replayed = replay(&[Does::Fits, Does::Fits, does, Does::Fits], config).unwrap();
        assert_eq!(replayed.state.numbers, [1, 2], "{does:?}");
        assert_eq!(replayed.sequence, 2);
        let stopped = replayed.report.stopped_before.as_ref();
        assert_eq!(stopped.map(|event| event.sequence), Some(3));
        assert_eq!(replayed.report.skipped.total(), 0);
    }
    assert_eq!(
        replay(&[Does::Fits], config).unwrap().report.stopped_before,
        None
    );
}

#[test]
fn rp2d_a_stop_is_not_taken_for_the_end_of_the_stream() {
    let config = ReplayConfig::default().on_rejected(OnRejected::StopBefore);
    let replayed = Replayer::new(
        &stream(&[Does::Fits, Does::FailsInApply]),
        STREAM,
        Tape::default(),
    )
    .config(config)
    .target(Target::Time(crate::replay_rig::second(2)))
    .run()
    .unwrap();
    assert_eq!(replayed.sequence, 1);
}

#[test]
fn rp2e_undecodable_events_are_not_skipped_unless_asked() {
    for policy in [OnRejected::Skip { limit: 9 }, OnRejected::StopBefore] {
        let config = ReplayConfig::default().on_rejected(policy);
        for does in [Does::FailsInDecode, Does::PanicsInDecode] {
            let error = replay(&[Does::Fits, does], config).unwrap_err();
            let Kind::Event(event) = error.kind() else {
                panic!("{error}")
            };
            assert_eq!(event.failure, Failure::Undecodable);
        }
    }
    let short = backstop::durable::replay::MemoryEvents::new();
    short.append(STREAM, 1, crate::replay_rig::second(1), b"short");
    let replayed = Replayer::new(&short, STREAM, Tape::default())
        .config(skip(1))
        .run()
        .unwrap();
    assert_eq!(replayed.report.skipped.undecodable, 1);
}

#[test]
fn rp2f_a_panic_is_a_failure_with_its_message() {
    for (does, message) in [
        (Does::PanicsInApply, "no place for this"),
        (Does::PanicsInCheck, "no check for this"),
        (Does::PanicsInDecode, "no reader for this"),
    ] {
        let replayed = replay(&[does], skip(1)).unwrap();
        let [FailedEvent { error, failure, .. }] = &replayed.report.failed[..] else {
            panic!("{:?}", replayed.report)
        };
        assert_eq!(Some(*failure), does.failure());
        assert_eq!(*error, format!("it panicked: {message}"));
    }
}

/// How often a replay of these applies an event and copies the state.
fn cost(events: &[Does], config: ReplayConfig) -> (u64, u64) {
    APPLIED.set(0);
    COPIES.set(0);
    let replayed = replay(events, config).unwrap();
    let report = replayed.report;
    assert_eq!(
        report.copies,
        COPIES.get(),
        "the report counts what there was"
    );
    (APPLIED.get(), COPIES.get())
}

#[test]
fn rp2g_no_event_is_applied_more_than_twice() {
    const N: usize = 20_000;
    let n = N as u64;
    let fits = vec![Does::Fits; N];
    assert_eq!(
        cost(&fits, ReplayConfig::default()),
        (n, 0),
        "no copy where none can be of use"
    );
    assert_eq!(cost(&fits, skip(0)), (n, 1));
    assert_eq!(
        cost(&vec![Does::FailsInCheck; N], skip(n)),
        (0, 1),
        "what fails in the check costs nothing"
    );
    assert_eq!(cost(&vec![Does::FailsInDecode; N], skip(n)), (0, 1));
    assert_eq!(
        cost(&vec![Does::FailsInApply; N], skip(n)),
        (n, n + 1),
        "one copy for each"
    );
    let turns: Vec<Does> = [Does::Fits, Does::FailsInApply].repeat(N / 2);
    assert_eq!(cost(&turns, skip(n)), (n + n / 2, n / 2 + 1));
    let last = [&fits[1..], &[Does::PanicsInApply]].concat();
    assert_eq!(cost(&last, skip(1)), (2 * n - 1, 2));
}

#[test]
fn rp2h_the_report_lists_the_first_failures_and_counts_all() {
    let events = [
        Does::FailsInApply,
        Does::Fits,
        Does::FailsInCheck,
        Does::PanicsInApply,
    ];
    let replayed = replay(&events, skip(9).listed(2)).unwrap();
    let listed: Vec<_> = replayed
        .report
        .failed
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        listed,
        [
            "event 1 of kind 3 rejected: it did not fit",
            "event 3 of kind 2 rejected: it does not fit"
        ]
    );
    assert_eq!(replayed.report.skipped.total(), 3);
    assert!(
        replayed
            .report
            .to_string()
            .contains("left out: 2 rejected, 0 undecodable, 1 panicked"),
        "{}",
        replayed.report
    );
}

#[test]
fn rp2i_an_event_that_changes_its_mind_is_an_error() {
    for does in [Does::Wavers, Does::WaversInCheck] {
        APPLIED.set(0);
        let error = replay(&[does, Does::FailsInApply], skip(9)).unwrap_err();
        assert!(
            matches!(error.kind(), Kind::NotDeterministic { sequence: 1 }),
            "{error}"
        );
    }
}

#[test]
fn rp3a_an_invalid_state_is_not_handed_out() {
    let error = replay(&[Does::Fits, Does::Spoils], ReplayConfig::default()).unwrap_err();
    assert!(matches!(error.kind(), Kind::Invalid(_)), "{error}");
    assert_eq!(
        error.to_string(),
        "tape cannot be replayed to the latest event: at the target, the state is not valid: it is spoilt"
    );
    let replayed = Replayer::new(
        &stream(&[Does::Fits, Does::Spoils]),
        STREAM,
        Tape::default(),
    )
    .target(Target::Sequence(1))
    .run();
    assert!(replayed.is_ok(), "what was before it is");
}

#[test]
fn rp3b_a_panic_of_the_state_is_an_error() {
    for (does, function) in [
        (Does::SpoilsValidate, "validate"),
        (Does::SpoilsDigest, "digest"),
    ] {
        let error = replay(&[does], ReplayConfig::default()).unwrap_err();
        let Kind::Panicked { function: at, .. } = error.kind() else {
            panic!("{error}")
        };
        assert_eq!(*at, function);
    }
    let error = replay(&[Does::SpoilsClone, Does::FailsInApply], skip(9)).unwrap_err();
    assert!(
        matches!(
            error.kind(),
            Kind::Panicked {
                function: "clone",
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn rp3c_the_digest_is_of_the_state_and_the_same_everywhere() {
    let replayed = replay(&[Does::Fits, Does::FailsInApply, Does::Fits], skip(1)).unwrap();
    assert_eq!(
        replayed.digest,
        Some(Digester::new().number(1).number(3).finish())
    );
    assert_eq!(replayed.digest, replayed.state.digest());
    // Stored digests are compared by later versions, so these never change.
    assert_eq!(Digester::new().finish().to_string(), "b2c058e4ebb5112c");
    assert_eq!(
        Digester::new().number(1).finish().to_string(),
        "369feb04a9e7599b"
    );
    assert_eq!(
        Digester::new().bytes(b"backstop!").finish().to_string(),
        "2d9dbf7ce3e1b7d3"
    );
    let parts = [1, 2, 3].map(|n| Digester::new().number(n).finish());
    let mut turned = parts;
    turned.reverse();
    let unordered = Digester::new().unordered(parts).finish();
    assert_eq!(unordered.to_string(), "9e971202c7169b9b");
    assert_eq!(unordered, Digester::new().unordered(turned).finish());
    assert_ne!(
        Digester::new().bytes(b"a").bytes(b"b").finish(),
        Digester::new().bytes(b"ab").bytes(b"").finish(),
        "where bytes end is part of it"
    );
}

fn policies() -> impl Strategy<Value = (OnRejected, OnUndecodable)> {
    let rejected = prop_oneof![
        Just(OnRejected::Fail),
        (0..12_u64).prop_map(|limit| OnRejected::Skip { limit }),
        Just(OnRejected::Skip { limit: u64::MAX }),
        Just(OnRejected::StopBefore),
    ];
    let undecodable = prop_oneof![Just(OnUndecodable::Fail), Just(OnUndecodable::AsRejected)];
    (rejected, undecodable)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if std::env::var_os("BACKSTOP_SOAK").is_some() { 100_000 } else { 1_000 }))]

    /// The replay and the naive fold agree about the state, what was left out, and how it ended.
    #[test]
    fn rp2a_a_replay_is_a_naive_fold(
        picks in prop::collection::vec(prop_oneof![4 => Just(0), 1 => 1..ALL.len()], 0..40),
        (rejected, undecodable) in policies(),
    ) {
        let events: Vec<Does> = picks.into_iter().map(|pick| ALL[pick]).collect();
        let config = ReplayConfig::default().on_rejected(rejected).on_undecodable(undecodable);
        let want = fold(&events, rejected, undecodable);
        let (report, numbers, failed) = match replay(&events, config) {
            Ok(replayed) => (replayed.report, Some(replayed.state.numbers), None),
            Err(error) => {
                let failed = match error.kind() {
                    Kind::Event(event) => (event.sequence, false),
                    Kind::TooManySkipped { event, .. } => (event.sequence, true),
                    _ => panic!("{error}"),
                };
                (error.report().clone(), None, Some(failed))
            }
        };
        let got = Fold {
            numbers: numbers.unwrap_or_else(|| want.numbers.clone()),
            skipped: [report.skipped.rejected, report.skipped.undecodable, report.skipped.panicked],
            stopped_before: report.stopped_before.map(|event| event.sequence),
            failed,
        };
        prop_assert_eq!(&got, &want);
        prop_assert_eq!(report.applied, want.numbers.len() as u64);
        prop_assert!(report.reapplied <= report.applied);
        let dirty = events.iter().filter(|does| does.is_dirty()).count() as u64;
        prop_assert!(report.copies <= dirty + 1);
    }
}

/// So many that they are not kept in memory, and are read from the store again.
#[test]
fn rp2a_an_event_that_fails_far_behind_the_last_copy_leaves_nothing_behind() {
    let fits = vec![Does::Fits; 30_000];
    let events = [
        &[Does::FailsInCheck][..],
        &fits,
        &[Does::FailsInApply, Does::Fits, Does::PanicsInApply],
    ]
    .concat();
    let replayed = replay(&events, skip(9)).unwrap();
    let want: Vec<u64> = (2..=30_001).chain([30_003]).collect();
    assert_eq!(replayed.state.numbers, want);
    assert_eq!(replayed.report.reapplied, 30_001);
    assert_eq!(replayed.report.skipped.total(), 3);
}
