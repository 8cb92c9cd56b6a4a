//! Why a replay failed.

use super::digest::Digest;
use super::events::EventError;
use super::guard::Panic;
use super::report::{FailedEvent, ReplayReport};
use crate::durable::codec::StateError;
use crate::durable::snapshot::StoreError;
use std::error::Error;
use std::fmt;
use std::time::SystemTime;

/// A replay failed. No state comes of it; what was done until then is in the
/// [report](Self::report).
#[derive(Debug)]
pub struct ReplayError {
    kind: ReplayErrorKind,
    report: Box<ReplayReport>,
}

/// Why a replay failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReplayErrorKind {
    /// The store of events failed, or has no such stream.
    Events(EventError),
    /// The store of snapshots failed.
    Snapshots(StoreError),
    /// The target is behind the last event, and [`or_latest`](super::Replayer::or_latest) was not said.
    BeyondEnd {
        /// The last event there is; 0: none.
        last: u64,
    },
    /// Events were compacted away that would be needed: no usable snapshot is at the target or
    /// before it, or the one there is reaches less far than the compaction.
    Compacted {
        /// The first event that is needed.
        needed: u64,
        /// The first event that is there.
        first: u64,
    },
    /// An event is missing.
    Gap {
        /// The one that is missing.
        expected: u64,
        /// The one in its place; `None` if the store ended there.
        found: Option<u64>,
    },
    /// A snapshot holds events that the stream does not have: its end was lost.
    SnapshotAhead {
        /// The last event in the snapshot.
        snapshot: u64,
        /// The last event in the stream.
        last: u64,
    },
    /// The state in a snapshot is not the one that was saved, though what is derived in it was made
    /// anew: the digest or the codec has changed, or does not cover the same parts.
    DigestMismatch {
        /// The last event in the snapshot.
        snapshot: u64,
        /// The digest that was stored with it.
        recorded: Digest,
        /// That of the state.
        found: Digest,
    },
    /// An event is older than the one before it, so a time names no point of the stream.
    TimeWentBack {
        /// The event.
        sequence: u64,
        /// When it was written.
        wall: SystemTime,
        /// When the one before it was written.
        previous: SystemTime,
    },
    /// An event was rejected, could not be decoded, or panicked.
    Event(FailedEvent),
    /// One event more failed than may be left out.
    TooManySkipped {
        /// How many may.
        limit: u64,
        /// The one too many.
        event: FailedEvent,
    },
    /// An event that had been applied was not when the state was made anew: the state's code depends
    /// on something else than its arguments.
    NotDeterministic {
        /// The event.
        sequence: u64,
    },
    /// The state at the target is not valid.
    Invalid(StateError),
    /// The user's code panicked outside of an event.
    Panicked {
        /// The function that did.
        function: &'static str,
        /// With what.
        panic: Panic,
    },
}

impl ReplayError {
    pub(super) fn new(kind: ReplayErrorKind, report: ReplayReport) -> Self {
        Self {
            kind,
            report: Box::new(report),
        }
    }

    /// Why.
    pub const fn kind(&self) -> &ReplayErrorKind {
        &self.kind
    }

    /// What was done until then.
    pub const fn report(&self) -> &ReplayReport {
        &self.report
    }
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ReplayReport { stream, target, .. } = &*self.report;
        write!(f, "{stream} cannot be replayed to {target}: {}", self.kind)
    }
}

impl fmt::Display for ReplayErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Events(error) => error.fmt(f),
            Self::Snapshots(error) => write!(f, "snapshots cannot be read: {error}"),
            Self::DigestMismatch {
                snapshot,
                recorded,
                found,
            } => write!(
                f,
                "the state in the snapshot at {snapshot} has the digest {found}, and was saved with \
                 {recorded}"
            ),
            Self::BeyondEnd { last: 0 } => f.write_str("there are no events"),
            Self::BeyondEnd { last } => write!(f, "the last event is {last}"),
            Self::Compacted { needed, first } => write!(
                f,
                "event {needed} is needed and was compacted away; the first one left is {first}"
            ),
            Self::Gap { expected, found } => match found {
                Some(found) => write!(f, "event {expected} is missing; {found} is in its place"),
                None => write!(f, "event {expected} is missing; the events end before it"),
            },
            Self::SnapshotAhead { snapshot, last } => write!(
                f,
                "there is a snapshot at {snapshot}, but the last event is {last}: events were lost"
            ),
            Self::TimeWentBack {
                sequence,
                wall,
                previous,
            } => write!(
                f,
                "event {sequence} is of {}, and the one before it of {}",
                humantime::format_rfc3339(*wall),
                humantime::format_rfc3339(*previous)
            ),
            Self::Event(event) => event.fmt(f),
            Self::TooManySkipped { limit, event } => write!(
                f,
                "{event}; it is one more than the {limit} that may be left out"
            ),
            Self::NotDeterministic { sequence } => write!(
                f,
                "event {sequence} came out otherwise when the state was made anew; applying events \
                 must depend on nothing but the state and the event"
            ),
            Self::Invalid(invalid) => write!(f, "at the target, {invalid}"),
            Self::Panicked { function, panic } => write!(f, "{function}: {panic}"),
        }
    }
}

impl Error for ReplayError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.kind {
            ReplayErrorKind::Events(error) => Some(error),
            ReplayErrorKind::Snapshots(error) => Some(error),
            ReplayErrorKind::Invalid(invalid) => Some(invalid),
            ReplayErrorKind::Panicked { panic, .. } => Some(panic),
            _ => None,
        }
    }
}

impl From<EventError> for ReplayErrorKind {
    fn from(error: EventError) -> Self {
        Self::Events(error)
    }
}
