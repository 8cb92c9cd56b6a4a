//! The blocking part of a start: which checkpoint, its strike, its state.

use super::error::RestoreFailure;
use super::event::{EventKind, Suspicion};
use super::machine::{Attempt, Candidate};
use super::pump::Load;
use super::shared::Shared;
use crate::durable::codec::StateError;
use crate::durable::snapshot::{
    Entry, Mark, PassedOver, Reason, RestoreError, Restored, StoreError,
};
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// What a start has of its checkpoints.
pub(super) struct Loaded<S: Send + 'static> {
    pub(super) attempt: Attempt,
    pub(super) restored: Option<Restored<S>>,
    pub(super) passed_over: Vec<PassedOver>,
    pub(super) claim: Claim<S>,
}

/// A strike that speaks of a start which is not yet made. Dropped unclaimed, there was no start, and the
/// strike is forgotten: a store that is slow, or a stop in the middle, is no fault of the state.
pub(super) struct Claim<S: Send + 'static> {
    shared: Option<Arc<Shared<S>>>,
    excuse: Option<(u64, Mark)>,
    runtime: Handle,
}

impl<S: Send + 'static> Claim<S> {
    /// The start is made.
    pub(super) fn claimed(mut self) {
        self.shared = None;
    }
}

impl<S: Send + 'static> Drop for Claim<S> {
    fn drop(&mut self) {
        if let (Some(shared), Some(excuse)) = (self.shared.take(), self.excuse) {
            drop(shared.mark_for(vec![excuse], &self.runtime));
        }
    }
}

/// A load under way, and who waits for it.
pub(super) struct LoadFor<S: Send + 'static> {
    pub(super) shared: Arc<Shared<S>>,
    pub(super) start: u64,
    pub(super) runtime: Handle,
    pub(super) to: oneshot::Sender<Result<Loaded<S>, RestoreFailure>>,
}

impl<S: Send + 'static> Load for LoadFor<S> {
    fn is_awaited(&self) -> bool {
        !self.to.is_closed()
    }

    fn run(self: Box<Self>) {
        let Self {
            shared,
            start,
            runtime,
            to,
        } = *self;
        shared.saves_are_of(start);
        let loaded = shared
            .load()
            .map(|(attempt, restored, passed_over)| Loaded {
                claim: Claim {
                    excuse: attempt.on_excuse(),
                    shared: Some(shared),
                    runtime,
                },
                attempt,
                restored,
                passed_over,
            });
        // If nobody waits any more, the claim is dropped with it.
        let _unwanted = to.send(loaded);
    }
}

/// Times that the history is read again because a checkpoint has gone meanwhile.
const MOST_ROUNDS: usize = 1_000;

type Found<S> = (Attempt, Option<Restored<S>>, Vec<PassedOver>);

impl<S> Shared<S> {
    fn load(&self) -> Result<Found<S>, RestoreFailure> {
        self.pay();
        let mut bad: Vec<PassedOver> = Vec::new();
        for _ in 0..MOST_ROUNDS {
            let history = self.port.history()?;
            self.saw(&history);
            let is_usable = |entry: &&Entry| {
                entry.about.is_ok() && bad.iter().all(|one| one.sequence != entry.sequence)
            };
            let candidates: Vec<Candidate> = history
                .iter()
                .filter(is_usable)
                .map(|entry| Candidate {
                    sequence: entry.sequence,
                    marks: entry.marks,
                })
                .collect();
            let chosen = self.machine.lock().choose(&candidates, history.is_empty());
            let Ok(attempt) = chosen else {
                return Err(RestoreFailure::NoneUsable(passed_over(&history, &bad, 0)));
            };
            if !self.strike(&attempt, &candidates) {
                continue;
            }
            let restored = match attempt.base {
                None => None,
                Some(base) => match self.state_of(base, &attempt) {
                    Ok(Some(restored)) => Some(restored),
                    Ok(None) => continue,
                    Err(RestoreError::Bad(reason)) => {
                        bad.push(PassedOver {
                            sequence: base,
                            reason,
                        });
                        continue;
                    }
                    Err(RestoreError::Store(error)) => return Err(error.into()),
                },
            };
            let passed_over = passed_over(&history, &bad, attempt.base.unwrap_or(0));
            return Ok((attempt, restored, passed_over));
        }
        Err(RestoreFailure::Store(StoreError::other(
            "checkpoints come and go faster than they can be read",
        )))
    }

    /// Stores the strike of a start; `false` if its checkpoint has gone.
    fn strike(&self, attempt: &Attempt, candidates: &[Candidate]) -> bool {
        let Some(sequence) = attempt.strike else {
            return true;
        };
        match self.port.mark(sequence, Mark::Strike) {
            Ok(()) => self.machine.lock().strike_is_stored(sequence),
            Err(StoreError::NoSuchCheckpoint { .. }) => return false,
            Err(error) => {
                let before = candidates.iter().find(|one| one.sequence == sequence);
                if let Some(before) = before {
                    self.machine.lock().strike_is_counted_here(*before);
                }
                self.teller
                    .tell(EventKind::StrikeNotStored { sequence, error });
            }
        }
        true
    }

    fn state_of(&self, base: u64, attempt: &Attempt) -> Result<Option<Restored<S>>, RestoreError> {
        let error = match self.port.load(base) {
            Ok(restored) => return Ok(restored),
            Err(error) => error,
        };
        match &error {
            RestoreError::Bad(Reason::State(
                StateError::Codec(_) | StateError::Invalid(_) | StateError::Panicked(_),
            )) => {
                let why = Suspicion::Undecodable;
                let sequence = base;
                self.teller.tell(EventKind::Suspected { sequence, why });
                self.mark_all([(base, Mark::Suspect)]);
            }
            // It may be good in the hands of another build, or the store may be better by and by: this
            // was no start from it.
            _ => self.mark_all(attempt.on_excuse()),
        }
        Err(error)
    }

    /// Tries again to store what could not be stored.
    fn pay(&self) {
        let owed = self.machine.lock().owed();
        let mut paid = 0;
        for (sequence, mark) in owed {
            match self.port.mark(sequence, mark) {
                Ok(()) | Err(StoreError::NoSuchCheckpoint { .. }) => paid += 1,
                Err(_) => break,
            }
        }
        self.machine.lock().paid(paid);
    }

    fn saw(&self, history: &[Entry]) {
        self.machine
            .lock()
            .retain(|sequence| history.iter().any(|entry| entry.sequence == sequence));
        self.numbers_from(
            history
                .first()
                .map_or(1, |newest| newest.sequence.saturating_add(1)),
        );
    }
}

/// What is newer than the base and was not used, newest first.
fn passed_over(history: &[Entry], bad: &[PassedOver], base: u64) -> Vec<PassedOver> {
    let newer = history.iter().filter(|entry| entry.sequence > base);
    newer
        .filter_map(|entry| {
            let sequence = entry.sequence;
            let known = bad.iter().find(|one| one.sequence == sequence).cloned();
            known.or_else(|| {
                let reason = entry.why_not()?;
                Some(PassedOver { sequence, reason })
            })
        })
        .collect()
}
