//! One small adapter per peer, each used as its own documentation shows it. A peer's file adds its rows to the scenarios
//! of each family that it has a policy for.

mod backon;
mod circuitbreaker_rs;
mod failsafe;
mod recloser;
mod seatbelt;
mod tokio;
mod tower;
mod tower_resilience;

use crate::suite::Suite;

pub(crate) fn rows(suite: &mut Suite<'_>) {
    tower::rows(suite);
    tower_resilience::rows(suite);
    seatbelt::rows(suite);
    tokio::rows(suite);
    backon::rows(suite);
    recloser::rows(suite);
    failsafe::rows(suite);
    circuitbreaker_rs::rows(suite);
}
