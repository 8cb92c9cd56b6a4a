//! Where a journal is, and what is known about it without asking its writer.

use super::figures::Figures;
use super::tail::SegmentInfo;
use crate::durable::storage::Storage;
use crate::kernel::clock::Clock;
use crate::kernel::sync::Mutex;
use std::path::PathBuf;
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
    pub(super) figures: Figures,
}

impl Site {
    /// The epoch, and how many segments there are.
    pub(super) fn extent(&self) -> (u64, usize) {
        let segments = self.segments.lock();
        let epoch = segments.last().map_or(0, |segment| segment.header.epoch);
        (epoch, segments.len())
    }
}
