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
mod bulkhead_attacks;
mod bulkhead_costs;
mod bulkhead_reentry;
mod bulkhead_waits;
mod compartments;
#[cfg(feature = "serde")]
mod config_text;
mod costs;
#[cfg(feature = "http")]
mod grpc;
#[cfg(feature = "http")]
mod http;
mod isolated;
mod keyed;
mod load;
mod metrics;
mod pipeline;
mod pipeline_attacks;
mod pipeline_costs;
mod reentry;
mod retry;
mod retry_attacks;
mod retry_budget;
mod retry_calls;
mod retry_costs;
mod retry_rig;
#[cfg(feature = "serde")]
mod retry_text;
mod rig;
mod runtime;
mod timeout;
mod tracing;
