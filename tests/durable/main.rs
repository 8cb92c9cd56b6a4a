//! The durable wing as its users meet it. A binary of its own: it needs none of the web frameworks
//! that the integration tests of the call path build.

mod any_bytes;
mod boot;
mod boot_snapshots;
#[cfg(feature = "test-util")]
mod codec;
mod image;
mod journal_bytes;
mod journal_costs;
mod journal_damage;
mod journal_model;
mod journal_open;
#[cfg(feature = "test-util")]
mod journal_ops;
#[cfg(feature = "test-util")]
mod journal_repair;
mod journal_write;
mod replay_failures;
mod replay_memory;
mod replay_rig;
mod replay_snapshots;
mod replay_targets;
#[cfg(feature = "test-util")]
mod snapshot;
mod storage;
