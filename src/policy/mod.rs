//! What wraps a call.
//!
//! | room | does |
//! |---|---|
//! | [`bulkhead`] | limits how many calls run at once |
//! | [`circuit_breaker`] | stops calling what keeps failing, and finds out when it is well again |
//! | [`errors`] | fits foreign error types to the stack, and turns rejections into responses |
//! | `http` | what a call over HTTP or gRPC comes to (feature `http`) |
//! | [`pipeline`] | the parts of the call path in one handle, in the order that serves most calls |
//! | [`retry`] | makes a failed call again, within a budget |
//! | [`timeout`] | ends calls that are pending for too long |
//!
//! Each policy is first a handle that works without tower; its layer is a thin user of the handle.
//!
//! # Rules that hold for every policy
//!
#![doc = include_str!("RULES.md")]

pub mod bulkhead;
pub mod circuit_breaker;
pub mod errors;
#[cfg(feature = "http")]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
pub mod http;
pub mod pipeline;
pub mod retry;
pub mod timeout;
