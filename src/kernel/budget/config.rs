//! Which kind of budget, and how large.

use crate::kernel::config::ConfigError;
use std::time::Duration;

/// The configuration of a [`RetryBudget`](super::RetryBudget).
///
/// Default: a token bucket of 10 s that allows 10 further attempts a second at least, and 20 % of
/// the calls. A target that is well sees a few percent of retries; one that is down sees 1.2 times
/// its load and not 3 times; and the minimum keeps a client of a call per second able to retry.
///
/// With the feature `serde` it is one of `{ ttl = "10s", min_per_second = 10, share = "20%" }` (each
/// of them may be left out), `{ in_flight = "20%", at_least = 3 }`, `{ tokens = 100, ratio = 0.1 }`
/// and `"none"`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BudgetConfig(pub(super) Kind);

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    None,
    TokenBucket {
        ttl: Duration,
        min_per_second: u32,
        share: f64,
    },
    InFlight {
        share: f64,
        at_least: u32,
    },
    Tokens {
        max: u32,
        ratio: f64,
    },
}

impl Default for BudgetConfig {
    fn default() -> Self {
        Self::token_bucket(DEFAULT_TTL, DEFAULT_PER_SECOND, DEFAULT_SHARE)
    }
}

pub(super) const DEFAULT_TTL: Duration = Duration::from_secs(10);
pub(super) const DEFAULT_PER_SECOND: u32 = 10;
pub(super) const DEFAULT_SHARE: f64 = 0.2;
#[cfg(feature = "serde")]
pub(super) const DEFAULT_AT_LEAST: u32 = 3;

impl BudgetConfig {
    /// Within `ttl` (1 s to 60 s), `min_per_second` (1 to 1,000,000) times its seconds and `share`
    /// (above 0, at most 100; 0.2 is 20 %, 1.5 is 150 %) of the calls.
    pub const fn token_bucket(ttl: Duration, min_per_second: u32, share: f64) -> Self {
        Self(Kind::TokenBucket {
            ttl,
            min_per_second,
            share,
        })
    }

    /// As many further attempts in flight as `share` (above 0, at most 100; 0.2 is 20 %) of the
    /// calls in flight, but `at_least` (1 to 1,000,000) in any case. 20 % and 3 are Envoy's
    /// defaults.
    ///
    /// An attempt is in flight from its withdrawal on: while it waits for its turn as well.
    ///
    /// The minimum is a number at once, not a rate. Against a target that fails at once, `at_least`
    /// attempts with short waits are many a second: with 3, and waits of 5 ms, up to 600. Where the
    /// load is to be bounded, take a token bucket.
    pub const fn in_flight(share: f64, at_least: u32) -> Self {
        Self(Kind::InFlight { share, at_least })
    }

    /// gRPC's throttling: there are at most `max` tokens (3 to 1,000), a failed attempt takes one, a
    /// success gives back `ratio` (0.001 to 1,000, in thousandths). Allowed while there are more
    /// than half of them.
    pub const fn tokens(max: u32, ratio: f64) -> Self {
        Self(Kind::Tokens { max, ratio })
    }

    /// No limit.
    pub const fn none() -> Self {
        Self(Kind::None)
    }

    pub(super) fn rules(&self) -> Result<Rules, ConfigError> {
        Ok(match self.0 {
            Kind::None => Rules::None,
            Kind::TokenBucket {
                ttl,
                min_per_second,
                share,
            } => {
                if !(Duration::from_secs(1)..=Duration::from_secs(60)).contains(&ttl) {
                    let value = format_args!("{ttl:?}").to_string();
                    return Err(ConfigError::new("budget.ttl", value, "from 1s to 60s"));
                }
                Rules::TokenBucket {
                    ttl,
                    reserve: reserve(ttl, checked_count("budget.min_per_second", min_per_second)?),
                    share: checked_share("budget.share", share)?,
                }
            }
            Kind::InFlight { share, at_least } => Rules::InFlight {
                share: checked_share("budget.in_flight", share)?,
                at_least: checked_count("budget.at_least", at_least)?,
            },
            Kind::Tokens { max, ratio } => {
                // Of one or two, the first failure leaves no more than half: there would be no
                // second attempt, ever.
                if !(3..=1_000).contains(&max) {
                    return Err(ConfigError::new("budget.tokens", max, "from 3 to 1000"));
                }
                Rules::Tokens {
                    max: u64::from(max) * THOUSAND,
                    ratio: checked_ratio(ratio)?,
                }
            }
        })
    }
}

/// A configuration after it was checked.
pub(super) enum Rules {
    None,
    TokenBucket {
        ttl: Duration,
        reserve: u64,
        share: Share,
    },
    InFlight {
        share: Share,
        at_least: u64,
    },
    /// Both in thousandths.
    Tokens {
        max: u64,
        ratio: u64,
    },
}

/// Tokens are kept in thousandths.
pub(super) const THOUSAND: u64 = 1_000;

/// What `min_per_second` comes to within `ttl`.
fn reserve(ttl: Duration, min_per_second: u64) -> u64 {
    let nanos = ttl.as_nanos() * u128::from(min_per_second) / 1_000_000_000;
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

fn checked_count(field: &'static str, count: u32) -> Result<u64, ConfigError> {
    if (1..=1_000_000).contains(&count) {
        Ok(u64::from(count))
    } else {
        Err(ConfigError::new(field, count, "from 1 to 1000000"))
    }
}

fn checked_share(field: &'static str, share: f64) -> Result<Share, ConfigError> {
    Share::new(share).ok_or_else(|| {
        ConfigError::new(field, share, "above 0 and at most 100 (0.2 stands for 20%)")
    })
}

fn checked_ratio(ratio: f64) -> Result<u64, ConfigError> {
    // Written so that NaN fails.
    if !(0.001..=1_000.0).contains(&ratio) {
        return Err(ConfigError::new(
            "budget.ratio",
            ratio,
            "from 0.001 to 1000",
        ));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "1 to 1_000_000 after the check above"
    )]
    let thousandths = (ratio * 1_000.0).round() as u64;
    Ok(thousandths)
}

/// A share that may be above 100 %, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share(u64);

impl Share {
    pub(super) fn new(share: f64) -> Option<Self> {
        // Written so that NaN fails.
        if !(share > 0.0 && share <= 100.0) {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to 100_000_000 after the check above"
        )]
        let parts = (share * 1_000_000.0).round() as u64;
        (parts > 0).then_some(Self(parts))
    }

    /// This share of `whole`, rounded down.
    pub(super) fn of(self, whole: u64) -> u64 {
        let parts = u128::from(whole) * u128::from(self.0) / 1_000_000;
        u64::try_from(parts).unwrap_or(u64::MAX)
    }
}
