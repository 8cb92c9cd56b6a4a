//! Fits error types to a stack of policies: foreign ones on the way in, responses on the way out.
//!
//! A layer of this crate needs an inner error that can hold a [`Rejection`]. [`Error<E>`],
//! `Box<dyn Error + Send + Sync>` and `anyhow::Error` (feature `anyhow`) can, and so can your own
//! type that is `From<Rejection>`: those need nothing from this room. Two kinds of services do:
//!
//! * one whose error is a type of somebody else's: [`WrapErrorsLayer`] makes it [`Error<E>`];
//! * one whose caller takes responses and no errors, such as a route of axum:
//!   [`RejectionResponseLayer`] (feature `axum`) answers with what was refused.
//!
//! | rejection | status |
//! |---|---|
//! | `Open`, `ForcedOpen`, `ProbesFull`, `Full`, `Shed`, `Restarting` | 503 Service Unavailable |
//! | `RateLimited` | 429 Too Many Requests |
//! | `TimedOut` | 504 Gateway Timeout |
//! | `NoRuntime`, `Panicked` | 500 Internal Server Error |
//!
//! # Place in a stack
//!
//! `WrapErrors` stands directly around the foreign service, under all policies;
//! `RejectionResponse` stands above all policies. Neither holds any state that clones could share,
//! nor emits anything, and `WrapErrors` allocates nothing.
//!
//! ```text
//! RejectionResponse      Error<E>  -> Response, E
//!   CircuitBreaker ..    Error<E>  -> Error<E>
//!     WrapErrors         E         -> Error<E>
//!       the service
//! ```
//!
//! Why the policies do not wrap errors themselves: three layers would make an
//! `Error<Error<Error<E>>>`, and an outer policy could not tell an inner one's refusal from a
//! failure.
//!
//! [`Rejection`]: crate::kernel::rejection::Rejection
//! [`Error<E>`]: crate::kernel::rejection::Error

#[cfg(feature = "axum")]
mod respond;
mod wrap;

#[cfg(feature = "axum")]
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
pub use respond::{RejectionResponse, RejectionResponseFuture, RejectionResponseLayer};
pub use wrap::{WrapErrors, WrapErrorsFuture, WrapErrorsLayer};
