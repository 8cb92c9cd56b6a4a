//! Restarting parts, with their state.
//!
//! Rooms import along `budget < child < supervisor < checkpointed < microreboot`.

pub mod microreboot;
