//! How many restarts there may be, and whether that is ever too many.

use super::RestartBackoff;
use crate::kernel::config::ConfigError;
#[cfg(feature = "serde")]
use crate::kernel::config::duration_text;
use std::fmt;
use std::time::Duration;

/// How many restarts may be granted within a sliding window: `restarts` in any `(t - within, t]`.
/// One more is one too many, and whoever holds the budget gives up.
///
/// Default: 8 within 60 s. A fault that passes (a peer that restarts, a lock that is still held)
/// is over within a few tries; with the default back-off eight of them take 25 to 28 s. Erlang's
/// default of 1 within 5 s suits trees of cheap processes, where giving up is the usual way up.
///
/// With the feature `serde` it is `{ restarts = 8, within = "60s" }`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct RestartBudget {
    restarts: u32,
    #[cfg_attr(feature = "serde", serde(with = "duration_text"))]
    within: Duration,
}

impl Default for RestartBudget {
    fn default() -> Self {
        Self::new(8, Duration::from_secs(60))
    }
}

const MOST_RESTARTS: u32 = 100_000;
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

impl RestartBudget {
    /// `restarts` (0 to 100,000) `within` a span of whole milliseconds (1 ms to 24 h). With 0, the
    /// first crash is one too many.
    pub const fn new(restarts: u32, within: Duration) -> Self {
        Self { restarts, within }
    }

    /// How many.
    pub const fn restarts(&self) -> u32 {
        self.restarts
    }

    /// Within which span.
    pub const fn within(&self) -> Duration {
        self.within
    }

    /// Checks the ranges.
    ///
    /// # Errors
    ///
    /// Names the field that is out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.restarts > MOST_RESTARTS {
            let allowed = format!("from 0 to {MOST_RESTARTS}");
            return Err(ConfigError::new("budget.restarts", self.restarts, allowed));
        }
        let is_whole = self.within.subsec_nanos() % 1_000_000 == 0;
        if !is_whole || !(Duration::from_millis(1)..=LONGEST).contains(&self.within) {
            return Err(ConfigError::new(
                "budget.within",
                format_args!("{:?}", self.within),
                "a whole number of milliseconds from 1ms to 24h",
            ));
        }
        Ok(())
    }

    /// Checks the ranges of both, and that something that crashes as soon as it runs exhausts this
    /// budget under that back-off.
    ///
    /// # Errors
    ///
    /// Names the field that is out of its range, or `budget` if it may never be exhausted.
    pub fn check_with(&self, backoff: &RestartBackoff) -> Result<(), ConfigError> {
        self.validate()?;
        backoff.validate()?;
        if never_exhausts(self, backoff) {
            return Err(ConfigError::new(
                "budget",
                self,
                format!(
                    "one that a crash at once exhausts under its back-off (its first {} waits take \
                     up to {:?}), or `never_give_up` must be said",
                    self.restarts,
                    longest_run(self, backoff),
                ),
            ));
        }
        Ok(())
    }
}

impl fmt::Display for RestartBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} restarts within {:?}", self.restarts, self.within)
    }
}

/// Whether something that crashes as soon as it runs may be restarted for ever.
///
/// Its crashes are a wait apart. The (N+1)-th crash is refused if the first was less than P ago, so
/// the budget is exhausted if N waits in a row take less than P. Waits never get shorter, so the
/// first N are the quickest there will ever be: if those take P or more, none do. (A run at once
/// resets no back-off; what it takes to start and to crash only slows it down further.) Jitter
/// lengthens a wait by up to `r`. Where P lies between the shortest and the longest first N waits,
/// the dice decide, and a crasher that was let through is let through for ever, because its later
/// waits are longer still. Such a budget counts as one that may never be exhausted.
///
/// The waits are compared in whole milliseconds, as [`Window`](super::Window) does: N crashes may
/// seem up to 1 ms further apart than they are.
pub(super) fn never_exhausts(budget: &RestartBudget, backoff: &RestartBackoff) -> bool {
    let rounding = Duration::from_millis(1);
    budget.restarts > 0 && longest_run(budget, backoff) > budget.within.saturating_sub(rounding)
}

/// The longest that the first N waits can take.
fn longest_run(budget: &RestartBudget, backoff: &RestartBackoff) -> Duration {
    let mut sum = Duration::ZERO;
    for n in 1..=budget.restarts {
        sum = sum.saturating_add(backoff.longest(n));
        // Enough to know, however many there are: no budget is longer.
        if sum > LONGEST {
            break;
        }
    }
    sum
}
