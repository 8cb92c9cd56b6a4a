//! The house as a function over paths and texts, so that small bad houses can be put to the test.

pub(crate) mod laws;
pub(crate) mod modules;
mod paths;
pub(crate) mod rooms;
