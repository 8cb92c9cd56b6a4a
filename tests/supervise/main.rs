//! The wing that restarts parts, as its users meet it.

#![allow(
    clippy::unchecked_time_subtraction,
    reason = "tests subtract constants"
)]

mod attacks;
mod basics;
#[cfg(feature = "durable")]
mod checkpointed;
mod child;
mod commands;
mod costs;
mod dynamic;
mod gate;
mod groups;
mod in_turn;
mod microreboot;
mod orphans;
mod pausing;
mod reach;
mod rejuvenation;
mod reporters;
mod rig;
mod sight;
mod soak;
mod soak_rig;
mod starts;
mod stops;
mod storms;
mod supervised;
mod watchdog;
