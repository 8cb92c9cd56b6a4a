//! Integration tests: the public API as users meet it.

#![allow(
    clippy::unchecked_time_subtraction,
    reason = "tests subtract constants"
)]

mod attacks;
mod auto_traits;
mod breaker_calls;
mod breaker_control;
mod breaker_states;
mod breaker_windows;
mod bulkhead;
mod bulkhead_costs;
mod bulkhead_reentry;
mod bulkhead_waits;
#[cfg(feature = "serde")]
mod config_text;
mod costs;
#[cfg(feature = "http")]
mod grpc;
#[cfg(feature = "http")]
mod http;
mod keyed;
mod load;
mod metrics;
mod pipeline;
mod reentry;
mod retry;
mod retry_budget;
mod retry_calls;
mod retry_rig;
mod rig;
mod runtime;
mod timeout;
mod tracing;
