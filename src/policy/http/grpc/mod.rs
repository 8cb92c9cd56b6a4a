//! What a gRPC call comes to.
//!
//! Its status is no HTTP status: that is 200. It stands in the trailers behind the messages, or, if
//! there are none, in the head ("trailers only").
//!
//! | what works with | breaker | retry |
//! |---|---|---|
//! | a code, as tonic's `Status` has one | [`Code::outcome`], [`verdict`] | [`decide`], [`pushback`] |
//! | the head of a response | [`GrpcClassifier`] | [`GrpcRetry`] |
//! | head, messages and trailers | [`GrpcBody`] | |
//!
//! Tonic is no dependency of this crate. Its statuses are judged by their number:
//!
//! ```
//! use backstop::kernel::outcome::Outcome;
//! use backstop::policy::http::grpc::Code;
//!
//! # struct Status(i32);
//! # impl Status { fn code(&self) -> i32 { self.0 } }
//! // In tonic, `code()` is an enum: `status.code() as i32`.
//! let by_code = |result: Result<&String, &Status>| match result {
//!     Ok(_) => Outcome::Success,
//!     Err(status) => Code::from_number(status.code() as i32).outcome(),
//! };
//! # use backstop::kernel::outcome::Classifier;
//! assert_eq!(by_code.classify(Err(&Status(14))).outcome(), Outcome::Failure);
//! assert_eq!(by_code.classify(Err(&Status(5))).outcome(), Outcome::Success);
//! ```

mod body;
mod code;
mod judge;

pub use body::GrpcBody;
pub use code::{Code, CodeSet};
pub use judge::{GrpcClassifier, GrpcRetry, decide, pushback, pushback_of, status, verdict};
