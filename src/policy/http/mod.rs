//! What a call over HTTP or gRPC comes to, over the types of the crates `http` and `http-body`.
//!
//! To a policy, a response is a success, whatever its status. Here stand the parts that know better:
//!
//! | part | for | says |
//! |---|---|---|
//! | [`HttpClassifier`] | a circuit breaker | which statuses are failures of the callee; `Retry-After` is the hint |
//! | [`HttpRetry`] | a retry | which statuses are worth another attempt, and when |
//! | [`RepeatHttp`] | a retry's layer | which requests may be sent twice, and how they are copied |
//! | [`HoldingBody`] | a bulkhead | that a slot is taken until the response's body has ended |
//! | [`JudgedBody`] | a circuit breaker | that a call ends with its body |
//! | [`grpc`] | both | the same by gRPC's codes, trailers and pushback |
//!
//! # Example
//!
//! ```
//! use backstop::policy::http::{HttpClassifier, HttpRetry, RepeatHttp};
//! use backstop::{
//!     CircuitBreaker, CircuitBreakerConfig, CircuitBreakerLayer, Retry, RetryConfig, RetryLayer,
//! };
//! use http::{Request, Response};
//! use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let breaker = CircuitBreaker::new("payments", CircuitBreakerConfig::default())?;
//! let retry = Retry::new("payments", RetryConfig::default())?;
//! let mut client = ServiceBuilder::new()
//!     .layer(RetryLayer::new(retry).when(HttpRetry::new()).repeat(RepeatHttp::new()))
//!     .layer(CircuitBreakerLayer::new(breaker).with_classifier(HttpClassifier::new()))
//!     .service(service_fn(|_: Request<String>| async {
//!         Ok::<_, BoxError>(Response::new("paid"))
//!     }));
//! let response = client.ready().await?.call(Request::get("/7").body(String::new())?).await?;
//! assert_eq!(response.status(), 200);
//! # Ok(())
//! # }
//! ```
//!
//! # What ends a call
//!
//! **The head.** A client's future is ready when the head of the response is there; the body
//! comes later. So a retry repeats what fails before that, a timeout limits the time until then, and
//! the permit of a layer is given back then. Where the body is what takes the time, or what fails,
//! take an owned permit from the handle and move it into the body:
//!
//! ```
//! use backstop::policy::http::HoldingBody;
//! use backstop::{Bulkhead, Error};
//! use http::{Request, Response};
//! # use http_body_util::Empty;
//! # use std::convert::Infallible;
//! # type Incoming = Empty<&'static [u8]>;
//! # async fn send(_: Request<()>) -> Result<Response<Incoming>, Infallible> {
//! #     Ok(Response::new(Empty::new()))
//! # }
//! use backstop::policy::bulkhead::OwnedPermit;
//!
//! async fn download(
//!     bulkhead: &Bulkhead,
//!     request: Request<()>,
//! ) -> Result<Response<HoldingBody<Incoming, OwnedPermit>>, Error<Infallible>> {
//!     let permit = bulkhead.try_acquire_owned()?;
//!     let response = send(request).await.map_err(Error::Inner)?;
//!     Ok(response.map(|body| HoldingBody::new(body, permit)))
//! }
//! # fn main() {}
//! ```
//!
//! A retry does not help once the body has begun: its reader has had a part of it.
//!
//! # What surprises
//!
//! * **A 4xx is a success**, but for 408 and 429: the callee did its work. A breaker that counted
//!   them would open on a client's own mistakes.
//! * **A retry of a 429 or a 503** obeys `Retry-After`, and gives up at once where that is beyond the
//!   retry's `max_hint`: it does not come back early instead.
//! * **Not reading a body** of a success leaves a [`JudgedBody`]'s call a dropped one.
//!
//! # Rules
//!
#![doc = include_str!("RULES.md")]
#![allow(clippy::doc_markdown, reason = "a rule's id is no identifier")]

mod body;
pub mod grpc;
mod judge;
mod repeat;
mod retry_after;
mod status;

pub use body::{HoldingBody, JudgedBody};
pub use judge::{HttpClassifier, HttpRetry};
pub use repeat::{EmptyBodies, Idempotent, RepeatHttp};
pub use retry_after::retry_after;
pub use status::StatusSet;
