//! Bulkhead: limits how many calls run at once, so that one slow callee cannot take everything.
//!
//! A callee that has become slow holds each of its callers for as long as it takes, and soon all
//! tasks, threads, connections and memory of a service wait for it, those of other callees too. A
//! bulkhead gives its calls a number of *slots*: a call takes one and gives it back when it ends.
//! Who finds none free is refused, or waits for one in a bounded queue, for a bounded time.
//!
//! ```text
//!                        a slot is free, nobody waits
//!     call ----------------------------------------------------------> runs --+
//!      |                                                                ^     | ends, is dropped,
//!      | none is free                                handed a slot,     |     | or panics
//!      +-----------> waits (if there is a queue) -----------------------+     v
//!      |               |        by class, then by order           ^      slot is free
//!      | no room       | max_wait is over, or dropped             |           |
//!      v               v                                          +-----------+
//!   refused         refused                                      to the next waiter first
//! ```
//!
//! # Example
//!
//! ```
//! use backstop::kernel::priority::Priority;
//! use backstop::{Bulkhead, BulkheadConfig, Error};
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), backstop::ConfigError> {
//! let config = BulkheadConfig::default()
//!     .max_concurrent(10)
//!     .queue(50, Duration::from_millis(200));
//! let reports = Bulkhead::new("reports", config)?;
//! let report = || async { Ok::<_, std::io::Error>("report") };
//! match reports.call_with(Priority::Sheddable, report).await {
//!     Ok(report) => assert_eq!(report, "report"),
//!     Err(Error::Rejected(rejection)) => println!("not now: {rejection}"),
//!     Err(Error::Inner(error)) => println!("it ran, and failed: {error}"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! As a tower layer: [`BulkheadLayer`] refuses at once, [`QueueingBulkheadLayer`] queues. In blocking
//! code: [`call_blocking`](Bulkhead::call_blocking). Around something that is no call:
//! [`try_acquire`](Bulkhead::try_acquire) and [`acquire`](Bulkhead::acquire); around work that
//! outlives its caller: [`OwnedPermit`].
//!
//! # Compartments, and threads of their own
//!
//! [`Compartments`] are bulkheads by name that can share one total, each with a guaranteed part of
//! which the others borrow what is idle: background jobs that are critical, standard and batch, say.
//! An [`IsolatedBulkhead`] runs its calls on a runtime of its own, for calls that block or compute:
//! what is stuck in it takes no thread from anybody else.
//!
//! # When not to use it
//!
//! * To hold callers back instead of refusing them: tower's `ConcurrencyLimit` does that in
//!   `poll_ready`.
//! * To limit calls per second: it counts calls at once. By Little's law calls at once are calls per
//!   second times their latency.
//! * Where the right limit is not known and moves with the callee: it is a fixed number, until
//!   somebody [resizes](Bulkhead::resize) it.
//! * Instead of a timeout: a call that never ends keeps its slot for ever.
//!
//! # Its place in a stack
//!
//! Inside a total timeout, so that the wait for a slot counts; outside retries and the timeout of
//! one attempt, so that a slot covers all attempts of a call. An inner rejection or failure is
//! nothing to it: it judges no outcome.
//!
//! # What surprises
//!
//! * **A permit follows the work, if you let it.** A caller that times out drops its future, and with
//!   it the slot, while a thread of `spawn_blocking` runs on. Move an [`OwnedPermit`] into the closure.
//! * **A refused call is refused, even if a slot comes free a moment later.** Without a queue there is
//!   nobody who could be told.
//! * **A slot that was handed to a waiter waits for it to be polled.** A future that is neither polled
//!   nor dropped (a branch of a `select!` that is kept by reference, say) keeps it.
//! * **A lower class may never be served** while higher ones keep coming; its waits end by `max_wait`.
//! * **A wait that ran out is `Full` too**: the call did not run. `TimedOut` is for calls that did.
//! * **What a clone costs.** A tower service needs an owned handle per call: two contended writes. A
//!   handle made from a `&'static` bulkhead copies a pointer instead, and [`Bulkhead::call`] borrows.
//! * **The count is shared by all threads.** Two writes to one line per call are what an exact limit
//!   costs; they are the only ones where nobody waits and nobody is refused.
//!
//! # Events and metrics
//!
//! [`subscribe`](Bulkhead::subscribe) gives each saturation and its end, resize, isolation, reset and
//! reconfiguration once, in order. The same goes to `tracing` at level info, target
//! `backstop::policy`; that calls are refused is told there at level debug, once a second. Counts and
//! gauges are exported on request, by [`Exporter`](crate::observe::metrics::Exporter).
//!
//! A bulkhead is *saturated* from the first refusal for want of a slot until none was refused for a
//! second. Whether it is full at the moment is no event: a busy one is full and not full a thousand
//! times a second, and is meant to be.
//!
//! # Why not the obvious algorithm
//!
//! `tokio::sync::Semaphore` is that algorithm, and would do for the slots. It knows neither classes
//! nor the newest first, its limit cannot be lowered below what is out, and a bound on its waiters
//! beside it races with them. Here limit, count and flags are one word: taking a slot is one
//! exchange, giving it back one subtraction, and whoever gives one back sees in the same word whether
//! somebody waits. The queue is a slab behind a short lock, so waiting allocates nothing once the
//! slab has grown, and leaving the queue is a matter of four links.
//!
//! # Rules
//!
#![doc = include_str!("RULES.md")]
#![allow(clippy::doc_markdown, reason = "a rule's id is no identifier")]

mod acquire;
mod call;
mod compartments;
mod compartments_book;
mod compartments_call;
mod compartments_config;
mod compartments_handle;
mod compartments_lines;
#[cfg(all(test, backstop_loom))]
mod compartments_loom_tests;
mod compartments_seat;
mod compartments_slots;
mod compartments_word;
mod config;
mod control;
mod event;
mod handle;
mod isolated;
mod isolated_config;
mod isolated_place;
mod isolated_run;
mod isolated_set;
mod isolated_threads;
mod isolated_work;
#[cfg(all(test, backstop_loom))]
mod loom_tests;
mod machine;
mod permit;
mod queue;
mod queueing;
mod service;
#[cfg(all(test, backstop_shuttle))]
mod shuttle_tests;
mod totals;
mod trace;
mod wakes;
mod word;

pub use acquire::{Acquire, AcquireOwned};
pub use compartments::{Compartments, UnknownCompartment};
pub use compartments_call::{
    AcquireCompartment, AcquireCompartmentOwned, CompartmentPermit, OwnedCompartmentPermit,
};
pub use compartments_config::{CompartmentConfig, CompartmentsConfig};
pub use compartments_handle::Compartment;
pub(crate) use compartments_handle::WeakCompartment;
pub use config::{Ask, BulkheadConfig, Order};
pub use event::{BulkheadEvent, EventKind};
pub use handle::Bulkhead;
pub(crate) use handle::WeakBulkhead;
pub use isolated::{IsolatedBulkhead, IsolatedTotals, StartError};
pub use isolated_config::IsolatedConfig;
pub use isolated_set::{IsolatedCompartments, IsolatedCompartmentsConfig};
pub use isolated_work::WorkPanicked;
pub use permit::{OwnedPermit, Permit};
pub use queueing::{
    AskFor, QueueingBulkheadFuture, QueueingBulkheadLayer, QueueingBulkheadService,
};
pub use service::{BulkheadFuture, BulkheadLayer, BulkheadService, Slots};
pub(crate) use totals::LastWords;
pub use totals::{BulkheadSnapshot, Totals};
