//! The durable wing as its users meet it. A binary of its own: it needs none of the web frameworks
//! that the integration tests of the call path build.

mod codec;
mod snapshot;
mod image;
mod journal_damage;
mod journal_model;
mod journal_open;
#[cfg(feature = "test-util")]
mod journal_repair;
mod boot;
mod boot_snapshots;
mod journal_open;
mod replay_failures;
mod replay_rig;
mod replay_snapshots;
mod replay_targets;
mod storage;
