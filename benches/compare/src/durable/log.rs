//! What is measured, and how it is driven.

use std::hint::black_box;
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Writes records; shared by the threads that do.
pub(crate) trait Log: Sync {
    /// Returns when the record is as safe as the scenario asks for.
    fn write(&self, payload: &[u8]);

    /// Syncs so far, where the log lets its user see them.
    fn syncs(&self) -> Option<u64> {
        None
    }
}

/// A log that is read from its beginning to its end.
pub(crate) trait Replay {
    /// Writes that many records into an empty directory, and leaves them on the disk.
    fn fill(&mut self, dir: &Path, payload: &[u8], records: u64);

    fn replay(&mut self, dir: &Path) -> Seen;
}

/// What was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
}

impl Seen {
    pub(crate) fn record(&mut self, payload: &[u8]) {
        self.records += 1;
        self.bytes += black_box(payload).len() as u64;
    }
}

pub(crate) fn alone(log: &impl Log, payload: &[u8], records: u64) -> Duration {
    let start = Instant::now();
    for _ in 0..records {
        log.write(payload);
    }
    start.elapsed()
}

/// The threads take records from one count until none is left: they end together, whatever the log lets which of them do.
pub(crate) fn together(log: &impl Log, threads: usize, payload: &[u8], records: u64) -> Duration {
    let (taken, barrier) = (AtomicU64::new(0), Barrier::new(threads + 1));
    let mut start = None;
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                barrier.wait();
                while taken.fetch_add(1, Ordering::Relaxed) < records {
                    log.write(payload);
                }
            });
        }
        barrier.wait();
        start = Some(Instant::now());
    });
    start.expect("the threads were started").elapsed()
}
