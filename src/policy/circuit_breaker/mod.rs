//! Circuit breaker: stops calling what keeps failing, and finds out when it is well again.
//!
//! A callee that is down costs its callers a timeout per call, and their load keeps it down. A
//! breaker watches the calls; when too many of them fail it *opens* and rejects them at once,
//! without asking the callee. After a wait it lets a few through as *probes* and closes again if
//! they go well.
//!
//! ```text
//!              too many failures or slow calls
//!     Closed ------------------------------------> Open <--+
//!        ^                                          |      | too many probes
//!        |                                          | wait is over, next call
//!        | the probes are good                      v      | fail
//!        +--------------------------------------- HalfOpen -+
//! ```
//!
//! # Example
//!
//! ```
//! use backstop::{CircuitBreaker, CircuitBreakerConfig, Error};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), backstop::ConfigError> {
//! let breaker = CircuitBreaker::new("payments", CircuitBreakerConfig::default())?;
//! match breaker.call(|| async { Ok::<_, std::io::Error>("paid") }).await {
//!     Ok(reply) => assert_eq!(reply, "paid"),
//!     Err(Error::Rejected(rejection)) => println!("later, in {:?}", rejection.retry_after()),
//!     Err(Error::Inner(error)) => println!("it was asked, and failed: {error}"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! As a tower layer: [`CircuitBreakerLayer`]. In blocking code:
//! [`call_blocking`](CircuitBreaker::call_blocking). Around something that is no call:
//! [`try_acquire`](CircuitBreaker::try_acquire). Per host, tenant or route:
//! [`Keyed`](crate::kernel::keyed::Keyed).
//!
//! # When not to use it
//!
//! * Calls within the process, and anything whose failure says nothing about the next call.
//! * To limit concurrency or rate: it counts outcomes, not load.
//! * Where the callee's clients must all keep trying (a leader election): a breaker trades success
//!   of single calls for the health of the callee. While it is open, calls that would have
//!   succeeded are rejected too.
//!
//! # Its place in a stack
//!
//! Inside a retry, so that each attempt is counted and an open circuit ends the retries; outside
//! the timeout of one attempt, so that it hears of timeouts. A timeout *outside* the breaker drops
//! the call, which is neutral by default: see [`DroppedCalls`].
//!
//! # What surprises
//!
//! * **A dropped call counts for nothing** unless [`DroppedCalls`] says otherwise; a panic is a
//!   failure.
//! * **What a clone costs.** Clones share the circuit, and counting them is a shared write. A tower
//!   service needs an owned handle per call: two contended writes. A handle made from a `&'static`
//!   breaker copies a pointer instead, and [`CircuitBreaker::call`] borrows.
//! * **What a dirty window costs.** While a count window is full of successes, one more writes
//!   nothing. A failure anywhere in it makes each call take a short lock until it has left the
//!   window. Time windows never lock for a success, and pay for a clock reading and one
//!   uncontended write per call.
//! * **Overlapping calls.** Decisions are exact for calls that follow one another. Of calls that
//!   overlap, the last to finish sees all.
//! * **An open circuit stays `Open` until it is asked.** It becomes half-open with the next call,
//!   because nobody needs to know earlier; [`auto_half_open`](CircuitBreakerConfig::auto_half_open)
//!   makes reading the state enough.
//!
//! # Events and metrics
//!
//! [`subscribe`](CircuitBreaker::subscribe) gives each state change, crossing, written-off probe,
//! reset and reconfiguration once, in order. The same goes to `tracing` at level info, target
//! `backstop::policy`; that calls are rejected is told there at level debug, once a second. Counts and state are exported on request, by
//! [`Exporter`](crate::observe::metrics::Exporter).
//!
//! # Why not the obvious algorithm
//!
//! A lock around a ring buffer is exact and costs two contended writes per call; an atomic ring
//! beside an atomic failure counter is fast, and trips on counts that no order of the calls
//! reaches. Here a full window without a bad outcome is a fixed point: a bit in the state word says
//! so, and the healthy path is two loads. Time windows keep a stripe of tagged buckets per core,
//! so that recording is one write to a line that no other core writes.
//!
//! # Rules
//!
#![doc = include_str!("RULES.md")]
#![allow(clippy::doc_markdown, reason = "a rule's id is no identifier")]

mod admission;
mod call;
mod config;
#[cfg(feature = "serde")]
mod config_text;
mod control;
mod event;
mod handle;
mod keyed;
#[cfg(all(test, backstop_loom))]
mod loom_tests;
mod machine;
mod permit;
mod probes;
mod service;
#[cfg(all(test, backstop_shuttle))]
mod shuttle_tests;
mod snapshot;
mod totals;
mod trace;
mod windows;
mod word;

pub(crate) use call::Observed;
pub use config::{CircuitBreakerConfig, DroppedCalls, ProbeDecision, Window};
pub use control::Mode;
pub use event::{CircuitBreakerEvent, EventKind, Reason, State, Trip};
pub(crate) use handle::WeakCircuitBreaker;
pub use handle::{CircuitBreaker, TransitionRefused};
pub(crate) use machine::Machine;
pub use permit::{OwnedPermit, Permit};
pub use service::{CircuitBreakerFuture, CircuitBreakerLayer, CircuitBreakerService};
pub use snapshot::{CircuitBreakerSnapshot, WindowSnapshot};
pub(crate) use totals::LastWords;
pub use totals::Totals;
