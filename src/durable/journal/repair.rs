//! What an open changes: copies first, then the new segments, then what they supersede goes away.

use super::damage::{Damage, Verdict};
use super::format::SEGMENT_HEADER;
use super::layout::SegmentFile;
use super::low_water;
use super::open_error::OpenError;
use super::quarantine::{self, Subject};
use super::record::Found;
use super::report::Stage;
use super::rewrite::Rewriter;
use super::survey::{Meter, Survey, Tell};
use super::tail::{SegmentInfo, Tail};
use super::walk::{Last, Lineup, Step, Walk};
use crate::durable::storage::{Operation, Storage, StorageError};
use std::path::{Path, PathBuf};

/// What is kept, and from where on it is written anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) epoch: u64,
    /// The new epoch begins with this sequence.
    pub(super) start: u64,
    /// The last record that is kept.
    pub(super) keep: Last,
    /// The last sequence that is given when all is done.
    pub(super) last_sequence: u64,
    /// Goes on behind damage.
    pub(super) skips: bool,
    pub(super) is_damaged: bool,
}

impl Plan {
    /// `snapshot` is the last sequence that a snapshot contains; 0: there is none.
    pub(super) fn new(
        survey: &Survey,
        verdict: Verdict,
        epoch: u64,
        snapshot: u64,
    ) -> Option<Self> {
        let skips = verdict == Verdict::Skip;
        let keep = match verdict {
            Verdict::Cut => survey.sound,
            _ => survey.last,
        };
        let watermark = if skips {
            survey.watermark.max(snapshot)
        } else {
            survey.watermark
        };
        // What is known to be durable stays where it is, up to the first damage.
        let sound = survey.watermark.min(survey.sound.sequence);
        Some(Self {
            epoch: epoch.checked_add(1)?,
            start: sound.checked_add(1)?,
            keep,
            // Where damage is skipped, no sequence that was given for good is given again, and
            // none in any mode that compaction was told of.
            last_sequence: if skips {
                keep.sequence.max(watermark)
            } else {
                keep.sequence.max(survey.low_water)
            },
            skips,
            is_damaged: verdict != Verdict::Sound,
        })
    }
}

/// What is to be cut and removed.
#[derive(Debug, Default)]
struct Cuts {
    /// The file in which the first damage is, its length, and where it is cut.
    cut: Option<(PathBuf, u64, u64)>,
    /// Oldest first.
    removed: Vec<Subject>,
    /// Of those, what nobody has a copy of.
    unique: Vec<Subject>,
    /// The live segments that stay: how many, because they are the first ones.
    stays: usize,
}

#[derive(Debug)]
pub(super) struct Repaired {
    pub(super) tail: Tail,
    pub(super) segments: Vec<SegmentInfo>,
    pub(super) rewritten: u64,
    pub(super) quarantined: Vec<PathBuf>,
    pub(super) bytes_quarantined: u64,
}

/// Where things are, and what is asked.
pub(super) struct Work<'a> {
    pub(super) storage: &'a dyn Storage,
    pub(super) dir: &'a Path,
    pub(super) lineup: &'a Lineup,
    pub(super) unfinished: &'a [PathBuf],
    pub(super) segment_bytes: u64,
    pub(super) quarantine: bool,
}

impl Work<'_> {
    pub(super) fn repair(
        &self,
        survey: &Survey,
        plan: &Plan,
        tell: &mut Tell<'_>,
    ) -> Result<Repaired, OpenError> {
        let mut cuts = self.cuts(plan, survey.first_damage());
        if survey.is_mark_damaged {
            cuts.unique
                .push(low_water::subject(self.storage, self.dir)?);
        }
        let copied = if self.quarantine {
            quarantine::copy_all(self.storage, self.dir, &cuts.unique, tell)?
        } else {
            Vec::new()
        };
        let bytes_quarantined = if copied.is_empty() {
            0
        } else {
            cuts.unique.iter().map(|(_, len)| len).sum()
        };
        if survey.is_mark_damaged {
            low_water::write(self.storage, self.dir, survey.low_water)?;
        }
        for path in self.unfinished {
            self.remove(path)?;
        }
        let mut rewriter = Rewriter::new(self.storage, self.dir, plan.epoch, plan.last_sequence);
        let written = self
            .rewrite(&mut rewriter, survey, plan, tell)
            .and_then(|rewritten| {
                let (segments, tail) = rewriter.publish()?;
                Ok((rewritten, segments, tail))
            });
        let (rewritten, new, tail) = written.inspect_err(|_| rewriter.take_back())?;
        self.cut(&cuts)?;
        let mut segments: Vec<SegmentInfo> = survey.segments[..cuts.stays].to_vec();
        for segment in &mut segments {
            segment.last_sequence = segment.last_sequence.min(plan.start - 1);
        }
        if let Some((path, _, len)) = &cuts.cut {
            for segment in segments.iter_mut().filter(|segment| segment.path == *path) {
                segment.len = *len;
            }
        }
        segments.extend(new);
        Ok(Repaired {
            tail,
            segments,
            rewritten,
            quarantined: copied,
            bytes_quarantined,
        })
    }

    fn cuts(&self, plan: &Plan, first: Option<&Damage>) -> Cuts {
        let live = &self.lineup.live;
        let mut cuts = Cuts::default();
        let mut stays = live
            .iter()
            .take_while(|live| live.file.identity.first < plan.start)
            .count();
        let damaged = first.filter(|_| plan.is_damaged).and_then(|damage| {
            let index = live.iter().position(|live| live.file.path == damage.path)?;
            Some((index, damage))
        });
        if let Some((index, damage)) = damaged {
            let keeps_front = damage.offset > 0 && index < stays;
            if keeps_front && damage.offset < live[index].file.len {
                let file = &live[index].file;
                cuts.cut = Some((file.path.clone(), file.len, damage.offset));
                cuts.unique.push((file.path.clone(), file.len));
            }
            stays = stays.min(index + usize::from(keeps_front));
        }
        cuts.stays = stays;
        let subject = |file: &SegmentFile| (file.path.clone(), file.len);
        // Nobody needs a copy of what was to be removed anyway.
        cuts.removed
            .extend(self.lineup.compacted.iter().map(subject));
        let empty = SEGMENT_HEADER as u64;
        let stale = self
            .lineup
            .stale
            .iter()
            .chain(&self.lineup.void)
            .map(subject);
        for subject in stale {
            cuts.removed.push(subject.clone());
            if subject.1 > empty {
                cuts.unique.push(subject);
            }
        }
        for live in &live[stays..] {
            cuts.removed.push(subject(&live.file));
            // Of a sound journal all records of it are in the new segment.
            if plan.is_damaged && live.file.len > 0 {
                cuts.unique.push(subject(&live.file));
            }
        }
        cuts
    }

    /// Writes what is kept from `start` on into new segments; answers how many records those are.
    fn rewrite(
        &self,
        rewriter: &mut Rewriter<'_>,
        survey: &Survey,
        plan: &Plan,
        tell: &mut Tell<'_>,
    ) -> Result<u64, OpenError> {
        let mut meter = Meter::new(Stage::Rewriting, 0, tell);
        let mut last_crc = None;
        let last = if plan.skips {
            u64::MAX
        } else {
            plan.keep.sequence
        };
        let begin = survey.segments.iter().position(|segment| {
            let (first, last_there) = (segment.header.first_sequence, segment.last_sequence);
            let has_records = last_there >= first;
            has_records && last_there >= plan.start && first <= last && plan.start <= last
        });
        if let Some(begin) = begin {
            // What stands behind damage is judged by what stands before it.
            let begin = if plan.skips { 0 } else { begin };
            let mut walk = Walk::new(self.storage, &self.lineup.live, begin);
            while let Some(found) = next_to_keep(&mut walk, plan)? {
                if last_crc.is_none() {
                    rewriter.begin_after(walk.before(), plan.start)?;
                }
                self.copy(rewriter, &mut walk, plan, found)?;
                last_crc = Some(found.crc);
                let bytes = meter.bytes() + found.header.record_len();
                meter.record(bytes);
            }
        }
        match last_crc {
            None if begin.is_none() => rewriter.begin_after(plan.keep, plan.start)?,
            Some(crc) if crc == plan.keep.crc => {}
            // What was read now must be what was judged before.
            _ => return Err(self.unstable()),
        }
        if rewriter.last().sequence < plan.last_sequence {
            let next = plan.last_sequence.checked_add(1);
            rewriter.begin(next.ok_or_else(|| self.exhausted())?)?;
        }
        let records = meter.records();
        meter.end();
        Ok(records)
    }

    fn copy(
        &self,
        rewriter: &mut Rewriter<'_>,
        walk: &mut Walk<'_>,
        plan: &Plan,
        found: Found,
    ) -> Result<(), OpenError> {
        let sequence = found.header.sequence;
        let len = found.header.record_len();
        // One segment, however long, gets its name in one step. Behind damage that cannot be had.
        let is_full = plan.skips
            && rewriter.len() > SEGMENT_HEADER as u64
            && rewriter.len().saturating_add(len) > self.segment_bytes;
        if is_full || rewriter.last().sequence.checked_add(1) != Some(sequence) {
            rewriter.begin(sequence)?;
        }
        let len = usize::try_from(len).map_err(|_| self.unstable())?;
        let window = walk.window().ok_or_else(|| self.unstable())?;
        let record = window.at(found.offset, len)?;
        let record = record.get(..len).ok_or_else(|| self.unstable())?;
        Ok(rewriter.put(&found.header, record)?)
    }

    /// Takes away what the new segments supersede, newest first: what is left at any time is a
    /// journal without gaps.
    fn cut(&self, cuts: &Cuts) -> Result<(), StorageError> {
        for (path, _) in cuts.removed.iter().rev() {
            self.remove(path)?;
        }
        if let Some((path, _, len)) = &cuts.cut {
            let file = self
                .storage
                .open(path)
                .map_err(StorageError::at(Operation::Open, path))?;
            file.truncate(*len)
                .map_err(StorageError::at(Operation::Truncate, path))?;
            file.sync()
                .map_err(StorageError::at(Operation::Sync, path))?;
        }
        if cuts.removed.is_empty() {
            return Ok(());
        }
        self.storage
            .sync_dir(self.dir)
            .map_err(StorageError::at(Operation::SyncDir, self.dir))
    }

    fn remove(&self, path: &Path) -> Result<(), StorageError> {
        self.storage
            .remove(path)
            .map_err(StorageError::at(Operation::Remove, path))
    }

    fn unstable(&self) -> OpenError {
        OpenError::Unstable {
            dir: self.dir.to_owned(),
        }
    }

    fn exhausted(&self) -> OpenError {
        OpenError::Exhausted {
            dir: self.dir.to_owned(),
        }
    }
}

/// The next record that is written anew.
fn next_to_keep(walk: &mut Walk<'_>, plan: &Plan) -> Result<Option<Found>, StorageError> {
    loop {
        match walk.step()? {
            Some(Step::Record(_, found)) => {
                let sequence = found.header.sequence;
                if !plan.skips && sequence > plan.keep.sequence {
                    return Ok(None);
                }
                if sequence >= plan.start {
                    return Ok(Some(found));
                }
            }
            Some(Step::Damage(_)) if plan.skips => {}
            Some(Step::Damage(_)) | None => return Ok(None),
        }
    }
}
