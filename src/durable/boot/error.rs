//! Why a boot failed.

use super::report::Stage;
use crate::durable::journal::OpenError;
use crate::durable::replay::ReplayError;
use crate::durable::snapshot::StoreError;
use crate::kernel::config::ConfigError;
use std::error::Error;
use std::fmt;

/// A boot failed; nothing is served.
#[derive(Debug)]
#[non_exhaustive]
pub enum BootError {
    /// The configuration cannot be.
    Config(ConfigError),
    /// The store of snapshots failed. That is no absence of snapshots.
    Snapshots(StoreError),
    /// The journal was not opened.
    Open(OpenError),
    /// The state could not be made of what was there. The journal was opened, and is closed again.
    Replay(ReplayError),
}

impl BootError {
    /// In which stage it failed; `None` if before any of them. A failure to open the journal counts
    /// as one to verify it.
    pub const fn stage(&self) -> Option<Stage> {
        match self {
            Self::Config(_) => None,
            Self::Snapshots(_) => Some(Stage::Look),
            Self::Open(_) => Some(Stage::Verify),
            Self::Replay(_) => Some(Stage::Replay),
        }
    }
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Snapshots(error) => write!(f, "snapshots cannot be read: {error}"),
            Self::Open(error) => error.fmt(f),
            Self::Replay(error) => error.fmt(f),
        }
    }
}

impl Error for BootError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Config(error) => Some(error),
            Self::Snapshots(error) => Some(error),
            Self::Open(error) => Some(error),
            Self::Replay(error) => Some(error),
        }
    }
}

impl From<ConfigError> for BootError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<StoreError> for BootError {
    fn from(error: StoreError) -> Self {
        Self::Snapshots(error)
    }
}

impl From<OpenError> for BootError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<ReplayError> for BootError {
    fn from(error: ReplayError) -> Self {
        Self::Replay(error)
    }
}
