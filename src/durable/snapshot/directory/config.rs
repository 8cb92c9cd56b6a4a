//! What a directory of checkpoints can be told.

use super::super::DEFAULT_KEEP;
use super::super::check_keep;
use crate::kernel::config::{ConfigError, duration_text};
use std::time::Duration;

/// The configuration of a [`DirectoryStore`](super::DirectoryStore).
///
/// ```
/// use backstop::durable::snapshot::DirectoryConfig;
///
/// let config: DirectoryConfig = toml::from_str(
///     r#"
///     keep = 5
///     create = false
///     lock_wait = "10s"
///     "#,
/// )?;
/// assert_eq!(config.keep(5), config);
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DirectoryConfig {
    pub(super) keep: usize,
    pub(super) create: bool,
    #[serde(with = "duration_text")]
    pub(super) lock_wait: Duration,
}

impl DirectoryConfig {
    /// Good checkpoints of a key that are kept, 1 to 1,000.
    ///
    /// By default 3: the newest, the one before it for when that turns out to be bad, and one more for
    /// damage that comes on top.
    pub const fn keep(self, keep: usize) -> Self {
        Self { keep, ..self }
    }

    /// Whether a directory that is not there is created. By default it is.
    ///
    /// Off it tells a disk that is not mounted from a service that starts for the first time.
    pub const fn create(self, create: bool) -> Self {
        Self { create, ..self }
    }

    /// How long to wait for another process to let go of the directory. By default 2 s: the time that
    /// a process takes to end after its successor was started.
    pub const fn lock_wait(self, lock_wait: Duration) -> Self {
        Self { lock_wait, ..self }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        check_keep(self.keep)
    }
}

impl Default for DirectoryConfig {
    fn default() -> Self {
        Self {
            keep: DEFAULT_KEEP,
            create: true,
            lock_wait: Duration::from_secs(2),
        }
    }
}
