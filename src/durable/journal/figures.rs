//! What a journal counts.

use crate::kernel::histogram::{LatencyHistogram, LatencySnapshot};
use crate::kernel::sync::{AtomicU64, Ordering};
use std::time::Duration;

/// What a journal has counted since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Records that were written.
    pub(crate) records: u64,
    /// Their bytes in the files.
    pub(crate) bytes: u64,
    /// Syncs of segments.
    pub(crate) syncs: u64,
    /// The last sequence that is in a file.
    pub(crate) written: u64,
    /// The last sequence that is durable.
    pub(crate) durable: u64,
}

/// One thread at a time counts: the one that leads.
#[derive(Debug, Default)]
pub(super) struct Figures {
    records: AtomicU64,
    bytes: AtomicU64,
    syncs: AtomicU64,
    sync_time: LatencyHistogram,
    written: AtomicU64,
    durable: AtomicU64,
}

fn add(counter: &AtomicU64, more: u64) {
    let before = counter.load(Ordering::Relaxed);
    counter.store(before.saturating_add(more), Ordering::Relaxed);
}

impl Figures {
    pub(super) fn appended(&self, records: u64, bytes: u64) {
        add(&self.records, records);
        add(&self.bytes, bytes);
    }

    pub(super) fn synced(&self, took: Duration) {
        add(&self.syncs, 1);
        self.sync_time.record(took);
    }

    /// Everything up to `written` is in the files, and up to `durable` it stays there.
    pub(super) fn reached(&self, written: u64, durable: u64) {
        self.written.store(written, Ordering::Release);
        self.durable.store(durable, Ordering::Release);
    }

    #[cfg(test)]
    pub(super) fn totals(&self) -> (u64, u64) {
        (
            self.records.load(Ordering::Relaxed),
            self.syncs.load(Ordering::Relaxed),
        )
    }

    pub(super) fn read(&self) -> Totals {
        Totals {
            records: self.records.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            syncs: self.syncs.load(Ordering::Relaxed),
            written: self.written(),
            durable: self.durable(),
        }
    }

    /// How long the syncs took.
    pub(super) fn sync_times(&self) -> LatencySnapshot {
        self.sync_time.snapshot()
    }

    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    pub(super) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }
}
