//! What an open has done, and how far one is.

use super::config::RecoveryMode;
use super::damage::Damage;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// What opening a journal found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenReport {
    /// Whether the journal was begun by this open.
    pub is_new: bool,
    /// The epoch that was begun.
    pub epoch: u64,
    /// The first sequence that can be read: of the first record, or of the next if there is none.
    pub first_sequence: u64,
    /// The last sequence; the next record gets the next one. 0: none was ever given.
    pub last_sequence: u64,
    /// Records up to this may have been removed by compaction; 0: none.
    pub low_water: u64,
    /// The last sequence that was known to be durable.
    pub watermark: u64,
    /// Records that verified, of which [`dropped`](Self::dropped) are not in the journal any more.
    pub records: u64,
    /// Bytes of the segments that were verified.
    pub bytes: u64,
    /// Records beyond the watermark that were written anew, so that they are known durable now.
    pub rewritten: u64,
    /// Records that verify, and were dropped because they stand behind the first damage.
    pub dropped: u64,
    /// Sequences between the first and the last one for which there is no record: lost to damage that
    /// was skipped now or in an earlier repair.
    pub missing: u64,
    /// Bytes that are not in the journal any more: damaged, or dropped behind damage.
    pub bytes_cut: u64,
    /// What was wrong, in the order of the records: the first 64 places.
    pub damage: Vec<Damage>,
    /// How many places there were.
    pub damage_count: u64,
    /// Whether the low-water mark was damaged, and was written anew.
    pub mark_rewritten: bool,
    /// The mode in which damage was dealt with.
    pub recovery: RecoveryMode,
    /// The copies that were made before anything was cut or removed.
    pub quarantined: Vec<PathBuf>,
    /// The bytes of those copies.
    pub bytes_quarantined: u64,
    /// What else is in the directory, and was left alone: files of foreign names, and copies of
    /// segments.
    pub foreign: Vec<PathBuf>,
    /// How long it took.
    pub took: Duration,
}

impl OpenReport {
    /// Whether nothing was wrong.
    pub const fn is_clean(&self) -> bool {
        self.damage_count == 0 && !self.mark_rewritten
    }
}

impl fmt::Display for OpenReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let took = self.took;
        if self.is_new {
            return write!(f, "a new journal, in {took:.1?}");
        }
        write!(
            f,
            "{} records in {} bytes verified in {took:.1?}; the last one is {}",
            self.records, self.bytes, self.last_sequence
        )?;
        if self.rewritten > 0 {
            write!(f, "; {} written anew", self.rewritten)?;
        }
        if self.missing > 0 {
            write!(f, "; {} missing", self.missing)?;
        }
        if self.mark_rewritten {
            f.write_str("; the low-water mark was damaged and is written anew")?;
        }
        if self.damage_count > 0 {
            let (places, mode) = (self.damage_count, self.recovery.name());
            write!(f, "; {places} damaged places ({mode}): ")?;
            write!(
                f,
                "{} bytes cut, {} sound records dropped, {} bytes quarantined",
                self.bytes_cut, self.dropped, self.bytes_quarantined
            )?;
            for damage in &self.damage {
                write!(f, "\n  {damage}")?;
            }
            if self.damage_count > self.damage.len() as u64 {
                let untold = self.damage_count - self.damage.len() as u64;
                write!(f, "\n  and {untold} more")?;
            }
        }
        Ok(())
    }
}

/// How far an open is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// What it is about.
    pub stage: Stage,
    /// Bytes that are done in this stage.
    pub bytes: u64,
    /// All bytes of this stage; 0 if nobody knows.
    pub total_bytes: u64,
    /// Records that are done in this stage.
    pub records: u64,
}

/// What an open is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Reading and verifying everything.
    Verifying,
    /// Copying files to the quarantine.
    Quarantining,
    /// Writing records anew.
    Rewriting,
}
