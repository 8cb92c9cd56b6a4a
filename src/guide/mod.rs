//! The guide: which policy when, in which order, and how to come here from elsewhere.
//!
//! It exists in the documentation only; its examples are compiled and run with the tests.
//!
//! | you come from | page | compared with |
//! |---|---|---|
//! | tower's own layers | [`from_tower`] | tower 0.5.3 |
//! | tower-resilience | [`from_tower_resilience`] | tower-resilience 0.13.0 |
//! | failsafe | [`from_failsafe`] | failsafe 1.3.0 |
//! | resilience4j (Java) | [`from_resilience4j`] | resilience4j 2.4.0 |
//! | Polly (.NET) | [`from_polly`] | Polly 8.7.0 |
//!
//! What the pages say of others was read in their sources of that version. Where one is wrong or out
//! of date, please report it like any other bug.
//!
//! # Which policy when
//!
//! | what goes wrong | what helps | what it costs |
//! |---|---|---|
//! | a call hangs | [`Timeout`] around each attempt, and around the whole | a call that is ended may have had its effect |
//! | single calls fail, the next one works | [`Retry`] | load: it needs a budget, and calls that may be repeated |
//! | the callee is down, and each call waits to learn it | [`CircuitBreaker`] | while it is open, calls that would have succeeded are refused too |
//! | one slow callee holds all tasks, connections or memory | [`Bulkhead`] | calls above the limit are refused, or wait |
//! | one kind of call takes the slots of a more important one | [`Compartments`] | the less important is refused earlier |
//! | calls block or compute, and take the threads of others | [`IsolatedBulkhead`] | threads, an allocation per call, `Send + 'static` |
//! | all of it, for calls over a network | [`Pipeline`] | one set of defaults to look at |
//!
//! Do not add a policy because it is there. A call within the process needs none of them. A call that
//! must not be made twice needs no retry. A callee that only you call, one call at a time, needs no
//! bulkhead.
//!
//! # The order of a stack, and why
//!
//! From the outside in. [`Pipeline`] has this order; as layers you write it yourself.
//!
//! | | part | why here |
//! |---|---|---|
//! | 1 | total timeout | what a caller waits for includes queues, attempts, and the waits between them |
//! | 2 | bulkhead | a call holds one slot for all its attempts, so that retries do not multiply the calls in flight |
//! | 3 | retry | it sees the outcome of each attempt, and an open circuit ends it |
//! | 4 | circuit breaker | it counts attempts: what the callee really did |
//! | 5 | attempt timeout | the breaker hears that an attempt hung, and the retry can make another |
//! | 6 | the call | |
//!
//! Two mistakes are common. *A breaker outside the retry* counts three failed attempts as one, and
//! does not end the attempts of calls that are under way when it opens. *A breaker whose only timeout
//! is outside of it* never hears of calls that hang: they are dropped, and a dropped call counts for
//! nothing unless [`dropped_calls`](crate::CircuitBreakerConfig::dropped_calls) says otherwise.
//!
//! # Three ways to use the same parts
//!
//! **Handles.** Each policy is a value to call through. It needs no tower, and the breaker, the
//! bulkhead and the retry have blocking calls as well.
//!
//! ```
//! use backstop::{CircuitBreaker, CircuitBreakerConfig};
//!
//! # fn main() -> Result<(), backstop::ConfigError> {
//! let breaker = CircuitBreaker::new("ledger", CircuitBreakerConfig::default())?;
//! let balance = breaker.call_blocking(|| Ok::<_, std::io::Error>(7));
//! assert_eq!(balance.unwrap(), 7);
//! # Ok(())
//! # }
//! ```
//!
//! **A pipeline.** All parts in one handle whose type has a name, so that it stands in a struct. Its
//! configuration is one value, which the feature `serde` reads from text. Its parts are checked
//! together: an attempt timeout above the total is refused.
//!
//! ```
//! use backstop::{Pipeline, PipelineConfig};
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), backstop::ConfigError> {
//! let config = PipelineConfig::default()
//!     .total_timeout(Duration::from_secs(5))
//!     .attempt_timeout(Duration::from_secs(1));
//! let payments = Pipeline::new("payments", config)?;
//! let paid = payments.call(|_attempt| async { Ok::<_, std::io::Error>("paid") }).await;
//! assert_eq!(paid.unwrap(), "paid");
//! # Ok(())
//! # }
//! ```
//!
//! **Layers.** For tower stacks, and for another order or other layers in between. The retry does not
//! know the outer limit here, so it is told by [`deadline`](crate::RetryConfig::deadline).
//!
//! ```
//! use backstop::{
//!     Bulkhead, BulkheadConfig, BulkheadLayer, CircuitBreaker, CircuitBreakerConfig,
//!     CircuitBreakerLayer, Retry, RetryConfig, RetryLayer, Timeout, TimeoutLayer,
//! };
//! use std::time::Duration;
//! use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! # let client = service_fn(|_request: &'static str| async { Ok::<_, BoxError>(200_u16) });
//! let total = Duration::from_secs(5);
//! let retry = RetryConfig::default().deadline(total);
//! let mut client = ServiceBuilder::new()
//!     .layer(TimeoutLayer::new(Timeout::new("payments/total", total)?))
//!     .layer(BulkheadLayer::new(Bulkhead::new("payments", BulkheadConfig::default())?))
//!     .layer(RetryLayer::new(Retry::new("payments", retry)?))
//!     .layer(CircuitBreakerLayer::new(CircuitBreaker::new(
//!         "payments",
//!         CircuitBreakerConfig::default(),
//!     )?))
//!     .layer(TimeoutLayer::new(Timeout::new("payments/attempt", Duration::from_secs(1))?))
//!     .service(client);
//! assert_eq!(client.ready().await?.call("GET /").await?, 200);
//! # Ok(())
//! # }
//! ```
//!
//! What a response over HTTP or gRPC means to a breaker and to a retry, and which requests may be sent
//! twice, is in `policy::http` (feature `http`).
//!
//! # One error
//!
//! Policies do not nest their errors. A refused call ends with a [`Rejection`]: which policy, what
//! happened, the figures behind it, when to come back, and whether the call may have had an effect.
//! It is in [`Error::Rejected`], or in the stack's own error if that is `From<Rejection>`, as
//! `Box<dyn Error + Send + Sync>` is.
//!
//! ```
//! use backstop::kernel::rejection::{Executed, PolicyError, RejectionKind};
//! use tower::BoxError;
//!
//! fn advice(error: &BoxError) -> &'static str {
//!     match error.rejection() {
//!         None => "the call was made, and this is its error",
//!         Some(refused) => match (refused.kind(), refused.executed()) {
//!             (_, Executed::Unknown) => "it may have had its effect",
//!             (RejectionKind::Full, _) => "we are busy: shed something",
//!             (_, Executed::No) => "it was not made: come back after `retry_after`",
//!         },
//!     }
//! }
//! # let bulkhead = backstop::Bulkhead::new("x", backstop::BulkheadConfig::default().max_concurrent(0))?;
//! # assert_eq!(advice(&bulkhead.try_acquire().unwrap_err().into()), "we are busy: shed something");
//! # Ok::<(), BoxError>(())
//! ```
//!
//! # The defaults
//!
//! The pages compare with these; each has its reason beside it in the configuration's own docs.
//!
//! ```
//! use backstop::kernel::backoff::{Backoff, Jitter};
//! use backstop::kernel::budget::BudgetConfig;
//! use backstop::policy::bulkhead::Order;
//! use backstop::policy::circuit_breaker::{DroppedCalls, Window};
//! use backstop::{
//!     BulkheadConfig, CircuitBreakerConfig, Pipeline, PipelineConfig, RetryConfig, TimeoutConfig,
//! };
//! use std::time::Duration;
//!
//! let seconds = Duration::from_secs;
//! let timeout = TimeoutConfig::new(seconds(30));
//! let bulkhead = BulkheadConfig::default().max_concurrent(25).without_queue().order(Order::Fifo);
//! let retry = RetryConfig::default()
//!     .max_attempts(3)
//!     .backoff(
//!         Backoff::exponential(Duration::from_millis(100)).cap(seconds(10)).jitter(Jitter::Full),
//!     )
//!     .max_hint(seconds(60))
//!     .budget(BudgetConfig::token_bucket(seconds(10), 10, 0.2));
//! let breaker = CircuitBreakerConfig::default()
//!     .window(Window::count(100))
//!     .failure_rate(0.5)
//!     .minimum_calls(20)
//!     .open_wait(seconds(5), 2.0, seconds(60))
//!     .open_wait_jitter(0.1)
//!     .max_hint(seconds(60))
//!     .probes(5)
//!     .dropped_calls(DroppedCalls::Ignored);
//! let pipeline = PipelineConfig::empty()
//!     .total_timeout(seconds(30))
//!     .bulkhead(bulkhead)
//!     .retry(retry.clone())
//!     .circuit_breaker(breaker.clone())
//!     .attempt_timeout(seconds(10));
//!
//! assert_eq!(timeout, TimeoutConfig::default());
//! assert_eq!(bulkhead, BulkheadConfig::default());
//! assert_eq!(retry, RetryConfig::default());
//! assert_eq!(breaker, CircuitBreakerConfig::default());
//! let default = Pipeline::new("x", PipelineConfig::default())?;
//! assert_eq!(pipeline, default.config());
//! # Ok::<(), backstop::ConfigError>(())
//! ```
//!
//! # What is not here yet
//!
//! A rate limiter, hedged requests, an adaptive concurrency limit, a set of endpoints with failover, a
//! registry of handles by name, and a fallback layer ([`Pipeline::call_or`] answers per call). Each
//! page says what to keep for them meanwhile.
//!
//! [`Bulkhead`]: crate::policy::bulkhead
//! [`CircuitBreaker`]: crate::policy::circuit_breaker
//! [`Compartments`]: crate::policy::bulkhead::Compartments
//! [`Error::Rejected`]: crate::Error::Rejected
//! [`IsolatedBulkhead`]: crate::policy::bulkhead::IsolatedBulkhead
//! [`Pipeline`]: crate::policy::pipeline
//! [`Pipeline::call_or`]: crate::Pipeline::call_or
//! [`Rejection`]: crate::Rejection
//! [`Retry`]: crate::policy::retry
//! [`Timeout`]: crate::policy::timeout

pub mod from_tower {
    #![doc = include_str!("from_tower.md")]
}

pub mod from_tower_resilience {
    #![doc = include_str!("from_tower_resilience.md")]
}

pub mod from_failsafe {
    #![doc = include_str!("from_failsafe.md")]
}

pub mod from_resilience4j {
    #![doc = include_str!("from_resilience4j.md")]
}

pub mod from_polly {
    #![doc = include_str!("from_polly.md")]
}
