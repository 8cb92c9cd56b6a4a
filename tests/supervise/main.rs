//! The wing that restarts parts, as its users meet it.

#![allow(
    clippy::unchecked_time_subtraction,
    reason = "tests subtract constants"
)]

mod basics;
#[cfg(feature = "durable")]
mod checkpointed;
mod gate;
mod child;
mod commands;
mod dynamic;
mod groups;
mod orphans;
mod pausing;
mod microreboot;
mod rig;
mod sight;
mod starts;
mod watchdog;
mod supervised;
