//! Circuit breaker.

mod call;
mod config;
#[cfg(feature = "serde")]
mod config_text;
mod control;
mod event;
mod handle;
mod keyed;
mod machine;
mod permit;
mod probes;
mod service;
mod snapshot;
mod totals;
mod windows;
mod word;

pub use config::{CircuitBreakerConfig, DroppedCalls, ProbeDecision, Window};
pub use control::Mode;
pub use event::{CircuitBreakerEvent, EventKind, Reason, State, Trip};
pub(crate) use handle::WeakCircuitBreaker;
pub use handle::{CircuitBreaker, TransitionRefused};
pub use permit::{OwnedPermit, Permit};
pub use service::{CircuitBreakerFuture, CircuitBreakerLayer, CircuitBreakerService};
pub use snapshot::{CircuitBreakerSnapshot, WindowSnapshot};
pub use totals::Totals;
