//! What a boot can be told.

use crate::durable::journal::{JournalConfig, OpenReport, RecoveryMode};
use crate::durable::replay::{OnGap, OnRejected, ReplayConfig};
use crate::kernel::config::ConfigError;
use serde::{Deserialize, Serialize};

/// What a boot does about a snapshot of events that the journal does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnAhead {
    /// The boot fails, before anything is repaired. The default: the snapshot proves that acknowledged
    /// events were lost, and somebody should know.
    #[default]
    Refuse,
    /// It is marked as suspect, so that it serves no later start either, and the boot goes on with an
    /// older one. For who has decided to live with the loss.
    Retire,
}

/// The configuration of a [`Boot`](super::Boot): a value with a default for everything, checked when a
/// boot runs.
///
/// ```
/// use backstop::durable::boot::BootConfig;
/// use backstop::durable::journal::{JournalConfig, OpenMode};
///
/// let config = BootConfig::default()
///     .journal(JournalConfig::default().open(OpenMode::CreateIfMissing))
///     .snapshot_every(50_000);
/// let text: BootConfig = toml::from_str(r#"
///     snapshot_every = 50000
///     [journal]
///     open = "create_if_missing"
/// "#).unwrap();
/// assert_eq!(text, config);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BootConfig {
    pub(super) journal: JournalConfig,
    pub(super) replay: ReplayConfig,
    pub(super) on_ahead: OnAhead,
    pub(super) snapshot_every: u64,
}

impl Default for BootConfig {
    fn default() -> Self {
        Self {
            journal: JournalConfig::default(),
            replay: ReplayConfig::default(),
            on_ahead: OnAhead::Refuse,
            // At a microsecond for an event, a tenth of a second of a start.
            snapshot_every: 100_000,
        }
    }
}

impl BootConfig {
    /// How the journal is opened and written.
    pub fn journal(mut self, journal: JournalConfig) -> Self {
        self.journal = journal;
        self
    }

    /// What is done about events that fail. [`OnRejected::StopBefore`] is refused: what is appended
    /// next would stand behind events that are not in the state. With
    /// [`RecoveryMode::SkipDamaged`](crate::durable::journal::RecoveryMode::SkipDamaged) missing events
    /// are accepted in any case.
    pub fn replay(mut self, replay: ReplayConfig) -> Self {
        self.replay = replay;
        self
    }

    /// What is done about a snapshot that is ahead of the journal; [`OnAhead::Refuse`] by default.
    pub fn on_ahead(mut self, on_ahead: OnAhead) -> Self {
        self.on_ahead = on_ahead;
        self
    }

    /// After how many events the next snapshot is [due](super::Snapshotter::is_due): 1 or more, 100,000
    /// by default. It bounds how long a start takes, and how much of the journal is kept.
    pub fn snapshot_every(mut self, events: u64) -> Self {
        self.snapshot_every = events;
        self
    }

    /// How a journal is replayed that was opened with this report. What was taken out of it on purpose,
    /// now or by an earlier open, is no gap.
    pub(super) fn replay_of(&self, open: &OpenReport) -> ReplayConfig {
        match open.recovery {
            RecoveryMode::SkipDamaged => self.replay.on_gap(OnGap::Skip),
            _ => self.replay,
        }
    }

    pub(super) fn checked(&self) -> Result<(), ConfigError> {
        if matches!(self.replay.rejected(), OnRejected::StopBefore) {
            let allowed = "fail or skip, as a service goes on behind the last event";
            return Err(ConfigError::new(
                "replay.on_rejected",
                "stop_before",
                allowed,
            ));
        }
        if self.snapshot_every == 0 {
            return Err(ConfigError::new("snapshot_every", 0, "1 or more"));
        }
        Ok(())
    }
}
