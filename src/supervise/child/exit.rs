//! How a child ended.

use crate::kernel::name::Name;
use crate::supervise::budget::RestartBudget;
use std::any::Any;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What errors of children become: a child's own error type goes `Into` this.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// How an incarnation of a child ended. Cloning it allocates nothing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ChildExit {
    /// It returned `Ok` without having been told to stop.
    Normal,
    /// It returned `Ok` after it had been told to stop; or it was a supervisor that
    /// [shut itself down](crate::supervise::supervisor::AutoShutdown).
    Shutdown,
    /// It returned an error.
    Error(Arc<dyn Error + Send + Sync>),
    /// It panicked, with this message.
    Panic(Arc<str>),
    /// It was dropped before it had ended: aborted because it did not stop in time, or its runtime
    /// went down.
    Killed,
    /// It was a supervisor that gave up.
    GaveUp(Arc<GaveUp>),
}

impl ChildExit {
    /// Whether a [`Transient`](super::Restart::Transient) child is restarted for it: an error, a
    /// panic, a kill, a supervisor that gave up.
    pub const fn is_failure(&self) -> bool {
        !matches!(self, Self::Normal | Self::Shutdown)
    }

    /// In `snake_case`, as in metric labels.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Shutdown => "shutdown",
            Self::Error(_) => "error",
            Self::Panic(_) => "panic",
            Self::Killed => "killed",
            Self::GaveUp(_) => "gave_up",
        }
    }

    /// The error behind it, if there is one.
    pub fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Error(error) => Some(&**error),
            Self::GaveUp(gave_up) => Some(&**gave_up),
            _ => None,
        }
    }

    /// The message of a panic, which is a text almost always.
    pub(crate) fn of_panic(payload: Box<dyn Any + Send>) -> Self {
        let message: Arc<str> = if let Some(text) = payload.downcast_ref::<&'static str>() {
            Arc::from(*text)
        } else if let Some(text) = payload.downcast_ref::<String>() {
            Arc::from(text.as_str())
        } else {
            Arc::from("a panic without a text")
        };
        discard(payload);
        Self::Panic(message)
    }
}

/// Drops a value of the user's, whose drop may panic.
pub(crate) fn discard<T>(value: T) {
    guarded(move || drop(value));
}

/// Runs what may be the user's code in a place where there is nobody to tell that it panicked; the
/// panic hook has heard of it.
pub(crate) fn guarded(act: impl FnOnce()) {
    if let Err(payload) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act)) {
        let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(payload)));
        // A payload whose drop panics with a payload whose drop may panic: this has to end.
        if let Err(payload) = dropped {
            std::mem::forget(payload);
        }
    }
}

impl fmt::Display for ChildExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => f.write_str("ended normally"),
            Self::Shutdown => f.write_str("stopped as it was told to"),
            Self::Error(error) => write!(f, "ended with an error: {error}"),
            Self::Panic(message) => write!(f, "panicked: {message}"),
            Self::Killed => f.write_str("was killed"),
            Self::GaveUp(gave_up) => gave_up.fmt(f),
        }
    }
}

/// Why a supervisor gave up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GaveUp {
    /// The supervisor.
    pub supervisor: Name,
    /// The child whose failure was the last straw.
    pub child: Name,
    /// What the last straw was.
    pub reason: GaveUpReason,
    /// The budget that was spent, or in force.
    pub budget: RestartBudget,
    /// The failures within the window, the last one last; at most the last
    /// [16](GaveUp::FAILURES).
    pub failures: Vec<Failure>,
}

impl GaveUp {
    /// How many failures are kept to be shown.
    pub const FAILURES: usize = 16;
}

/// What made a supervisor give up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GaveUpReason {
    /// The budget of restarts is spent.
    BudgetSpent,
    /// A child did not end although it was aborted, and its group cannot be restarted beside it.
    Orphaned,
}

/// A failure of a child.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Failure {
    /// The child.
    pub child: Name,
    /// Its incarnation.
    pub incarnation: u64,
    /// What happened.
    pub cause: FailureCause,
}

/// How an incarnation failed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum FailureCause {
    /// It ended while it should run.
    Exit(ChildExit),
    /// It ended before it was ready.
    NotReady(ChildExit),
    /// It was not ready in time.
    StartTimeout,
    /// It gave no sign of life in time.
    Hung {
        /// How long it had been silent.
        silent: Duration,
    },
}

impl fmt::Display for FailureCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(exit) => exit.fmt(f),
            Self::NotReady(exit) => write!(f, "{exit}, before it was ready"),
            Self::StartTimeout => f.write_str("was not ready in time"),
            Self::Hung { silent } => write!(f, "gave no sign of life for {silent:?}"),
        }
    }
}

impl FailureCause {
    /// In `snake_case`; of an end by itself, [that of the exit](ChildExit::as_str).
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Exit(exit) => exit.as_str(),
            Self::NotReady(_) => "not_ready",
            Self::StartTimeout => "start_timeout",
            Self::Hung { .. } => "hung",
        }
    }

    /// The error behind it, if there is one.
    pub fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Exit(exit) | Self::NotReady(exit) => exit.source(),
            Self::StartTimeout | Self::Hung { .. } => None,
        }
    }
}

impl fmt::Display for GaveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            supervisor, child, ..
        } = self;
        match self.reason {
            GaveUpReason::BudgetSpent => write!(
                f,
                "supervisor {supervisor} gave up: more than {}, the last of {child}",
                self.budget
            )?,
            GaveUpReason::Orphaned => write!(
                f,
                "supervisor {supervisor} gave up: {child} still runs although it was aborted"
            )?,
        }
        match self.failures.last() {
            Some(last) => write!(f, ", which {}", last.cause),
            None => Ok(()),
        }
    }
}

impl Error for GaveUp {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.failures.last()?.cause.source()
    }
}
