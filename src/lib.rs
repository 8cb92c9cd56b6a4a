//! backstop
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod chaos;
pub mod kernel;
pub mod policy;

pub use kernel::config::ConfigError;
pub use kernel::rejection::{Error, Rejection};
pub use policy::circuit_breaker::{CircuitBreaker, CircuitBreakerConfig, CircuitBreakerLayer};
