//! Faults around a call: latency, errors, hangs, panics.
//!
//! A [`FaultInjector`] is a handle through which calls go. Nothing happens to them until a
//! [`Fault`] is injected; from then on each call may be hit, until the fault is removed or its time
//! to live is over. It is for tests, examples and experiments, and can stay in a service between
//! them: with nothing injected a call costs one relaxed load.
//!
//! ```
//! use backstop::chaos::fault::{Fault, FaultInjector};
//! use std::time::Duration;
//!
//! let injector = FaultInjector::new(42);
//! let call = || injector.call_blocking(|| Ok("fine"), || "injected");
//! assert_eq!(call(), Ok("fine"));
//!
//! let id = injector.inject(Fault::error().ttl(Duration::from_secs(60)))?;
//! assert_eq!(call(), Err("injected"));
//! injector.remove(id);
//! assert_eq!(call(), Ok("fine"));
//! assert_eq!(injector.counts().error, 1);
//! # Ok::<(), backstop::kernel::config::ConfigError>(())
//! ```
//!
//! # What becomes of a call
//!
//! Each fault draws for itself whether it hits the call. Then:
//!
//! 1. The latencies of all that hit add up and come first.
//! 2. Of the rest, one happens: a hang before a panic before an error.
//!
//! ```text
//!            latencies            hang            +--> panics
//!  drawn --> wait for their --+-> until its   --+ |
//!            sum              |   fault ends    | +--> ends with the injected error
//!                             +-----------------+-+
//!                                                 +--> the call is made
//! ```
//!
//! * A hang ends when its fault is removed or runs out, and the call is made then, late.
//! * What was drawn stays drawn: removing a fault ends its hangs, and calls back no latency, error
//!   or panic that is under way.
//! * A panic or an error comes instead of the call, a latency or a hang comes before it.
//!
//! # Draws
//!
//! Faults are numbered as they are injected, and each numbers its draws. Whether draw *n* of fault
//! *f* hits depends on the injector's seed, *f* and *n*, and on nothing else: not on time, and not
//! on what other faults there are. Calls that draw at the same time do so in any order. A draw
//! takes no lock.
//!
//! # Time
//!
//! Latencies and times to live run on the injector's clock. A latency, or a hang with a time to
//! live, needs a timer. Where the clock needs tokio's and there is none here, that fault is
//! skipped and counted as [`FaultCounts::skipped`]: a missing runtime is no reason for a panic
//! that nobody injected.
//!
//! A hang without a time to live lasts until somebody ends it, or the last handle of the injector
//! is dropped. It is the one wait in this crate without a deadline, because that is what it is for.
//!
//! # Place in a stack
//!
//! Innermost, directly around the real call, so that every policy meets the fault as it would meet
//! a real one: [`FaultLayer`] under the breaker and the attempt's timeout. Clones of an injector
//! share faults, draws and counters; so do all services that one layer makes.
//!
//! Injections and their ends are told by `tracing` (target `backstop::chaos`); what happened to
//! calls is in [`FaultInjector::counts`].
//!
//! Why the faults are a list that is replaced whole: calls read it without a lock and without
//! waiting for whoever changes it, and it changes a few times per experiment.

mod call;
mod config;
mod counts;
mod handle;
mod hang;
mod machine;
mod service;
#[cfg(test)]
mod tests;

pub use config::{Fault, FaultKind};
pub use counts::FaultCounts;
pub use handle::{FaultGuard, FaultInjector};
pub use machine::{FaultId, InjectedFault};
pub use service::{EveryRequest, FaultFuture, FaultLayer, FaultService, Select};
