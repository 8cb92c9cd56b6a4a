//! The state that a replay begins with.

use super::digest::Digest;
use super::error::ReplayErrorKind;
use super::events::Bounds;
use super::guard::caught;
use super::report::{Comparison, ReplayReport};
use super::state::EventSourced;
use super::target::Target;
use crate::durable::codec::{Codec, State, StateError};
use crate::durable::snapshot::{
    About, Checkpoint, CheckpointStore, Entry, LoadError, PassedOver, Reason,
};
use std::fmt;
use std::time::SystemTime;

/// Makes a state of a checkpoint.
type Decode<'a, S> = Box<dyn Fn(&Checkpoint) -> Result<S, StateError> + Send + Sync + 'a>;

/// Where snapshots are, and how they become states.
pub(super) struct Snapshots<'a, S> {
    pub(super) store: &'a dyn CheckpointStore,
    pub(super) decode: Decode<'a, S>,
}

impl<S: EventSourced> Snapshots<'_, S> {
    /// All that there are, newest first. To be read before the bounds of the events: what is published
    /// in between is then of no account.
    pub(super) fn history(&self, key: &str) -> Result<Vec<Entry>, ReplayErrorKind> {
        self.store.history(key).map_err(ReplayErrorKind::Snapshots)
    }

    /// The newest at or before the target that is sound; the report hears of those that are not.
    pub(super) fn load(
        &self,
        history: &[Entry],
        (key, target, bounds): (&str, Target, Bounds),
        report: &mut ReplayReport,
    ) -> Result<Option<(S, SystemTime)>, ReplayErrorKind> {
        for entry in history {
            let sequence = entry.sequence;
            if !serves(entry, target) {
                continue;
            }
            // A suspect one may be of another history than this, and proves nothing.
            if sequence > bounds.last && !entry.marks.suspect {
                return Err(ReplayErrorKind::SnapshotAhead {
                    snapshot: sequence,
                    last: bounds.last,
                });
            }
            let reason = match entry.why_not() {
                Some(reason) => reason,
                None => match self.store.load(key, sequence) {
                    Ok(Some(checkpoint)) => match self.state(&checkpoint)? {
                        Ok((state, comparison)) => {
                            report.snapshot = Some(sequence);
                            report.comparison = comparison;
                            report.through = sequence;
                            return Ok(Some((state, checkpoint.wall)));
                        }
                        Err(error) => Reason::State(error),
                    },
                    // It was removed since, as no longer needed.
                    Ok(None) => continue,
                    Err(LoadError::Damaged(error)) => Reason::Damaged(error),
                    Err(LoadError::Store(error)) => return Err(ReplayErrorKind::Snapshots(error)),
                },
            };
            report.passed_over.push(PassedOver { sequence, reason });
        }
        Ok(None)
    }

    /// The state in a checkpoint, if it is valid, and how it compares with the digest that was stored
    /// with it.
    fn state(&self, checkpoint: &Checkpoint) -> Result<Decoded<S>, ReplayErrorKind> {
        let decoded = caught(|| {
            let mut state = (self.decode)(checkpoint)?;
            // A digest is of a state as its version makes it.
            let recorded = checkpoint
                .digest
                .filter(|_| checkpoint.version == S::VERSION);
            let comparison = compare(&mut state, recorded);
            // Valid or not, nobody goes on from one that is another.
            if comparison.is_ok() {
                state.validate()?;
            }
            Ok((state, comparison))
        });
        match decoded {
            Ok(Ok((state, Ok(comparison)))) => Ok(Ok((state, comparison))),
            Ok(Ok((_, Err((recorded, found))))) => Err(ReplayErrorKind::DigestMismatch {
                snapshot: checkpoint.sequence,
                recorded,
                found,
            }),
            Ok(Err(error)) => Ok(Err(error)),
            Err(panic) => Ok(Err(StateError::Panicked(panic.message().to_owned()))),
        }
    }
}

/// The state in a checkpoint, as it is: it is compared before it is validated, since what is derived
/// in it may have to be made anew.
pub(crate) fn decode<S: State, C: Codec>(
    checkpoint: &Checkpoint,
    codec: &C,
) -> Result<S, StateError> {
    if checkpoint.type_name != S::TYPE {
        let found = checkpoint.type_name.clone();
        return Err(StateError::OtherType { found });
    }
    if checkpoint.codec != codec.name() {
        let found = checkpoint.codec.clone();
        return Err(StateError::OtherCodec { found });
    }
    match checkpoint.version {
        version if version == S::VERSION => Ok(codec.decode(&checkpoint.payload)?),
        from => S::migrate(from, &checkpoint.payload, codec),
    }
}

/// A state and how it compares, or why there is none.
type Decoded<S> = Result<(S, Comparison), StateError>;

/// Compares a state with the digest that was stored with it. What is derived in it is made anew if they
/// differ; two digests if they differ then.
fn compare<S: EventSourced>(
    state: &mut S,
    recorded: Option<u64>,
) -> Result<Comparison, (Digest, Digest)> {
    let digest = |state: &S| state.digest().map(Digest::as_u64);
    let (Some(recorded), Some(found)) = (recorded, digest(state)) else {
        return Ok(Comparison::Unchecked);
    };
    if recorded == found {
        return Ok(Comparison::Same);
    }
    state.rebuild();
    match digest(state) {
        Some(found) if found != recorded => {
            Err((Digest::from_u64(recorded), Digest::from_u64(found)))
        }
        _ => Ok(Comparison::Rebuilt),
    }
}

/// Whether a snapshot is at the target or before it. Of one that is damaged only the sequence is
/// known.
fn serves(entry: &Entry, target: Target) -> bool {
    match (target, &entry.about) {
        (Target::Latest, _) | (Target::Time(_), Err(_)) => true,
        (Target::Sequence(target), _) => entry.sequence <= target,
        (Target::Time(target), Ok(About { wall, .. })) => *wall <= target,
    }
}

impl<S> fmt::Debug for Snapshots<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshots")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}
