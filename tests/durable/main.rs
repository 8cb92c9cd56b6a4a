//! The durable wing as its users meet it. A binary of its own: it needs none of the web frameworks
//! that the integration tests of the call path build.

mod boot;
mod boot_snapshots;
mod codec;
mod image;
mod journal_damage;
mod journal_open;
#[cfg(feature = "test-util")]
mod journal_repair;
mod replay_failures;
mod replay_rig;
mod replay_snapshots;
mod replay_targets;
mod snapshot;
mod storage;
