//! Measures one row after the other.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::BenchmarkGroup;
use criterion::measurement::WallTime;
use tempfile::TempDir;

use super::disk::Disk;
use super::log::{Log, Replay, Seen, alone, together};

/// A log is replaced when it has so many.
const RECORDS_OF_A_LOG: u64 = 1 << 18;

pub(crate) struct Bench<'a> {
    pub(crate) group: BenchmarkGroup<'a, WallTime>,
    pub(crate) disk: &'a Disk,
}

/// A row that was run, and not left out by a filter on the command line.
pub(crate) struct Written {
    pub(crate) records_per_sync: Option<f64>,
}

impl Bench<'_> {
    /// Measures writing to what `open` makes in an empty directory. `None`: a filter left it out.
    pub(crate) fn writes<L: Log>(
        &mut self,
        row: &str,
        threads: usize,
        payload: &[u8],
        open: impl Fn(&Path) -> L,
    ) -> Option<Written> {
        let disk = self.disk;
        let mut place: Option<Place<L>> = None;
        let mut syncs = Syncs::default();
        self.group.bench_function(row, |b| {
            b.iter_custom(|records| {
                let mut spent = Duration::ZERO;
                let mut left = records;
                while left > 0 {
                    if place
                        .as_ref()
                        .is_none_or(|place| place.written >= RECORDS_OF_A_LOG)
                    {
                        // The old one first, and outside of what is timed: it may have much to do at its end.
                        place = None;
                        place = Some(Place::new(disk, &open));
                    }
                    let place = place.as_mut().expect("just made");
                    let n = left.min(RECORDS_OF_A_LOG - place.written);
                    let before = place.log.syncs();
                    spent += if threads == 1 {
                        alone(&place.log, black_box(payload), n)
                    } else {
                        together(&place.log, threads, black_box(payload), n)
                    };
                    syncs.count(n, before, place.log.syncs());
                    place.written += n;
                    left -= n;
                }
                spent
            });
        });
        place.map(|_| Written {
            records_per_sync: syncs.records_per_sync(),
        })
    }

    /// Measures reading all that was written, and that it is all. Whether it was run.
    pub(crate) fn replays(
        &mut self,
        row: &str,
        payload: &[u8],
        records: u64,
        mut log: impl Replay,
    ) -> bool {
        let disk = self.disk;
        let all = Seen {
            records,
            bytes: records * payload.len() as u64,
        };
        let mut place: Option<TempDir> = None;
        self.group.bench_function(row, |b| {
            let dir = place.get_or_insert_with(|| {
                let dir = disk.dir();
                log.fill(dir.path(), payload, records);
                dir
            });
            b.iter_custom(|asked| {
                // A log is read whole, so more may be read than was asked for.
                let passes = asked.div_ceil(records);
                let start = Instant::now();
                for _ in 0..passes {
                    assert_eq!(log.replay(dir.path()), all, "{row} lost something");
                }
                start
                    .elapsed()
                    .mul_f64(asked as f64 / (passes * records) as f64)
            });
        });
        place.is_some()
    }
}

/// A log and where it is; it goes first.
struct Place<L> {
    log: L,
    written: u64,
    _dir: TempDir,
}

impl<L> Place<L> {
    fn new(disk: &Disk, open: impl Fn(&Path) -> L) -> Self {
        let dir = disk.dir();
        Self {
            log: open(dir.path()),
            written: 0,
            _dir: dir,
        }
    }
}

#[derive(Default)]
struct Syncs {
    records: u64,
    syncs: u64,
}

impl Syncs {
    fn count(&mut self, records: u64, before: Option<u64>, after: Option<u64>) {
        if let Some((before, after)) = before.zip(after) {
            self.records += records;
            self.syncs += after - before;
        }
    }

    fn records_per_sync(&self) -> Option<f64> {
        (self.syncs > 0).then(|| self.records as f64 / self.syncs as f64)
    }
}

/// Bytes that no compression makes fewer.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut x = 0x2545_f491_4f6c_dd1d_u64;
    let words = std::iter::repeat_with(|| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x.to_le_bytes()
    });
    words.flatten().take(len).collect()
}
