//! The rows of one scenario.

use std::path::Path;

use criterion::{Criterion, SamplingMode};

use crate::disk::Disk;
use crate::log::{Log, Replay};
use crate::measure::{Bench, noise};
use crate::scenario::{Scenario, Work};

/// A row that was run, and not left out by a filter on the command line.
pub(crate) struct Measured {
    pub(crate) scenario: &'static Scenario,
    pub(crate) row: &'static str,
    pub(crate) records_per_sync: Option<f64>,
}

pub(crate) struct Suite<'a> {
    pub(crate) scenario: &'static Scenario,
    /// A log that is replayed has no more records than this: a test run is short.
    replayed: u64,
    bench: Bench<'a>,
    payload: Vec<u8>,
    measured: Vec<Measured>,
}

impl<'a> Suite<'a> {
    pub(crate) fn new(
        c: &'a mut Criterion,
        disk: &'a Disk,
        scenario: &'static Scenario,
        replayed: u64,
    ) -> Self {
        let mut group = c.benchmark_group(scenario.name);
        // Samples of one size: a small one of many threads would be their start and their end, and little between.
        group.sampling_mode(SamplingMode::Flat);
        Self {
            scenario,
            replayed,
            bench: Bench { group, disk },
            payload: noise(scenario.bytes),
            measured: Vec::new(),
        }
    }

    /// Measures writing to what `open` makes in an empty directory.
    pub(crate) fn writes<L: Log>(&mut self, row: &'static str, open: impl Fn(&Path) -> L) {
        let threads = match self.scenario.work {
            Work::Commit { threads } => threads,
            Work::Append => 1,
            Work::Replay { .. } => unreachable!("{row} does not read"),
        };
        let written = self.bench.writes(row, threads, &self.payload, open);
        if let Some(written) = written {
            self.was_run(row, written.records_per_sync);
        }
    }

    /// Measures reading all that was written, and that it is all.
    pub(crate) fn replays(&mut self, row: &'static str, log: impl Replay) {
        let Work::Replay { records } = self.scenario.work else {
            unreachable!("{row} only reads");
        };
        let records = records.min(self.replayed);
        if self.bench.replays(row, &self.payload, records, log) {
            self.was_run(row, None);
        }
    }

    fn was_run(&mut self, row: &'static str, records_per_sync: Option<f64>) {
        self.measured.push(Measured {
            scenario: self.scenario,
            row,
            records_per_sync,
        });
    }

    pub(crate) fn finish(self) -> Vec<Measured> {
        self.bench.group.finish();
        self.measured
    }
}
