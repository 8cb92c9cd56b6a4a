//! What a checkpointed child tells the world.

use super::error::{RestoreFailure, SaveFailure};
use super::machine::Origin;
use crate::durable::snapshot::{Mark, PassedOver, StoreError};
use crate::kernel::clock::Clock;
use crate::kernel::event::{Events, Subscriber};
use crate::kernel::instant::Instant;
use crate::kernel::name::Name;
use crate::kernel::sync::Mutex;
use std::num::NonZeroUsize;
use std::sync::Arc;

/// One fact about a child's checkpoints.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CheckpointedEvent {
    /// Counts the facts of this child, from 1: a gap tells a subscriber that it lost some.
    pub seq: u64,
    /// When, on the clock of its checkpoints.
    pub at: Instant,
    /// What.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum EventKind {
    /// A start has its state, and is about to be made.
    Restored {
        /// Where from.
        origin: Origin,
        /// The checkpoint; `None` if it starts without one.
        sequence: Option<u64>,
        /// What is newer and was not used, newest first.
        passed_over: Vec<PassedOver>,
    },
    /// A start was not made.
    NotRestored {
        /// Why.
        error: RestoreFailure,
    },
    /// A strike could not be stored. It is counted in memory, and the start is made.
    StrikeNotStored {
        /// Of which checkpoint.
        sequence: u64,
        /// Why.
        error: StoreError,
    },
    /// Another mark could not be stored. It holds in this process, and is tried again before the next
    /// start.
    MarkNotStored {
        /// Of which checkpoint.
        sequence: u64,
        /// Which.
        mark: Mark,
        /// Why.
        error: StoreError,
    },
    /// A checkpoint is suspect from now on.
    Suspected {
        /// Which.
        sequence: u64,
        /// Why.
        why: Suspicion,
    },
    /// The others were no better: the newest checkpoint is used again.
    SuspicionWithdrawn {
        /// Which.
        sequence: u64,
    },
    /// A start has been well for long enough: what it goes on from is good.
    Proven {
        /// Where it had its state from.
        origin: Origin,
        /// Which checkpoint.
        sequence: Option<u64>,
    },
    /// A checkpoint was saved.
    Saved {
        /// Which.
        sequence: u64,
    },
    /// A checkpoint was not saved. The child goes on, and the previous one stays.
    SaveFailed {
        /// Why.
        error: SaveFailure,
    },
    /// The child handled an error in place.
    Recovered {
        /// Which.
        error: Arc<str>,
    },
}

/// Why a checkpoint is suspect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Suspicion {
    /// It does not decode, or what comes out is not valid.
    Undecodable,
    /// The child said [`BadState`](super::BadState).
    BadState,
    /// Another one did better.
    Trial,
}

/// Tells: to subscribers, and what went wrong to `tracing`.
#[derive(Debug)]
pub(super) struct Teller {
    name: Name,
    clock: Clock,
    events: Events<CheckpointedEvent>,
    seq: Mutex<u64>,
}

impl Teller {
    pub(super) fn new(name: Name, clock: Clock) -> Self {
        Self {
            name,
            clock,
            events: Events::new(),
            seq: Mutex::new(0),
        }
    }

    pub(super) fn subscribe(&self, capacity: NonZeroUsize) -> Subscriber<CheckpointedEvent> {
        self.events.subscribe(capacity)
    }

    pub(super) fn tell(&self, kind: EventKind) {
        self.trace(&kind);
        let at = self.clock.now();
        let aftermath = {
            let mut seq = self.seq.lock();
            *seq += 1;
            let seq = *seq;
            self.events.enqueue(&[CheckpointedEvent { seq, at, kind }])
        };
        aftermath.run();
    }

    fn trace(&self, kind: &EventKind) {
        let child = self.name.as_str();
        macro_rules! warn {
            ($($rest:tt)+) => {
                tracing::warn!(target: "backstop::supervise", child, $($rest)+)
            };
        }
        match kind {
            EventKind::Restored {
                origin, sequence, ..
            } => {
                tracing::info!(
                    target: "backstop::supervise",
                    child, origin = origin.name(), sequence, "state restored"
                );
            }
            EventKind::NotRestored { error } => warn!(%error, "state not restored"),
            EventKind::StrikeNotStored { sequence, error } => {
                warn!(sequence, %error, "a strike is counted in memory only");
            }
            EventKind::MarkNotStored {
                sequence,
                mark,
                error,
            } => warn!(sequence, mark = mark.name(), %error, "a mark was not stored"),
            EventKind::Suspected { sequence, why } => {
                warn!(sequence, why = why.name(), "a checkpoint is suspect");
            }
            EventKind::SuspicionWithdrawn { sequence } => {
                warn!(
                    sequence,
                    "older states are no better: the suspicion is withdrawn"
                );
            }
            EventKind::SaveFailed { error } => warn!(%error, "a checkpoint was not saved"),
            EventKind::Recovered { error } => warn!(error = &**error, "recovered in place"),
            EventKind::Proven { .. } | EventKind::Saved { .. } => {}
        }
    }
}

impl Suspicion {
    /// In `snake_case`, as in a label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Undecodable => "undecodable",
            Self::BadState => "bad_state",
            Self::Trial => "trial",
        }
    }
}
