//! How much of the load on a target may be retries and hedges.
//!
//! Retries that help with a few failures are what keeps a target down that has many: with three
//! attempts a call, an outage triples the load. A budget is one shared object for all the retries
//! and hedges of a target. Calls pay in, further attempts draw on it, and when it is empty there
//! are none.
//!
//! # Three kinds
//!
//! | kind | another attempt is allowed while | forgets |
//! |---|---|---|
//! | [`token_bucket`](BudgetConfig::token_bucket) (default) | attempts taken < minimum + share of the calls | after `ttl` |
//! | [`in_flight`](BudgetConfig::in_flight) | further attempts in flight < the larger of the minimum and the share of the calls in flight | at once |
//! | [`tokens`](BudgetConfig::tokens) | tokens > maximum / 2; a failure takes 1, a success gives back `ratio` | never |
//!
//! The token bucket is Finagle's `RetryBudget`, the second Envoy's retry budget, the third the
//! retry throttling of gRPC (gRFC A6).
//!
//! # The token bucket, exactly
//!
//! Time is cut into slots of `ttl / 10`, aligned to the first use. A deposit or a withdrawal of
//! slot `s` counts in slot `n` if `n - s < 10`, so it is forgotten after nine to ten tenths of the
//! `ttl`. With whole numbers, rounded down:
//!
//! ```text
//! balance = min_per_second * ttl  +  share * deposits  -  withdrawals
//! ```
//!
//! The share is kept in millionths and multiplied with the sum of all deposits: 20 % of 1,000 calls
//! are 200 attempts, not 199. A clock that steps back moves nothing back: its deposits go into the
//! newest slot.
//!
//! **A call pays in when its first attempt is over**, not when it begins. Of a call that hangs for
//! longer than the `ttl` before it fails, nothing would be left when it asks for its retry.
//!
//! # What it costs
//!
//! A deposit is a reading of the coarse clock and one write to a line that no other core writes; so
//! is a call in flight, without the clock. While all tokens are there, a success is one load. A
//! withdrawal sums the deposits of all cores under a short lock.
//!
//! ```
//! use backstop::kernel::budget::{BudgetConfig, RetryBudget};
//! use std::time::Duration;
//!
//! let budget = RetryBudget::new(BudgetConfig::token_bucket(Duration::from_secs(10), 1, 0.2))?;
//! assert_eq!(budget.balance(), Some(10));
//! for _ in 0..5 {
//!     budget.begin().success();
//! }
//! assert_eq!(budget.balance(), Some(11));
//! let mut withdrawal = budget.try_withdraw().expect("it is not empty");
//! withdrawal.spend();
//! assert_eq!(budget.balance(), Some(10));
//! # Ok::<(), backstop::ConfigError>(())
//! ```

mod bucket;
mod config;
#[cfg(feature = "serde")]
mod config_text;
mod handle;
mod in_flight;
#[cfg(all(test, backstop_loom))]
mod loom_tests;
mod tokens;

pub use config::BudgetConfig;
pub use handle::{BudgetedCall, RetryBudget, Withdrawal};
