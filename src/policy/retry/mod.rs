//! Retry: makes a call again that failed, as long as that is likely to help and does no harm.
//!
//! Many failures are over in a moment: a connection was reset, a replica was restarted, a leader
//! was elected. A second attempt, a little later, succeeds. The same retries keep a callee down that
//! is overloaded, so there are limits to them: the number of attempts, waits that grow and are
//! spread, a deadline, and a budget that all calls share.
//!
//! ```text
//!  attempt --> final? ------------------------------------> its result
//!     ^          | no
//!     |          v
//!     |   asked to stop? attempts used up? no copy of the request?
//!     |   deadline reached by the wait? budget empty?  ---> its result, unchanged
//!     |          | no
//!     +-- wait <-+
//! ```
//!
//! # Example
//!
//! ```
//! use backstop::{Error, Retry, RetryConfig};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), backstop::ConfigError> {
//! let retry = Retry::new("payments", RetryConfig::default())?;
//! match retry.call(|_attempt| async { Ok::<_, std::io::Error>("paid") }).await {
//!     Ok(reply) => assert_eq!(reply, "paid"),
//!     Err(Error::Inner(error)) => println!("the last attempt failed: {error}"),
//!     Err(Error::Rejected(rejection)) => println!("retries are switched off: {rejection}"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! As a tower layer: [`RetryLayer`]. In blocking code: [`call_blocking`](Retry::call_blocking). By a
//! predicate: [`call_with`](Retry::call_with). Inside other policies:
//! [`call_in`](Retry::call_in). One budget for several retries:
//! [`with_budget`](Retry::with_budget).
//!
//! # When not to use it
//!
//! * Around what must not happen twice: a call that timed out may have had its effect. Give such
//!   operations a key by which the callee knows them again, or a [`Repeat`] that copies only
//!   requests that may be repeated.
//! * At two levels of one call: three attempts around three attempts are nine.
//! * Where the answer can only be the same: an invalid request, a missing permission. Say so by a
//!   predicate; by default every `Err` is tried again.
//!
//! # Its place in a stack
//!
//! Inside the total timeout and the bulkhead, outside the circuit breaker and the timeout of one
//! attempt: each attempt is counted and limited by itself, and an open circuit ends the retries.
//!
//! # What surprises
//!
//! * **An empty budget is not an error of its own.** The call ends with the error of its last attempt,
//!   as if there were no retry. [`RetryTotals`] and [`RetryEventKind::BudgetEmpty`] tell.
//! * **A call pays into the budget when its first attempt is over**, and the first ten seconds of a
//!   client have the budget's minimum only (10/s).
//! * **The deadline ends waits, not attempts.** For those there is the timeout.
//! * **Each call through tower costs a clone** of the inner service and of the request, whether it is
//!   tried again or not: what is sent is gone. A request without a copy costs neither.
//! * **A value that is not accepted is dropped before the wait**: a response with its connection. It is
//!   returned only if there is no further attempt.
//! * **An inner policy's rejection speaks of the last attempt.** One whose `executed` is `No` does not
//!   say that the attempts before it had no effect. (That of a [`Pipeline`](crate::Pipeline) does.)
//! * **Full jitter may wait for next to nothing.** With few clients,
//!   [`Jitter::Equal`](crate::kernel::backoff::Jitter::Equal) keeps half of the wait.
//! * **A wait on the system's clock needs a tokio runtime with timers.** Where there is none, the call
//!   ends with its last error, and a warning says why.
//!
//! # Events and metrics
//!
//! [`subscribe`](Retry::subscribe) gives an empty budget and its recovery once per crossing, changes
//! by hand, and, while somebody subscribes, each retry and each call that gave up. All but the last
//! two go to `tracing` as well, at level info, target `backstop::policy`. Counts and the budget's
//! balance are exported on request, by [`Exporter`](crate::observe::metrics::Exporter).
//!
//! # What it costs
//!
//! A call that succeeds at once is one load, and one write that no other core's line is in: the
//! budget's deposit is the counter as well. It allocates nothing; a call that is tried again has one
//! allocation, for its wait and its last error. Random numbers are drawn only then.
//!
//! # Rules
//!
#![doc = include_str!("RULES.md")]
#![allow(clippy::doc_markdown, reason = "a rule's id is no identifier")]

mod attempt;
mod call;
mod config;
mod event;
mod flight;
mod handle;
mod machine;
mod repeat;
mod service;
#[cfg(all(test, not(any(backstop_loom, backstop_shuttle))))]
mod tests;
mod totals;
mod trace;
mod when;

pub use attempt::Attempt;
#[allow(unused_imports, reason = "for what composes policies")]
pub(crate) use attempt::{Operation, StartAttempt};
#[allow(unused_imports, reason = "for what composes policies")]
pub(crate) use call::Retrying;
pub use config::RetryConfig;
pub use event::{RetryEvent, RetryEventKind, StopReason};
#[allow(unused_imports, reason = "for what composes policies")]
pub(crate) use flight::Flight;
pub use handle::Retry;
pub(crate) use handle::WeakRetry;
#[allow(unused_imports, reason = "for what composes policies")]
pub(crate) use machine::Machine;
pub use repeat::{ByClone, NeverRepeat, Repeat};
pub use service::{RetryFuture, RetryLayer, RetryService};
pub(crate) use totals::LastWords;
pub use totals::RetryTotals;
pub use when::{Decision, DefaultRetry, Hint, RetryWhen};
