//! Pipeline: the call path in one handle, in the order that serves most calls.
//!
//! ```text
//! fallback          answers what the rest could not          per call: `call_or`
//!   total timeout   ends the call, with all its attempts     30 s
//!     bulkhead      limits the calls at once                 25
//!       retry       makes a failed attempt again             3 attempts, 20 % of the load
//!         breaker   keeps attempts from a callee that fails  50 % of 100
//!           attempt timeout  ends an attempt that hangs      10 s
//!             the call
//! ```
//!
//! # Example
//!
//! ```
//! use backstop::{Error, Pipeline, PipelineConfig};
//!
//! /// A client that can stand in any struct: the type of its pipeline has a name.
//! struct Payments {
//!     pipeline: Pipeline,
//! }
//!
//! impl Payments {
//!     async fn pay(&self, order: &str) -> Result<String, Error<std::io::Error>> {
//!         self.pipeline.call(|_attempt| async { Ok(format!("paid {order}")) }).await
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), backstop::ConfigError> {
//! let pipeline = Pipeline::new("payments", PipelineConfig::default())?;
//! let payments = Payments { pipeline };
//! assert_eq!(payments.pay("7").await.unwrap(), "paid 7");
//! # Ok(())
//! # }
//! ```
//!
//! A tower service is called with a clone for each attempt:
//!
//! ```
//! use backstop::policy::pipeline::Stacked;
//! use backstop::{Pipeline, PipelineConfig};
//! use tower::{BoxError, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let client = service_fn(|request: String| async move { Ok::<_, BoxError>(request.len()) });
//! let pipeline = Pipeline::new("lengths", PipelineConfig::default())?.with_classifier(Stacked);
//! let request = String::from("GET /");
//! let length = pipeline.call(|_| client.clone().oneshot(request.clone())).await;
//! assert_eq!(length.unwrap(), 5);
//! # Ok(())
//! # }
//! ```
//!
//! # What each part sees of the next
//!
//! | outer | inner | what it makes of it |
//! |---|---|---|
//! | total timeout | a wait for a slot, for the next attempt, for the call | it counts; when it is over the rest is dropped |
//! | bulkhead | all attempts of a call and the waits between them | one slot |
//! | retry | `TimedOut` by the attempt timeout | tried again |
//! | retry | `Open`, `ForcedOpen`, `ProbesFull` by the breaker | the end: the rejection is the call's result |
//! | retry | the total timeout | no wait passes it: the last error is the call's result |
//! | breaker | `TimedOut` by the attempt timeout | a failure |
//! | breaker | an attempt that the total timeout ended | a dropped call: nothing, unless [`dropped_calls`] says otherwise |
//!
//! [`dropped_calls`]: crate::CircuitBreakerConfig::dropped_calls
//!
//! # When not to use it
//!
//! * For another order, or parts of your own between these: tower's `ServiceBuilder` with the layers.
//! * For a call that must not be made twice: [`without_retry`](PipelineConfig::without_retry).
//!
//! # What surprises
//!
//! * **The work of the first poll is not timed**, as with any [`Timeout`](crate::Timeout): a limit
//!   counts from the first time that the call is pending.
//! * **A pending call has one timer** while its attempt ends before the call does, and two else.
//! * **A fallback runs under no limit**; it is given when everything else has ended. It answers errors:
//!   an `Ok` that the classifier calls a failure is counted and tried again, and is the result then.
//! * **A call that is pending needs a tokio runtime with timers**, as long as one of its parts has a
//!   limit or a wait: see [`Timeout`](crate::Timeout).
//! * **What the compiler says of closures** is hard to read. Write them where they are called, as
//!   `|_| async { .. }`: one in a variable needs the type of its argument,
//!   `|_: Attempt<'_, _>| async { .. }`. An `async |_| { .. }` does not fit, and what is wanted of the
//!   attempt has to be taken out of it before the `async` block, because that cannot borrow from it.
//!
//! # Events and metrics
//!
//! A pipeline has none of its own: its parts do, under its name, the timeouts under `name/total` and
//! `name/attempt`. [`Exporter::add`](crate::observe::metrics::Exporter::add) publishes all of them.
//!
//! # Why not the obvious way
//!
//! Five services around each other have a type that no struct can name, an error type that has to
//! hold what all of them say, and a retry that does not know the time that is left. Boxed, they cost
//! an allocation per layer and call.
//!
//! # Rules
//!
#![doc = include_str!("RULES.md")]
#![allow(clippy::doc_markdown, reason = "a rule's id is no identifier")]

mod attempt;
mod call;
mod classifier;
mod config;
mod handle;
mod limits;
mod parts;

pub use classifier::{ByVerdict, Separate, Stacked, Standard};
pub use config::PipelineConfig;
pub use handle::Pipeline;
pub use parts::PipelineParts;
