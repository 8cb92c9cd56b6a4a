//! Ready-made checks: what most services ask.
//!
//! | check | fails when | feature |
//! |---|---|---|
//! | [`circuit_breaker`] | the circuit is open, by itself or by hand | |
//! | [`failure_detector`] | the sender is suspected, or was never heard of | |
//! | `checkpoint_age` | the newest good checkpoint is too old, or there is none | `durable` |
//! | `tcp_connect` | no connection comes about | `checks` |
//! | `http_get` | the answer is none, or no 2xx | `checks` |
//! | `disk_space` | too little of a file system is free | `checks` |
//! | `memory` | too much of what this process may have is used | `checks` |
//!
//! Each is a [`Check`](super::check::Check) like one of your own: give it the settings, the kind of probe and
//! the recovery action that it needs. Those that block run on the runtime's blocking threads. That a
//! run hangs is the check's [timeout](super::check::CheckConfig::timeout) to notice.
//!
//! A dependency's check says nothing of this process: leave it a readiness check, as all are by default.
//!
//! ```
//! use backstop::health::check::Level;
//! use backstop::health::checks;
//! use backstop::health::tree::{Component, HealthTree};
//! use backstop::{CircuitBreaker, CircuitBreakerConfig};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let breaker = CircuitBreaker::new("payments", CircuitBreakerConfig::default())?;
//! let tree = HealthTree::builder("shop")
//!     .component(
//!         Component::new("payments")
//!             .dependency()
//!             .check(checks::circuit_breaker(Level::Degraded, &breaker)),
//!     )
//!     .build()?;
//! tree.start()?;
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "checks")]
mod cgroup;
#[cfg(feature = "durable")]
mod checkpoint;
#[cfg(feature = "checks")]
mod network;
mod parts;
#[cfg(feature = "checks")]
mod resources;

#[cfg(feature = "durable")]
#[cfg_attr(docsrs, doc(cfg(feature = "durable")))]
pub use checkpoint::checkpoint_age;
#[cfg(feature = "checks")]
#[cfg_attr(docsrs, doc(cfg(feature = "checks")))]
pub use network::{http_get, tcp_connect};
pub use parts::{circuit_breaker, failure_detector};
#[cfg(feature = "checks")]
#[cfg_attr(docsrs, doc(cfg(feature = "checks")))]
pub use resources::{disk_space, memory};
