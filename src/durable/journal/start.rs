//! From what an open found to an engine that serves.

use super::engine::Engine;
use super::figures::Figures;
use super::handle::Journal;
use super::queue::Queue;
use super::site::Site;
use super::tail::{SegmentInfo, Tail};
use super::writer::Writer;
use crate::durable::storage::{Storage, StorageLock};
use crate::kernel::clock::Clock;
use crate::kernel::sync::Mutex;
use std::path::PathBuf;
use std::sync::Arc;

/// What an engine needs to know of a configuration.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) segment_bytes: u64,
    pub(super) record_limit: u32,
    pub(super) buffer_bytes: u64,
    pub(super) is_buffered: bool,
}

/// A journal that is recovered, and ready to be appended to.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) dir: PathBuf,
    pub(super) settings: Settings,
    pub(super) clock: Clock,
    pub(super) lock: Option<Box<dyn StorageLock>>,
    pub(super) tail: Tail,
    /// All segments, oldest first, that of the tail with them.
    pub(super) segments: Vec<SegmentInfo>,
}

impl Opened {
    pub(super) fn start(self) -> Journal {
        let Self {
            storage,
            dir,
            settings,
            clock,
            lock,
            tail,
            segments,
        } = self;
        let figures = Figures::default();
        figures.reached(tail.last_sequence, tail.synced_through);
        let buffer_bytes = usize::try_from(settings.buffer_bytes).unwrap_or(usize::MAX);
        let queue = Queue::new(Writer::new(tail), lock, buffer_bytes, settings.is_buffered);
        Journal::of(Engine {
            site: Site {
                storage,
                dir,
                clock,
                segment_bytes: settings.segment_bytes,
                segments: Mutex::new(segments),
                figures,
            },
            queue: Mutex::new(queue),
            record_limit: settings.record_limit,
            is_buffered: settings.is_buffered,
        })
    }
}
