//! Recovery beside a naive model of what must be left.

use crate::image::{DIR, HEADER, Image, RECORD, config, open, read};
use backstop::durable::journal::{RecoveryMode, SyncPolicy};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// Payloads of these lengths, in small segments.
fn written(lengths: &[usize]) -> Image {
    let storage = Image::default().store();
    let config = config().segment_bytes(1_024).sync(SyncPolicy::Always);
    let (journal, _) = open(&storage, config).unwrap();
    for (number, length) in (1..).zip(lengths) {
        journal.append(number, &payload(number, *length)).unwrap();
    }
    drop(journal);
    Image::of(&storage)
}

/// Without a zero, so that no sector is empty by chance.
fn payload(number: u32, length: usize) -> Vec<u8> {
    let mark = u8::try_from(number % 200).unwrap() + 1;
    vec![mark; length]
}

/// What stands where: the file, the bytes, and the sequence of the record; 0 for a segment's header.
fn places(image: &Image) -> Vec<(String, std::ops::Range<usize>, u64)> {
    let mut sequence = 0;
    let mut places = Vec::new();
    for name in image.segments() {
        let bytes = &image.0[&name];
        places.push((name.clone(), 0..HEADER, 0));
        let mut at = HEADER;
        while at < bytes.len() {
            sequence += 1;
            let length = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
            let end = at + (length as usize + RECORD).next_multiple_of(8);
            places.push((name.clone(), at..end, sequence));
            at = end;
        }
    }
    places
}

#[derive(Clone, Debug)]
struct Hit {
    segment: prop::sample::Index,
    at: prop::sample::Index,
    bytes: Vec<u8>,
}

fn hit() -> impl Strategy<Value = Hit> {
    let bytes = prop::collection::vec(any::<u8>(), 1..40);
    (
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        bytes,
    )
        .prop_map(|(segment, at, bytes)| Hit { segment, at, bytes })
}

/// Which sequences are left in this mode, and what the open said if none.
fn left(image: &Image, mode: RecoveryMode) -> Result<Vec<(u64, u32, Vec<u8>)>, String> {
    let storage = image.store();
    let config = config().segment_bytes(1_024).recovery(mode);
    match open(&storage, config) {
        Ok((journal, report)) => Ok(read(&journal, report.first_sequence)),
        Err(error) => Err(error.to_string()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Bytes are written over in some places: every record that was not touched is there in the
    /// one mode, every one before the first touched byte in the other, and all or nothing in the two
    /// that refuse.
    #[test]
    fn jn6a_jn6b_jn6c_jn6d_what_is_left_is_what_was_not_touched(
        lengths in prop::collection::vec(0_usize..400, 1..30),
        hits in prop::collection::vec(hit(), 0..4),
    ) {
        let sound = written(&lengths);
        let places = places(&sound);
        let last = lengths.len() as u64;
        prop_assert_eq!(places.last().unwrap().2, last);
        let mut image = sound.clone();
        let mut touched = BTreeSet::new();
        for hit in &hits {
            let names = image.segments();
            let name = &names[hit.segment.index(names.len())];
            let bytes = image.0.get_mut(name).unwrap();
            let at = hit.at.index(bytes.len());
            for (offset, byte) in hit.bytes.iter().enumerate().take(bytes.len() - at) {
                bytes[at + offset] = *byte;
            }
        }
        for (number, (name, range, _)) in places.iter().enumerate() {
            if image.0[name][range.clone()] != sound.0[name][range.clone()] {
                touched.insert(number);
            }
        }
        let expected: Vec<_> = places
            .iter()
            .enumerate()
            .filter(|(number, (_, _, sequence))| *sequence > 0 && !touched.contains(number))
            .map(|(_, (_, _, sequence))| *sequence)
            .collect();
        let whole = |kept: &[(u64, u32, Vec<u8>)]| {
            kept.iter().all(|(sequence, kind, bytes)| {
                let length = lengths[usize::try_from(*sequence).unwrap() - 1];
                u64::from(*kind) == *sequence && *bytes == payload(*kind, length)
            })
        };
        let sequences = |kept: &[(u64, u32, Vec<u8>)]| -> Vec<u64> {
            kept.iter().map(|record| record.0).collect()
        };
        let skipped = left(&image, RecoveryMode::SkipDamaged).unwrap();
        prop_assert!(whole(&skipped));
        prop_assert_eq!(sequences(&skipped), expected);

        let prefix = left(&image, RecoveryMode::PointInTime).unwrap();
        prop_assert!(whole(&prefix));
        let before = touched.first().map_or(places.len(), |first| *first);
        let longest = places[..before].iter().map(|place| place.2).max().unwrap_or(0);
        prop_assert_eq!(sequences(&prefix), (1..=longest).collect::<Vec<_>>());

        let strict = left(&image, RecoveryMode::Strict);
        prop_assert_eq!(strict.is_ok(), touched.is_empty());

        match left(&image, RecoveryMode::TornTail) {
            Ok(kept) => {
                // The last one may be torn, and what was written over with zeros may be.
                prop_assert!(whole(&kept));
                prop_assert_eq!(sequences(&kept), (1..=longest).collect::<Vec<_>>());
                let later = touched.iter().filter(|number| places[**number].2 < last);
                prop_assert!(touched.is_empty() || longest + 1 == last || later.count() > 1);
            }
            Err(error) => prop_assert!(!touched.is_empty(), "{}", error),
        }
    }

    /// A journal is cut anywhere: what is before the cut is there, in each mode that opens.
    #[test]
    fn jn5b_jn5e_a_journal_that_is_cut_anywhere_opens_with_what_is_before(
        lengths in prop::collection::vec(0_usize..400, 1..20),
        at in any::<prop::sample::Index>(),
    ) {
        let mut image = written(&lengths);
        let places = places(&image);
        let segment = image.segment(-1);
        let len = HEADER + at.index(segment.len() - HEADER);
        segment.truncate(len);
        let name = image.name(-1);
        let kept: Vec<u64> = places
            .iter()
            .filter(|(file, range, sequence)| *sequence > 0 && (*file != name || range.end <= len))
            .map(|place| place.2)
            .collect();
        let is_boundary = len == HEADER || places.iter().any(|place| place.0 == name && place.1.end == len);
        for mode in [RecoveryMode::TornTail, RecoveryMode::PointInTime, RecoveryMode::SkipDamaged] {
            let found: Vec<u64> = left(&image, mode).unwrap().iter().map(|record| record.0).collect();
            prop_assert_eq!(&found, &kept);
        }
        prop_assert_eq!(left(&image, RecoveryMode::Strict).is_ok(), is_boundary);
    }
}

/// Appends, crashes and opens, on a disk that loses what was not synced.
#[cfg(feature = "test-util")]
mod crashes {
    use super::{DIR, config, payload};
    use backstop::durable::journal::{Journal, JournalConfig, RecoveryMode, SyncPolicy};
    use backstop::durable::storage::Storage;
    use backstop::durable::storage::faulty::FaultyStorage;
    use proptest::prelude::*;
    use std::path::Path;
    use std::sync::Arc;

    #[derive(Clone, Debug)]
    enum Op {
        Append(usize),
        Sync,
        Reopen,
        Kill,
        PowerCut(u64),
        /// The process ends within its next calls, and then the power.
        StopIn(u64, u64),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            8 => (0_usize..300).prop_map(Op::Append),
            2 => Just(Op::Sync),
            1 => Just(Op::Reopen),
            1 => Just(Op::Kill),
            2 => (0_u64..1_000).prop_map(Op::PowerCut),
            2 => (0_u64..30, 0_u64..1_000).prop_map(|(calls, seed)| Op::StopIn(calls, seed)),
        ]
    }

    struct Run {
        disk: FaultyStorage,
        journal: Option<Journal>,
        config: JournalConfig,
        /// The length of each record that may be there, by sequence from 1.
        given: Vec<usize>,
        /// Records up to this are durable by what was said.
        durable: usize,
    }

    impl Run {
        /// What is there must be what was given, at least as far as it is durable.
        fn open(&mut self) -> Result<(), TestCaseError> {
            let storage = Arc::new(self.disk.clone());
            let opened = Journal::open(storage, DIR, self.config.clone());
            let (journal, report) =
                opened.map_err(|error| TestCaseError::fail(error.to_string()))?;
            let last = usize::try_from(report.last_sequence).unwrap();
            prop_assert!(last >= self.durable, "{} of {}", last, self.durable);
            prop_assert!(last <= self.given.len());
            self.given.truncate(last);
            let mut reader = journal.read(1).unwrap();
            for (number, length) in (1..).zip(&self.given) {
                let record = reader.next().unwrap().expect("as many as were told");
                prop_assert_eq!(record.payload, payload(number, *length));
            }
            prop_assert!(reader.next().unwrap().is_none());
            // An open that was told makes durable what it found.
            self.durable = last;
            self.journal = Some(journal);
            Ok(())
        }

        fn step(&mut self, op: &Op) -> Result<(), TestCaseError> {
            match op {
                Op::Append(length) => self.append(*length),
                Op::Sync => {
                    if let Some(Ok(last)) = self.journal.as_ref().map(Journal::sync) {
                        self.durable = usize::try_from(last).unwrap();
                    }
                }
                Op::Reopen => {
                    let closed = self.journal.take();
                    if closed.is_some_and(|journal| journal.close().is_ok()) {
                        self.durable = self.given.len();
                    }
                    self.crash(|disk| disk.after_kill())?;
                }
                Op::Kill => self.crash(|disk| disk.after_kill())?,
                Op::PowerCut(seed) => self.crash(|disk| cut(disk, *seed))?,
                Op::StopIn(calls, seed) => {
                    self.disk.stop_at(self.disk.calls() + calls);
                    for length in [50, 200, 50] {
                        self.append(length);
                    }
                    self.crash(|disk| cut(disk, *seed))?;
                }
            }
            Ok(())
        }

        fn append(&mut self, length: usize) {
            let number = u32::try_from(self.given.len()).unwrap() + 1;
            let Some(journal) = &self.journal else { return };
            let appended = journal.append(number, &payload(number, length));
            let is_durable = self.config == config_of(SyncPolicy::Always);
            self.given.push(length);
            if let Ok(sequence) = appended {
                assert_eq!(sequence, u64::from(number));
                if is_durable {
                    self.durable = self.given.len();
                }
            } else {
                // It may be there or not; nothing behind it is.
                self.journal = None;
            }
        }

        fn crash(
            &mut self,
            left: impl Fn(&FaultyStorage) -> FaultyStorage,
        ) -> Result<(), TestCaseError> {
            // What the process would still do when it ends in order is not done.
            self.disk.stop_at(self.disk.calls());
            self.journal = None;
            self.disk = left(&self.disk);
            self.open()
        }
    }

    fn cut(disk: &FaultyStorage, seed: u64) -> FaultyStorage {
        let mut left = disk.after_power_cut().seed(seed);
        let count = usize::try_from(seed % 7).unwrap();
        let first = left.next().expect("there is always one");
        left.take(count).last().unwrap_or(first)
    }

    fn config_of(sync: SyncPolicy) -> JournalConfig {
        config()
            .segment_bytes(1_024)
            .sync(sync)
            .recovery(RecoveryMode::TornTail)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn jn4a_jn5b_jn6a_what_was_durable_is_there_after_every_crash(
            ops in prop::collection::vec(op(), 1..40),
            always in any::<bool>(),
        ) {
            let sync = if always { SyncPolicy::Always } else { SyncPolicy::Never };
            let disk = FaultyStorage::new();
            disk.create_dir(Path::new(DIR)).unwrap();
            let mut run = Run {
                disk,
                journal: None,
                config: config_of(sync),
                given: Vec::new(),
                durable: 0,
            };
            run.open()?;
            for op in &ops {
                run.step(op)?;
            }
            run.crash(FaultyStorage::after_kill)?;
        }
    }
}
