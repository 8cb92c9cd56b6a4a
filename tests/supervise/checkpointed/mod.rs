//! Children that are restarted with their state.

use std::time::Duration;

mod bench;
mod errors;
mod saves;
mod stores;
mod trials;

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const SECOND: Duration = Duration::from_secs(1);
