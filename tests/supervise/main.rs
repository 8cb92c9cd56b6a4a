//! Supervision: the public API as users meet it.

#![allow(
    clippy::unchecked_time_subtraction,
    reason = "tests subtract constants"
)]

mod basics;
mod rig;
