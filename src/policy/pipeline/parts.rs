//! The parts of a pipeline, made together or handed in.

use super::classifier::Standard;
use super::config::{AttemptTimeout, PipelineConfig};
use crate::kernel::budget::BudgetConfig;
use crate::kernel::clock::Clock;
use crate::kernel::config::ConfigError;
use crate::kernel::name::Name;
use crate::policy::bulkhead::Bulkhead;
use crate::policy::circuit_breaker::CircuitBreaker;
use crate::policy::retry::{Retry, RetryConfig};
use crate::policy::timeout::{Timeout, TimeoutConfig};

/// The parts of a [`Pipeline`](super::Pipeline) as handles: for parts that are shared with other
/// pipelines, such as the breaker of a callee that two of them call, or a retry that draws on a
/// shared [`RetryBudget`](crate::RetryBudget).
///
/// ```
/// use backstop::policy::pipeline::PipelineParts;
/// use backstop::{CircuitBreaker, CircuitBreakerConfig, Pipeline, Timeout};
/// use std::time::Duration;
///
/// let breaker = CircuitBreaker::new("ledger", CircuitBreakerConfig::default())?;
/// let reads = Pipeline::of(
///     "ledger reads",
///     PipelineParts::new()
///         .attempt_timeout(Timeout::new("ledger reads", Duration::from_secs(1))?)
///         .circuit_breaker(breaker.clone()),
/// )?;
/// let writes = Pipeline::of("ledger writes", PipelineParts::new().circuit_breaker(breaker))?;
/// # let _ = (reads, writes);
/// # Ok::<(), backstop::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct PipelineParts {
    total_timeout: Option<Timeout>,
    attempt_timeout: Option<Timeout>,
    bulkhead: Option<Bulkhead>,
    retry: Option<Retry>,
    circuit_breaker: Option<CircuitBreaker>,
}

impl PipelineParts {
    /// None of them.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends a call, with all its attempts.
    pub fn total_timeout(mut self, timeout: impl Into<Timeout>) -> Self {
        self.total_timeout = Some(timeout.into());
        self
    }

    /// Ends an attempt.
    pub fn attempt_timeout(mut self, timeout: impl Into<Timeout>) -> Self {
        self.attempt_timeout = Some(timeout.into());
        self
    }

    /// Limits the calls at once.
    pub fn bulkhead(mut self, bulkhead: impl Into<Bulkhead>) -> Self {
        self.bulkhead = Some(bulkhead.into());
        self
    }

    /// Makes further attempts.
    pub fn retry(mut self, retry: impl Into<Retry>) -> Self {
        self.retry = Some(retry.into());
        self
    }

    /// Keeps attempts from a callee that fails.
    pub fn circuit_breaker(mut self, breaker: impl Into<CircuitBreaker>) -> Self {
        self.circuit_breaker = Some(breaker.into());
        self
    }
}

impl PipelineParts {
    /// The end of the total time is compared with those of attempts and waits.
    fn check_clocks(&self) -> Result<(), ConfigError> {
        let Some(total) = &self.total_timeout else {
            return Ok(());
        };
        let total = &total.machine().clock;
        let attempt = self.attempt_timeout.as_ref();
        let retry = self.retry.as_ref();
        let others = [
            ("attempt_timeout", attempt.map(|part| &part.machine().clock)),
            ("retry", retry.map(|part| &part.machine().clock)),
        ];
        for (part, clock) in others {
            if let Some(clock) = clock.filter(|clock| !clock.is_one_with(total)) {
                let allowed = format!("on the clock of the total_timeout ({total:?})");
                return Err(ConfigError::new(part, format_args!("{clock:?}"), allowed));
            }
        }
        Ok(())
    }
}

/// What the clones of a pipeline share.
pub(super) struct Parts<C> {
    pub(super) name: Name,
    pub(super) clock: Clock,
    pub(super) total_timeout: Timeout,
    pub(super) bulkhead: Option<Bulkhead>,
    /// One that makes a single attempt if it is off.
    pub(super) retry: Retry,
    pub(super) has_retry: bool,
    pub(super) circuit_breaker: Option<CircuitBreaker>,
    pub(super) attempt_timeout: Timeout,
    pub(super) classifier: C,
}

impl Parts<Standard> {
    /// Makes all parts of a configuration.
    pub(super) fn make(
        name: Name,
        config: PipelineConfig,
        clock: Clock,
    ) -> Result<Self, ConfigError> {
        let together = config.check_together();
        let attempt_timeout = config.attempt_limit();
        let PipelineConfig {
            total_timeout,
            attempt_timeout: _,
            bulkhead,
            retry,
            circuit_breaker,
        } = config;
        let within = |part| move |refused: ConfigError| refused.within(part);
        let timeout = |part, limit: Option<_>| {
            let name = Name::from(format!("{name}/{part}"));
            let config = limit.map_or_else(TimeoutConfig::none, TimeoutConfig::new);
            Timeout::with_clock(name, config, clock.clone())
        };
        // In a pipeline's configuration a limit is no table with a field of its own.
        let limit = |part| {
            move |refused: ConfigError| {
                ConfigError::new(part, refused.value(), "above 0s; `off` is no limit")
            }
        };
        let parts = Self {
            total_timeout: timeout("total", total_timeout).map_err(limit("total_timeout"))?,
            attempt_timeout: timeout("attempt", attempt_timeout)
                .map_err(limit("attempt_timeout"))?,
            bulkhead: bulkhead
                .map(|config| Bulkhead::with_clock(name.clone(), config, clock.clone()))
                .transpose()
                .map_err(within("bulkhead"))?,
            has_retry: retry.is_some(),
            retry: Retry::with_clock(name.clone(), or_single(retry), clock.clone())
                .map_err(within("retry"))?,
            circuit_breaker: circuit_breaker
                .map(|config| CircuitBreaker::with_clock(name.clone(), config, clock.clone()))
                .transpose()
                .map_err(within("circuit_breaker"))?,
            classifier: Standard,
            name,
            clock,
        };
        together.map(|()| parts)
    }

    /// Takes parts that were made elsewhere.
    pub(super) fn gather(
        name: Name,
        parts: PipelineParts,
        clock: Clock,
    ) -> Result<Self, ConfigError> {
        parts.check_clocks()?;
        let timeout = |part, given: Option<Timeout>| {
            given.map_or_else(
                || {
                    let name = Name::from(format!("{name}/{part}"));
                    Timeout::with_clock(name, TimeoutConfig::none(), clock.clone())
                },
                Ok,
            )
        };
        let parts = Self {
            total_timeout: timeout("total", parts.total_timeout)?,
            attempt_timeout: timeout("attempt", parts.attempt_timeout)?,
            bulkhead: parts.bulkhead,
            has_retry: parts.retry.is_some(),
            retry: match parts.retry {
                Some(retry) => retry,
                None => Retry::with_clock(name.clone(), or_single(None), clock.clone())?,
            },
            circuit_breaker: parts.circuit_breaker,
            classifier: Standard,
            name,
            clock,
        };
        parts.config().check_together()?;
        Ok(parts)
    }
}

/// What stands in for a retry that is off.
fn or_single(retry: Option<RetryConfig>) -> RetryConfig {
    retry.unwrap_or_else(|| {
        RetryConfig::default()
            .max_attempts(1)
            .budget(BudgetConfig::none())
    })
}

impl<C> Parts<C> {
    /// The configurations in force.
    pub(super) fn config(&self) -> PipelineConfig {
        PipelineConfig {
            total_timeout: self.total_timeout.config().limit(),
            attempt_timeout: AttemptTimeout::of(self.attempt_timeout.config().limit()),
            bulkhead: self.bulkhead.as_ref().map(Bulkhead::config),
            retry: self.has_retry.then(|| self.retry.config()),
            circuit_breaker: self.circuit_breaker.as_ref().map(CircuitBreaker::config),
        }
    }

    /// The same parts under another classifier.
    pub(super) fn judged_by<D>(&self, classifier: D) -> Parts<D> {
        Parts {
            name: self.name.clone(),
            clock: self.clock.clone(),
            total_timeout: self.total_timeout.clone(),
            bulkhead: self.bulkhead.clone(),
            retry: self.retry.clone(),
            has_retry: self.has_retry,
            circuit_breaker: self.circuit_breaker.clone(),
            attempt_timeout: self.attempt_timeout.clone(),
            classifier,
        }
    }

    /// Hands each part its configuration. Checked before; what a part refuses all the same is that
    /// it has had too many different ones.
    pub(super) fn take(&self, config: PipelineConfig) -> Result<(), ConfigError> {
        let limit = |limit: Option<_>| limit.map_or_else(TimeoutConfig::none, TimeoutConfig::new);
        let attempt = config.attempt_limit();
        if let (Some(breaker), Some(config)) = (&self.circuit_breaker, config.circuit_breaker) {
            breaker
                .reconfigure(config)
                .map_err(|refused| refused.within("circuit_breaker"))?;
        }
        self.retry
            .reconfigure(or_single(config.retry))
            .map_err(|refused| refused.within("retry"))?;
        if let (Some(bulkhead), Some(config)) = (&self.bulkhead, config.bulkhead) {
            bulkhead
                .reconfigure(config)
                .map_err(|refused| refused.within("bulkhead"))?;
        }
        self.total_timeout
            .reconfigure(limit(config.total_timeout))
            .map_err(|refused| refused.within("total_timeout"))?;
        self.attempt_timeout
            .reconfigure(limit(attempt))
            .map_err(|refused| refused.within("attempt_timeout"))
    }

    /// A part cannot come or go while calls are under way.
    pub(super) fn check_shape(&self, config: &PipelineConfig) -> Result<(), ConfigError> {
        let on_or_off = |on: bool| if on { "on" } else { "off" };
        let parts = [
            (
                "bulkhead",
                self.bulkhead.is_some(),
                config.bulkhead.is_some(),
            ),
            ("retry", self.has_retry, config.retry.is_some()),
            (
                "circuit_breaker",
                self.circuit_breaker.is_some(),
                config.circuit_breaker.is_some(),
            ),
        ];
        match parts.into_iter().find(|(_, is, wanted)| is != wanted) {
            None => Ok(()),
            Some((part, is, wanted)) => Err(ConfigError::new(
                part,
                on_or_off(wanted),
                format!("{}, as when the pipeline was made", on_or_off(is)),
            )),
        }
    }
}
