//! What a response means: to a circuit breaker, and to a retry.

use super::retry_after;
use super::status::StatusSet;
use crate::kernel::clock::Clock;
use crate::kernel::outcome::{AnyError, Classifier, DefaultClassifier, Verdict};
use crate::policy::retry::{Decision, DefaultRetry, Hint, RetryWhen};
use http::{HeaderMap, Response};
use std::time::Duration;

/// Judges a call by its response's status: which statuses are failures of the callee.
///
/// By default those of [`StatusSet::FAILURES`]. A failure's `Retry-After` is handed over as hint: it
/// sets the wait of a circuit that opens with it. Errors are judged by
/// [`DefaultClassifier`], which knows the rejections of inner policies; where the error is a
/// client's own, [`errors_by`](Self::errors_by) takes [`AnyError`] instead.
///
/// ```
/// use backstop::policy::http::HttpClassifier;
/// use backstop::{CircuitBreaker, CircuitBreakerConfig};
/// use http::Response;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), backstop::ConfigError> {
/// let breaker = CircuitBreaker::new("payments", CircuitBreakerConfig::default())?;
/// let by_status = HttpClassifier::any_error();
/// for status in [200, 404, 503] {
///     let request = || async move { Response::builder().status(status).body("") };
///     let _ = breaker.call_with(by_status, request).await;
/// }
/// assert_eq!((breaker.totals().success, breaker.totals().failure), (2, 1));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct HttpClassifier<D = DefaultClassifier> {
    failures: StatusSet,
    errors: D,
}

impl HttpClassifier {
    /// The default: for calls whose error can be an inner policy's rejection.
    pub const fn new() -> Self {
        Self {
            failures: StatusSet::FAILURES,
            errors: DefaultClassifier,
        }
    }
}

impl HttpClassifier<AnyError> {
    /// For calls whose error is a client's own: each is a failure.
    pub const fn any_error() -> Self {
        Self {
            failures: StatusSet::FAILURES,
            errors: AnyError,
        }
    }
}

impl<D> HttpClassifier<D> {
    /// These statuses are failures instead.
    pub const fn failures(mut self, failures: StatusSet) -> Self {
        self.failures = failures;
        self
    }

    /// Judges errors by another classifier.
    pub fn errors_by<C>(self, errors: C) -> HttpClassifier<C> {
        HttpClassifier {
            failures: self.failures,
            errors,
        }
    }
}

impl Default for HttpClassifier {
    fn default() -> Self {
        Self::new()
    }
}

impl<B, E, D> Classifier<Response<B>, E> for HttpClassifier<D>
where
    D: Classifier<Response<B>, E>,
{
    #[inline]
    fn classify(&self, result: Result<&Response<B>, &E>) -> Verdict {
        match result {
            Ok(response) if !self.failures.contains(response.status()) => Verdict::success(),
            Ok(response) => failure(response.headers()),
            Err(_) => self.errors.classify(result),
        }
    }
}

#[cold]
fn failure(headers: &HeaderMap) -> Verdict {
    match hint(headers) {
        Some(hint) => Verdict::failure().with_hint(hint),
        None => Verdict::failure(),
    }
}

#[cold]
fn hint(headers: &HeaderMap) -> Option<Duration> {
    retry_after::read(headers, || Clock::default().wall())
}

/// Retries a call by its response's status: which statuses are worth another attempt.
///
/// By default those of [`StatusSet::TRANSIENT`]. A `Retry-After` is the least that the retry waits;
/// beyond its [`max_hint`](crate::policy::retry::RetryConfig::max_hint) the response is final. Errors
/// are judged by [`DefaultRetry`], or by [`errors_by`](Self::errors_by).
///
/// Whether the *request* may be sent twice is not its business: see [`RepeatHttp`](super::RepeatHttp).
///
/// ```
/// use backstop::policy::http::HttpRetry;
/// use backstop::policy::retry::{Decision, Hint, RetryWhen};
/// use http::Response;
/// use std::time::Duration;
///
/// let busy = Response::builder().status(503).header("retry-after", "2").body(()).unwrap();
/// let decision = HttpRetry::any_error().decide(Ok::<_, &()>(&busy));
/// assert_eq!(decision, Decision::Hinted(Hint::After(Duration::from_secs(2))));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct HttpRetry<D = DefaultRetry> {
    transient: StatusSet,
    errors: D,
}

impl HttpRetry {
    /// The default: for calls whose error can be an inner policy's rejection.
    pub const fn new() -> Self {
        Self {
            transient: StatusSet::TRANSIENT,
            errors: DefaultRetry,
        }
    }
}

impl HttpRetry<AnyError> {
    /// For calls whose error is a client's own: each is tried again.
    pub const fn any_error() -> Self {
        Self {
            transient: StatusSet::TRANSIENT,
            errors: AnyError,
        }
    }
}

impl<D> HttpRetry<D> {
    /// These statuses are worth another attempt instead.
    pub const fn transient(mut self, transient: StatusSet) -> Self {
        self.transient = transient;
        self
    }

    /// Judges errors by another predicate.
    pub fn errors_by<P>(self, errors: P) -> HttpRetry<P> {
        HttpRetry {
            transient: self.transient,
            errors,
        }
    }
}

impl Default for HttpRetry {
    fn default() -> Self {
        Self::new()
    }
}

impl<B, E, D> RetryWhen<Response<B>, E> for HttpRetry<D>
where
    D: RetryWhen<Response<B>, E>,
{
    #[inline]
    fn decide(&self, result: Result<&Response<B>, &E>) -> Decision {
        match result {
            Ok(response) if !self.transient.contains(response.status()) => Decision::Accept,
            Ok(response) => {
                hint(response.headers()).map_or(Decision::Retry, |after| Hint::After(after).into())
            }
            Err(_) => self.errors.decide(result),
        }
    }
}
