//! From what an open found to an engine that serves.

use super::bell::Bell;
use super::engine::Engine;
use super::figures::Figures;
use super::flusher;
use super::handle::Journal;
use super::queue::Queue;
use super::site::SegmentInfo;
use super::site::Site;
use super::tail::Tail;
use super::writer::Writer;
use crate::durable::storage::{Storage, StorageLock};
use crate::kernel::clock::Clock;
use crate::kernel::event::Events;
use crate::kernel::sync::Mutex;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What an engine needs to know of a configuration.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) segment_bytes: u64,
    pub(super) record_limit: u32,
    pub(super) buffer_bytes: u64,
    pub(super) policy: Policy,
    pub(super) reserve_bytes: u64,
}

/// When a record is acknowledged, and who syncs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    Always,
    Interval(Duration),
    Never,
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
    /// # Errors
    ///
    /// The system gave no thread for the flusher.
    pub(super) fn start(self) -> io::Result<Journal> {
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
        let is_buffered = settings.policy != Policy::Always;
        let queue = Queue::new(Writer::new(tail), lock, buffer_bytes, is_buffered);
        let bell = match settings.policy {
            Policy::Interval(interval) => Some((interval, Arc::new(Bell::new()))),
            Policy::Always | Policy::Never => None,
        };
        let engine = Arc::new(Engine {
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
            is_buffered,
            bell: bell.as_ref().map(|(_, bell)| Arc::clone(bell)),
            events: Events::new(),
        });
        if let Some((interval, bell)) = bell {
            let clock = engine.site.clock.clone();
            flusher::start(Arc::downgrade(&engine), bell, clock, interval)?;
        }
        Ok(Journal::of(engine))
    }
}
