//! A walk through the records of a journal in their order, past everything that does not verify.

use super::damage::{Damage, DamageKind};
use super::format::{SEGMENT_HEADER, Seed, SegmentHeader};
use super::layout::SegmentFile;
use super::record::{self, Found, Look};
use super::window::Window;
use crate::durable::storage::{Operation, Storage, StorageError};
use std::sync::Arc;

/// A segment that is not stale.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) file: SegmentFile,
    /// Records from this sequence on are superseded by a segment of a higher epoch.
    pub(super) until: Option<u64>,
    /// Its header is damaged, and records behind it verify.
    pub(super) is_headless: bool,
}

/// The segments of a journal, told apart.
#[derive(Debug, Default)]
pub(super) struct Lineup {
    /// In the order of their records.
    pub(super) live: Vec<Live>,
    /// Superseded as a whole.
    pub(super) stale: Vec<SegmentFile>,
    /// Without a header and without a record, before others: a creation that failed left them.
    pub(super) void: Vec<SegmentFile>,
    /// At or before the low-water mark as a whole, and not all that a compaction was to remove: a crash
    /// undoes removals in any order.
    pub(super) compacted: Vec<SegmentFile>,
}

impl Lineup {
    /// Sets the segments aside that begin before `first`; `false` if there are none.
    pub(super) fn compact(&mut self, first: u64) -> bool {
        let is_before = |live: &&Live| live.file.identity.first < first;
        let gone = self.live.iter().take_while(is_before).count();
        let files = self.live.drain(..gone).map(|live| live.file);
        self.compacted.extend(files);
        gone > 0
    }
}

/// The last record that was met, or what the first segment says of the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Last {
    /// The next one has the next sequence.
    pub(super) sequence: u64,
    pub(super) crc: u32,
    /// Of the segment it is in.
    pub(super) epoch: u64,
    pub(super) wall_nanos: u64,
}

#[derive(Debug)]
pub(super) enum Step {
    /// A record, and the number of its segment.
    Record(usize, Found),
    Damage(Damage),
}

#[derive(Debug)]
struct Here {
    index: usize,
    window: Window,
    seed: Seed,
    epoch: u64,
    until: Option<u64>,
    offset: u64,
    /// A record that is next, whatever stood before it.
    found: Option<Found>,
}

#[derive(Debug)]
pub(super) struct Walk<'a> {
    storage: &'a dyn Storage,
    segments: &'a [Live],
    index: usize,
    /// In a box, because it changes hands with every record.
    here: Option<Box<Here>>,
    buffer: Vec<u8>,
    /// `None` before the first segment.
    last: Option<Last>,
    /// What the record, or the damage, that was met last follows.
    before: Last,
    /// What the next record is linked to; `None` if the record before it is not known.
    link: Option<u32>,
    /// The last damage went on to the end of its segment.
    is_broken: bool,
    has_damage: bool,
    watermark: u64,
    missing: u64,
}

/// Which segments count: a segment is stale if one of a higher epoch starts at or before its first
/// sequence, and holds from there on if that one starts within it.
pub(super) fn line_up(
    storage: &dyn Storage,
    files: Vec<SegmentFile>,
) -> Result<Lineup, StorageError> {
    let mut marked = Vec::new();
    for file in files {
        let is_headless = file.header.is_err() && has_record(storage, &file)?;
        marked.push((file, is_headless));
    }
    let mut lineup = Lineup::default();
    // The lowest first sequence of the epochs above the one that is looked at, and of that one.
    let (mut above, mut own, mut epoch) = (None::<u64>, None::<u64>, None);
    let count = marked.len();
    for (index, (file, is_headless)) in marked.into_iter().enumerate().rev() {
        if epoch != Some(file.identity.epoch) {
            above = above.into_iter().chain(own.take()).min();
            epoch = Some(file.identity.epoch);
        }
        let is_known = file.header.is_ok() || is_headless;
        let first = file.identity.first;
        if is_known {
            own = own.into_iter().chain([first]).min();
        }
        if above.is_some_and(|above| above <= first) {
            lineup.stale.push(file);
        } else if is_known || index + 1 == count {
            lineup.live.push(Live {
                file,
                until: above,
                is_headless,
            });
        } else {
            lineup.void.push(file);
        }
    }
    lineup.live.reverse();
    Ok(lineup)
}

fn has_record(storage: &dyn Storage, segment: &SegmentFile) -> Result<bool, StorageError> {
    let mut window = open(storage, segment, Vec::new())?;
    let seed = Seed::of(segment.identity.salt);
    let from = SEGMENT_HEADER as u64;
    let lowest = segment.identity.first;
    Ok(record::search(&mut window, from, seed, lowest, None)?.is_some())
}

fn open(
    storage: &dyn Storage,
    segment: &SegmentFile,
    buffer: Vec<u8>,
) -> Result<Window, StorageError> {
    let path = &segment.path;
    let file = storage
        .open(path)
        .map_err(StorageError::at(Operation::Open, path))?;
    Ok(Window::new(
        Arc::from(file),
        path.clone(),
        segment.len,
        buffer,
    ))
}

impl<'a> Walk<'a> {
    /// `from` is the number of the segment to begin with.
    pub(super) fn new(storage: &'a dyn Storage, segments: &'a [Live], from: usize) -> Self {
        Self {
            storage,
            segments,
            index: from,
            here: None,
            buffer: Vec::new(),
            last: None,
            before: Last::default(),
            link: None,
            is_broken: false,
            has_damage: false,
            watermark: 0,
            missing: 0,
        }
    }

    /// What the next record would follow.
    pub(super) fn last(&self) -> Last {
        self.last.unwrap_or_default()
    }

    /// What the record, or the damage, that was met last follows.
    pub(super) const fn before(&self) -> Last {
        self.before
    }

    /// The last sequence that was known durable, by all that was met.
    pub(super) const fn watermark(&self) -> u64 {
        self.watermark
    }

    /// Sequences that an earlier repair has left out.
    pub(super) const fn missing(&self) -> u64 {
        self.missing
    }

    /// Whether nothing is known of what stood behind the last record that was met.
    pub(super) const fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// The window on the segment of the record that was met last.
    pub(super) fn window(&mut self) -> Option<&mut Window> {
        self.here.as_mut().map(|here| &mut here.window)
    }

    /// The next thing that is met; `None` at the end.
    pub(super) fn step(&mut self) -> Result<Option<Step>, StorageError> {
        loop {
            let Some(here) = self.here.take() else {
                if self.index == self.segments.len() {
                    return Ok(None);
                }
                if let Some(damage) = self.enter()? {
                    return Ok(Some(Step::Damage(damage)));
                }
                continue;
            };
            let (here, step) = self.within(here)?;
            if step.is_some() {
                self.here = Some(here);
                return Ok(step);
            }
            self.buffer = here.window.into_buffer();
        }
    }

    fn next_sequence(&self) -> Option<u64> {
        self.last().sequence.checked_add(1)
    }

    fn note(&mut self, synced_through: u64, until: Option<u64>) {
        let known = until.map_or(synced_through, |until| {
            synced_through.min(until.saturating_sub(1))
        });
        self.watermark = self.watermark.max(known);
    }

    /// Goes to the next segment.
    fn enter(&mut self) -> Result<Option<Damage>, StorageError> {
        let index = self.index;
        self.index += 1;
        self.before = self.last();
        let live = &self.segments[index];
        let buffer = std::mem::take(&mut self.buffer);
        let mut window = open(self.storage, &live.file, buffer)?;
        let damage = match &live.file.header {
            Ok(header) => self.enter_by_header(live, header),
            Err(_) => self.enter_by_name(live, &mut window)?,
        };
        let mut here = Box::new(Here {
            index,
            seed: Seed::of(live.file.identity.salt),
            epoch: live.file.identity.epoch,
            until: live.until,
            offset: (SEGMENT_HEADER as u64).min(window.len()),
            window,
            found: None,
        });
        let overlaps = matches!(&damage, Some(damage) if damage.kind == DamageKind::Overlap);
        if live.file.header.is_err() && !live.is_headless {
            here.offset = here.window.len();
        } else if overlaps {
            self.resume(&mut here, SEGMENT_HEADER as u64)?;
        }
        self.has_damage |= damage.is_some();
        self.here = Some(here);
        Ok(damage)
    }

    fn enter_by_header(&mut self, live: &Live, header: &SegmentHeader) -> Option<Damage> {
        self.note(header.synced_through, live.until);
        let first = header.first_sequence;
        let before = Last {
            sequence: first - 1,
            crc: header.previous_crc,
            epoch: header.previous_epoch,
            wall_nanos: self.last().wall_nanos,
        };
        let is_broken = std::mem::take(&mut self.is_broken);
        let Some(last) = self.last else {
            self.last = Some(before);
            self.link = Some(header.previous_crc);
            return None;
        };
        let is_linked = self.link == Some(header.previous_crc) && last.epoch == before.epoch;
        let next = self.next_sequence();
        let kind = match next {
            _ if is_broken && first > last.sequence => None,
            Some(next) if first == next => {
                (!is_linked && self.link.is_some()).then_some(DamageKind::Link)
            }
            Some(next) if first > next && is_linked => {
                self.missing = self.missing.saturating_add(first - next);
                None
            }
            Some(next) if first > next => Some(DamageKind::Missing),
            _ => Some(DamageKind::Overlap),
        };
        let sequence = next.unwrap_or(u64::MAX);
        if kind == Some(DamageKind::Overlap) {
            self.link = None;
        } else {
            // The record before the first one is that of the last segment, where it is known.
            self.last = Some(Last {
                sequence: before.sequence,
                ..last
            });
            self.link = Some(header.previous_crc);
        }
        kind.map(|kind| Damage {
            path: live.file.path.clone(),
            offset: 0,
            end: SEGMENT_HEADER as u64,
            sequence,
            resumes_at: (kind != DamageKind::Overlap).then_some(first),
            kind,
            is_torn: false,
        })
    }

    /// By the name, because the header is damaged.
    fn enter_by_name(
        &mut self,
        live: &Live,
        window: &mut Window,
    ) -> Result<Option<Damage>, StorageError> {
        let first = live.file.identity.first;
        // Whoever gave it that name had made the records before it durable.
        self.note(first - 1, live.until);
        if self.last.is_none() || (self.is_broken && first > self.last().sequence) {
            self.last = Some(Last {
                sequence: first - 1,
                ..self.last()
            });
            self.link = None;
        }
        let is_torn = !live.is_headless
            && !self.has_damage
            && (window.len() < SEGMENT_HEADER as u64 || record::has_empty_sector(window, 0)?);
        self.is_broken = !live.is_headless;
        Ok(Some(Damage {
            path: live.file.path.clone(),
            offset: 0,
            end: window.len().min(SEGMENT_HEADER as u64),
            sequence: self.next_sequence().unwrap_or(u64::MAX),
            resumes_at: live.is_headless.then_some(first),
            kind: DamageKind::SegmentHeader,
            is_torn,
        }))
    }

    /// The next thing in this segment; no step at its end.
    fn within(&mut self, mut here: Box<Here>) -> Result<(Box<Here>, Option<Step>), StorageError> {
        if let Some(found) = here.found.take() {
            let record = self.accept(&mut here, found);
            return Ok((here, Some(record)));
        }
        let next = self.next_sequence();
        let is_superseded = here.until.is_some() && next >= here.until;
        if is_superseded || here.window.left(here.offset) == 0 {
            return Ok((here, None));
        }
        let (kind, from) = match record::look(&mut here.window, here.offset, here.seed)? {
            Look::Record(found) => {
                let is_next = next == Some(found.header.sequence);
                let is_linked = self
                    .link
                    .is_none_or(|link| link == found.header.previous_crc);
                if is_next && is_linked {
                    let record = self.accept(&mut here, found);
                    return Ok((here, Some(record)));
                }
                let kind = if is_next {
                    DamageKind::Link
                } else {
                    DamageKind::Sequence
                };
                (kind, found.offset)
            }
            Look::Bad { kind, len } => (kind, here.offset.saturating_add(len.unwrap_or(8))),
        };
        let is_torn = !self.has_damage && is_torn(&mut here, kind)?;
        self.has_damage = true;
        self.before = self.last();
        let offset = here.offset;
        self.resume(&mut here, from)?;
        let damage = Damage {
            path: here.window.path().to_owned(),
            offset,
            end: here.offset,
            sequence: next.unwrap_or(u64::MAX),
            resumes_at: here.found.map(|found| found.header.sequence),
            kind,
            is_torn,
        };
        Ok((here, Some(Step::Damage(damage))))
    }

    /// Looks for the next record of this segment that verifies and was not met yet.
    fn resume(&mut self, here: &mut Here, from: u64) -> Result<(), StorageError> {
        let found = match self.next_sequence() {
            Some(lowest) => record::search(&mut here.window, from, here.seed, lowest, here.until)?,
            None => None,
        };
        self.is_broken = found.is_none();
        here.offset = found.map_or(here.window.len(), |found| found.offset);
        here.found = found;
        Ok(())
    }

    fn accept(&mut self, here: &mut Here, found: Found) -> Step {
        let header = &found.header;
        self.note(header.synced_through, here.until);
        self.before = self.last();
        self.last = Some(Last {
            sequence: header.sequence,
            crc: found.crc,
            epoch: here.epoch,
            wall_nanos: self.last().wall_nanos.max(header.wall_nanos),
        });
        self.link = Some(found.crc);
        here.offset = found.end();
        Step::Record(here.index, found)
    }
}

/// Whether what stands here instead of a record looks as a crash leaves it.
fn is_torn(here: &mut Here, kind: DamageKind) -> Result<bool, StorageError> {
    match kind {
        DamageKind::Incomplete => Ok(true),
        DamageKind::RecordHeader | DamageKind::Payload => {
            record::has_empty_sector(&mut here.window, here.offset)
        }
        _ => Ok(false),
    }
}
