//! What a crash leaves of a `FaultyStorage`, beside a naive model: a list of all that ever was.

use backstop::durable::storage::faulty::{Fault, FaultyStorage};
use backstop::durable::storage::{Operation, Storage};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const NAMES: [&str; 4] = ["a", "b", "dir/a", "dir/b"];
const SECTOR: usize = 512;

/// One step of a run; names are numbers into `NAMES`.
#[derive(Clone, Debug)]
enum Step {
    Create(usize),
    Append(usize, usize),
    Truncate(usize, usize),
    Sync(usize, bool),
    Rename(usize, usize),
    Remove(usize),
    SyncDir(usize, bool),
}

fn step() -> impl Strategy<Value = Step> {
    // One of them more often, so that its steps meet.
    let name = prop_oneof![4 => Just(0), 3 => 0..NAMES.len()];
    let works = prop::bool::weighted(0.8);
    prop_oneof![
        2 => name.clone().prop_map(Step::Create),
        5 => (name.clone(), 1..800_usize).prop_map(|(name, len)| Step::Append(name, len)),
        2 => (name.clone(), 0..1_500_usize).prop_map(|(name, len)| Step::Truncate(name, len)),
        3 => (name.clone(), works).prop_map(|(name, works)| Step::Sync(name, works)),
        2 => (name.clone(), name.clone()).prop_map(|(from, to)| Step::Rename(from, to)),
        1 => name.prop_map(Step::Remove),
        3 => (0..2_usize, works).prop_map(|(dir, works)| Step::SyncDir(dir, works)),
    ]
}

/// All values that something ever had, and from which on they may be found after a power cut.
#[derive(Clone, Debug)]
struct History<T> {
    values: Vec<T>,
    since: usize,
    is_touched: bool,
}

impl<T: Clone + Ord> History<T> {
    fn of(value: T) -> Self {
        Self {
            values: vec![value],
            since: 0,
            is_touched: false,
        }
    }

    fn now(&self) -> &T {
        self.values.last().unwrap()
    }

    fn set(&mut self, value: T) {
        self.values.push(value);
        self.is_touched = true;
    }

    fn sync(&mut self, works: bool) {
        if works && self.is_touched {
            self.since = self.values.len() - 1;
        }
        self.is_touched = false;
    }

    fn possible(&self) -> BTreeSet<T> {
        self.values[self.since..].iter().cloned().collect()
    }
}

/// A file: its length, and its sectors padded with zeros.
#[derive(Clone, Debug)]
struct NaiveFile {
    len: History<usize>,
    sectors: Vec<History<Vec<u8>>>,
}

impl NaiveFile {
    fn new() -> Self {
        Self {
            len: History::of(0),
            sectors: Vec::new(),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.sectors.iter().flat_map(|s| s.now().clone()).collect();
        bytes.truncate(*self.len.now());
        bytes
    }

    /// Makes the file so, of which the bytes in `from..to` were written.
    fn become_with(&mut self, bytes: &[u8], from: usize, to: usize) {
        let sectors = to.div_ceil(SECTOR).max(self.sectors.len());
        self.sectors
            .resize_with(sectors, || History::of(vec![0; SECTOR]));
        for index in from / SECTOR..to.div_ceil(SECTOR) {
            let start = (index * SECTOR).min(bytes.len());
            let end = (start + SECTOR).min(bytes.len());
            let mut sector = bytes[start..end].to_vec();
            sector.resize(SECTOR, 0);
            self.sectors[index].set(sector);
        }
        self.len.set(bytes.len());
    }

    fn sync(&mut self, works: bool) {
        self.len.sync(works);
        self.sectors.iter_mut().for_each(|s| s.sync(works));
    }

    /// What a power cut may leave; `None` if that is too much to list.
    fn possible(&self) -> Option<BTreeSet<Vec<u8>>> {
        let mut possible = BTreeSet::new();
        for len in self.len.possible() {
            let mut all = vec![Vec::new()];
            for index in 0..len.div_ceil(SECTOR) {
                let end = (len - index * SECTOR).min(SECTOR);
                let sector: BTreeSet<Vec<u8>> = match self.sectors.get(index) {
                    Some(sector) => {
                        let values = sector.possible().into_iter();
                        values.map(|bytes| bytes[..end].to_vec()).collect()
                    }
                    None => [vec![0; end]].into(),
                };
                if all.len() * sector.len() > 2_000 {
                    return None;
                }
                let longer = all.iter().flat_map(|begin: &Vec<u8>| {
                    sector
                        .iter()
                        .map(move |end| [begin.as_slice(), end].concat())
                });
                all = longer.collect();
            }
            possible.extend(all);
        }
        Some(possible)
    }

    /// Whether a power cut may leave this.
    fn may_be(&self, found: &[u8]) -> bool {
        let sectors = found.chunks(SECTOR).enumerate();
        self.len.possible().contains(&found.len())
            && sectors.into_iter().all(|(index, part)| {
                let values = self.sectors.get(index).map(History::possible);
                let values = values.unwrap_or_else(|| [vec![0; SECTOR]].into());
                values.iter().any(|bytes| bytes[..part.len()] == *part)
            })
    }
}

#[derive(Debug)]
struct Naive {
    files: Vec<NaiveFile>,
    names: Vec<History<Option<usize>>>,
}

struct Run {
    disk: FaultyStorage,
    naive: Naive,
    /// Bytes that were written so far: each is another one.
    byte: u8,
}

impl Run {
    fn new() -> Self {
        let disk = FaultyStorage::new();
        disk.create_dir(Path::new("dir")).unwrap();
        disk.sync_dir(Path::new("")).unwrap();
        let names = NAMES.map(|_| History::of(None)).to_vec();
        let files = Vec::new();
        Self {
            disk,
            naive: Naive { files, names },
            byte: 0,
        }
    }

    fn take(&mut self, step: &Step) {
        let Self { disk, naive, byte } = self;
        let path = |name: usize| Path::new(NAMES[name]);
        let there = |naive: &Naive, name: usize| *naive.names[name].now();
        match *step {
            Step::Create(name) if there(naive, name).is_none() => {
                disk.create_new(path(name)).unwrap();
                naive.names[name].set(Some(naive.files.len()));
                naive.files.push(NaiveFile::new());
            }
            Step::Append(name, len) => {
                let Some(file) = there(naive, name) else {
                    return;
                };
                *byte = byte.wrapping_add(1).max(1);
                let more = vec![*byte; len];
                assert_eq!(disk.open(path(name)).unwrap().append(&more).unwrap(), len);
                let mut bytes = naive.files[file].bytes();
                let before = bytes.len();
                bytes.extend(more);
                naive.files[file].become_with(&bytes, before, bytes.len());
            }
            Step::Truncate(name, len) => {
                let Some(file) = there(naive, name) else {
                    return;
                };
                disk.open(path(name)).unwrap().truncate(len as u64).unwrap();
                let mut bytes = naive.files[file].bytes();
                let before = naive.files[file].sectors.len() * SECTOR;
                if len < bytes.len() {
                    bytes.truncate(len);
                    naive.files[file].become_with(&bytes, len, before);
                }
            }
            Step::Sync(name, works) => {
                let Some(file) = there(naive, name) else {
                    return;
                };
                if !works {
                    disk.fail(Fault::on(Operation::Sync));
                }
                assert_eq!(disk.open(path(name)).unwrap().sync().is_ok(), works);
                naive.files[file].sync(works);
            }
            Step::Rename(from, to) if from != to => {
                let Some(file) = there(naive, from) else {
                    return;
                };
                disk.rename(path(from), path(to)).unwrap();
                naive.names[from].set(None);
                naive.names[to].set(Some(file));
            }
            Step::Remove(name) if there(naive, name).is_some() => {
                disk.remove(path(name)).unwrap();
                naive.names[name].set(None);
            }
            Step::SyncDir(dir, works) => {
                if !works {
                    disk.fail(Fault::on(Operation::SyncDir));
                }
                let path = Path::new(["", "dir"][dir]);
                assert_eq!(disk.sync_dir(path).is_ok(), works);
                for name in &mut naive.names[dir * 2..][..2] {
                    name.sync(works);
                }
            }
            Step::Create(_) | Step::Rename(..) | Step::Remove(_) => {}
        }
    }

    /// Which file, by the bytes that no two files share, or by being the only one that it can be.
    fn check(&self) {
        let now: Vec<Option<Vec<u8>>> = self
            .naive
            .names
            .iter()
            .map(|name| name.now().map(|file| self.naive.files[file].bytes()))
            .collect();
        let contents = |disk: &FaultyStorage| NAMES.map(|name| disk.contents(name)).to_vec();
        assert_eq!(contents(&self.disk), now);
        let killed = self.disk.after_kill();
        assert_eq!(contents(&killed), now);

        let cut = self.disk.after_power_cut();
        let is_exhaustive = cut.is_exhaustive();
        let left: Vec<_> = cut.map(|disk| contents(&disk)).collect();
        let after_kill: Vec<_> = killed.after_power_cut().map(|d| contents(&d)).collect();
        assert_eq!(left, after_kill);
        assert!(is_exhaustive || left.len() > 2);
        assert!(left.contains(&now), "nothing need be lost");
        for (at, history) in self.naive.names.iter().enumerate() {
            let name = NAMES[at];
            let found: BTreeSet<Option<&Vec<u8>>> = left.iter().map(|l| l[at].as_ref()).collect();
            // Nothing is there that may not be.
            for found in &found {
                let may_be = history.possible().iter().any(|file| match (found, file) {
                    (None, None) => true,
                    (Some(bytes), Some(file)) => self.naive.files[*file].may_be(bytes),
                    _ => false,
                });
                assert!(may_be, "{name} may not be {found:?}");
            }
            // And all is there that may be: so nothing is kept that a sync did not store.
            let all: Option<Vec<_>> = history
                .possible()
                .iter()
                .map(|file| match file {
                    None => Some(BTreeSet::from([None])),
                    Some(file) => {
                        let all = self.naive.files[*file].possible()?;
                        Some(all.into_iter().map(Some).collect())
                    }
                })
                .collect();
            if let Some(all) = all.filter(|_| is_exhaustive) {
                for bytes in all.iter().flatten() {
                    assert!(found.contains(&bytes.as_ref()), "{name} may be {bytes:?}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 500 } else { 10_000 }))]

    #[test]
    fn st1g_st1h_st1i_st1j_a_crash_leaves_what_a_naive_model_says(
        steps in prop::collection::vec(step(), 1..24)
    ) {
        let mut run = Run::new();
        run.take(&Step::Create(0));
        for step in &steps {
            run.take(step);
        }
        run.check();
    }
}

/// The bytes of the one file over all power cuts.
fn left(disk: &FaultyStorage) -> BTreeMap<Option<Vec<u8>>, usize> {
    let mut left = BTreeMap::new();
    for disk in disk.after_power_cut() {
        *left.entry(disk.contents("file")).or_default() += 1;
    }
    left
}

#[test]
fn st1g_after_a_kill_what_was_not_synced_is_there_and_still_open() {
    let disk = FaultyStorage::new();
    let file = disk.create_new(Path::new("file")).unwrap();
    file.append(b"bytes").unwrap();
    let _held = disk.lock(Path::new("lock"), "me").unwrap();
    let killed = disk.after_kill();
    assert_eq!(killed.contents("file").unwrap(), b"bytes");
    killed.lock(Path::new("lock"), "next").unwrap();
    assert_eq!(left(&killed), left(&disk));
    // One that looks at it and syncs has it for good.
    killed.open(Path::new("file")).unwrap().sync().unwrap();
    killed.sync_dir(Path::new("")).unwrap();
    assert_eq!(left(&killed), [(Some(b"bytes".to_vec()), 1)].into());
    // A rename to its own name is no change.
    killed.rename(Path::new("file"), Path::new("file")).unwrap();
    assert_eq!(killed.after_power_cut().count(), 1);
    // Those are two disks now.
    assert!(left(&disk).contains_key(&None));
}

#[test]
fn st1h_a_file_and_its_name_are_stored_apart() {
    let disk = FaultyStorage::new();
    let file = disk.create_new(Path::new("file")).unwrap();
    file.append(b"bytes").unwrap();
    file.sync().unwrap();
    let bytes = Some(b"bytes".to_vec());
    assert_eq!(left(&disk), [(None, 1), (bytes.clone(), 1)].into());

    let disk = FaultyStorage::new();
    let file = disk.create_new(Path::new("file")).unwrap();
    file.append(b"bytes").unwrap();
    disk.sync_dir(Path::new("")).unwrap();
    let lost = Some(Vec::new());
    let zeros = Some(vec![0; 5]);
    assert_eq!(left(&disk), [(lost, 1), (zeros, 1), (bytes, 1)].into());
}

#[test]
fn st1i_few_ways_are_all_gone_through_and_many_are_drawn_by_a_seed() {
    let with_sectors = |sectors: usize| {
        let disk = FaultyStorage::new();
        let file = disk.create_new(Path::new("file")).unwrap();
        disk.sync_dir(Path::new("")).unwrap();
        file.append(&vec![1; sectors * SECTOR]).unwrap();
        disk
    };
    // The length and nine sectors; without its length no sector makes a difference.
    let few = with_sectors(9).after_power_cut();
    assert!(few.is_exhaustive());
    assert_eq!(few.count(), 1 + (1 << 9));
    let many = || with_sectors(10).after_power_cut();
    assert!(!many().is_exhaustive());
    let drawn = |cut: backstop::durable::storage::faulty::PowerCut| -> Vec<_> {
        cut.map(|disk| disk.contents("file").unwrap()).collect()
    };
    let first = drawn(many());
    assert_eq!(first[0], b"");
    assert_eq!(first[1], [1; 10 * SECTOR]);
    // About half of a thousand lose the length, and are one; the others are hardly ever the same.
    assert!((200..700).contains(&first.len()), "{}", first.len());
    let distinct: BTreeSet<_> = first.iter().collect();
    assert_eq!(distinct.len(), first.len());
    assert_eq!(drawn(many().seed(0)), first);
    assert_ne!(drawn(many().seed(1)), first);
}

#[test]
fn st1j_what_a_failed_sync_lost_no_later_one_stores() {
    let disk = FaultyStorage::new();
    let file = disk.create_new(Path::new("file")).unwrap();
    disk.sync_dir(Path::new("")).unwrap();
    file.append(&[1; 600]).unwrap();
    disk.fail(Fault::on(Operation::Sync));
    file.sync().unwrap_err();
    file.sync().unwrap();
    // It reads as if all were well.
    assert_eq!(disk.contents("file").unwrap(), [1; 600]);
    assert_eq!(left(&disk).len(), 1 + 4);
    // An append behind it dirties the second sector only: the first stays a hole.
    file.append(&[1; 10]).unwrap();
    file.sync().unwrap();
    let mut hole = vec![1; 610];
    hole[..SECTOR].fill(0);
    assert_eq!(
        left(&disk),
        [(Some(hole), 1), (Some(vec![1; 610]), 1)].into()
    );

    // So with names.
    let disk = FaultyStorage::new();
    disk.create_new(Path::new("file")).unwrap();
    disk.fail(Fault::on(Operation::SyncDir));
    disk.sync_dir(Path::new("")).unwrap_err();
    disk.sync_dir(Path::new("")).unwrap();
    assert_eq!(left(&disk), [(None, 1), (Some(Vec::new()), 1)].into());
}
