//! Sequences of appends, syncs, compactions, faults, crashes and opens, beside a naive model of what must be
//! there after each open. A fuzz target drives it, and a test with bytes at random.

use backstop::durable::journal::{
    AppendError, Journal, JournalConfig, OpenMode, OpenReport, RecoveryMode, SyncPolicy,
};
use backstop::durable::storage::Storage;
use backstop::durable::storage::faulty::FaultyStorage;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

const DIR: &str = "ledger";

/// A run that goes on for longer finds nothing more.
const STEPS: usize = 300;

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    /// The next byte; 0 when there is none.
    fn next(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        first
    }
}

/// Without a zero, so that no sector is empty by chance.
fn payload(number: usize, length: usize) -> Vec<u8> {
    let mark = u8::try_from(number % 200).unwrap() + 1;
    vec![mark; length]
}

struct Run {
    disk: FaultyStorage,
    journal: Option<Journal>,
    config: JournalConfig,
    syncs_always: bool,
    /// The length of each record that may be there, by sequence from 1.
    given: Vec<usize>,
    /// Records up to this are durable by what was said.
    durable: usize,
    /// Records up to this may have been removed.
    released: usize,
    /// Whether a record may be lost before others that are kept, and those that were.
    skips: bool,
    lost: BTreeSet<usize>,
}

impl Run {
    fn new(choice: u8) -> Self {
        let syncs_always = choice & 1 == 0;
        let sync = if syncs_always {
            SyncPolicy::Always
        } else {
            SyncPolicy::Never
        };
        let recovery = [
            RecoveryMode::TornTail,
            RecoveryMode::TornTail,
            RecoveryMode::PointInTime,
            RecoveryMode::SkipDamaged,
        ][usize::from(choice >> 1 & 3)];
        let config = JournalConfig::default()
            .open(OpenMode::CreateIfMissing)
            .segment_bytes(1_024)
            .sync(sync)
            .recovery(recovery);
        let disk = FaultyStorage::new();
        disk.create_dir(Path::new(DIR)).unwrap();
        Self {
            disk,
            journal: None,
            config,
            syncs_always,
            given: Vec::new(),
            durable: 0,
            released: 0,
            skips: recovery == RecoveryMode::SkipDamaged,
            lost: BTreeSet::new(),
        }
    }

    /// What is there must be what was given, at least as far as it is durable.
    fn open(&mut self) {
        // An open on a disk that fails or is full may fail; it spoils nothing.
        let storage = || Arc::new(self.disk.clone());
        let opened = Journal::open(storage(), DIR, self.config.clone());
        self.disk.stop_failing();
        self.disk.set_capacity(u64::MAX);
        let (journal, report) = opened
            .or_else(|_| Journal::open(storage(), DIR, self.config.clone()))
            .unwrap_or_else(|error| panic!("{error}"));
        self.compare(&journal, &report);
        self.journal = Some(journal);
    }

    fn compare(&mut self, journal: &Journal, report: &OpenReport) {
        let last = usize::try_from(report.last_sequence).unwrap();
        assert!(last >= self.durable, "{last} of {}: {report}", self.durable);
        assert!(last <= self.given.len(), "{last}: {report}");
        self.given.truncate(last);
        let mut reader = journal.read(report.first_sequence.max(1)).unwrap();
        let mut record = reader.next().unwrap();
        let mut missing = 0;
        // Removed ones may still be there where a removal failed.
        let first = usize::try_from(report.first_sequence).unwrap().max(1);
        for number in first.min(self.released + 1)..=last {
            match &record {
                Some(there) if there.sequence == number as u64 => {
                    assert_eq!(there.payload, payload(number, self.given[number - 1]));
                    record = reader.next().unwrap();
                }
                _ => {
                    self.miss(number, report);
                    missing += 1;
                }
            }
        }
        assert!(record.is_none(), "{report}");
        // Those up to the low-water mark are not counted, and an open that failed may have raised it.
        assert!(report.missing <= missing, "{missing}: {report}");
        // An open that was told makes durable what it found.
        self.durable = last;
    }

    /// A record that is not there, although one behind it is. Of what was not synced a power cut may leave
    /// the end and not the middle: to go on with that is what `SkipDamaged` is for, and no other mode does.
    /// What was durable is there in all of them.
    fn miss(&mut self, number: usize, report: &OpenReport) {
        let is_new = self.lost.insert(number);
        assert!(self.skips, "{number} is missing: {report}");
        assert!(
            !is_new || number > self.durable,
            "{number} was durable: {report}"
        );
    }

    fn append(&mut self, length: usize) {
        let number = self.given.len() + 1;
        let Some(journal) = &self.journal else { return };
        match journal.append(7, &payload(number, length)) {
            Ok(sequence) => {
                assert_eq!(sequence, number as u64);
                self.given.push(length);
                if self.syncs_always {
                    self.durable = number;
                }
            }
            // Nothing of it is there, and the journal goes on.
            Err(AppendError::Storage(_)) => {}
            // It may be there or not; nothing behind it is.
            Err(_) => {
                self.given.push(length);
                self.journal = None;
            }
        }
    }

    fn sync(&mut self) {
        if let Some(Ok(last)) = self.journal.as_ref().map(Journal::sync) {
            let last = usize::try_from(last).unwrap();
            assert!((self.durable..=self.given.len()).contains(&last), "{last}");
            self.durable = last;
        }
    }

    /// As behind a snapshot: what is let go is durable.
    fn compact(&mut self, share: u8) {
        if let Some(journal) = &self.journal {
            let through = self.durable * usize::from(share) / 255;
            self.released = self.released.max(through);
            // Where the storage fails there is more left.
            let _ = journal.compact(through as u64);
        }
    }

    fn close(&mut self) {
        if self
            .journal
            .take()
            .is_some_and(|journal| journal.close().is_ok())
        {
            self.durable = self.given.len();
        }
    }

    fn crash(&mut self, left: impl Fn(&FaultyStorage) -> FaultyStorage) {
        // What the process would still do when it ends in order is not done.
        self.disk.stop_at(self.disk.calls());
        self.journal = None;
        self.disk = left(&self.disk);
    }
}

/// One of the images that a power cut may leave.
fn cut(disk: &FaultyStorage, seed: u8) -> FaultyStorage {
    let mut left = disk.after_power_cut().seed(seed.into());
    let first = left.next().expect("there is always one");
    left.take(usize::from(seed % 7)).last().unwrap_or(first)
}

/// Drives a journal as `bytes` say, and holds what must hold after each open.
pub(crate) fn check(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let mut run = Run::new(bytes.next());
    run.open();
    for _ in 0..STEPS {
        if bytes.0.is_empty() {
            break;
        }
        let (what, how) = (bytes.next() % 20, bytes.next());
        match what {
            0..8 => run.append(usize::from(how) * 2),
            8 | 9 => run.sync(),
            10 => run.compact(how),
            11 => run
                .disk
                .fail_at_random(how.into(), f64::from(bytes.next()) / 512.0),
            12 => run.disk.stop_failing(),
            13 => {
                run.close();
                run.crash(FaultyStorage::after_kill);
                run.open();
            }
            14 => {
                run.crash(FaultyStorage::after_kill);
                run.open();
            }
            15 | 16 => {
                run.crash(|disk| cut(disk, how));
                run.open();
            }
            // The process ends within its next calls, and then the power.
            17 | 18 => {
                run.disk
                    .stop_at(run.disk.calls() + u64::from(bytes.next() % 30));
                for length in [50, 200, 50] {
                    run.append(length);
                }
                if what == 18 {
                    run.compact(how);
                }
                run.crash(|disk| cut(disk, how));
                run.open();
            }
            _ => {
                let used = run.disk.calls();
                run.disk.set_capacity(if how == 0 {
                    u64::MAX
                } else {
                    4_096 + used * u64::from(how)
                });
            }
        }
    }
    run.crash(FaultyStorage::after_kill);
    run.open();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn jn3a_jn4a_jn5b_jn6a_jn9a_what_was_durable_is_there_after_every_crash(
            bytes in prop::collection::vec(any::<u8>(), 1..300),
        ) {
            super::check(&bytes);
        }
    }
}
