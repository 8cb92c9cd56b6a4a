//! How often, and how soon, something may be restarted.
//!
//! Restarting helps against faults that pass. Against one that does not, it must end: that is the
//! [`RestartBudget`]. And it must not burn the machine meanwhile: that is the [`RestartBackoff`].
//! The two are independent, as in Erlang's supervisors and in systemd's units: a run that was long
//! enough resets the wait, and only time refills the budget.
//!
//! ```
//! use backstop::supervise::budget::{RestartBackoff, RestartBudget};
//! use std::time::Duration;
//!
//! let budget = RestartBudget::new(3, Duration::from_secs(10));
//! let backoff = RestartBackoff::exponential(
//!     Duration::from_millis(50),
//!     2.0,
//!     Duration::from_secs(5),
//! );
//! // A crash at once waits 50, 100 and 200 ms: three restarts are over in time to exhaust it.
//! assert!(budget.check_with(&backoff).is_ok());
//! // One that waits a minute each time would go on for ever, and nobody would hear of it.
//! let minute = Duration::from_secs(60);
//! let refused = budget.check_with(&RestartBackoff::exponential(minute, 1.0, minute));
//! assert_eq!(refused.unwrap_err().field(), "budget");
//! ```
//!
//! # What surprises
//!
//! * **A failed start costs like a crash.** Something that cannot start is restarted as often as
//!   something that cannot run.
//! * **The window slides.** Restarts leave it one by one, each a period after it was granted: no
//!   quiet spell shorter than the period gives all of them back at once.
//! * **A budget can be out of reach.** Where the back-off has grown, crashes come more slowly than
//!   they leave the window: "8 within 60 s" with waits of 30 s restarts for ever and tells nobody.
//!   Such a pair is refused unless that is asked for.
//!
//! # Rules
//!
#![doc = include_str!("RULES.md")]
#![allow(clippy::doc_markdown, reason = "a rule's id is no identifier")]

mod backoff;
#[cfg(feature = "serde")]
mod backoff_text;
mod config;
mod score;
#[cfg(test)]
mod tests;
mod window;

pub use backoff::RestartBackoff;
pub(crate) use backoff::Streak;
pub use config::RestartBudget;
pub use score::Pausing;
pub(crate) use score::Score;
pub(crate) use window::Window;
