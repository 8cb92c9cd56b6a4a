//! The gate before a component: who calls while it is rebooted (MR8).

mod call;
mod config;
mod control;
mod handle;
#[cfg(all(test, backstop_loom))]
mod loom_tests;
mod machine;
mod pass;
mod reboot;
mod service;
mod stripe;
mod waiting;
mod wakers;

pub use config::{GateConfig, Idempotence};
pub use control::GateState;
pub use handle::Gate;
pub use pass::Pass;
pub use reboot::{Drain, Drained, Reboot};
pub use service::{GateFuture, GateLayer, GateService, IsIdempotent, NoneIdempotent};
