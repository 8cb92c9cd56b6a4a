//! Supervision: the public API as users meet it.

#![allow(
    clippy::unchecked_time_subtraction,
    reason = "tests subtract constants"
)]

mod basics;
mod child;
mod commands;
mod groups;
mod rig;
mod soak;
mod soak_rig;
mod starts;
