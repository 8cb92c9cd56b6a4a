//! The wing that restarts parts, as its users meet it.

#![allow(
    clippy::unchecked_time_subtraction,
    reason = "tests subtract constants"
)]

mod basics;
mod gate;
mod microreboot;
mod rejuvenation;
mod reporters;
mod rig;
