//! What a front measures.

use crate::kernel::histogram::{LatencyHistogram, LatencySnapshot};
use crate::kernel::sync::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

/// Outlives its front for those who publish it.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    saves: LatencyHistogram,
    /// The wall time of the newest checkpoint that was saved or handed out, in nanoseconds since 1970;
    /// 0: none.
    newest: AtomicU64,
}

impl Figures {
    pub(super) fn saved(&self, took: Duration, wall: SystemTime) {
        self.saves.record(took);
        self.stands(wall);
    }

    /// The newest good checkpoint is of that time: a fall back makes it older again.
    pub(super) fn stands(&self, wall: SystemTime) {
        let since = wall.duration_since(SystemTime::UNIX_EPOCH);
        let nanos = since.map_or(1, |since| {
            u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
        });
        self.newest.store(nanos.max(1), Ordering::Relaxed);
    }

    /// How old the newest good checkpoint is; `None` if there is none. Zero if the wall clock has
    /// stepped back.
    pub(crate) fn age(&self, now: SystemTime) -> Option<Duration> {
        let nanos = self.newest.load(Ordering::Relaxed);
        let newest = SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos);
        (nanos != 0).then(|| now.duration_since(newest).unwrap_or_default())
    }

    pub(crate) fn saves(&self) -> LatencySnapshot {
        self.saves.snapshot()
    }
}

/// The way from an exporter to the figures of a front that it does not keep alive.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) figures: Arc<Figures>,
    pub(super) front: Weak<()>,
}

impl Watched {
    pub(crate) fn is_gone(&self) -> bool {
        self.front.strong_count() == 0
    }
}
