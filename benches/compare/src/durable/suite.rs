//! Measures one row of one scenario after the other.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode};
use tempfile::TempDir;

use crate::disk::Disk;
use crate::log::{Log, Replay, Seen, alone, together};
use crate::scenario::{Scenario, Work};

/// A row that was run, and not left out by a filter on the command line.
pub(crate) struct Measured {
    pub(crate) scenario: &'static Scenario,
    pub(crate) row: &'static str,
    pub(crate) per_sync: Option<f64>,
}

/// Sizes that a test run shrinks.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    /// A log is replaced when it has so many.
    records_of_a_log: u64,
    /// Of a log that is replayed, at most.
    replayed: u64,
}

impl Plan {
    pub(crate) const FULL: Self = Self {
        records_of_a_log: 1 << 18,
        replayed: u64::MAX,
    };
    pub(crate) const TEST: Self = Self {
        replayed: 100,
        ..Self::FULL
    };
}

pub(crate) struct Suite<'a> {
    pub(crate) scenario: &'static Scenario,
    plan: Plan,
    disk: &'a Disk,
    measured: Vec<Measured>,
    group: BenchmarkGroup<'a, WallTime>,
    payload: Vec<u8>,
}

impl<'a> Suite<'a> {
    pub(crate) fn new(
        c: &'a mut Criterion,
        disk: &'a Disk,
        scenario: &'static Scenario,
        plan: Plan,
    ) -> Self {
        let mut group = c.benchmark_group(scenario.name);
        // Samples of one size: a small one of many threads would be their start and their end, and little between.
        group.sampling_mode(SamplingMode::Flat);
        Self {
            scenario,
            plan,
            disk,
            measured: Vec::new(),
            group,
            payload: noise(scenario.bytes),
        }
    }

    /// Measures writing to what `open` makes in an empty directory.
    pub(crate) fn writes<L: Log>(&mut self, row: &'static str, open: impl Fn(&Path) -> L) {
        let threads = match self.scenario.work {
            Work::Commit { threads } => threads,
            Work::Append => 1,
            Work::Replay { .. } => unreachable!("{row} does not read"),
        };
        let (disk, plan, payload) = (self.disk, self.plan, self.payload.as_slice());
        let mut place: Option<Place<L>> = None;
        let mut syncs = Syncs::default();
        self.group.bench_function(row, |b| {
            b.iter_custom(|records| {
                let mut spent = Duration::ZERO;
                let mut left = records;
                while left > 0 {
                    if place
                        .as_ref()
                        .is_none_or(|place| place.written >= plan.records_of_a_log)
                    {
                        // The old one first, and outside of what is timed: it may have much to do at its end.
                        place = None;
                        place = Some(Place::new(disk, &open));
                    }
                    let place = place.as_mut().expect("just made");
                    let n = left.min(plan.records_of_a_log - place.written);
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
        if place.is_some() {
            self.measured.push(Measured {
                scenario: self.scenario,
                row,
                per_sync: syncs.records_per_sync(),
            });
        }
    }

    /// Measures reading all that was written, and that it is all.
    pub(crate) fn replays(&mut self, row: &'static str, mut log: impl Replay) {
        let Work::Replay { records } = self.scenario.work else {
            unreachable!("{row} only reads");
        };
        let records = records.min(self.plan.replayed);
        let (disk, payload) = (self.disk, self.payload.as_slice());
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
        if place.is_some() {
            self.measured.push(Measured {
                scenario: self.scenario,
                row,
                per_sync: None,
            });
        }
    }

    pub(crate) fn finish(self) -> Vec<Measured> {
        self.group.finish();
        self.measured
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
fn noise(len: usize) -> Vec<u8> {
    let mut x = 0x2545_f491_4f6c_dd1d_u64;
    let words = std::iter::repeat_with(|| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x.to_le_bytes()
    });
    words.flatten().take(len).collect()
}
