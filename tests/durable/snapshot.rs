//! Checkpoints: what all stores do, and what a directory survives.

mod crash;
mod directory;
mod figures;
mod model;
#[cfg(feature = "redb")]
mod redb;
mod rig;
mod stores;
mod typed;
