//! What a retry can be told.

use crate::kernel::backoff::{Backoff, Jitter};
use crate::kernel::budget::BudgetConfig;
use crate::kernel::config::ConfigError;
#[cfg(feature = "serde")]
use crate::kernel::config::duration_text;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The configuration of a [`Retry`](super::Retry), with a default for everything, checked when a
/// retry takes it.
///
/// | setting | default | why |
/// |---|---|---|
/// | [`max_attempts`](Self::max_attempts) | 3 | what two more attempts do not mend is no blip |
/// | [`backoff`](Self::backoff) | 100 ms, doubled up to 10 s, full jitter | of all jitters it puts the least load on the callee, and calls that failed together do not come back together |
/// | [`max_hint`](Self::max_hint) | 60 s | a caller that waits for longer has left |
/// | [`deadline`](Self::deadline) | none | only the caller knows how long it waits |
/// | [`budget`](Self::budget) | 20 % of the calls, at least 10/s, over 10 s | an outage does not triple its own load |
///
/// ```
/// use backstop::RetryConfig;
/// use backstop::kernel::backoff::{Backoff, Jitter};
/// use std::time::Duration;
///
/// let config = RetryConfig::default()
///     .max_attempts(5)
///     .backoff(Backoff::fibonacci(Duration::from_millis(50)).jitter(Jitter::Equal))
///     .deadline(Duration::from_secs(2));
/// # let _ = config;
/// ```
///
/// With the feature `serde` it is read from text, in which unknown fields are refused:
///
/// ```
/// # #[cfg(feature = "serde")] {
/// let config: backstop::RetryConfig = toml::from_str(r#"
///     max_attempts = 4
///     backoff = { exponential = "50ms", factor = 2.0, cap = "5s", jitter = "full" }
///     deadline = "2s"
///     budget = { ttl = "10s", min_per_second = 10, share = "20%" }
/// "#).unwrap();
/// # backstop::Retry::new("x", config).unwrap();
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct RetryConfig {
    max_attempts: u32,
    backoff: Backoff,
    #[cfg_attr(feature = "serde", serde(with = "duration_text"))]
    max_hint: Duration,
    #[cfg_attr(feature = "serde", serde(with = "duration_text::option"))]
    deadline: Option<Duration>,
    budget: BudgetConfig,
    seed: Option<u64>,
    #[cfg_attr(feature = "serde", serde(skip))]
    waits: Option<Waits>,
    #[cfg_attr(feature = "serde", serde(skip))]
    rolls: Option<Arc<[f64]>>,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            max_attempts: 3,
            backoff: Backoff::exponential(Duration::from_millis(100))
                .cap(Duration::from_secs(10))
                .jitter(Jitter::Full),
            max_hint: Duration::from_secs(60),
            deadline: None,
            budget: BudgetConfig::default(),
            seed: None,
            waits: None,
            rolls: None,
        }
    }
}

impl RetryConfig {
    /// How often a call is attempted at most, the first time included (1 to 10,000). Default: 3.
    pub const fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// How long to wait before the second attempt, the third, and so on. Default: 100 ms, doubled
    /// up to 10 s, with full jitter.
    ///
    /// In text: `{ exponential = "100ms", factor = 2.0, cap = "10s", jitter = "full" }`, or
    /// `constant`, `linear` or `fibonacci` instead of `exponential`; the jitter is `"none"`,
    /// `"full"`, `"equal"`, `"decorrelated"`, or a share as in `"10%"`.
    pub const fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Waits of your own, in place of [`backoff`](Self::backoff): `waits` runs when a call first
    /// fails, and its iterator is asked once per retry. When it ends, so do the retries. The waits
    /// are taken as they are, without jitter and cap; not in text.
    ///
    /// A wait of zero is none: that attempt follows within the same poll.
    ///
    /// ```
    /// use backstop::RetryConfig;
    /// use std::time::Duration;
    ///
    /// let config = RetryConfig::default()
    ///     .max_attempts(10)
    ///     .waits(|| [10, 10, 500].into_iter().map(Duration::from_millis));
    /// # backstop::Retry::new("x", config).unwrap();
    /// ```
    pub fn waits<I>(mut self, waits: impl Fn() -> I + Send + Sync + 'static) -> Self
    where
        I: Iterator<Item = Duration> + Send + Sync + 'static,
    {
        self.waits = Some(Waits(Arc::new(move || Box::new(waits()))));
        self
    }

    /// A hint that asks for a longer wait than this (above zero) ends the call. Default: 60 s.
    pub const fn max_hint(mut self, longest: Duration) -> Self {
        self.max_hint = longest;
        self
    }

    /// No retry is begun when this much time (above zero) would have passed since the call began,
    /// its wait included: the call ends at once with its last error. Default: none.
    ///
    /// It does not cut an attempt short.
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// How much of the load may be retries. Default: 20 % of the calls and at least 10/s, over
    /// 10 s.
    ///
    /// It is this retry's own. A budget that several share is handed to
    /// [`Retry::with_budget`](super::Retry::with_budget), and this is not looked at then.
    pub const fn budget(mut self, budget: BudgetConfig) -> Self {
        self.budget = budget;
        self
    }

    /// Seeds the jitter. Default: differs from retry to retry.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The jitter's rolls in turn (each from 0 to 1), from the start again after the last: for
    /// tests. Not in text.
    pub fn rolls(mut self, rolls: impl IntoIterator<Item = f64>) -> Self {
        self.rolls = Some(rolls.into_iter().collect());
        self
    }

    pub(super) const fn own_budget(&self) -> BudgetConfig {
        self.budget
    }

    /// Checks everything but the budget, and puts it into the form that the machine works with.
    pub(super) fn rules(&self) -> Result<Rules, ConfigError> {
        if !(1..=MOST_ATTEMPTS).contains(&self.max_attempts) {
            let allowed = format!("from 1 to {MOST_ATTEMPTS}");
            return Err(ConfigError::new("max_attempts", self.max_attempts, allowed));
        }
        self.backoff.validate().map_err(|error| {
            let field = match error.field() {
                "base" => "backoff.base",
                "factor" => "backoff.factor",
                _ => "backoff.cap",
            };
            ConfigError::new(field, error.value(), error.allowed())
        })?;
        nonzero("max_hint", Some(self.max_hint))?;
        nonzero("deadline", self.deadline)?;
        Ok(Rules {
            max_attempts: self.max_attempts,
            backoff: self.backoff,
            waits: self.waits.clone(),
            max_hint: self.max_hint,
            deadline: self.deadline,
            seed: self.seed.unwrap_or_else(|| fastrand::u64(..)),
            rolls: self.rolls.clone(),
        })
    }
}

/// A call is attempted in a loop; nobody means to do so without end.
const MOST_ATTEMPTS: u32 = 10_000;

fn nonzero(field: &'static str, duration: Option<Duration>) -> Result<(), ConfigError> {
    match duration {
        Some(Duration::ZERO) => Err(ConfigError::new(field, "0s", "above 0s")),
        _ => Ok(()),
    }
}

pub(super) type WaitsOfACall = Box<dyn Iterator<Item = Duration> + Send + Sync>;

/// Makes the waits of a call.
#[derive(Clone)]
pub(super) struct Waits(Arc<dyn Fn() -> WaitsOfACall + Send + Sync>);

impl Waits {
    pub(super) fn begin(&self) -> WaitsOfACall {
        (self.0)()
    }
}

/// The same factory, not one that does the same: code cannot be compared.
impl PartialEq for Waits {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("..")
    }
}

/// A configuration after it was checked.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) max_attempts: u32,
    pub(super) backoff: Backoff,
    pub(super) waits: Option<Waits>,
    pub(super) max_hint: Duration,
    pub(super) deadline: Option<Duration>,
    pub(super) seed: u64,
    pub(super) rolls: Option<Arc<[f64]>>,
}
