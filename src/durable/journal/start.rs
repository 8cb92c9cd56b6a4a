//! From what an open found to an engine that serves.

use super::bell::Bell;
use super::config::{JournalConfig, SyncPolicy};
use super::engine::{Core, Engine};
use super::figures::Figures;
use super::flusher;
use super::handle::Journal;
use super::queue::Queue;
use super::reserve::Reserve;
use super::site::Site;
use super::tail::{SegmentInfo, Tail};
use super::writer::Writer;
use crate::durable::storage::{Storage, StorageLock};
use crate::kernel::clock::Clock;
use crate::kernel::event::Events;
use crate::kernel::sync::{AtomicBool, Mutex};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// A journal that is recovered, and ready to be appended to.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) dir: PathBuf,
    pub(super) config: JournalConfig,
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
            config,
            clock,
            lock,
            tail,
            segments,
        } = self;
        let figures = Arc::new(Figures::default());
        figures.reached(tail.last_sequence, tail.synced_through);
        let buffer_bytes = usize::try_from(config.buffer_bytes).unwrap_or(usize::MAX);
        let is_buffered = config.sync != SyncPolicy::Always;
        let queue = Queue::new(Writer::new(tail), lock, buffer_bytes, is_buffered);
        let bell = match config.sync {
            SyncPolicy::Interval(interval) => Some((interval, Arc::new(Bell::new()))),
            SyncPolicy::Always | SyncPolicy::Never => None,
        };
        let engine = Arc::new(Engine {
            site: Site {
                storage,
                dir,
                clock,
                segment_bytes: config.segment_bytes,
                segments: Mutex::new(segments),
                figures,
                names: Mutex::new(()),
            },
            queue: Mutex::new(queue),
            record_limit: config.payload_limit(),
            is_buffered,
            bell: bell.as_ref().map(|(_, bell)| Arc::clone(bell)),
            events: Events::new(),
            reserve: Reserve::new(config.reserve_bytes),
            is_compacting: AtomicBool::new(false),
        });
        if let Some((interval, bell)) = bell {
            let clock = engine.site.clock.clone();
            flusher::start(Arc::downgrade(&engine), bell, clock, interval)?;
        }
        Core(Arc::clone(&engine)).take_reserve();
        Ok(Journal::of(engine))
    }
}
