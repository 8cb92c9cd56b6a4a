//! The durable wing as its users meet it. A binary of its own: it needs none of the web frameworks
//! that the integration tests of the call path build.

mod image;
mod journal_damage;
mod journal_open;
#[cfg(feature = "test-util")]
mod journal_repair;
mod storage;
