//! What a walk through a whole journal found.

use super::damage::{Damage, DamageKind};
use super::format::SEGMENT_HEADER;
use super::low_water::LowWater;
use super::report::{Progress, Stage};
use super::tail::SegmentInfo;
use super::walk::{Last, Lineup, Step, Walk};
use crate::durable::storage::{Storage, StorageError};
use std::path::Path;

/// So many places are told one by one; the others are counted.
pub(super) const TOLD: usize = 64;

/// Progress is told each time so many bytes were verified.
const STRIDE: u64 = 8 << 20;

/// What is told while the work goes on.
pub(super) type Tell<'a> = dyn FnMut(&Progress) + Send + 'a;

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
    /// The mark itself is damaged.
    pub(super) is_mark_damaged: bool,
}

impl Survey {
    pub(super) fn first_damage(&self) -> Option<&Damage> {
        self.damage.first()
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
        segments: lineup.live.iter().map(super::walk::Live::info).collect(),
        bytes: lineup.live.iter().map(|live| live.file.len).sum(),
        is_mark_damaged: low_water == LowWater::Damaged,
        ..Survey::default()
    };
    begin(&mut survey, dir, lineup, low_water);
    let mut walk = Walk::new(storage, &lineup.live, 0);
    let mut progress = Progress {
        stage: Stage::Verifying,
        bytes: 0,
        total_bytes: survey.bytes,
        records: 0,
    };
    tell(&progress);
    let mut told = 0;
    let mut segment = usize::MAX;
    let mut before = 0;
    loop {
        let sound = walk.last();
        let Some(step) = walk.step()? else { break };
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
                progress.bytes = before + found.end();
                progress.records = survey.records;
                if progress.bytes.saturating_sub(told) >= STRIDE {
                    told = progress.bytes;
                    tell(&progress);
                }
            }
            Step::Damage(damage) => {
                if survey.damage_count == 0 {
                    survey.sound = Last {
                        sequence: damage.sequence.saturating_sub(1),
                        ..sound
                    };
                    survey.sound_records = survey.records;
                }
                survey.add(damage);
            }
        }
    }
    finish(&mut survey, &walk, lineup);
    progress.bytes = survey.bytes;
    tell(&progress);
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
        survey.add(Damage {
            path: live.file.path.clone(),
            offset: live.file.len,
            end: live.file.len,
            sequence: last.sequence + 1,
            resumes_at: None,
            kind: DamageKind::MissingEnd,
            is_torn: false,
        });
    }
}

impl super::walk::Live {
    fn info(&self) -> SegmentInfo {
        let identity = self.file.identity;
        let header = self.file.header.unwrap_or(super::format::SegmentHeader {
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
