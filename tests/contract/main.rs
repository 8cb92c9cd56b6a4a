//! Tower's contract, held by every service from one table.
//!
//! * `table.rs`: the services. A new policy is one line there.
//! * `laws.rs`: the laws, each a function over a row of the table.
//! * `late.rs`: those about readiness, for services that are always ready.
//! * `controls.rs`: services that break the laws, to show that the laws notice.
//! * `cb11.rs`: what the circuit breaker's service promises beyond them.

mod cb11;
mod controls;
mod late;
mod laws;
mod mock;
mod row;
mod table;
