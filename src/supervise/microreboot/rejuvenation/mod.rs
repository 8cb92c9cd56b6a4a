//! Rejuvenation: components are rebooted before a resource runs out (MR9).

mod config;
mod driver;
mod machine;
#[cfg(test)]
mod tests;

pub use config::RejuvenationConfig;
pub use driver::{Rejuvenation, RejuvenationSnapshot};
