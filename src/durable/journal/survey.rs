//! What a walk through a whole journal found.

use super::config::RecoveryMode;
use super::damage::{Damage, DamageKind};
use super::format::{SEGMENT_HEADER, SegmentHeader};
use super::low_water::LowWater;
use super::report::{Progress, Stage};
use super::tail::SegmentInfo;
use super::walk::{Last, Lineup, Live, Step, Walk};
use crate::durable::storage::{Storage, StorageError};
use std::path::Path;

/// So many places are told one by one; the others are counted.
pub(super) const TOLD: usize = 64;

/// Progress is told each time so many bytes are done.
const STRIDE: u64 = 8 << 20;

/// What is told while the work goes on.
pub(super) type Tell<'a> = dyn FnMut(&Progress) + Send + 'a;

/// How far one stage is, told now and then.
pub(super) struct Meter<'a, 'b> {
    progress: Progress,
    told: u64,
    tell: &'a mut Tell<'b>,
}

impl<'a, 'b> Meter<'a, 'b> {
    /// At the beginning of a stage, which it tells. `total_bytes` is 0 if nobody knows.
    pub(super) fn new(stage: Stage, total_bytes: u64, tell: &'a mut Tell<'b>) -> Self {
        let progress = Progress {
            stage,
            bytes: 0,
            total_bytes,
            records: 0,
        };
        tell(&progress);
        Self {
            progress,
            told: 0,
            tell,
        }
    }

    pub(super) const fn records(&self) -> u64 {
        self.progress.records
    }

    pub(super) const fn bytes(&self) -> u64 {
        self.progress.bytes
    }

    /// So many bytes are done now, and one record more.
    pub(super) fn record(&mut self, bytes: u64) {
        self.progress.records += 1;
        self.reach(bytes);
    }

    /// So many bytes are done now.
    pub(super) fn reach(&mut self, bytes: u64) {
        self.progress.bytes = bytes;
        if bytes.saturating_sub(self.told) >= STRIDE {
            self.told = bytes;
            (self.tell)(&self.progress);
        }
    }

    /// The stage is done.
    pub(super) fn end(self) {
        (self.tell)(&self.progress);
    }
}

#[derive(Debug, Default)]
pub(super) struct Survey {
    /// The first of them in the order of the records, if there are any.
    pub(super) damage: Vec<Damage>,
    pub(super) damage_count: u64,
    /// The live segments; those with a damaged header carry what is known from their name.
    pub(super) segments: Vec<SegmentInfo>,
    pub(super) records: u64,
    /// The bytes of those records.
    pub(super) record_bytes: u64,
    /// The bytes of all live segments.
    pub(super) bytes: u64,
    /// The sequence of the first record, if there is one.
    pub(super) first: u64,
    pub(super) last: Last,
    /// The last record before the first damage.
    pub(super) sound: Last,
    /// How many there are before it.
    pub(super) sound_records: u64,
    /// The bytes of all damaged places.
    pub(super) damaged_bytes: u64,
    pub(super) watermark: u64,
    /// Sequences that an earlier repair has left out.
    pub(super) missing: u64,
    /// Records up to this were removed on purpose.
    pub(super) low_water: u64,
    /// Nothing is known of what stood behind the last record.
    pub(super) is_broken: bool,
    /// The mark itself is damaged.
    pub(super) is_mark_damaged: bool,
}

impl Survey {
    /// Whether a mark that is damaged is refused. Without a segment nothing else tells which sequences
    /// were given, whatever the mode.
    pub(super) fn refuses_mark(&self, mode: RecoveryMode) -> bool {
        self.is_mark_damaged && (!mode.repairs_the_mark() || self.segments.is_empty())
    }

    pub(super) fn first_damage(&self) -> Option<&Damage> {
        self.damage.first()
    }

    /// Where the records begin behind the last gap that a compaction has left: its mark says that
    /// nothing before is needed.
    pub(super) fn ends_compaction(&self) -> Option<u64> {
        let gaps = self
            .damage
            .iter()
            .filter(|damage| damage.kind == DamageKind::Missing && !self.is_mark_damaged);
        let behind = gaps.filter_map(|damage| damage.resumes_at);
        behind.filter(|first| first - 1 <= self.low_water).max()
    }

    /// The bytes from the first damage on.
    pub(super) fn bytes_behind_damage(&self, lineup: &Lineup) -> u64 {
        let Some(damage) = self.first_damage() else {
            return 0;
        };
        let behind = lineup
            .live
            .iter()
            .skip_while(|live| live.file.path != damage.path)
            .map(|live| live.file.len);
        behind.sum::<u64>().saturating_sub(damage.offset)
    }

    /// A snapshot holds the records up to this: if they are not here, the end is missing.
    pub(super) fn compare_with_snapshot(&mut self, snapshot: u64, lineup: &Lineup) {
        let Some(live) = lineup.live.last() else {
            return;
        };
        let is_told = self.is_broken
            || self
                .damage
                .iter()
                .any(|damage| damage.kind == DamageKind::MissingEnd);
        if self.last.sequence < snapshot && !is_told {
            self.add(missing_end(live, self.last.sequence + 1));
        }
    }

    fn add(&mut self, damage: Damage) {
        self.damage_count += 1;
        self.damaged_bytes += damage.end - damage.offset;
        if self.damage.len() < TOLD {
            self.damage.push(damage);
        }
    }
}

/// Verifies everything.
pub(super) fn survey(
    storage: &dyn Storage,
    dir: &Path,
    lineup: &Lineup,
    low_water: LowWater,
    tell: &mut Tell<'_>,
) -> Result<Survey, StorageError> {
    let mut survey = Survey {
        segments: lineup.live.iter().map(Live::info).collect(),
        bytes: lineup.live.iter().map(|live| live.file.len).sum(),
        is_mark_damaged: low_water == LowWater::Damaged,
        ..Survey::default()
    };
    begin(&mut survey, dir, lineup, low_water);
    let mut walk = Walk::new(storage, &lineup.live, 0);
    let mut meter = Meter::new(Stage::Verifying, survey.bytes, tell);
    let mut segment = usize::MAX;
    let mut before = 0;
    while let Some(step) = walk.step()? {
        match step {
            Step::Record(index, found) => {
                if survey.records == 0 {
                    survey.first = found.header.sequence;
                }
                survey.records += 1;
                survey.record_bytes += found.header.record_len();
                survey.segments[index].last_sequence = found.header.sequence;
                if index != segment {
                    segment = index;
                    before = lineup.live[..index].iter().map(|live| live.file.len).sum();
                }
                meter.record(before + found.end());
            }
            Step::Damage(damage) => {
                if survey.damage_count == 0 {
                    // Behind the last possible sequence there is no next one to be damaged.
                    let before = walk.before();
                    survey.sound = Last {
                        sequence: before.sequence.max(damage.sequence.saturating_sub(1)),
                        ..before
                    };
                    survey.sound_records = survey.records;
                }
                survey.add(damage);
            }
        }
    }
    finish(&mut survey, &walk, lineup);
    meter.reach(survey.bytes);
    meter.end();
    Ok(survey)
}

/// What is known before the walk: the low-water mark, and whether the journal begins behind it.
fn begin(survey: &mut Survey, dir: &Path, lineup: &Lineup, low_water: LowWater) {
    let first = lineup.live.first().map(|live| live.file.identity.first);
    survey.low_water = match low_water {
        LowWater::At(sequence) => sequence,
        LowWater::Absent | LowWater::Version(_) => 0,
        // What is there is taken for all that should be.
        LowWater::Damaged => first.map_or(0, |first| first - 1),
    };
    let Some(live) = lineup.live.first() else {
        if survey.low_water > 0 {
            survey.sound = Last {
                sequence: survey.low_water,
                ..Last::default()
            };
            survey.last = survey.sound;
            survey.add(Damage {
                path: dir.to_owned(),
                offset: 0,
                end: 0,
                sequence: survey.low_water.saturating_add(1),
                resumes_at: None,
                kind: DamageKind::MissingEnd,
                is_torn: false,
            });
        }
        return;
    };
    let first = live.file.identity.first;
    if first - 1 > survey.low_water {
        survey.sound = Last {
            sequence: survey.low_water,
            ..Last::default()
        };
        survey.add(Damage {
            path: live.file.path.clone(),
            offset: 0,
            end: 0,
            sequence: survey.low_water + 1,
            resumes_at: Some(first),
            kind: DamageKind::MissingFront,
            is_torn: false,
        });
    }
}

/// What is known behind it: whether something is missing at the end.
fn finish(survey: &mut Survey, walk: &Walk<'_>, lineup: &Lineup) {
    survey.watermark = walk.watermark().max(survey.low_water);
    survey.missing = walk.missing();
    survey.is_broken = walk.is_broken();
    let Some(live) = lineup.live.last() else {
        return;
    };
    survey.last = walk.last();
    let last = survey.last;
    if survey.damage_count == 0 {
        survey.sound = last;
        survey.sound_records = survey.records;
    }
    if last.sequence < survey.watermark && !walk.is_broken() {
        survey.add(missing_end(live, last.sequence + 1));
    }
}

fn missing_end(live: &Live, sequence: u64) -> Damage {
    Damage {
        path: live.file.path.clone(),
        offset: live.file.len,
        end: live.file.len,
        sequence,
        resumes_at: None,
        kind: DamageKind::MissingEnd,
        is_torn: false,
    }
}

impl Live {
    fn info(&self) -> SegmentInfo {
        let identity = self.file.identity;
        let header = self.file.header.unwrap_or(SegmentHeader {
            epoch: identity.epoch,
            salt: identity.salt,
            first_sequence: identity.first,
            synced_through: 0,
            previous_epoch: 0,
            previous_crc: 0,
        });
        SegmentInfo {
            header,
            path: self.file.path.clone(),
            last_sequence: identity.first - 1,
            len: self.file.len.max(SEGMENT_HEADER as u64),
        }
    }
}
