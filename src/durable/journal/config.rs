//! What a journal can be told.

use super::format::record_len;
use crate::kernel::config::{ConfigError, duration_text};
use std::time::Duration;

const MIB: u64 = 1 << 20;
const SMALLEST_SEGMENT: u64 = 1_024;
const LARGEST_SEGMENT: u64 = 1 << 40;
/// A record is in memory whole, and its length is a `u32`.
const LARGEST_RECORD: u64 = 1 << 30;
const LARGEST_BUFFER: u64 = 1 << 40;
const SHORTEST_INTERVAL: Duration = Duration::from_millis(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);

/// The configuration of a [`Journal`](super::Journal): a small value with a default for everything,
/// checked when a journal is opened.
///
/// | setting | default | why |
/// |---|---|---|
/// | [`segment_bytes`](Self::segment_bytes) | 64 MiB | compaction gives room back by whole segments; a new one costs two syncs |
/// | [`record_limit`](Self::record_limit) | 1 MiB | an event is small; a payload that is not belongs into a store of its own |
/// | [`sync`](Self::sync) | always | what is acknowledged survives a power cut |
/// | [`recovery`](Self::recovery) | torn tail | a crash leaves nothing else; other damage is for people to look at |
/// | [`open`](Self::open) | must exist | a wrong path or an absent volume is not taken for a fresh journal |
/// | [`quarantine`](Self::quarantine) | on | nothing is destroyed by a repair |
/// | [`lock_wait`](Self::lock_wait) | 2 s | a restart meets the end of the process before it |
/// | [`buffer_bytes`](Self::buffer_bytes) | 8 MiB | bounds what a crash may lose under the buffered policies, and the memory |
/// | [`reserve_bytes`](Self::reserve_bytes) | 64 KiB | compaction needs a little room of a disk that is full |
///
/// ```
/// use backstop::durable::journal::{JournalConfig, OpenMode, SyncPolicy};
/// use std::time::Duration;
///
/// let config = JournalConfig::default()
///     .open(OpenMode::CreateIfMissing)
///     .sync(SyncPolicy::Interval(Duration::from_secs(1)));
/// let text: JournalConfig = toml::from_str(r#"
///     open = "create_if_missing"
///     sync = { interval = "1s" }
/// "#).unwrap();
/// assert_eq!(text, config);
/// ```
///
/// Unknown fields of a text are refused.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JournalConfig {
    pub(super) segment_bytes: u64,
    pub(super) record_limit: u64,
    pub(super) sync: SyncPolicy,
    pub(super) recovery: RecoveryMode,
    pub(super) open: OpenMode,
    pub(super) quarantine: bool,
    #[serde(with = "duration_text")]
    pub(super) lock_wait: Duration,
    pub(super) buffer_bytes: u64,
    pub(super) reserve_bytes: u64,
}

/// When an append is acknowledged, and what that means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncPolicy {
    /// When it is durable: it survives a power cut. Those who wait together share one sync.
    #[default]
    Always,
    /// Once it is buffered: **a `kill -9` may lose it.** What was buffered is written and synced each
    /// time so much time has passed. 1 ms to 1 h. In text: `{ interval = "1s" }`.
    Interval(#[serde(with = "duration_text")] Duration),
    /// Once it is buffered: **a `kill -9` may lose it.** It is written when the buffer is full, and
    /// synced when a segment ends and when somebody calls `sync`.
    Never,
}

/// What an open does about damage.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum RecoveryMode {
    /// Cuts off a torn end, as a crash leaves one, and refuses any other damage.
    #[default]
    TornTail,
    /// Keeps the records before the first damage, whatever it is: the longest valid prefix.
    PointInTime,
    /// Keeps every record that verifies, counts the rest, and leaves a journal that is whole but for
    /// the sequences that are missing in it.
    SkipDamaged,
    /// Refuses any damage, a torn end too.
    Strict,
}

impl RecoveryMode {
    /// Whether a low-water mark that is damaged is written anew.
    pub(super) const fn repairs_the_mark(self) -> bool {
        matches!(self, Self::PointInTime | Self::SkipDamaged)
    }

    /// In `snake_case`, as in text.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TornTail => "torn_tail",
            Self::PointInTime => "point_in_time",
            Self::SkipDamaged => "skip_damaged",
            Self::Strict => "strict",
        }
    }
}

/// What an open does where there is no journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpenMode {
    /// Refuses: a directory without a segment, too, is a journal that was lost.
    #[default]
    MustExist,
    /// Begins one, in a directory that is created if its parent is there. A directory that cannot be
    /// read is an error nevertheless.
    CreateIfMissing,
}

impl Default for JournalConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 64 * MIB,
            record_limit: MIB,
            sync: SyncPolicy::Always,
            recovery: RecoveryMode::TornTail,
            open: OpenMode::MustExist,
            quarantine: true,
            lock_wait: Duration::from_secs(2),
            buffer_bytes: 8 * MIB,
            reserve_bytes: 64 * 1_024,
        }
    }
}

impl JournalConfig {
    /// A segment ends when the next record would make it longer than this: 1 KiB to 1 TiB. A
    /// record that is longer has a segment to itself. Default: 64 MiB.
    pub const fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// The longest payload that is taken, in bytes: 1 to 1 GiB. Records that are longer and in the
    /// journal already, from times of a higher limit, are kept and read all the same. Default: 1
    /// MiB.
    pub const fn record_limit(mut self, bytes: u64) -> Self {
        self.record_limit = bytes;
        self
    }

    /// When an append is acknowledged. Default: when it is durable.
    pub const fn sync(mut self, policy: SyncPolicy) -> Self {
        self.sync = policy;
        self
    }

    /// What an open does about damage. Default: it repairs a torn end and refuses the rest.
    pub const fn recovery(mut self, mode: RecoveryMode) -> Self {
        self.recovery = mode;
        self
    }

    /// What an open does where there is no journal. Default: it refuses.
    pub const fn open(mut self, mode: OpenMode) -> Self {
        self.open = mode;
        self
    }

    /// Whether files are copied to the directory `quarantine` before anything of them is cut or
    /// removed for damage. Default: on.
    pub const fn quarantine(mut self, on: bool) -> Self {
        self.quarantine = on;
        self
    }

    /// How long an open waits for another process to give the journal up: up to 1 h. Default: 2 s.
    pub const fn lock_wait(mut self, wait: Duration) -> Self {
        self.lock_wait = wait;
        self
    }

    /// How many bytes of records may wait to be written: at least one of the longest records, up to
    /// 1 TiB. Default: 8 MiB.
    pub const fn buffer_bytes(mut self, bytes: u64) -> Self {
        self.buffer_bytes = bytes;
        self
    }

    /// How many bytes of the disk are set aside, so that compaction can run when it is full: up to
    /// 1 GiB; 0: none. Default: 64 KiB.
    pub const fn reserve_bytes(mut self, bytes: u64) -> Self {
        self.reserve_bytes = bytes;
        self
    }

    /// Checks everything.
    pub(crate) fn checked(&self) -> Result<(), ConfigError> {
        let range = |field, value, lowest: u64, highest: u64| {
            if (lowest..=highest).contains(&value) {
                return Ok(());
            }
            let allowed = format!("from {lowest} to {highest} bytes");
            Err(ConfigError::new(field, value, allowed))
        };
        range(
            "segment_bytes",
            self.segment_bytes,
            SMALLEST_SEGMENT,
            LARGEST_SEGMENT,
        )?;
        range("record_limit", self.record_limit, 1, LARGEST_RECORD)?;
        let longest = record_len(self.payload_limit());
        range("buffer_bytes", self.buffer_bytes, longest, LARGEST_BUFFER)?;
        range("reserve_bytes", self.reserve_bytes, 0, LARGEST_RECORD)?;
        let wait = self.lock_wait;
        if wait > LONGEST_WAIT {
            let wait = format_args!("{wait:?}");
            return Err(ConfigError::new("lock_wait", wait, "at most 1h"));
        }
        match self.sync {
            SyncPolicy::Interval(every) if !(SHORTEST_INTERVAL..=LONGEST_WAIT).contains(&every) => {
                let every = format_args!("{every:?}");
                Err(ConfigError::new("sync.interval", every, "from 1ms to 1h"))
            }
            _ => Ok(()),
        }
    }

    /// The limit of a payload in the type of its length.
    pub(crate) fn payload_limit(&self) -> u32 {
        u32::try_from(self.record_limit).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_refused_by_field_value_and_range() {
        let ok = JournalConfig::default();
        ok.checked().unwrap();
        for (config, told) in [
            (
                ok.clone().segment_bytes(1_023),
                "segment_bytes: 1023 is not allowed; it must be from 1024 to 1099511627776 bytes",
            ),
            (
                ok.clone().record_limit(0),
                "record_limit: 0 is not allowed; it must be from 1 to 1073741824 bytes",
            ),
            (
                ok.clone().record_limit(u64::from(u32::MAX) + 1),
                "record_limit: 4294967296 is not allowed; it must be from 1 to 1073741824 bytes",
            ),
            (
                ok.clone().buffer_bytes(MIB),
                "buffer_bytes: 1048576 is not allowed; it must be from 1048624 to 1099511627776 bytes",
            ),
            (
                ok.clone().reserve_bytes(LARGEST_RECORD + 1),
                "reserve_bytes: 1073741825 is not allowed; it must be from 0 to 1073741824 bytes",
            ),
            (
                ok.clone().lock_wait(Duration::MAX),
                "lock_wait: 18446744073709551615.999999999s is not allowed; it must be at most 1h",
            ),
            (
                ok.clone().sync(SyncPolicy::Interval(Duration::ZERO)),
                "sync.interval: 0ns is not allowed; it must be from 1ms to 1h",
            ),
        ] {
            assert_eq!(config.checked().unwrap_err().to_string(), told);
        }
    }

    #[test]
    fn text_is_read_as_it_was_written_and_unknown_fields_are_refused() {
        let config = JournalConfig::default()
            .segment_bytes(4_096)
            .record_limit(100)
            .sync(SyncPolicy::Interval(Duration::from_millis(20)))
            .recovery(RecoveryMode::SkipDamaged)
            .open(OpenMode::CreateIfMissing)
            .quarantine(false)
            .lock_wait(Duration::ZERO)
            .buffer_bytes(5_000)
            .reserve_bytes(0);
        config.checked().unwrap();
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<JournalConfig>(&text).unwrap(), config);
        assert!(text.contains("recovery = \"skip_damaged\""), "{text}");
        let error = toml::from_str::<JournalConfig>("snyc = \"never\"").unwrap_err();
        assert!(
            error.to_string().contains("unknown field `snyc`"),
            "{error}"
        );
    }
}
