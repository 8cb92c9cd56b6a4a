//! What a pipeline makes of a result: one named value judges it for the breaker and for the retry.

use crate::kernel::outcome::{AnyError, Classifier, DefaultClassifier, Verdict};
use crate::kernel::rejection::{Error, PolicyError, Rejection};
use crate::policy::retry::{Decision, DefaultRetry, RetryWhen};

/// Every `Err` of the call is a failure and is tried again: the classifier of a pipeline that is
/// given no other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standard;

impl<T, E> Classifier<T, E> for Standard {
    #[inline]
    fn classify(&self, result: Result<&T, &E>) -> Verdict {
        AnyError.classify(result)
    }
}

impl<T, E> RetryWhen<T, E> for Standard {
    #[inline]
    fn decide(&self, result: Result<&T, &E>) -> Decision {
        AnyError.decide(result)
    }
}

/// As [`Standard`] for calls whose own error can hold a rejection, such as `BoxError`: one by a
/// policy further in counts, and is tried again, as its kind says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stacked;

impl<T, E: PolicyError> Classifier<T, E> for Stacked {
    #[inline]
    fn classify(&self, result: Result<&T, &E>) -> Verdict {
        DefaultClassifier.classify(result)
    }
}

impl<T, E: PolicyError> RetryWhen<T, E> for Stacked {
    #[inline]
    fn decide(&self, result: Result<&T, &E>) -> Decision {
        DefaultRetry.decide(result)
    }
}

/// Makes any [`Classifier`] the classifier of a pipeline: what it calls a failure is tried again, not
/// before the time that it hints at. Closures and `fn`s need it not, they are both already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByVerdict<C>(pub C);

impl<T, E, C: Classifier<T, E>> Classifier<T, E> for ByVerdict<C> {
    #[inline]
    fn classify(&self, result: Result<&T, &E>) -> Verdict {
        self.0.classify(result)
    }
}

impl<T, E, C: Classifier<T, E>> RetryWhen<T, E> for ByVerdict<C> {
    fn decide(&self, result: Result<&T, &E>) -> Decision {
        self.0.classify(result).into()
    }
}

/// One value for the breaker and another for the retry, such as `HttpClassifier` and `HttpRetry`:
/// not every failure of the callee is mended by another attempt, and a "429" that is worth one is no
/// sign of an ill callee.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Separate<A, B> {
    /// Judges for the circuit breaker, and for the fallback.
    pub breaker: A,
    /// Judges for the retry.
    pub retry: B,
}

impl<T, E, A: Classifier<T, E>, B> Classifier<T, E> for Separate<A, B> {
    #[inline]
    fn classify(&self, result: Result<&T, &E>) -> Verdict {
        self.breaker.classify(result)
    }
}

impl<T, E, A, B: RetryWhen<T, E>> RetryWhen<T, E> for Separate<A, B> {
    #[inline]
    fn decide(&self, result: Result<&T, &E>) -> Decision {
        self.retry.decide(result)
    }
}

/// The user's classifier, for results that may also be rejections by the pipeline's own parts:
/// those are judged by their kind, and the user's classifier is not asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judged<'a, C>(pub(super) &'a C);

impl<T, E, C: Classifier<T, E>> Classifier<T, Error<E>> for Judged<'_, C> {
    #[inline]
    fn classify(&self, result: Result<&T, &Error<E>>) -> Verdict {
        match result {
            Ok(value) => self.0.classify(Ok(value)),
            Err(Error::Inner(error)) => self.0.classify(Err(error)),
            Err(Error::Rejected(rejection)) => rejection.kind().counts_as().into(),
        }
    }
}

impl<T, E, C: RetryWhen<T, E>> RetryWhen<T, Error<E>> for Judged<'_, C> {
    #[inline]
    fn decide(&self, result: Result<&T, &Error<E>>) -> Decision {
        match result {
            Ok(value) => self.0.decide(Ok(value)),
            Err(Error::Inner(error)) => self.0.decide(Err(error)),
            Err(Error::Rejected(rejection)) => {
                RetryWhen::<T, Rejection>::decide(&DefaultRetry, Err(rejection))
            }
        }
    }
}
