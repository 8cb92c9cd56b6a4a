//! Parts that a service needs to survive its own failures and those of what it calls.
//!
//! Failures will happen, so recover fast: availability is MTBF / (MTBF + MTTR). The crate follows
//! one loop, *isolate, detect, recover, prove*.
//!
//! | wing | holds |
//! |---|---|
//! | [`policy`] | what wraps a call: [bulkhead](policy::bulkhead), [retry](policy::retry), [circuit breaker](policy::circuit_breaker), [timeout](policy::timeout), or all of them as a [pipeline](policy::pipeline); layers that [fit errors](policy::errors) |
//! | [`health`] | is a part well, and what follows: checks, trees of components, probes, failure detectors |
//! | [`supervise`] | parts that are restarted when they fail, with their state |
//! | `durable` | what survives a crash (feature `durable`) |
//! | [`chaos`] | faults put around a call on purpose |
//! | [`observe`] | metrics on request, and a report of recoveries |
//! | [`kernel`] | what they stand on: time, outcomes, rejections, windows, events |
//! | [`guide`] | which policy when, in which order; how to come here from other libraries |
//!
//! # A client in a pipeline
//!
//! ```
//! use backstop::{Error, Pipeline, PipelineConfig};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), backstop::ConfigError> {
//! // Timeouts, a bulkhead, a retry within a budget, and a circuit breaker.
//! let pipeline = Pipeline::new("payments", PipelineConfig::default())?;
//! match pipeline.call(|_attempt| async { Ok::<_, std::io::Error>("paid") }).await {
//!     Ok(reply) => assert_eq!(reply, "paid"),
//!     Err(Error::Rejected(rejection)) => println!("{rejection}"),
//!     Err(Error::Inner(error)) => println!("the last attempt failed: {error}"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # A tower client behind a breaker
//!
//! ```
//! # use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};
//! use backstop::{CircuitBreaker, CircuitBreakerConfig, CircuitBreakerLayer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! # let client = service_fn(|_request: &'static str| async { Ok::<_, BoxError>(200_u16) });
//! let breaker = CircuitBreaker::new("payments", CircuitBreakerConfig::default())?;
//! let mut client = ServiceBuilder::new()
//!     .layer(CircuitBreakerLayer::new(breaker.clone()))
//!     .service(client);
//! # assert_eq!(client.ready().await?.call("GET /").await?, 200);
//! # Ok(())
//! # }
//! ```
//!
//! Without tower it is `breaker.call(|| client.get(url)).await`, and `call_blocking` without a
//! runtime.
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `serde` | configurations and snapshots as text: `"30s"`, `"50%"` |
//! | `http` | what a call over HTTP or gRPC comes to, over the types of the `http` crate |
//! | `axum` | a layer that turns rejections into HTTP responses, health as routes; with `http` and `serde` |
//! | `durable` | the wing of that name: journal, checkpoints, replay, boot; with `serde` |
//! | `json` | checkpoints as JSON; with `durable` |
//! | `redb` | checkpoints in a redb database; with `durable` |
//! | `checks` | ready-made health checks that connect to something or measure what the machine has left |
//! | `grpc` | health as the service `grpc.health.v1.Health` of tonic |
//! | `anyhow` | `anyhow::Error` as the error of a stack |
//! | `test-util` | tokio's clock as the default one, for tests with paused time; for dev-dependencies only |
//!
//! # Foreign types in the public API
//!
//! `tower_layer::Layer` and `tower_service::Service` are implemented; a child's context gives
//! `CancellationToken` of `tokio-util` and `JoinHandle` of `tokio`; with `http`, the types
//! of `http` and `http-body`; with `axum`, axum's
//! `Response` and `Router`, with `grpc` the types of `tonic` and `tonic-health` and `Stream` of
//! `futures-core`, and with `serde` its traits are. Nothing else of a dependency is in a signature.
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(
        clippy::unchecked_time_subtraction,
        reason = "tests subtract constants"
    )
)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod chaos;
#[cfg(feature = "durable")]
#[cfg_attr(docsrs, doc(cfg(feature = "durable")))]
pub mod durable;
#[cfg(any(doc, doctest))]
pub mod guide;
pub mod health;
pub mod kernel;
pub mod observe;
pub mod policy;
pub mod supervise;

pub use kernel::budget::RetryBudget;
pub use kernel::config::ConfigError;
pub use kernel::outcome::Outcome;
pub use kernel::rejection::{Error, PolicyError, Rejection, RejectionKind};
pub use policy::bulkhead::{Bulkhead, BulkheadConfig, BulkheadLayer};
pub use policy::circuit_breaker::{CircuitBreaker, CircuitBreakerConfig, CircuitBreakerLayer};
pub use policy::pipeline::{Pipeline, PipelineConfig};
pub use policy::retry::{Retry, RetryConfig, RetryLayer};
pub use policy::timeout::{Timeout, TimeoutConfig, TimeoutLayer};

/// The README's examples compile and run.
#[cfg(all(doctest, feature = "durable"))]
#[doc = include_str!("../README.md")]
struct Readme;
