//! Timeout: ends calls that are pending for too long.
//!
//! A call that hangs keeps what it holds: a connection, a permit, its caller's own time. A timeout
//! drops it when its limit is over, and its caller goes on with an error that says so.
//!
//! ```text
//!            ready                                    ready
//!   polled ----------> its result      +-- pending --------------> its result
//!     |                                |      |
//!     | pending: the time counts       |      | the limit is over
//!     +--------------------------------+      v
//!                                           dropped, then TimedOut
//! ```
//!
//! # Example
//!
//! ```
//! use backstop::{Error, Timeout};
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), backstop::ConfigError> {
//! let timeout = Timeout::new("payments", Duration::from_secs(2))?;
//! match timeout.call(|| async { Ok::<_, std::io::Error>("paid") }).await {
//!     Ok(reply) => assert_eq!(reply, "paid"),
//!     Err(Error::Rejected(rejection)) => println!("perhaps paid, perhaps not: {rejection}"),
//!     Err(Error::Inner(error)) => println!("not paid: {error}"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! As a tower layer: [`TimeoutLayer`]. In blocking code: [`Timeout::deadline`].
//!
//! # Total and per attempt
//!
//! They are one type, used at two places: outside a retry it limits all attempts together, inside
//! it each one. The rejection's name and [`limit`](crate::kernel::rejection::Facts::Time) tell which
//! of them it was.
//!
//! ```
//! # use backstop::Timeout;
//! # use std::time::Duration;
//! # fn main() -> Result<(), backstop::ConfigError> {
//! let total = Timeout::new("payments", Duration::from_secs(10))?;
//! let attempt = Timeout::new("payments_attempt", Duration::from_secs(2))?;
//! # let _ = (total, attempt);
//! # Ok(())
//! # }
//! ```
//!
//! The limit of an attempt stands inside the breaker, so that this hears of hanging calls. One that
//! stands outside drops the breaker's call, which is neutral by default; see
//! [`DroppedCalls`](crate::policy::circuit_breaker::DroppedCalls).
//!
//! # When not to use it
//!
//! * Around work that must not be left half done. Dropping a future stops it at its last `.await`,
//!   wherever that was.
//! * To stop a thread. Work in `spawn_blocking`, or in a task that the call spawned, goes on.
//! * To pace or to limit load: it ends single calls and knows of no others.
//!
//! # What surprises
//!
//! * **The first poll is not counted**, and neither is what comes before it. A call that computes
//!   for a second before its first `.await` has that second for free; one that is ready by then is
//!   never ended, and costs one relaxed load.
//! * **A call is looked at only when it is polled.** One that blocks its thread is ended late, after
//!   it gave the thread back. If it is ready by then, its result counts.
//! * **Ended is not undone.** `executed` of the rejection is `Unknown`.
//! * **Timers are coarse.** Tokio's have a grain of a millisecond, and a limit of 20 grains of the
//!   coarse clock and more (80 ms on most Linux machines) may end one such grain late. Never early.
//! * **A runtime is needed** for a call that is pending, on every clock but a manual one; the error
//!   is of its own kind, `NoRuntime`, after the first poll. (One built without `enable_time` says so by
//!   a panic that is caught: a panic hook hears of it, and `panic = "abort"` aborts.) It must live as long as the call does:
//!   tokio's timers panic when they are polled after their runtime was shut down.
//! * **What a clone costs.** Clones share the limit and the counters, and counting them is a shared
//!   write. A tower service needs an owned handle per call; one made from a `&'static` timeout copies
//!   a pointer, and [`Timeout::call`] borrows.
//!
//! # Events and metrics
//!
//! There are no events: a timeout has no state that changes by itself. [`Totals`] are exact and
//! exported on request by [`Exporter`](crate::observe::metrics::Exporter); calls that were ready at
//! once are not among them. That calls are ended is traced at level debug, target
//! `backstop::policy`, once a second.
//!
//! # Why not the obvious way
//!
//! A timer per call, made with the call, costs each call what only the hanging ones need: a reading
//! of the clock, and a place among the runtime's timers. Here a call has to be pending first.
//!
//! # Rules
//!
#![doc = include_str!("RULES.md")]
#![allow(clippy::doc_markdown, reason = "a rule's id is no identifier")]

pub(crate) mod call;
mod config;
mod deadline;
mod handle;
pub(crate) mod machine;
mod service;
#[cfg(test)]
mod tests;
mod totals;

pub use config::TimeoutConfig;
pub use deadline::Deadline;
pub use handle::Timeout;
pub(crate) use handle::WeakTimeout;
pub use service::{TimeoutFuture, TimeoutLayer, TimeoutService};
pub(crate) use totals::LastWords;
pub use totals::Totals;
