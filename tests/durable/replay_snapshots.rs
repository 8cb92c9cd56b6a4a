//! Where a replay begins.

use crate::replay_rig::{Damaged, Does, STREAM, Tape, fitting, second, stream};
use backstop::durable::codec::{Codec, Postcard, State, StateError};
use backstop::durable::replay::{
    Comparison, Digest, Event, EventSourced, MemoryEvents, Rejected, Replay, ReplayError,
    ReplayErrorKind as Kind, Replayer, Target, Undecodable,
};
use backstop::durable::snapshot::{
    Checkpoint, CheckpointStore, Entry, LoadError, Mark, Marks, MemoryStore, Saved, StoreError,
};
use std::time::Duration;

pub(crate) fn checkpoint(sequence: u64, tape: &Tape) -> Checkpoint {
    Checkpoint {
        sequence,
        wall: second(sequence),
        type_name: "tape".into(),
        version: 1,
        codec: "postcard".into(),
        digest: tape.digest().map(Digest::as_u64),
        payload: postcard::to_stdvec(tape).unwrap(),
    }
}

/// The state behind so many events that fit.
pub(crate) fn tape(through: u64) -> Tape {
    Tape {
        numbers: (1..=through).collect(),
        spoilt: None,
    }
}

/// Snapshots at these events, sound and true.
fn snapshots(at: &[u64]) -> MemoryStore {
    let store = MemoryStore::keeping(10).unwrap();
    for sequence in at {
        store
            .save(STREAM, &checkpoint(*sequence, &tape(*sequence)))
            .unwrap();
    }
    store
}

fn to(
    events: &MemoryEvents,
    store: &dyn CheckpointStore,
    target: Target,
) -> Result<Replay<Tape>, ReplayError> {
    Replayer::new(events, STREAM, Tape::default())
        .snapshots(store, Postcard)
        .target(target)
        .run()
}

#[test]
fn rp1e_the_newest_snapshot_up_to_the_target_serves() {
    let events = fitting(10);
    let store = snapshots(&[3, 6, 9]);
    let nano = Duration::from_nanos(1);
    for (target, snapshot, through) in [
        (Target::Latest, Some(9), 10),
        (Target::Sequence(10), Some(9), 10),
        (Target::Sequence(9), Some(9), 9),
        (Target::Sequence(8), Some(6), 8),
        (Target::Sequence(3), Some(3), 3),
        (Target::Sequence(2), None, 2),
        (Target::Sequence(0), None, 0),
        (Target::Time(second(10)), Some(9), 10),
        (Target::Time(second(9)), Some(9), 9),
        (Target::Time(second(9) - nano), Some(6), 8),
        (Target::Time(second(3)), Some(3), 3),
        (Target::Time(second(3) - nano), None, 2),
    ] {
        let replay = to(&events, &store, target).unwrap();
        assert_eq!(replay.report.snapshot, snapshot, "{target}");
        assert_eq!(replay.state, tape(through), "{target}");
        assert_eq!(replay.wall, (through > 0).then(|| second(through)));
        assert_eq!(replay.report.applied, through - snapshot.unwrap_or(0));
    }
}

#[test]
fn rp1e_what_is_before_the_snapshot_may_be_gone() {
    let events = fitting(10);
    events.compact(STREAM, 6);
    let store = snapshots(&[6, 9]);
    assert_eq!(to(&events, &store, Target::Latest).unwrap().state, tape(10));
    assert_eq!(
        to(&events, &store, Target::Sequence(6)).unwrap().state,
        tape(6)
    );
    let error = to(&events, &store, Target::Sequence(5)).unwrap_err();
    assert!(
        matches!(
            error.kind(),
            Kind::Compacted {
                needed: 1,
                first: 7
            }
        ),
        "{error}"
    );
    // With nothing behind it, and nothing before it either.
    events.compact(STREAM, 10);
    let store = snapshots(&[10]);
    assert_eq!(to(&events, &store, Target::Latest).unwrap().state, tape(10));
}

#[test]
fn rp1f_a_bad_snapshot_is_passed_over() {
    let events = fitting(10);
    let store = snapshots(&[1, 2]);
    // Each is bad in its own way, the newest first: 7 is sound in the end and then damaged.
    let mut undecodable = checkpoint(3, &tape(3));
    undecodable.payload.truncate(2);
    store.save(STREAM, &undecodable).unwrap();
    let spoilt = |does: Does| Tape {
        spoilt: Some(does as u32),
        ..tape(1)
    };
    let without_digest = |sequence, tape: &Tape| Checkpoint {
        digest: None,
        payload: postcard::to_stdvec(tape).unwrap(),
        ..checkpoint(sequence, &Tape::default())
    };
    store
        .save(STREAM, &without_digest(4, &spoilt(Does::Spoils)))
        .unwrap();
    store
        .save(STREAM, &without_digest(5, &spoilt(Does::SpoilsValidate)))
        .unwrap();
    store.save(STREAM, &checkpoint(6, &tape(6))).unwrap();
    store.save(STREAM, &checkpoint(7, &tape(7))).unwrap();
    store.mark(STREAM, 6, Mark::Suspect).unwrap();
    let store = Damaged {
        store,
        sequences: &[7],
    };

    let replay = to(&events, &store, Target::Latest).unwrap();
    assert_eq!(replay.state, tape(10));
    assert_eq!(replay.report.snapshot, Some(2));
    let passed_over = replay.report.passed_over.iter();
    let why: Vec<_> = passed_over
        .map(|passed| (passed.sequence, passed.reason.name()))
        .collect();
    assert_eq!(
        why,
        [
            (7, "damaged"),
            (6, "suspect"),
            (5, "panicked"),
            (4, "invalid"),
            (3, "undecodable")
        ]
    );
    let replay = to(&events, &store, Target::Sequence(5)).unwrap();
    assert_eq!(
        replay.report.passed_over.len(),
        3,
        "newer ones are not looked at"
    );
}

#[test]
fn rp1f_a_snapshot_of_something_else_is_passed_over() {
    let store = snapshots(&[1]);
    let sound = checkpoint(2, &tape(2));
    let others = [
        Checkpoint {
            type_name: "disk".into(),
            ..sound.clone()
        },
        Checkpoint {
            sequence: 3,
            codec: "json".into(),
            ..sound.clone()
        },
        Checkpoint {
            sequence: 4,
            version: 2,
            ..sound
        },
    ];
    for other in &others {
        store.save(STREAM, other).unwrap();
    }
    let replay = to(&fitting(5), &store, Target::Latest).unwrap();
    assert_eq!((replay.report.snapshot, replay.state), (Some(1), tape(5)));
    let passed_over = replay.report.passed_over.iter();
    let why: Vec<_> = passed_over.map(|passed| passed.reason.name()).collect();
    assert_eq!(why, ["unknown_version", "other_codec", "other_type"]);
}

#[test]
fn rp1f_without_a_sound_snapshot_the_first_event_serves_or_is_missed() {
    let events = fitting(10);
    let store = snapshots(&[4, 8]);
    store.mark(STREAM, 4, Mark::Suspect).unwrap();
    let store = Damaged {
        store,
        sequences: &[8],
    };
    let replay = to(&events, &store, Target::Latest).unwrap();
    assert_eq!((replay.report.snapshot, replay.state), (None, tape(10)));
    events.compact(STREAM, 4);
    let error = to(&events, &store, Target::Latest).unwrap_err();
    assert!(
        matches!(
            error.kind(),
            Kind::Compacted {
                needed: 1,
                first: 5
            }
        ),
        "{error}"
    );
    assert_eq!(error.report().passed_over.len(), 2);
}

/// A store that lists snapshots and fails to load them, or fails to list them.
#[derive(Debug)]
pub(crate) struct Failing {
    pub(crate) store: MemoryStore,
    pub(crate) lists: bool,
}

impl CheckpointStore for Failing {
    fn save_marked(&self, key: &str, of: &Checkpoint, marks: Marks) -> Result<Saved, StoreError> {
        self.store.save_marked(key, of, marks)
    }

    fn history(&self, key: &str) -> Result<Vec<Entry>, StoreError> {
        if self.lists {
            self.store.history(key)
        } else {
            Err(StoreError::other("the disk is on fire"))
        }
    }

    fn load(&self, _: &str, _: u64) -> Result<Option<Checkpoint>, LoadError> {
        Err(StoreError::other("the disk is on fire").into())
    }

    fn mark(&self, key: &str, sequence: u64, mark: Mark) -> Result<Marks, StoreError> {
        self.store.mark(key, sequence, mark)
    }

    fn forget(&self, key: &str) -> Result<(), StoreError> {
        self.store.forget(key)
    }
}

#[test]
fn rp1h_a_store_that_fails_is_not_one_without_snapshots() {
    for lists in [false, true] {
        let store = Failing {
            store: snapshots(&[2]),
            lists,
        };
        let error = to(&fitting(3), &store, Target::Latest).unwrap_err();
        assert!(matches!(error.kind(), Kind::Snapshots(_)), "{error}");
    }
}

#[test]
fn rp1k_a_snapshot_ahead_of_the_events_is_an_error() {
    let events = fitting(5);
    let store = snapshots(&[3, 7]);
    for target in [Target::Latest, Target::Time(second(9))] {
        let error = to(&events, &store, target).unwrap_err();
        assert!(
            matches!(
                error.kind(),
                Kind::SnapshotAhead {
                    snapshot: 7,
                    last: 5
                }
            ),
            "{error}"
        );
    }
    let beyond = Replayer::new(&events, STREAM, Tape::default())
        .snapshots(&store, Postcard)
        .target(Target::Sequence(6))
        .or_latest()
        .run();
    assert!(matches!(
        beyond.unwrap_err().kind(),
        Kind::SnapshotAhead { .. }
    ));
    assert_eq!(
        to(&events, &store, Target::Sequence(5)).unwrap().state,
        tape(5)
    );
    store.mark(STREAM, 7, Mark::Suspect).unwrap();
    let replay = to(&events, &store, Target::Latest).unwrap();
    assert_eq!((replay.report.snapshot, replay.state), (Some(3), tape(5)));
    let empty = stream(&[]);
    let error = to(&empty, &snapshots(&[7]), Target::Latest).unwrap_err();
    assert!(
        matches!(
            error.kind(),
            Kind::SnapshotAhead {
                snapshot: 7,
                last: 0
            }
        ),
        "{error}"
    );
}

/// A sum, and beside it what is derived from it: that it is even.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Sum {
    total: u64,
    is_odd: bool,
    /// What making it anew comes to, for a test.
    rebuilds: u32,
    is_stubborn: bool,
    is_silent: bool,
}

impl State for Sum {
    const TYPE: &'static str = "tape";

    fn migrate<C: Codec>(_: u32, bytes: &[u8], codec: &C) -> Result<Self, StateError> {
        Ok(codec.decode(bytes)?)
    }

    fn validate(&self) -> Result<(), StateError> {
        if self.is_odd == (self.total % 2 == 1) {
            Ok(())
        } else {
            Err(StateError::invalid("the derived part is wrong"))
        }
    }
}

impl EventSourced for Sum {
    type Event<'a> = u64;

    fn decode(event: Event<'_>) -> Result<u64, Undecodable> {
        Ok(event.sequence)
    }

    fn apply(&mut self, number: u64) -> Result<(), Rejected> {
        if self.is_odd != (self.total % 2 == 1) {
            return Err(Rejected::new("the derived part is wrong"));
        }
        self.total += number;
        self.is_odd = self.total % 2 == 1;
        Ok(())
    }

    fn rebuild(&mut self) {
        self.rebuilds += 1;
        if !self.is_stubborn {
            self.is_odd = self.total % 2 == 1;
        }
    }

    fn digest(&self) -> Option<Digest> {
        (!self.is_silent).then(|| Digest::from_u64(self.total * 2 + u64::from(self.is_odd)))
    }
}

#[test]
fn rp3d_a_loaded_state_is_compared_with_its_digest() {
    let events = fitting(4);
    // 1 + 2 is 3, which is odd.
    let recorded = Some(3 * 2 + 1);
    let sum = Sum {
        total: 3,
        is_odd: true,
        ..Sum::default()
    };
    let stale = Sum {
        is_odd: false,
        ..sum.clone()
    };
    let stubborn = Sum {
        is_stubborn: true,
        ..stale.clone()
    };
    let silent = Sum {
        is_silent: true,
        ..sum.clone()
    };
    let replay = |version, digest, state: &Sum| {
        let store = MemoryStore::new();
        let saved = Checkpoint {
            digest,
            version,
            payload: postcard::to_stdvec(state).unwrap(),
            ..checkpoint(2, &Tape::default())
        };
        store.save(STREAM, &saved).unwrap();
        Replayer::new(&events, STREAM, Sum::default())
            .snapshots(&store, Postcard)
            .run()
    };
    for (digest, state, comparison, rebuilds) in [
        (recorded, &sum, Comparison::Same, 0),
        (None, &sum, Comparison::Unchecked, 0),
        (recorded, &silent, Comparison::Unchecked, 0),
        (recorded, &stale, Comparison::Rebuilt, 1),
    ] {
        let replay = replay(1, digest, state).unwrap();
        assert_eq!(replay.report.comparison, comparison);
        assert_eq!((replay.state.total, replay.state.rebuilds), (10, rebuilds));
    }
    // The digest of another version is that of another form.
    let migrated = replay(0, Some(1), &sum).unwrap();
    assert_eq!(migrated.report.comparison, Comparison::Unchecked);
    let error = replay(1, recorded, &stubborn).unwrap_err();
    let Kind::DigestMismatch {
        snapshot: 2,
        recorded,
        found,
    } = error.kind()
    else {
        panic!("{error}")
    };
    assert_eq!((recorded.as_u64(), found.as_u64()), (7, 6));
}
