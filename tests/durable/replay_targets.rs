//! Where a replay goes to, and what it makes of a stream that has holes.

use crate::replay_rig::{Does, STREAM, Tape, fitting, second, stream};
use backstop::durable::replay::{
    Bounds, Event, EventError, EventReader, EventStore, MemoryEvents, OnGap, OnRejected, Replay,
    ReplayConfig, ReplayError, ReplayErrorKind as Kind, Replayer, Target,
};
use backstop::kernel::clock::Clock;
use std::time::Duration;

fn to(events: &dyn EventStore, target: Target) -> Result<Replay<Tape>, ReplayError> {
    Replayer::new(events, STREAM, Tape::default())
        .target(target)
        .run()
}

fn numbers(through: u64) -> Vec<u64> {
    (1..=through).collect()
}

#[test]
fn rp1a_streams_are_kept_apart_and_an_unknown_one_is_not_empty() {
    let events = fitting(2);
    events.create("empty");
    events.append("other", 1, second(1), &7_u64.to_le_bytes());
    let of = |stream| Replayer::new(&events, stream, Tape::default()).run();
    assert_eq!(of(STREAM).unwrap().state.numbers, [1, 2]);
    assert_eq!(of("other").unwrap().state.numbers, [7]);
    let empty = of("empty").unwrap();
    assert_eq!((empty.sequence, empty.wall), (0, None));
    let error = of("tapes").unwrap_err();
    assert!(
        matches!(error.kind(), Kind::Events(error) if error.is_unknown_stream()),
        "{error}"
    );
    assert_eq!(
        error.to_string(),
        "tapes cannot be replayed to the latest event: there is no stream \"tapes\""
    );
}

#[test]
fn rp1b_a_sequence_is_reached_exactly() {
    let events = fitting(5);
    for target in 0..=5 {
        let replay = to(&events, Target::Sequence(target)).unwrap();
        assert_eq!(replay.state.numbers, numbers(target));
        assert_eq!(replay.sequence, target);
        assert_eq!(replay.wall, (target > 0).then(|| second(target)));
        assert_eq!(replay.report.applied, target);
    }
    assert_eq!(to(&events, Target::Latest).unwrap().sequence, 5);
}

#[test]
fn rp1c_a_time_includes_all_events_of_it_in_sequence() {
    let events = MemoryEvents::new();
    for (at, n) in [1, 3, 3, 3, 5].into_iter().zip(1_u64..) {
        events.append(STREAM, 1, second(at), &n.to_le_bytes());
    }
    let nano = Duration::from_nanos(1);
    for (time, through) in [
        (second(0), 0),
        (second(1) - nano, 0),
        (second(1), 1),
        (second(2), 1),
        (second(3) - nano, 1),
        (second(3), 4),
        (second(5) - nano, 4),
        (second(5), 5),
    ] {
        let replay = to(&events, Target::Time(time)).unwrap();
        assert_eq!(replay.state.numbers, numbers(through));
        assert_eq!(replay.sequence, through);
    }
}

#[test]
fn rp1d_beyond_the_end_is_an_error_unless_the_latest_will_do() {
    let events = fitting(3);
    let nano = Duration::from_nanos(1);
    for target in [Target::Sequence(4), Target::Time(second(3) + nano)] {
        let error = to(&events, target).unwrap_err();
        assert!(
            matches!(error.kind(), Kind::BeyondEnd { last: 3 }),
            "{error}"
        );
        let latest = Replayer::new(&events, STREAM, Tape::default())
            .target(target)
            .or_latest()
            .run();
        assert_eq!(latest.unwrap().state.numbers, [1, 2, 3]);
    }
    let empty = stream(&[]);
    let error = to(&empty, Target::Time(second(1))).unwrap_err();
    assert!(
        matches!(error.kind(), Kind::BeyondEnd { last: 0 }),
        "{error}"
    );
    assert_eq!(to(&empty, Target::Latest).unwrap().sequence, 0);
}

/// Tells of events that it does not have, or fails in the middle.
#[derive(Debug)]
struct Short {
    events: MemoryEvents,
    last: u64,
    fails_at: Option<u64>,
}

struct ShortReader<'a> {
    inner: Box<dyn EventReader + 'a>,
    fails_at: Option<u64>,
    read: u64,
}

impl EventStore for Short {
    fn bounds(&self, _: &str) -> Result<Bounds, EventError> {
        Ok(Bounds::new(1, self.last))
    }

    fn read<'a>(
        &'a self,
        stream: &str,
        after: u64,
    ) -> Result<Box<dyn EventReader + 'a>, EventError> {
        Ok(Box::new(ShortReader {
            inner: self.events.read(stream, after)?,
            fails_at: self.fails_at,
            read: after,
        }))
    }
}

impl EventReader for ShortReader<'_> {
    fn next(&mut self) -> Result<Option<Event<'_>>, EventError> {
        self.read += 1;
        if self.fails_at == Some(self.read) {
            return Err(EventError::new("the cable was pulled"));
        }
        self.inner.next()
    }
}

#[test]
fn rp1g_a_gap_is_an_error_wherever_it_is() {
    let missing = |expected, found| move |kind: &Kind| matches!(kind, Kind::Gap { expected: e, found: f } if (*e, *f) == (expected, found));
    let events = MemoryEvents::new();
    let payload = 2_u64.to_le_bytes();
    events.insert(STREAM, Event::new(2, 1, second(2), &payload));
    let error = to(&events, Target::Latest).unwrap_err();
    assert!(missing(1, Some(2))(error.kind()), "in front: {error}");

    let events = fitting(2);
    events.insert(STREAM, Event::new(4, 1, second(4), &payload));
    let error = to(&events, Target::Latest).unwrap_err();
    assert!(missing(3, Some(4))(error.kind()), "in the middle: {error}");
    assert_eq!(error.report().through, 2);
    assert_eq!(to(&events, Target::Sequence(2)).unwrap().sequence, 2);
    let error = to(&events, Target::Time(second(3))).unwrap_err();
    assert!(missing(3, Some(4))(error.kind()), "by time: {error}");

    let short = Short {
        events: fitting(2),
        last: 3,
        fails_at: None,
    };
    let error = to(&short, Target::Latest).unwrap_err();
    assert!(missing(3, None)(error.kind()), "at the end: {error}");
}

#[test]
fn rp1m_missing_events_can_be_accepted() {
    let events = MemoryEvents::new();
    for n in [2_u64, 3, 6, 9] {
        let payload = n.to_le_bytes();
        events.insert(STREAM, Event::new(n, 1, second(n), &payload));
    }
    events.insert(
        STREAM,
        Event::new(7, Does::FailsInApply as u32, second(7), &[0; 8]),
    );
    let config = ReplayConfig::default()
        .on_gap(OnGap::Skip)
        .on_rejected(OnRejected::Skip { limit: 1 });
    let replay = |target| {
        Replayer::new(&events, STREAM, Tape::default())
            .config(config)
            .target(target)
            .run()
            .unwrap()
    };
    for (target, numbers, sequence, missing) in [
        (Target::Latest, &[2, 3, 6, 9][..], 9, 4),
        (Target::Sequence(5), &[2, 3], 5, 3),
        (Target::Sequence(1), &[], 1, 1),
        (Target::Sequence(8), &[2, 3, 6], 8, 4),
        (Target::Time(second(5)), &[2, 3], 3, 1),
    ] {
        let replay = replay(target);
        assert_eq!(replay.state.numbers, numbers, "{target}");
        assert_eq!(
            (replay.sequence, replay.report.missing),
            (sequence, missing)
        );
    }
    let short = Short {
        events: fitting(2),
        last: 4,
        fails_at: None,
    };
    let replay = Replayer::new(&short, STREAM, Tape::default())
        .config(config)
        .run()
        .unwrap();
    assert_eq!((replay.sequence, replay.report.missing), (4, 2));
    assert_eq!(replay.state.numbers, [1, 2]);
}

#[test]
fn rp1h_a_failure_to_read_is_no_end() {
    for fails_at in 1..=3 {
        let short = Short {
            events: fitting(3),
            last: 3,
            fails_at: Some(fails_at),
        };
        let error = to(&short, Target::Latest).unwrap_err();
        assert!(matches!(error.kind(), Kind::Events(_)), "{error}");
        assert_eq!(error.report().through, fails_at - 1);
    }
}

#[test]
fn rp1i_a_target_before_the_first_event_that_is_left_says_so() {
    let events = fitting(5);
    events.compact(STREAM, 3);
    for target in [
        Target::Sequence(2),
        Target::Time(second(2)),
        Target::Sequence(4),
        Target::Latest,
    ] {
        let error = to(&events, target).unwrap_err();
        assert!(
            matches!(
                error.kind(),
                Kind::Compacted {
                    needed: 1,
                    first: 4
                }
            ),
            "{error}"
        );
    }
}

#[test]
fn rp1j_time_that_goes_back_is_an_error_where_time_is_asked_for() {
    let events = fitting(2);
    events.append(STREAM, Does::Fits as u32, second(1), &3_u64.to_le_bytes());
    events.append(STREAM, Does::Fits as u32, second(9), &4_u64.to_le_bytes());
    assert_eq!(
        to(&events, Target::Latest).unwrap().state.numbers,
        [1, 2, 3, 4]
    );
    let error = to(&events, Target::Time(second(5))).unwrap_err();
    assert!(
        matches!(error.kind(), Kind::TimeWentBack { sequence: 3, .. }),
        "{error}"
    );
    assert_eq!(to(&events, Target::Time(second(1))).unwrap().sequence, 1);
}

#[test]
fn rp1l_progress_is_told_by_the_clock() {
    let manual = Clock::manual();
    let events = fitting(10);
    let mut told = Vec::new();
    let replay = Replayer::new(&events, STREAM, Tape::default())
        .clock(&manual)
        .progress(Duration::from_secs(1), |progress| told.push(progress))
        .run()
        .unwrap();
    assert_eq!(replay.report.took, Duration::ZERO);
    assert!(told.is_empty(), "time stood still");

    let mut told = Vec::new();
    Replayer::new(&events, STREAM, Tape::default())
        .clock(&manual)
        .progress(Duration::ZERO, |progress| {
            manual.advance(Duration::from_millis(10));
            told.push((
                progress.from,
                progress.sequence,
                progress.through,
                progress.took,
            ));
        })
        .run()
        .unwrap();
    let want = (1..=10).map(|n| (0, n, 10, Duration::from_millis(10 * (n - 1))));
    assert_eq!(told, want.collect::<Vec<_>>());
}
