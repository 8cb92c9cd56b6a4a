//! The handle that users hold.

use super::call::Call;
use super::classifier::{Judged, Standard};
use super::config::PipelineConfig;
use super::parts::{Parts, PipelineParts};
use crate::kernel::clock::Clock;
use crate::kernel::config::ConfigError;
use crate::kernel::managed::Managed;
use crate::kernel::name::Name;
use crate::kernel::outcome::{Classifier, Outcome};
use crate::kernel::rejection::Error;
use crate::kernel::shared::Shared;
use crate::policy::bulkhead::{Ask, Bulkhead};
use crate::policy::circuit_breaker::CircuitBreaker;
use crate::policy::retry::{Attempt, Retry, RetryWhen};
use crate::policy::timeout::Timeout;
use std::fmt;
use std::future::Future;

/// The parts of the call path in the order that serves most calls, as one handle of one type.
///
/// See the [room](super) for the order and what each part sees of the next. Clones share the parts;
/// a clone made from a `&'static` one copies a pointer instead of counting references. `C` judges
/// results and has a name, so that a pipeline can stand in a struct.
pub struct Pipeline<C: 'static = Standard>(Shared<Parts<C>>);

impl Pipeline {
    /// A pipeline of these parts on the default clock. Its timeouts are called `name/total` and
    /// `name/attempt`, its other parts `name`. Every `Err` of a call is a failure to it; where the
    /// error can hold rejections of policies further in (`BoxError` can), give it
    /// [`Stacked`](super::Stacked) by [`with_classifier`](Self::with_classifier).
    ///
    /// # Errors
    ///
    /// A part that cannot be, by its [part](ConfigError::part) and field; an attempt timeout above
    /// the total one; a time window of the breaker below twice the attempt timeout.
    pub fn new(name: impl Into<Name>, config: PipelineConfig) -> Result<Self, ConfigError> {
        Self::with_clock(name, config, Clock::default())
    }

    /// The same on a clock of your own.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_clock(
        name: impl Into<Name>,
        config: PipelineConfig,
        clock: impl Into<Clock>,
    ) -> Result<Self, ConfigError> {
        Parts::make(name.into(), config, clock.into()).map(Self::from_parts)
    }

    /// A pipeline of parts that were made elsewhere, and may be others' as well.
    ///
    /// # Errors
    ///
    /// Parts that do not fit together, as in [`new`](Self::new); an attempt timeout or a retry on
    /// another clock than the total timeout.
    pub fn of(name: impl Into<Name>, parts: PipelineParts) -> Result<Self, ConfigError> {
        Parts::gather(name.into(), parts, Clock::default()).map(Self::from_parts)
    }
}

impl<C> Pipeline<C> {
    fn from_parts(parts: Parts<C>) -> Self {
        Self(Shared::new(parts))
    }

    /// The same parts, shared with this pipeline, with results judged by `classifier`: for the
    /// breaker as a [`Classifier`], for the retry as a [`RetryWhen`]. Rejections by the pipeline's
    /// own parts do not come before it; they are judged by their kind.
    ///
    /// A closure or `fn` over the result that returns an outcome is both; a pipeline in a struct takes
    /// the `fn`, because a closure's type has no name. [`Stacked`](super::Stacked) is for errors that
    /// can hold rejections, [`Separate`](super::Separate) for two judges.
    ///
    /// ```
    /// use backstop::{Outcome, Pipeline, PipelineConfig};
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
    ///     pipeline: Pipeline<Judge>,
    /// }
    ///
    /// let pipeline = Pipeline::new("payments", PipelineConfig::default())?;
    /// let payments = Payments { pipeline: pipeline.with_classifier(by_status) };
    /// # let _ = payments.pipeline;
    /// # Ok::<(), backstop::ConfigError>(())
    /// ```
    pub fn with_classifier<D>(self, classifier: D) -> Pipeline<D> {
        Pipeline::from_parts(self.0.judged_by(classifier))
    }

    /// Makes a call through all parts.
    ///
    /// `operation` makes an attempt each time that it runs: first when the future is polled and the
    /// bulkhead has a slot, again when the retry wants it, never while the breaker refuses. It is
    /// told the number of the attempt and the error before it. While nothing goes wrong, the future
    /// allocates nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Inner`] with the error of the last attempt; [`Error::Rejected`] by the part that it
    /// names. Its `executed` is `No` only if no attempt of the call has run.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the attempt under way, or leaves the queue of the bulkhead, and
    /// gives the slot back. A panic in the call does the same, and goes on unwinding.
    #[inline]
    pub fn call<T, E, O, F>(&self, operation: O) -> impl Future<Output = Result<T, Error<E>>>
    where
        O: FnMut(Attempt<'_, Error<E>>) -> F,
        F: Future<Output = Result<T, E>>,
        C: Classifier<T, E> + RetryWhen<T, E>,
    {
        Call::new(&self.0, Ask::default(), operation)
    }

    /// Makes a call that says how it asks for its slot of the bulkhead: by a
    /// [`Priority`](crate::kernel::priority::Priority), or by an [`Ask`] with both priority and
    /// patience. Otherwise as [`call`](Self::call).
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    #[inline]
    pub fn call_with<T, E, O, F>(
        &self,
        ask: impl Into<Ask>,
        operation: O,
    ) -> impl Future<Output = Result<T, Error<E>>>
    where
        O: FnMut(Attempt<'_, Error<E>>) -> F,
        F: Future<Output = Result<T, E>>,
        C: Classifier<T, E> + RetryWhen<T, E>,
    {
        Call::new(&self.0, ask.into(), operation)
    }

    /// Makes a call whose failure and whose rejection are answered by `fallback`: with a default, the
    /// last good value, an answer from elsewhere. It runs at most once, after everything else, under
    /// no limit, and never for a call that was dropped; what it returns is the call's result.
    ///
    /// An error that the classifier does not count as a failure (a "404" that is an `Err`, say) is
    /// an answer: it is returned as it is. So is an `Ok`, whatever the classifier makes of it: where
    /// a "503" is one, look at what the call returned.
    ///
    /// ```
    /// use backstop::{Error, Pipeline, PipelineConfig};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), backstop::ConfigError> {
    /// let rates = Pipeline::new("rates", PipelineConfig::default().without_retry())?;
    /// let stored = 1.07;
    /// let rate = rates
    ///     .call_or(|_| async { Err::<f64, _>("down") }, |_error: Error<&str>| Ok(stored))
    ///     .await;
    /// assert_eq!(rate.unwrap(), stored);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// What `fallback` returns, or the error that is an answer.
    ///
    /// # Cancel safety
    ///
    /// As [`call`](Self::call).
    pub async fn call_or<T, E, O, F, G>(&self, operation: O, fallback: G) -> Result<T, Error<E>>
    where
        O: FnMut(Attempt<'_, Error<E>>) -> F,
        F: Future<Output = Result<T, E>>,
        C: Classifier<T, E> + RetryWhen<T, E>,
        G: FnOnce(Error<E>) -> Result<T, Error<E>>,
    {
        match self.call(operation).await {
            Ok(value) => Ok(value),
            Err(error) if self.is_answer(&error) => Err(error),
            Err(error) => fallback(error),
        }
    }

    fn is_answer<T, E>(&self, error: &Error<E>) -> bool
    where
        C: Classifier<T, E>,
    {
        let judged = Judged(&self.0.classifier);
        let verdict = Classifier::<T, Error<E>>::classify(&judged, Err(error));
        matches!(error, Error::Inner(_)) && verdict.outcome() != Outcome::Failure
    }

    /// The name.
    pub fn name(&self) -> &Name {
        &self.0.name
    }

    /// The timeout of a whole call; one without a limit if it is off.
    pub fn total_timeout(&self) -> &Timeout {
        &self.0.total_timeout
    }

    /// The bulkhead, unless it is off.
    pub fn bulkhead(&self) -> Option<&Bulkhead> {
        self.0.bulkhead.as_ref()
    }

    /// The retry, unless it is off.
    pub fn retry(&self) -> Option<&Retry> {
        self.0.has_retry.then_some(&self.0.retry)
    }

    /// The circuit breaker, unless it is off.
    pub fn circuit_breaker(&self) -> Option<&CircuitBreaker> {
        self.0.circuit_breaker.as_ref()
    }

    /// The timeout of an attempt; one without a limit if it is off.
    pub fn attempt_timeout(&self) -> &Timeout {
        &self.0.attempt_timeout
    }

    /// All parts from the outside in, as an operator's tools see them.
    pub fn parts(&self) -> impl Iterator<Item = &dyn Managed> {
        let parts = &*self.0;
        let total: &dyn Managed = &parts.total_timeout;
        let attempt: &dyn Managed = &parts.attempt_timeout;
        let bulkhead = parts.bulkhead.iter().map(|part| part as &dyn Managed);
        let retry = self.retry().into_iter().map(|part| part as &dyn Managed);
        let breaker = parts
            .circuit_breaker
            .iter()
            .map(|part| part as &dyn Managed);
        let within = bulkhead.chain(retry).chain(breaker);
        std::iter::once(total).chain(within).chain([attempt])
    }

    /// The configurations of the parts that are in force.
    pub fn config(&self) -> PipelineConfig {
        self.0.config()
    }

    /// Takes a new configuration, each part as its own `reconfigure` does. A part that is shared with
    /// another pipeline changes there too. Timeouts come and go as they like. Two that run at the same
    /// time may leave parts of both.
    ///
    /// [`config`](Self::config) shows limits in force, not defaults: a total timeout that is made
    /// shorter on it needs an attempt timeout that fits.
    ///
    /// # Errors
    ///
    /// A configuration that cannot be, or that turns the bulkhead, the retry or the breaker on or
    /// off: all parts stay as they are. So they do if one part has had too many shapes of windows
    /// or budgets, except that a time window which was changed and changed back begins empty.
    pub fn reconfigure(&self, config: PipelineConfig) -> Result<(), ConfigError> {
        // Made once to be checked as a whole, before the first part changes.
        drop(Parts::make(
            self.0.name.clone(),
            config.clone(),
            self.0.clock.clone(),
        )?);
        self.0.check_shape(&config)?;
        let before = self.0.config();
        self.0.take(config).inspect_err(|_| {
            // Each part has had this configuration already.
            let _ = self.0.take(before);
        })
    }
}

impl<C> Clone for Pipeline<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// The handle that copies a pointer instead of counting references.
impl<C> From<&'static Pipeline<C>> for Pipeline<C> {
    fn from(pipeline: &'static Pipeline<C>) -> Self {
        Self(Shared::of_static(&pipeline.0))
    }
}

impl<C> fmt::Debug for Pipeline<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline")
            .field("name", &self.0.name)
            .field("total_timeout", &self.0.total_timeout)
            .field("bulkhead", &self.0.bulkhead)
            .field("retry", &self.0.retry)
            .field("circuit_breaker", &self.0.circuit_breaker)
            .field("attempt_timeout", &self.0.attempt_timeout)
            .finish_non_exhaustive()
    }
}
