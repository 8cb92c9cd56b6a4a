//! Supervision: the public API as users meet it.

#![allow(
    clippy::unchecked_time_subtraction,
    reason = "tests subtract constants"
)]

mod basics;
mod dynamic;
mod orphans;
mod pausing;
mod rig;
mod sight;
mod watchdog;
