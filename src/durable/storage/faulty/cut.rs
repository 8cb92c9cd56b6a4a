//! What a power cut may leave of a disk.

use super::dir::{Dir, Entry};
use super::disk::Disk;
use super::fate::Fate;
use super::file::{File, SECTOR, Sector};
use super::state::Ignored;
use super::storage::FaultyStorage;
use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;

/// Up to so many disks are all gone through.
const ALL_UP_TO: u64 = 1 << 10;

/// So many are drawn where there are more.
const SAMPLES: u32 = 1_000;

/// The disks that a power cut may leave, each as a storage of its own to open from.
///
/// All of them, if there are no more than 2^10 ways to decide what is open; else 1,000 ways drawn by
/// a seed, of which the first keeps nothing that was not synced and the second all of it. Ways that
/// leave the same bytes come once.
#[must_use = "it makes a disk when it is asked for the next"]
pub struct PowerCut {
    disk: Disk,
    ignored: Ignored,
    open: Vec<Open>,
    draws: Draws,
}

/// Something that a power cut decides, with the number of ways it may.
#[derive(Clone, Copy, Debug)]
struct Open {
    what: What,
    options: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// A change of names in a directory.
    Change { dir: usize },
    /// The length of a file.
    Len { file: usize },
    /// A sector of a file.
    Sector { file: usize, sector: usize },
}

enum Draws {
    All {
        next: u64,
        end: u64,
    },
    Some {
        left: u32,
        rng: fastrand::Rng,
        seen: HashSet<Vec<usize>>,
    },
}

impl PowerCut {
    pub(super) fn of(disk: Disk, ignored: Ignored) -> Self {
        let open = open(&disk);
        let ways = open
            .iter()
            .fold(1_u64, |ways, open| ways.saturating_mul(open.options as u64));
        let draws = if ways <= ALL_UP_TO {
            Draws::All { next: 0, end: ways }
        } else {
            Draws::seeded(0)
        };
        Self {
            disk,
            ignored,
            open,
            draws,
        }
    }

    /// Draws by this seed, where not all disks are gone through. By default it is 0.
    pub fn seed(mut self, seed: u64) -> Self {
        if let Draws::Some { .. } = self.draws {
            self.draws = Draws::seeded(seed);
        }
        self
    }

    /// Whether all disks are gone through.
    pub fn is_exhaustive(&self) -> bool {
        matches!(self.draws, Draws::All { .. })
    }

    /// How each open thing is decided next.
    fn draw(&mut self) -> Option<Vec<usize>> {
        match &mut self.draws {
            Draws::All { next, end } if next == end => None,
            Draws::All { next, .. } => {
                let mut rest = *next;
                *next += 1;
                let mut digit = |open: &Open| {
                    let digit = rest % open.options as u64;
                    rest /= open.options as u64;
                    // Less than the number of options.
                    usize::try_from(digit).unwrap_or(0)
                };
                Some(self.open.iter().map(&mut digit).collect())
            }
            Draws::Some { left: 0, .. } => None,
            Draws::Some { left, rng, .. } => {
                let nth = SAMPLES - *left;
                *left -= 1;
                // Disks on which next to nothing survived are drawn as well as those that lost
                // next to nothing.
                let share = match nth {
                    0 => 0.0,
                    1 => 1.0,
                    _ => rng.f64(),
                };
                let mut decide = |open: &Open| {
                    if nth > 1 && open.options > 2 && rng.bool() {
                        rng.usize(..open.options)
                    } else if rng.f64() < share {
                        open.options - 1
                    } else {
                        0
                    }
                };
                Some(self.open.iter().map(&mut decide).collect())
            }
        }
    }

    /// The disk that is left if the open things are so decided, and the same decisions without those
    /// that make no difference.
    fn left_by(&self, decided: &[usize]) -> (Disk, Vec<usize>) {
        let mut left = Left {
            cut: self,
            decided,
            counts: vec![0; decided.len()],
            files: self.disk.files.clone(),
            dirs: self.disk.dirs.clone(),
        };
        left.dir(0);
        let disk = Disk {
            files: left.files,
            dirs: left.dirs,
            capacity: self.disk.capacity,
        };
        (disk, left.counts)
    }
}

/// A disk in the making: what is there is gone through from the root on.
struct Left<'a> {
    cut: &'a PowerCut,
    decided: &'a [usize],
    /// The decisions that made a difference; 0, which is what was stored, for the others.
    counts: Vec<usize>,
    files: Vec<Arc<File>>,
    dirs: Vec<Arc<Dir>>,
}

impl Left<'_> {
    /// The first of the open things that are of this kind; all of a kind lie behind each other.
    fn first(&self, is_it: impl Fn(What) -> bool) -> Option<usize> {
        self.cut.open.iter().position(|open| is_it(open.what))
    }

    fn dir(&mut self, dir: usize) {
        if let Some(first) = self.first(|what| what == What::Change { dir }) {
            let names = self.cut.disk.dirs[dir].left_by(|change| {
                let decided = self.decided[first + change];
                self.counts[first + change] = decided;
                decided > 0
            });
            self.dirs[dir] = Arc::new(Dir::stored(names));
        }
        let entries: Vec<Entry> = self.dirs[dir].names.values().copied().collect();
        for entry in entries {
            match entry {
                Entry::Dir(dir) => self.dir(dir),
                Entry::File(file) => self.file(file),
            }
        }
    }

    fn file(&mut self, file: usize) {
        let Some(first) = self.first(|what| what.file() == Some(file)) else {
            return;
        };
        let before = &self.cut.disk.files[file];
        let mut len = *before.len.option(0);
        let mut sectors: Vec<_> = before
            .sectors
            .iter()
            .map(|fate| Fate::stored(fate.option(0).clone()))
            .collect();
        let open = self.cut.open[first..].iter();
        let open = open.take_while(|open| open.what.file() == Some(file));
        for (at, open) in (first..).zip(open) {
            let decided = self.decided[at];
            match open.what {
                What::Sector { sector, .. } => {
                    let fate = &before.sectors[sector];
                    let end = len.saturating_sub((sector * SECTOR) as u64);
                    let bytes = until(end, fate.option(decided));
                    // The first that looks the same stands for all of them.
                    let same = (0..=decided).find(|&other| until(end, fate.option(other)) == bytes);
                    self.counts[at] = same.unwrap_or(decided);
                    sectors[sector] = Fate::stored(bytes);
                }
                What::Len { .. } => {
                    len = *before.len.option(decided);
                    self.counts[at] = decided;
                }
                What::Change { .. } => {}
            }
        }
        if let Some((sector, end)) = last_part(len, &sectors) {
            let bytes = until(end, sectors[sector].now());
            sectors[sector] = Fate::stored(bytes);
        }
        sectors.truncate(usize::try_from(len.div_ceil(SECTOR as u64)).unwrap_or(usize::MAX));
        self.files[file] = Arc::new(File::stored(len, sectors));
    }
}

impl What {
    /// The file whose bytes or length this is about.
    fn file(self) -> Option<usize> {
        match self {
            Self::Change { .. } => None,
            Self::Len { file } | Self::Sector { file, .. } => Some(file),
        }
    }
}

/// The sector that the end of a file is in, and how many bytes of it are before the end.
fn last_part(len: u64, sectors: &[Fate<Sector>]) -> Option<(usize, u64)> {
    let sector = usize::try_from(len / SECTOR as u64).ok()?;
    let end = len % SECTOR as u64;
    (end > 0 && sector < sectors.len()).then_some((sector, end))
}

/// A sector of which only so many bytes belong to the file: the system reads zeros from there on.
fn until(end: u64, sector: &Sector) -> Sector {
    let end = usize::try_from(end).unwrap_or(usize::MAX);
    let bytes = sector.as_deref()?;
    if end >= SECTOR || bytes[end..].iter().all(|&byte| byte == 0) {
        return sector.clone().filter(|_| end > 0);
    }
    let mut bytes = *bytes;
    bytes[end..].fill(0);
    bytes.iter().any(|&byte| byte != 0).then(|| Arc::new(bytes))
}

/// What is open on a disk, of everything that may be found after a power cut.
fn open(disk: &Disk) -> Vec<Open> {
    let mut open = Vec::new();
    let mut files = BTreeSet::new();
    let mut dirs = BTreeSet::from([0]);
    let mut next = vec![0];
    while let Some(dir) = next.pop() {
        let found = &disk.dirs[dir];
        let change = Open {
            what: What::Change { dir },
            options: 2,
        };
        open.extend(std::iter::repeat_n(change, found.open_changes()));
        for entry in found.possible() {
            match entry {
                Entry::File(file) => {
                    files.insert(file);
                }
                Entry::Dir(dir) => {
                    if dirs.insert(dir) {
                        next.push(dir);
                    }
                }
            }
        }
    }
    for file in files {
        let found = &disk.files[file];
        // The length first: whether a sector is there depends on it.
        let len = (What::Len { file }, found.len.options());
        let sectors = found.sectors.iter().enumerate();
        let sectors = sectors.map(|(sector, fate)| (What::Sector { file, sector }, fate.options()));
        open.extend(
            std::iter::once(len)
                .chain(sectors)
                .filter(|(_, options)| *options > 1)
                .map(|(what, options)| Open { what, options }),
        );
    }
    open
}

impl Draws {
    fn seeded(seed: u64) -> Self {
        Self::Some {
            left: SAMPLES,
            rng: fastrand::Rng::with_seed(seed),
            seen: HashSet::new(),
        }
    }
}

impl Iterator for PowerCut {
    type Item = FaultyStorage;

    fn next(&mut self) -> Option<FaultyStorage> {
        loop {
            let decided = self.draw()?;
            let (disk, counts) = self.left_by(&decided);
            let is_new = match &mut self.draws {
                Draws::All { .. } => counts == decided,
                Draws::Some { seen, .. } => seen.insert(counts),
            };
            if is_new {
                return Some(FaultyStorage::of(disk, self.ignored));
            }
        }
    }
}

impl fmt::Debug for PowerCut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PowerCut")
            .field("open", &self.open)
            .field("is_exhaustive", &self.is_exhaustive())
            .finish_non_exhaustive()
    }
}
