//! What is tried again: a predicate over the result of an attempt.

use crate::kernel::outcome::{AnyError, Outcome, Verdict};
use crate::kernel::rejection::{PolicyError, RejectionKind};
use std::time::Duration;

/// What the callee said about coming back: an HTTP `Retry-After`, gRPC's pushback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hint {
    /// Not before this much time has passed.
    After(Duration),
    /// Not at all.
    Stop,
}

/// What becomes of an attempt's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// The result is final: a success, or an error that another attempt would not mend.
    Accept,
    /// Try again, if attempts, deadline and budget allow it; else the result is final.
    Retry,
    /// The same, as the callee asks: the wait is at least the one of the hint.
    Hinted(Hint),
}

/// `true` tries again, `false` accepts.
impl From<bool> for Decision {
    #[inline]
    fn from(again: bool) -> Self {
        if again { Self::Retry } else { Self::Accept }
    }
}

/// A failure is tried again, anything else is final: so a closure over outcomes judges for a breaker
/// and for a retry.
impl From<Outcome> for Decision {
    #[inline]
    fn from(outcome: Outcome) -> Self {
        (outcome == Outcome::Failure).into()
    }
}

/// The same, not before the time that the verdict hints at.
impl From<Verdict> for Decision {
    fn from(verdict: Verdict) -> Self {
        match (verdict.outcome(), verdict.hint()) {
            (Outcome::Failure, Some(after)) => Hint::After(after).into(),
            (outcome, _) => outcome.into(),
        }
    }
}

impl From<Hint> for Decision {
    fn from(hint: Hint) -> Self {
        Self::Hinted(hint)
    }
}

/// Says whether an attempt's result calls for another one. Closures that return a `bool`, a
/// [`Hint`], a [`Decision`], or what a classifier returns, are predicates:
///
/// ```
/// use backstop::policy::retry::{Decision, RetryWhen};
///
/// let by_status = |result: Result<&u16, &std::io::Error>| matches!(result, Ok(502..=504) | Err(_));
/// assert_eq!(by_status.decide(Ok(&503)), Decision::Retry);
/// assert_eq!(by_status.decide(Ok(&404)), Decision::Accept);
/// ```
///
/// It replaces all of the default: inner policies' rejections come by it as well. It runs once per
/// attempt, outside all locks. A panic in it ends the call and goes on unwinding.
pub trait RetryWhen<T, E> {
    /// What becomes of `result`.
    fn decide(&self, result: Result<&T, &E>) -> Decision;
}

impl<T, E, F, D> RetryWhen<T, E> for F
where
    F: Fn(Result<&T, &E>) -> D,
    D: Into<Decision>,
{
    #[inline]
    fn decide(&self, result: Result<&T, &E>) -> Decision {
        self(result).into()
    }
}

/// Every `Err` is tried again: the default where nothing is known of the error's type.
impl<T, E> RetryWhen<T, E> for AnyError {
    #[inline]
    fn decide(&self, result: Result<&T, &E>) -> Decision {
        result.is_err().into()
    }
}

/// Every `Err` is tried again, except that an inner policy's rejection says itself whether that
/// makes sense.
///
/// | inner rejection | another attempt |
/// |---|---|
/// | `Open`, `ForcedOpen`, `ProbesFull`, `Full`, `Shed` | no: it would be refused too, or add to the load that is being shed |
/// | `RateLimited` | not before its `retry_after` |
/// | `Restarting` | not before its `retry_after`; without one no, as the call may have been executed |
/// | `TimedOut`, `Panicked` | yes: it ran, and failed |
/// | `NoRuntime` | no: there is none for the next attempt either |
#[derive(Clone, Copy, Debug, Default)]
pub struct DefaultRetry;

impl<T, E: PolicyError> RetryWhen<T, E> for DefaultRetry {
    #[inline]
    fn decide(&self, result: Result<&T, &E>) -> Decision {
        match result {
            Ok(_) => Decision::Accept,
            Err(error) => match error.rejection() {
                None => Decision::Retry,
                Some(rejection) => by_kind(rejection.kind(), rejection.retry_after()),
            },
        }
    }
}

fn by_kind(kind: RejectionKind, retry_after: Option<Duration>) -> Decision {
    match kind {
        RejectionKind::Open
        | RejectionKind::ForcedOpen
        | RejectionKind::ProbesFull
        | RejectionKind::Full
        | RejectionKind::Shed
        | RejectionKind::NoRuntime => Decision::Accept,
        RejectionKind::RateLimited => {
            retry_after.map_or(Decision::Retry, |after| Hint::After(after).into())
        }
        // Without a hint it was under way when its component went, and may have been done.
        RejectionKind::Restarting => {
            retry_after.map_or(Decision::Accept, |after| Hint::After(after).into())
        }
        RejectionKind::TimedOut | RejectionKind::Panicked => Decision::Retry,
    }
}
