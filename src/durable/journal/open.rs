//! From a directory to a journal that serves: verified, repaired, and begun anew.

use super::config::{JournalConfig, OpenMode, RecoveryMode};
use super::damage::{FirstDamage, Verdict, judge};
use super::handle::Journal;
use super::layout::{self, Layout};
use super::lock;
use super::low_water::{self, LOW_WATER, LowWater};
use super::open_error::OpenError;
use super::repair::{Plan, Repaired, Work};
use super::report::{OpenReport, Progress};
use super::start::Opened;
use super::survey::{Survey, Tell, survey};
use super::walk::{Lineup, line_up};
use crate::durable::storage::{Operation, Storage, StorageError, offload};
use crate::kernel::clock::Clock;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Opens a journal: [`Journal::open`] with more to say.
///
/// ```
/// use backstop::durable::journal::{JournalConfig, OpenMode, Opener};
/// use backstop::durable::storage::MemoryStorage;
/// use std::sync::Arc;
///
/// let storage = Arc::new(MemoryStorage::new());
/// let (journal, report) = Opener::new(storage, "ledger")
///     .config(JournalConfig::default().open(OpenMode::CreateIfMissing))
///     .progress(|progress| println!("{} of {} bytes", progress.bytes, progress.total_bytes))
///     .open()?;
/// assert!(report.is_new);
/// assert_eq!(journal.append(0, b"paid")?, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Opener {
    storage: Arc<dyn Storage>,
    dir: PathBuf,
    config: JournalConfig,
    clock: Clock,
    snapshot: u64,
    progress: Option<Box<Tell<'static>>>,
}

impl Opener {
    /// For the journal in this directory, with the default configuration and clock.
    pub fn new(storage: Arc<dyn Storage>, dir: impl Into<PathBuf>) -> Self {
        Self {
            storage,
            dir: dir.into(),
            config: JournalConfig::default(),
            clock: Clock::default(),
            snapshot: 0,
            progress: None,
        }
    }

    /// The configuration.
    pub fn config(mut self, config: JournalConfig) -> Self {
        self.config = config;
        self
    }

    /// The clock by which the lock is waited for, and syncs are timed.
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = clock.into();
        self
    }

    /// A snapshot holds the records up to this sequence, so the journal must reach that far, or it is
    /// not the one of that snapshot. 0: there is none, the default.
    pub const fn snapshot_at(mut self, sequence: u64) -> Self {
        self.snapshot = sequence;
        self
    }

    /// Is told how far the open is: at its beginning and end, and every 8 MiB between. It runs on
    /// the thread that opens; if it panics, the open ends with that.
    pub fn progress(mut self, told: impl FnMut(&Progress) + Send + 'static) -> Self {
        self.progress = Some(Box::new(told));
        self
    }

    /// Opens the journal; blocks until it is verified, repaired and ready.
    ///
    /// # Errors
    ///
    /// [`OpenError`] says what was found, where, and what can be done. Damage that the recovery mode
    /// refuses changes nothing. An I/O error fails the open in every mode; the next one goes on from
    /// what is there.
    pub fn open(mut self) -> Result<(Journal, OpenReport), OpenError> {
        let mut none = |_: &Progress| {};
        let mut progress = self.progress.take();
        let tell: &mut Tell<'_> = match &mut progress {
            Some(progress) => &mut **progress,
            None => &mut none,
        };
        self.recover(tell)
    }

    /// The same on a thread for blocking work.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), and [`OpenError::NoRuntime`] outside a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// The open goes on if the future is dropped; the journal is closed again when it is done.
    pub async fn open_async(self) -> Result<(Journal, OpenReport), OpenError> {
        match offload(move || self.open()).await {
            Ok(opened) => opened,
            Err(_not_run) => Err(OpenError::NoRuntime),
        }
    }

    fn recover(self, tell: &mut Tell<'_>) -> Result<(Journal, OpenReport), OpenError> {
        self.config.checked()?;
        let start = self.clock.now();
        let (storage, dir) = (&*self.storage, &*self.dir);
        let is_there = directory(storage, dir, self.config.open)?;
        let lock = lock::take(storage, dir, &self.clock, self.config.lock_wait)?;
        let mut found = Found::look(storage, dir, tell)?;
        let is_empty = found.survey.segments.is_empty() && found.survey.damage_count == 0;
        let is_new = is_empty && !found.survey.is_mark_damaged;
        if is_new {
            self.refuse_to_begin()?;
            if is_there {
                // The open that created it may not have come to this.
                sync_parent(storage, dir)?;
            }
        }
        // A name may be there since the moment before a crash, and not durable: the process that gave it
        // did not come to that. What is built on it here must not be there without it.
        let synced = storage.sync_dir(dir);
        synced.map_err(StorageError::at(Operation::SyncDir, dir))?;
        found
            .survey
            .compare_with_snapshot(self.snapshot, &found.lineup);

        let (verdict, plan) = self.decide(&found)?;
        let repaired = Work {
            storage,
            dir,
            lineup: &found.lineup,
            unfinished: &found.unfinished,
            segment_bytes: self.config.segment_bytes,
            quarantine: self.config.quarantine,
        }
        .repair(&found.survey, &plan, tell)?;
        let mut report = report(&found, verdict, &plan, &repaired, &self.config);
        report.is_new = is_new;
        report.took = self.clock.now().saturating_duration_since(start);
        let opened = Opened {
            storage: Arc::clone(&self.storage),
            dir: self.dir.clone(),
            config: self.config.clone(),
            clock: self.clock.clone(),
            lock: Some(lock),
            tail: repaired.tail,
            segments: repaired.segments,
        };
        let journal = opened
            .start()
            .map_err(|error| OpenError::NoThread(Arc::new(error)))?;
        Ok((journal, report))
    }

    fn refuse_to_begin(&self) -> Result<(), OpenError> {
        if self.config.open == OpenMode::MustExist {
            let dir = self.dir.clone();
            return Err(OpenError::Absent { dir });
        }
        Ok(())
    }

    fn decide(&self, found: &Found) -> Result<(Verdict, Plan), OpenError> {
        let (survey, mode) = (&found.survey, self.config.recovery);
        let exhausted = || OpenError::Exhausted {
            dir: self.dir.clone(),
        };
        let verdict = found.judge(mode);
        let plan =
            Plan::new(survey, verdict, found.epoch(), self.snapshot).ok_or_else(exhausted)?;
        let is_empty = survey.last.sequence == 0;
        let reaches = self.snapshot <= plan.last_sequence && !(is_empty && self.snapshot > 0);
        if !reaches {
            return Err(OpenError::SnapshotAhead {
                dir: self.dir.clone(),
                snapshot: self.snapshot,
                last: plan.keep.sequence,
            });
        }
        if survey.refuses_mark(mode) {
            let path = self.dir.join(LOW_WATER);
            return Err(OpenError::LowWater { path, mode });
        }
        match (verdict, survey.first_damage()) {
            (Verdict::Refuse(why), Some(damage)) => Err(OpenError::Damaged {
                damage: damage.clone(),
                count: survey.damage_count,
                why,
                mode,
                watermark: survey.watermark,
            }),
            _ if plan.last_sequence == u64::MAX => Err(exhausted()),
            _ => Ok((verdict, plan)),
        }
    }
}

impl Journal {
    /// Opens the journal in the directory `dir`: verifies all of it, repairs what the configured
    /// [`RecoveryMode`] repairs, and begins a new epoch. Blocks until that is done; 1 GiB takes
    /// well under a second where it is cached, and as long as the disk takes to read it elsewhere.
    /// With more to say, and in async code, use an [`Opener`].
    ///
    /// ```
    /// use backstop::durable::journal::{Journal, JournalConfig, OpenMode};
    /// use backstop::durable::storage::FsStorage;
    /// use std::sync::Arc;
    ///
    /// # let temp = tempfile::tempdir()?;
    /// # let dir = temp.path().join("ledger");
    /// let config = JournalConfig::default().open(OpenMode::CreateIfMissing);
    /// let (journal, report) = Journal::open(Arc::new(FsStorage), dir, config)?;
    /// println!("{report}");
    /// journal.append(1, b"opened an account")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Opener::open`].
    pub fn open(
        storage: Arc<dyn Storage>,
        dir: impl Into<PathBuf>,
        config: JournalConfig,
    ) -> Result<(Self, OpenReport), OpenError> {
        Opener::new(storage, dir).config(config).open()
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener")
            .field("dir", &self.dir)
            .field("config", &self.config)
            .field("snapshot", &self.snapshot)
            .finish_non_exhaustive()
    }
}

/// A journal as it is found.
pub(super) struct Found {
    pub(super) lineup: Lineup,
    pub(super) unfinished: Vec<PathBuf>,
    pub(super) foreign: Vec<PathBuf>,
    pub(super) survey: Survey,
}

impl Found {
    /// Reads and verifies, and changes nothing.
    pub(super) fn look(
        storage: &dyn Storage,
        dir: &Path,
        tell: &mut Tell<'_>,
    ) -> Result<Self, OpenError> {
        let entries = storage
            .list(dir)
            .map_err(StorageError::at(Operation::List, dir))?;
        let Layout {
            segments,
            unfinished,
            foreign,
        } = layout::look(storage, dir, entries)?;
        let low_water = low_water::read(storage, dir)?;
        if let LowWater::Version(version) = low_water {
            let path = dir.join(LOW_WATER);
            return Err(OpenError::Version { path, version });
        }
        let mut lineup = line_up(storage, segments)?;
        let mut found = survey(storage, dir, &lineup, low_water, tell)?;
        // Once, unless there are more gaps than are told one by one.
        while let Some(first) = found.ends_compaction() {
            if !lineup.compact(first) {
                break;
            }
            found = survey(storage, dir, &lineup, low_water, &mut |_| {})?;
        }
        Ok(Self {
            lineup,
            unfinished,
            foreign,
            survey: found,
        })
    }

    pub(super) fn judge(&self, mode: RecoveryMode) -> Verdict {
        let first = self.survey.first_damage().map(FirstDamage::from);
        judge(mode, first, self.survey.watermark)
    }

    /// The highest epoch that any file claims.
    fn epoch(&self) -> u64 {
        let Lineup {
            live,
            stale,
            void,
            compacted,
        } = &self.lineup;
        let live = live.iter().map(|live| &live.file);
        live.chain(stale)
            .chain(void)
            .chain(compacted)
            .map(|file| file.identity.epoch)
            .max()
            .unwrap_or(0)
    }
}

/// Whether the directory was there; it is now.
fn directory(storage: &dyn Storage, dir: &Path, mode: OpenMode) -> Result<bool, OpenError> {
    match storage.list(dir) {
        Ok(_) => return Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(StorageError::new(Operation::List, dir, error).into()),
    }
    if mode == OpenMode::MustExist {
        let dir = dir.to_owned();
        return Err(OpenError::Absent { dir });
    }
    match storage.create_dir(dir) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(StorageError::new(Operation::CreateDir, dir, error).into());
        }
        Ok(()) | Err(_) => {}
    }
    sync_parent(storage, dir)?;
    Ok(false)
}

fn sync_parent(storage: &dyn Storage, dir: &Path) -> Result<(), StorageError> {
    match dir.parent() {
        Some(parent) => storage
            .sync_dir(parent)
            .map_err(StorageError::at(Operation::SyncDir, parent)),
        None => Ok(()),
    }
}

fn report(
    found: &Found,
    verdict: Verdict,
    plan: &Plan,
    repaired: &Repaired,
    config: &JournalConfig,
) -> OpenReport {
    let survey = &found.survey;
    let (dropped, bytes_cut) = match verdict {
        Verdict::Cut => (
            survey.records - survey.sound_records,
            survey.bytes_behind_damage(&found.lineup),
        ),
        _ => (0, survey.damaged_bytes),
    };
    let kept = survey.records - dropped;
    let span = match kept {
        0 => 0,
        _ => plan.last_sequence.saturating_sub(survey.first - 1),
    };
    let first = repaired.segments.first();
    OpenReport {
        is_new: false,
        epoch: plan.epoch,
        first_sequence: first.map_or(plan.start, |first| first.header.first_sequence),
        last_sequence: plan.last_sequence,
        low_water: survey.low_water,
        watermark: survey.watermark,
        records: survey.records,
        bytes: survey.bytes,
        rewritten: repaired.rewritten,
        dropped,
        missing: span.saturating_sub(kept),
        bytes_cut,
        damage: survey.damage.clone(),
        damage_count: survey.damage_count,
        mark_rewritten: survey.is_mark_damaged,
        recovery: config.recovery,
        quarantined: repaired.quarantined.clone(),
        bytes_quarantined: repaired.bytes_quarantined,
        foreign: found.foreign.clone(),
        took: std::time::Duration::ZERO,
    }
}
