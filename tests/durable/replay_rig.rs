//! A state whose events fail in each way there is, and the naive fold that a replay must agree with.

use backstop::durable::codec::{EnvelopeError, State, StateError};
use backstop::durable::replay::{
    Digest, Digester, Event, EventSourced, Failure, MemoryEvents, OnRejected, OnUndecodable,
    Rejected, Undecodable,
};
use backstop::durable::snapshot::{
    Checkpoint, CheckpointStore, Entry, LoadError, Mark, Marks, MemoryStore, Saved, StoreError,
};
use std::cell::Cell;
use std::time::{Duration, SystemTime};

pub(crate) const STREAM: &str = "tape";

/// What an event does; the number is its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Does {
    Fits = 1,
    FailsInCheck = 2,
    /// Behind a change to the state.
    FailsInApply = 3,
    PanicsInCheck = 4,
    /// Behind a change to the state.
    PanicsInApply = 5,
    FailsInDecode = 6,
    PanicsInDecode = 7,
    /// In the way that the state is no longer valid.
    Spoils = 8,
    /// In the way that validating it panics.
    SpoilsValidate = 9,
    /// In the way that its digest panics.
    SpoilsDigest = 10,
    /// In the way that cloning it panics.
    SpoilsClone = 11,
    /// Is applied if it is the first on its thread.
    Wavers = 12,
    /// Passes the check if it is the first on its thread.
    WaversInCheck = 13,
}

pub(crate) const ALL: [Does; 7] = [
    Does::Fits,
    Does::FailsInCheck,
    Does::FailsInApply,
    Does::PanicsInCheck,
    Does::PanicsInApply,
    Does::FailsInDecode,
    Does::PanicsInDecode,
];

impl Does {
    /// How it is counted, and whether it is seen as undecodable; `None` if it fits.
    pub(crate) fn failure(self) -> Option<Failure> {
        match self {
            Self::FailsInCheck | Self::FailsInApply => Some(Failure::Rejected),
            Self::PanicsInCheck | Self::PanicsInApply => Some(Failure::Panicked),
            Self::FailsInDecode | Self::PanicsInDecode => Some(Failure::Undecodable),
            _ => None,
        }
    }

    /// Whether it has changed the state when it fails.
    pub(crate) fn is_dirty(self) -> bool {
        matches!(
            self,
            Self::FailsInApply | Self::PanicsInApply | Self::PanicsInCheck
        )
    }
}

/// The numbers of the events that fit, in order.
#[derive(Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Tape {
    pub(crate) numbers: Vec<u64>,
    pub(crate) spoilt: Option<u32>,
}

impl Clone for Tape {
    fn clone(&self) -> Self {
        COPIES.set(COPIES.get() + 1);
        assert!(
            self.spoilt != Some(Does::SpoilsClone as u32),
            "no copy of this"
        );
        Self {
            numbers: self.numbers.clone(),
            spoilt: self.spoilt,
        }
    }
}

thread_local! {
    /// Copies of a tape made by this thread.
    pub(crate) static COPIES: Cell<u64> = const { Cell::new(0) };
    /// Events that this thread began to apply.
    pub(crate) static APPLIED: Cell<u64> = const { Cell::new(0) };
}

#[derive(Debug)]
pub(crate) struct Number {
    kind: u32,
    number: u64,
}

impl State for Tape {
    const TYPE: &'static str = "tape";

    fn validate(&self) -> Result<(), StateError> {
        assert!(
            self.spoilt != Some(Does::SpoilsValidate as u32),
            "no opinion"
        );
        if self.spoilt == Some(Does::Spoils as u32) {
            return Err(StateError::invalid("it is spoilt"));
        }
        Ok(())
    }
}

impl EventSourced for Tape {
    type Event<'a> = Number;

    fn decode(event: Event<'_>) -> Result<Number, Undecodable> {
        let kind = event.kind;
        assert!(kind != Does::PanicsInDecode as u32, "no reader for this");
        if kind == Does::FailsInDecode as u32 {
            return Err(Undecodable::new("of another world"));
        }
        let number = u64::from_le_bytes(event.payload.try_into().map_err(Undecodable::new)?);
        Ok(Number { kind, number })
    }

    fn check(&self, mark: &Number) -> Result<(), Rejected> {
        assert!(mark.kind != Does::PanicsInCheck as u32, "no check for this");
        let wavers = mark.kind == Does::WaversInCheck as u32 && APPLIED.get() > 0;
        if wavers || mark.kind == Does::FailsInCheck as u32 {
            return Err(Rejected::new("it does not fit"));
        }
        Ok(())
    }

    fn apply(&mut self, mark: Number) -> Result<(), Rejected> {
        APPLIED.set(APPLIED.get() + 1);
        self.numbers.push(mark.number);
        if mark.kind == Does::FailsInApply as u32 {
            return Err(Rejected::new("it did not fit"));
        }
        if mark.kind == Does::Wavers as u32 && APPLIED.get() > 1 {
            return Err(Rejected::new("not this time"));
        }
        assert!(mark.kind != Does::PanicsInApply as u32, "no place for this");
        if (Does::Spoils as u32..=Does::SpoilsClone as u32).contains(&mark.kind) {
            self.spoilt = Some(mark.kind);
        }
        Ok(())
    }

    fn digest(&self) -> Option<Digest> {
        assert!(self.spoilt != Some(Does::SpoilsDigest as u32), "no digest");
        let numbers = self.numbers.iter();
        Some(numbers.fold(Digester::new(), |d, n| d.number(*n)).finish())
    }
}

/// The time of the `n`th second.
pub(crate) fn second(n: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000 + n)
}

/// A stream of these events, a second apart; the number of each is its sequence.
pub(crate) fn stream(events: &[Does]) -> MemoryEvents {
    let store = MemoryEvents::new();
    store.create(STREAM);
    for (does, n) in events.iter().zip(1_u64..) {
        store.append(STREAM, *does as u32, second(n), &n.to_le_bytes());
    }
    store
}

/// A stream of so many events that fit.
pub(crate) fn fitting(count: usize) -> MemoryEvents {
    stream(&vec![Does::Fits; count])
}

/// What a fold comes to that looks at one event after the other and never touches a state twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fold {
    pub(crate) numbers: Vec<u64>,
    /// Rejected, undecodable, panicked.
    pub(crate) skipped: [u64; 3],
    pub(crate) stopped_before: Option<u64>,
    /// The event that ended it in an error, and whether it is one too many.
    pub(crate) failed: Option<(u64, bool)>,
}

pub(crate) fn fold(events: &[Does], rejected: OnRejected, undecodable: OnUndecodable) -> Fold {
    let mut fold = Fold::default();
    for (does, n) in events.iter().zip(1_u64..) {
        let Some(failure) = does.failure() else {
            fold.numbers.push(n);
            continue;
        };
        let fails = failure == Failure::Undecodable && undecodable == OnUndecodable::Fail;
        match rejected {
            OnRejected::StopBefore if !fails => {
                fold.stopped_before = Some(n);
                return fold;
            }
            OnRejected::Skip { limit } if !fails => {
                if fold.skipped.iter().sum::<u64>() == limit {
                    fold.failed = Some((n, true));
                    return fold;
                }
                fold.skipped[match failure {
                    Failure::Rejected => 0,
                    Failure::Undecodable => 1,
                    _ => 2,
                }] += 1;
            }
            _ => {
                fold.failed = Some((n, false));
                return fold;
            }
        }
    }
    fold
}

/// Snapshots of which some are damaged on the disk.
#[derive(Debug)]
pub(crate) struct Damaged {
    pub(crate) store: MemoryStore,
    pub(crate) sequences: &'static [u64],
}

impl CheckpointStore for Damaged {
    fn save_marked(&self, key: &str, of: &Checkpoint, marks: Marks) -> Result<Saved, StoreError> {
        self.store.save_marked(key, of, marks)
    }

    fn history(&self, key: &str) -> Result<Vec<Entry>, StoreError> {
        let mut history = self.store.history(key)?;
        for entry in &mut history {
            if self.sequences.contains(&entry.sequence) {
                entry.about = Err(EnvelopeError::Checksum);
            }
        }
        Ok(history)
    }

    fn load(&self, key: &str, sequence: u64) -> Result<Option<Checkpoint>, LoadError> {
        if self.sequences.contains(&sequence) {
            return Err(EnvelopeError::Checksum.into());
        }
        self.store.load(key, sequence)
    }

    fn mark(&self, key: &str, sequence: u64, mark: Mark) -> Result<Marks, StoreError> {
        self.store.mark(key, sequence, mark)
    }

    fn forget(&self, key: &str) -> Result<(), StoreError> {
        self.store.forget(key)
    }
}
