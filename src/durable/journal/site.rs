//! Where a journal is, and what is known about it without asking its writer.

use super::figures::Figures;
use super::tail::SegmentInfo;
use crate::durable::storage::Storage;
use crate::kernel::clock::Clock;
use crate::kernel::sync::Mutex;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the writer works with.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) dir: PathBuf,
    pub(super) clock: Clock,
    /// A segment is finished when the next record would make it longer.
    pub(super) segment_bytes: u64,
    /// All segments, oldest first; the last one is appended to, and its length and last sequence
    /// are only what they were when it was begun or opened.
    pub(super) segments: Mutex<Vec<SegmentInfo>>,
    pub(super) figures: Arc<Figures>,
    /// Held over a change of names that has to be durable, and the sync that makes it so: a sync of a
    /// directory that fails has lost the changes of others there, too, and their own would tell them
    /// that all is well.
    pub(super) names: Mutex<()>,
}

impl Site {
    /// The oldest segments of which all records are at or before `through`, never the last one, which
    /// is appended to; and up to where nothing is left without them. That is behind their last record
    /// where the ones after it were lost.
    pub(super) fn removable(&self, through: u64) -> (Vec<SegmentInfo>, u64) {
        let segments = self.segments.lock();
        let finished = segments.len().saturating_sub(1);
        let victims: Vec<_> = segments[..finished]
            .iter()
            .take_while(|segment| segment.last_sequence <= through)
            .cloned()
            .collect();
        let next = segments.get(victims.len());
        let end = next.map_or(0, |next| next.header.first_sequence.saturating_sub(1));
        (victims, end.min(through))
    }

    /// The segment of that path is not there any more.
    pub(super) fn forget(&self, path: &Path) {
        self.segments.lock().retain(|segment| segment.path != path);
    }

    /// The epoch, and how many segments there are.
    pub(super) fn extent(&self) -> (u64, usize) {
        let segments = self.segments.lock();
        let epoch = segments.last().map_or(0, |segment| segment.header.epoch);
        (epoch, segments.len())
    }
}
