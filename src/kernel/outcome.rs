//! What a finished call means.

use crate::kernel::rejection::{PolicyError, RejectionKind};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// What a policy makes of a finished call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The callee did its work, whatever the answer: a "404" is usually one of these.
    Success,
    /// The callee failed.
    Failure,
    /// Says nothing about the callee: neutral everywhere, the permit is given back and nothing is
    /// recorded.
    Ignored,
}

/// An outcome, with what the callee said about coming back and why it failed.
///
/// Two words: what most calls do not have is behind a pointer, so that a success stays in
/// registers.
#[derive(Clone, Debug)]
pub struct Verdict {
    outcome: Outcome,
    tidings: Tidings,
}

/// What a verdict can bring along; one pointer, so that handing it on costs nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tidings(Option<Box<Brought>>);

#[derive(Clone, Debug, Default)]
struct Brought {
    hint: Option<Duration>,
    cause: Option<Arc<dyn Error + Send + Sync>>,
}

impl Tidings {
    pub(crate) fn hint(&self) -> Option<Duration> {
        self.0.as_ref().and_then(|brought| brought.hint)
    }

    pub(crate) fn cause(&self) -> Option<&Arc<dyn Error + Send + Sync>> {
        self.0.as_ref().and_then(|brought| brought.cause.as_ref())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl Verdict {
    /// A success.
    pub const fn success() -> Self {
        Self::plain(Outcome::Success)
    }

    /// A failure.
    pub const fn failure() -> Self {
        Self::plain(Outcome::Failure)
    }

    /// Neither.
    pub const fn ignored() -> Self {
        Self::plain(Outcome::Ignored)
    }

    const fn plain(outcome: Outcome) -> Self {
        Self {
            outcome,
            tidings: Tidings(None),
        }
    }

    /// Adds when the callee asked to be called again (a server's `Retry-After`). A hint of zero
    /// says nothing and is not used. The first of hint and cause costs an allocation.
    pub fn with_hint(mut self, hint: Duration) -> Self {
        self.tidings.0.get_or_insert_default().hint = Some(hint);
        self
    }

    /// Adds what went wrong, to be shown in the rejections that follow from it.
    pub fn with_cause(mut self, cause: impl Into<Arc<dyn Error + Send + Sync>>) -> Self {
        self.tidings.0.get_or_insert_default().cause = Some(cause.into());
        self
    }

    /// What the call counts as.
    #[inline]
    pub const fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// When the callee asked to be called again.
    pub fn hint(&self) -> Option<Duration> {
        self.tidings.hint()
    }

    /// What went wrong.
    pub fn cause(&self) -> Option<&Arc<dyn Error + Send + Sync>> {
        self.tidings.cause()
    }

    /// What it brings along.
    pub(crate) fn into_tidings(self) -> Tidings {
        self.tidings
    }
}

impl From<Outcome> for Verdict {
    fn from(outcome: Outcome) -> Self {
        Self::plain(outcome)
    }
}

/// Says what a call's result means. Closures are classifiers:
///
/// ```
/// use backstop::kernel::outcome::{Classifier, Outcome};
///
/// let by_status = |result: Result<&u16, &std::io::Error>| match result {
///     Ok(500..) | Err(_) => Outcome::Failure,
///     Ok(_) => Outcome::Success,
/// };
/// assert_eq!(by_status.classify(Ok(&503)).outcome(), Outcome::Failure);
/// ```
///
/// It runs once per call, outside all locks. A panic in it is counted as a failure of the call and
/// goes on unwinding.
pub trait Classifier<T, E> {
    /// What `result` means.
    fn classify(&self, result: Result<&T, &E>) -> Verdict;
}

impl<T, E, F, V> Classifier<T, E> for F
where
    F: Fn(Result<&T, &E>) -> V,
    V: Into<Verdict>,
{
    #[inline]
    fn classify(&self, result: Result<&T, &E>) -> Verdict {
        self(result).into()
    }
}

/// `Err` is a failure, except that an inner policy's rejection counts as its kind says.
///
/// | inner rejection | counts as |
/// |---|---|
/// | `Open`, `ForcedOpen`, `ProbesFull`, `Full`, `Shed`, `RateLimited`, `Restarting` | ignored: the callee was not asked |
/// | `NoRuntime` | ignored: it is the caller that is set up wrong |
/// | `Panicked` | a failure: the call was made |
/// | `TimedOut` | a failure: the callee was asked and did not answer in time |
#[derive(Clone, Copy, Debug, Default)]
pub struct DefaultClassifier;

impl<T, E: PolicyError> Classifier<T, E> for DefaultClassifier {
    #[inline]
    fn classify(&self, result: Result<&T, &E>) -> Verdict {
        match result {
            Ok(_) => Verdict::success(),
            Err(error) => match error.rejection() {
                Some(rejection) => rejection.kind().counts_as().into(),
                None => Verdict::failure(),
            },
        }
    }
}

impl RejectionKind {
    /// What an outer policy's default classifier counts it as.
    pub const fn counts_as(self) -> Outcome {
        match self {
            Self::TimedOut | Self::Panicked => Outcome::Failure,
            _ => Outcome::Ignored,
        }
    }
}

/// Every `Err` is a failure: the default where nothing is known of the error's type.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnyError;

impl<T, E> Classifier<T, E> for AnyError {
    #[inline]
    fn classify(&self, result: Result<&T, &E>) -> Verdict {
        match result {
            Ok(_) => Verdict::success(),
            Err(_) => Verdict::failure(),
        }
    }
}
