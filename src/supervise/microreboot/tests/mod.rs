//! The manager over a host that does as it is told, under virtual time.

mod attack;
mod cap;
mod ladder;
mod model;
mod phases;
mod rig;
mod single_flight;
mod storm;
