//! Random saves, marks, damage, kills and power cuts beside a naive model.

use super::rig::{DIR, KEY, open};
use backstop::durable::snapshot::conformance::checkpoint;
use backstop::durable::snapshot::{
    CheckpointStore, DirectoryStore, Mark, Marks, MemoryStore, Reason, StoreError,
};
use backstop::durable::storage::faulty::FaultyStorage;
use proptest::prelude::*;
use std::path::Path;

/// What `rig::open` keeps.
const KEEP: usize = 2;

#[derive(Clone, Debug)]
enum Step {
    /// So much above the newest (or below it), with these marks.
    Save(i8, Option<Mark>),
    /// The nth newest.
    Mark(usize, Mark),
    Damage(usize),
    Forget,
    Reopen,
    Kill,
    PowerCut(usize),
}

fn mark() -> impl Strategy<Value = Mark> {
    prop::sample::select(vec![
        Mark::Provisional,
        Mark::Verified,
        Mark::Strike,
        Mark::Suspect,
        Mark::Cleared,
    ])
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (-3..4_i8, prop::option::weighted(0.3, mark())).prop_map(|(by, m)| Step::Save(by, m)),
        6 => (0..6_usize, mark()).prop_map(|(nth, mark)| Step::Mark(nth, mark)),
        2 => (0..6_usize).prop_map(Step::Damage),
        1 => Just(Step::Forget),
        1 => Just(Step::Reopen),
        1 => Just(Step::Kill),
        1 => (0..8_usize).prop_map(Step::PowerCut),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Kept {
    sequence: u64,
    marks: Marks,
    is_damaged: bool,
}

impl Kept {
    fn is_good(&self) -> bool {
        !self.is_damaged && !self.marks.suspect
    }

    fn is_settled(&self) -> bool {
        self.is_good() && !self.marks.provisional
    }
}

/// Newest first.
#[derive(Debug, Default)]
struct Naive(Vec<Kept>);

impl Naive {
    /// The sequence of a good one that is as new or newer, or what is removed.
    fn save(&mut self, sequence: u64, marks: Marks) -> Result<Vec<u64>, u64> {
        let newest = self.0.iter().find(|kept| kept.is_good());
        if let Some(newest) = newest.filter(|newest| newest.sequence >= sequence) {
            return Err(newest.sequence);
        }
        self.0.retain(|kept| kept.sequence != sequence);
        self.0.push(Kept {
            sequence,
            marks,
            is_damaged: false,
        });
        self.0.sort_by_key(|kept| std::cmp::Reverse(kept.sequence));
        let all = self.0.clone();
        if all.len() <= KEEP {
            return Ok(Vec::new());
        }
        // How many of a kind are newer.
        let newer = |one: &Kept, kind: fn(&Kept) -> bool| {
            let is_newer = |kept: &&Kept| kept.sequence > one.sequence && kind(kept);
            all.iter().filter(is_newer).count()
        };
        let is_needed = |one: &Kept| {
            let is_verified = |kept: &Kept| kept.is_good() && kept.marks.verified;
            (one.is_settled() && newer(one, Kept::is_settled) < KEEP)
                || (is_verified(one) && newer(one, is_verified) == 0)
        };
        let settled = all.iter().filter(|kept| kept.is_settled()).count();
        let oldest = match all.iter().rev().find(|kept| is_needed(kept)) {
            Some(oldest) if settled >= KEEP => oldest.sequence,
            _ => 0,
        };
        let stays = |one: &Kept| {
            let is_provisional = |kept: &Kept| kept.is_good() && kept.marks.provisional;
            let has_room = if one.is_good() {
                is_provisional(one) && newer(one, is_provisional) < KEEP
            } else {
                newer(one, |kept| !kept.is_good()) < KEEP
            };
            is_needed(one) || (has_room && one.sequence >= oldest)
        };
        self.0.retain(stays);
        Ok(all
            .iter()
            .filter(|kept| !self.0.contains(kept))
            .map(|kept| kept.sequence)
            .collect())
    }

    fn nth(&mut self, nth: usize) -> Option<&mut Kept> {
        self.0.get_mut(nth)
    }
}

fn agree(store: &dyn CheckpointStore, naive: &Naive) -> Result<(), TestCaseError> {
    let history = store.history(KEY).unwrap();
    let found: Vec<Kept> = history
        .iter()
        .map(|entry| Kept {
            sequence: entry.sequence,
            marks: entry.marks,
            is_damaged: entry.about.is_err(),
        })
        .collect();
    prop_assert_eq!(&found, &naive.0);
    let latest = store.latest(KEY).unwrap();
    let good = naive.0.iter().position(Kept::is_good);
    let expected = good.map(|at| (checkpoint(naive.0[at].sequence), naive.0[at].marks));
    prop_assert_eq!(latest.checkpoint, expected);
    let passed = &naive.0[..good.unwrap_or(naive.0.len())];
    prop_assert_eq!(latest.passed_over.len(), passed.len());
    for (found, kept) in latest.passed_over.iter().zip(passed) {
        prop_assert_eq!(found.sequence, kept.sequence);
        prop_assert_eq!(found.reason == Reason::Suspect, kept.marks.suspect);
    }
    let oldest = naive.0.iter().rev().find(|kept| kept.is_good());
    let oldest = oldest.map(|kept| kept.sequence);
    prop_assert_eq!(store.oldest_retained(KEY).unwrap(), oldest);
    Ok(())
}

/// A directory, or memory, which crashes do not touch.
struct Subject {
    disk: FaultyStorage,
    store: Option<DirectoryStore>,
    memory: MemoryStore,
}

impl Subject {
    fn stores(&self) -> [&dyn CheckpointStore; 2] {
        [self.store.as_ref().unwrap(), &self.memory]
    }

    fn damage(&self, sequence: u64) {
        let file = format!("{sequence:016x}-{KEY}.checkpoint");
        self.disk
            .flip_bit(Path::new(DIR).join(file), 8 * 80)
            .unwrap();
        assert!(self.memory.damage(KEY, sequence));
    }

    fn onto(&mut self, disk: FaultyStorage) {
        self.store = None;
        self.disk = disk;
        self.store = Some(open(&self.disk).unwrap());
    }
}

fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let disk = FaultyStorage::new();
    let store = Some(open(&disk).unwrap());
    let memory = MemoryStore::keeping(KEEP).unwrap();
    let mut subject = Subject {
        disk,
        store,
        memory,
    };
    let mut naive = Naive::default();
    for step in steps {
        match step {
            Step::Save(by, mark) => {
                let newest = naive.0.first().map_or(3, |kept| kept.sequence);
                let sequence = newest.saturating_add_signed(by.into()).max(1);
                let marks = mark.map_or(Marks::none(), |mark| Marks::none().with(mark));
                let expected = naive.save(sequence, marks);
                for store in subject.stores() {
                    let saved = store.save_marked(KEY, &checkpoint(sequence), marks);
                    match (&expected, saved) {
                        (Ok(removed), Ok(saved)) => prop_assert_eq!(&saved.removed, removed),
                        (Err(newest), Err(StoreError::NotNewer { newest: found, .. })) => {
                            prop_assert_eq!(found, *newest);
                        }
                        (_, saved) => prop_assert!(false, "{:?}, not {:?}", saved, expected),
                    }
                }
            }
            Step::Mark(nth, mark) => {
                let Some(kept) = naive.nth(nth) else { continue };
                kept.marks = kept.marks.with(mark);
                for store in subject.stores() {
                    prop_assert_eq!(store.mark(KEY, kept.sequence, mark).unwrap(), kept.marks);
                }
            }
            Step::Damage(nth) => {
                let Some(kept) = naive.nth(nth).filter(|kept| !kept.is_damaged) else {
                    continue;
                };
                kept.is_damaged = true;
                let sequence = kept.sequence;
                subject.damage(sequence);
            }
            Step::Forget => {
                naive.0.clear();
                for store in subject.stores() {
                    store.forget(KEY).unwrap();
                }
            }
            Step::Reopen => subject.onto(subject.disk.clone()),
            Step::Kill => subject.onto(subject.disk.after_kill()),
            Step::PowerCut(nth) => {
                // Between calls there is one disk at least, and each has what was acknowledged.
                let disks: Vec<_> = subject.disk.after_power_cut().take(8).collect();
                let disk = disks[nth % disks.len()].clone();
                subject.onto(disk);
            }
        }
        for store in subject.stores() {
            agree(store, &naive)?;
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 256 } else { 4_096 }))]

    #[test]
    fn stores_agree_with_the_naive_model(steps in prop::collection::vec(step(), 1..40)) {
        run(steps)?;
    }
}
