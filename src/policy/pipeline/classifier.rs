//! What a pipeline makes of a result: one named value judges it for the breaker and for the retry.

use crate::kernel::outcome::{AnyError, Classifier, DefaultClassifier, Outcome, Verdict};
use crate::kernel::rejection::{Error, PolicyError, Rejection};
use crate::policy::retry::{Decision, DefaultRetry, Hint, RetryWhen};

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

/// Makes any [`Classifier`], a closure for one, the classifier of a pipeline: what it calls a
/// failure is tried again, not before the time that it hints at.
///
/// A closure has no name, so a pipeline in a struct takes a `fn`:
///
/// ```
/// use backstop::kernel::outcome::Outcome;
/// use backstop::policy::pipeline::ByVerdict;
/// use backstop::{Pipeline, PipelineConfig};
///
/// type Judge = fn(Result<&u16, &std::io::Error>) -> Outcome;
///
/// fn by_status(result: Result<&u16, &std::io::Error>) -> Outcome {
///     match result {
///         Ok(200..=499) => Outcome::Success,
///         _ => Outcome::Failure,
///     }
/// }
///
/// struct Payments {
///     pipeline: Pipeline<ByVerdict<Judge>>,
/// }
///
/// let pipeline = Pipeline::new("payments", PipelineConfig::default())?
///     .with_classifier(ByVerdict(by_status as Judge));
/// let payments = Payments { pipeline };
/// # let _ = payments.pipeline;
/// # Ok::<(), backstop::ConfigError>(())
/// ```
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
        let verdict = self.0.classify(result);
        match (verdict.outcome(), verdict.hint()) {
            (Outcome::Failure, Some(after)) => Hint::After(after).into(),
            (Outcome::Failure, None) => Decision::Retry,
            _ => Decision::Accept,
        }
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
