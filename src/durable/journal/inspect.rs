//! A look at a journal that changes nothing.

use super::config::RecoveryMode;
use super::damage::{Damage, Verdict, Why};
use super::layout::SegmentFile;
use super::open::Found;
use super::open_error::OpenError;
use super::report::Progress;
use crate::durable::storage::Storage;
use std::fmt;
use std::path::{Path, PathBuf};

/// What a journal's directory holds, as [`inspect`] found it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspection {
    /// The segments, in the order of their records; those that are superseded come last.
    pub segments: Vec<SegmentSummary>,
    /// Records that verify.
    pub records: u64,
    /// The last sequence; 0: none was ever given.
    pub last_sequence: u64,
    /// The last sequence that is known durable. Records beyond it may be, too: the next record would
    /// have said so.
    pub watermark: u64,
    /// Records up to this may have been removed by compaction; 0: none.
    pub low_water: u64,
    /// Whether the low-water mark is damaged.
    pub is_mark_damaged: bool,
    /// Sequences that an earlier repair has left out.
    pub missing: u64,
    /// What is wrong, in the order of the records: the first 64 places.
    pub damage: Vec<Damage>,
    /// How many places there are.
    pub damage_count: u64,
    /// Files that are not the journal's, and copies of its segments.
    pub foreign: Vec<PathBuf>,
    /// What the ends of processes in the middle of an open have left; the next open removes it.
    pub unfinished: Vec<PathBuf>,
    outcomes: [Outcome; 4],
}

/// A segment, as its header says, or its name if the header is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentSummary {
    /// Its file.
    pub path: PathBuf,
    /// Which open began it.
    pub epoch: u64,
    /// The sequence of its first record.
    pub first_sequence: u64,
    /// The last sequence that counts in it; one less than the first one if there is none.
    pub last_sequence: u64,
    /// The length of the file.
    pub bytes: u64,
    /// Whether its header verifies.
    pub has_header: bool,
    /// Whether a segment of a later epoch holds all that it holds, or it holds nothing, or
    /// what a compaction was to remove.
    pub is_stale: bool,
}

/// What an open would come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It opens, and nothing is wrong.
    Sound,
    /// It keeps the records up to this sequence, and drops what is behind it.
    KeepsUpTo(u64),
    /// It keeps so many records: all that verify.
    KeepsAll(u64),
    /// It refuses.
    Refuses(Why),
    /// It refuses, because the low-water mark is damaged.
    RefusesMark,
}

/// The modes, in the order in which they stand in the table of outcomes.
const MODES: [RecoveryMode; 4] = [
    RecoveryMode::TornTail,
    RecoveryMode::PointInTime,
    RecoveryMode::SkipDamaged,
    RecoveryMode::Strict,
];

/// Verifies the journal in `dir` without a write, without its lock and without a new epoch.
///
/// A journal that a process has open may be looked at; its end is then often in the middle of
/// a write, and told as torn.
///
/// ```
/// use backstop::durable::journal::{Journal, JournalConfig, OpenMode, Outcome, RecoveryMode, inspect};
/// use backstop::durable::storage::MemoryStorage;
/// use std::{path::Path, sync::Arc};
///
/// let storage = MemoryStorage::new();
/// let config = JournalConfig::default().open(OpenMode::CreateIfMissing);
/// let (journal, _) = Journal::open(Arc::new(storage.clone()), "ledger", config)?;
/// journal.append(0, b"paid")?;
/// let found = inspect(&storage, Path::new("ledger"), |_progress| {})?;
/// assert_eq!(found.records, 1);
/// assert_eq!(found.outcome(RecoveryMode::Strict), Outcome::Sound);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`OpenError::Storage`], `Version` and `NotAFile`; damage is none, but what was asked for.
pub fn inspect(
    storage: &dyn Storage,
    dir: &Path,
    mut progress: impl FnMut(&Progress) + Send,
) -> Result<Inspection, OpenError> {
    let found = Found::look(storage, dir, &mut progress)?;
    let outcomes = MODES.map(|mode| outcome(&found, mode));
    let survey = found.survey;
    let live = survey.segments.iter().zip(&found.lineup.live);
    let live = live.map(|(info, live)| SegmentSummary {
        last_sequence: info.last_sequence,
        is_stale: false,
        ..SegmentSummary::of(&live.file)
    });
    let stale = found.lineup.stale.iter().chain(&found.lineup.void);
    let stale = stale.chain(&found.lineup.compacted);
    Ok(Inspection {
        segments: live.chain(stale.map(SegmentSummary::of)).collect(),
        records: survey.records,
        last_sequence: survey.last.sequence,
        watermark: survey.watermark,
        low_water: survey.low_water,
        is_mark_damaged: survey.is_mark_damaged,
        missing: survey.missing,
        damage: survey.damage,
        damage_count: survey.damage_count,
        foreign: found.foreign,
        unfinished: found.unfinished,
        outcomes,
    })
}

fn outcome(found: &Found, mode: RecoveryMode) -> Outcome {
    let survey = &found.survey;
    match found.judge(mode) {
        Verdict::Refuse(why) => Outcome::Refuses(why),
        _ if survey.refuses_mark(mode) => Outcome::RefusesMark,
        Verdict::Sound => Outcome::Sound,
        Verdict::Cut => Outcome::KeepsUpTo(survey.sound.sequence),
        Verdict::Skip => Outcome::KeepsAll(survey.records),
    }
}

impl SegmentSummary {
    fn of(file: &SegmentFile) -> Self {
        Self {
            path: file.path.clone(),
            epoch: file.identity.epoch,
            first_sequence: file.identity.first,
            last_sequence: file.identity.first - 1,
            bytes: file.len,
            has_header: file.header.is_ok(),
            is_stale: true,
        }
    }
}

impl Inspection {
    /// What an open in this mode would come to, as things are now and without a snapshot.
    pub fn outcome(&self, mode: RecoveryMode) -> Outcome {
        let number = MODES.iter().position(|other| *other == mode);
        self.outcomes[number.unwrap_or_default()]
    }

    /// Whether nothing is wrong.
    pub const fn is_clean(&self) -> bool {
        self.damage_count == 0 && !self.is_mark_damaged
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sound => f.write_str("opens"),
            Self::KeepsUpTo(last) => write!(f, "keeps the records up to {last}"),
            Self::KeepsAll(records) => write!(f, "keeps all {records} records that verify"),
            Self::Refuses(why) => write!(f, "refuses: {why}"),
            Self::RefusesMark => f.write_str("refuses: the low-water mark does not verify"),
        }
    }
}

impl fmt::Display for SegmentSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            epoch,
            first_sequence: first,
            last_sequence: last,
            bytes,
            ..
        } = self;
        let name = path.file_name().unwrap_or(path.as_os_str());
        write!(
            f,
            "{}: epoch {epoch}, {bytes} bytes, ",
            name.to_string_lossy()
        )?;
        if self.is_stale {
            f.write_str("superseded")?;
        } else if last < first {
            write!(f, "no records from {first} on")?;
        } else {
            write!(f, "records {first} to {last}")?;
        }
        if !self.has_header {
            f.write_str(", without a header")?;
        }
        Ok(())
    }
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            writeln!(f, "{segment}")?;
        }
        writeln!(
            f,
            "{} records, the last sequence is {}; durable for certain up to {}",
            self.records, self.last_sequence, self.watermark
        )?;
        if self.low_water > 0 {
            writeln!(f, "compacted up to {}", self.low_water)?;
        }
        if self.missing > 0 {
            writeln!(
                f,
                "{} sequences left out by an earlier repair",
                self.missing
            )?;
        }
        if self.is_mark_damaged {
            writeln!(f, "the low-water mark is damaged")?;
        }
        for path in &self.foreign {
            writeln!(f, "not of this journal: {}", path.display())?;
        }
        for path in &self.unfinished {
            writeln!(f, "unfinished: {}", path.display())?;
        }
        for damage in &self.damage {
            writeln!(f, "damage: {damage}")?;
        }
        let told = self.damage.len() as u64;
        if self.damage_count > told {
            writeln!(f, "and {} more places", self.damage_count - told)?;
        }
        if self.is_clean() {
            return f.write_str("nothing is wrong");
        }
        for (number, mode) in MODES.into_iter().enumerate() {
            let line = if number == 0 { "" } else { "\n" };
            write!(f, "{line}{} {}", mode.name(), self.outcome(mode))?;
        }
        Ok(())
    }
}
