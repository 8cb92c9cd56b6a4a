//! The health wing as its users meet it.

#[cfg(feature = "test-util")]
mod attacks;
#[cfg(feature = "test-util")]
mod calls;
#[cfg(feature = "test-util")]
mod checks;
mod config;
#[cfg(feature = "grpc")]
mod grpc;
mod metrics;
#[cfg(feature = "checks")]
mod ready_made;
#[cfg(feature = "test-util")]
mod reconfigure;
#[cfg(feature = "test-util")]
mod recovery;
mod rig;
mod rollup;
mod tree_model;
#[cfg(feature = "axum")]
mod views;
#[cfg(feature = "test-util")]
mod watch;
