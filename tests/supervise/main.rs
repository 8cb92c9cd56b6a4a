//! The wing that restarts parts, as its users meet it.

#![allow(
    clippy::unchecked_time_subtraction,
    reason = "tests subtract constants"
)]

mod basics;
mod gate;
mod child;
mod commands;
mod dynamic;
mod groups;
mod orphans;
mod pausing;
mod rig;
mod sight;
mod starts;
mod watchdog;
