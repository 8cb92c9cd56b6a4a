//! Rejuvenation: components are rebooted before a resource runs out (MR9).
//!
#![doc = include_str!("RULES.md")]

mod config;
mod driver;
mod machine;
#[cfg(test)]
mod tests;

pub use config::RejuvenationConfig;
pub use driver::{Rejuvenation, RejuvenationSnapshot};
