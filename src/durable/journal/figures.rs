//! What a journal counts.

use crate::kernel::histogram::LatencyHistogram;
use crate::kernel::sync::{AtomicU64, Ordering};
use std::time::Duration;

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

    pub(super) fn totals(&self) -> (u64, u64) {
        (
            self.records.load(Ordering::Relaxed),
            self.syncs.load(Ordering::Relaxed),
        )
    }

    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    pub(super) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }
}
