//! What goes wrong around a checkpoint, as data.

use crate::durable::codec::StateError;
use crate::durable::snapshot::{PassedOver, SaveError, StoreError};
use std::error::Error;
use std::fmt;
use std::time::Duration;

/// A boxed error of a child.
pub(super) type BoxError = Box<dyn Error + Send + Sync>;

/// A child's verdict on the state that it was started with: going on from it again is of no use.
///
/// A child that ends with it, itself or anywhere in the chain of sources, before it has been well for long
/// enough makes its checkpoint suspect at once; any other error does so only after trials.
///
/// ```
/// use backstop::supervise::checkpointed::BadState;
///
/// let error = BadState::new("the balance is negative");
/// assert_eq!(error.to_string(), "bad state: the balance is negative");
/// ```
#[derive(Debug)]
pub struct BadState {
    why: String,
    source: Option<BoxError>,
}

impl BadState {
    /// The state is bad, and why.
    pub fn new(why: impl fmt::Display) -> Self {
        Self {
            why: why.to_string(),
            source: None,
        }
    }

    /// The state is bad, as this error shows.
    pub fn from_error(error: impl Into<BoxError>) -> Self {
        let error = error.into();
        Self {
            why: error.to_string(),
            source: Some(error),
        }
    }

    /// Whether an error is one, or has one in its chain of sources.
    pub fn is_in(error: &(dyn Error + 'static)) -> bool {
        let mut next = Some(error);
        // A chain that bites its tail is the user's to make, and not ours to follow.
        for _ in 0..LONGEST_CHAIN {
            let Some(error) = next else { return false };
            if error.is::<Self>() {
                return true;
            }
            next = error.source();
        }
        false
    }
}

const LONGEST_CHAIN: usize = 64;

impl fmt::Display for BadState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bad state: {}", self.why)
    }
}

impl Error for BadState {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}

/// A state was not saved, or nobody knows whether it was. The previous checkpoint stays.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SaveFailure {
    /// The state is not valid, does not encode, or does not decode again.
    State(StateError),
    /// The store did not take it.
    Store(StoreError),
    /// The start is the trial of an older state, and has not yet been well for long enough: what it saves
    /// would take the place of the newer state, which may be innocent.
    OnTrial,
    /// The child has been started again since; this was saved by something that outlived its start.
    Ended,
    /// The store has not answered for this long. It may be saved yet.
    Silent(Duration),
    /// There is no runtime to save on, it has shut down, or the store panicked.
    NotRun,
}

impl SaveFailure {
    /// In `snake_case`, as in a label.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::State(_) => "state",
            Self::Store(_) => "store",
            Self::OnTrial => "on_trial",
            Self::Ended => "ended",
            Self::Silent(_) => "silent",
            Self::NotRun => "not_run",
        }
    }
}

impl From<SaveError> for SaveFailure {
    fn from(error: SaveError) -> Self {
        match error {
            SaveError::State(error) => Self::State(error),
            SaveError::Store(error) => Self::Store(error),
        }
    }
}

impl fmt::Display for SaveFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::OnTrial => f.write_str(
                "not saved: the start is a trial that has not been well for long enough",
            ),
            Self::Ended => f.write_str("not saved: the child has been started again since"),
            Self::Silent(after) => {
                write!(
                    f,
                    "the store has not answered for {after:?}; it may be saved yet"
                )
            }
            Self::NotRun => f.write_str("not saved: no runtime, or the store panicked"),
        }
    }
}

impl Error for SaveFailure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::State(error) => Some(error),
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}

/// Why a child was not started: it is the error that the start ends with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RestoreFailure {
    /// The store cannot be read, which does not mean that there is nothing.
    Store(StoreError),
    /// There are checkpoints, and none of them can be gone on from. To start without them is for who
    /// opted in by [`cold_start`](super::CheckpointedConfig::cold_start).
    NoneUsable(Vec<PassedOver>),
    /// The store has not answered for this long.
    Silent(Duration),
    /// There is no runtime to read on, it has shut down, or the store panicked.
    NotRun,
}

impl From<StoreError> for RestoreFailure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl fmt::Display for RestoreFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => write!(f, "the checkpoints cannot be read: {error}"),
            Self::NoneUsable(passed_over) => {
                f.write_str("no checkpoint can be gone on from")?;
                for (place, one) in passed_over.iter().enumerate() {
                    write!(f, "{} {one}", if place == 0 { ":" } else { ";" })?;
                }
                Ok(())
            }
            Self::Silent(after) => write!(f, "the store has not answered for {after:?}"),
            Self::NotRun => f.write_str("no runtime to read checkpoints on, or the store panicked"),
        }
    }
}

impl Error for RestoreFailure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}
