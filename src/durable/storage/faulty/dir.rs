//! A directory: its names, and the changes of them that nobody made durable.

use super::SyncKind;
use std::collections::BTreeMap;
use std::ffi::OsString;

/// The names in a directory and what they name.
pub(super) type Names = BTreeMap<OsString, Entry>;

/// What a name names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    File(usize),
    Dir(usize),
}

#[derive(Clone, Debug)]
pub(super) enum Change {
    Put(OsString, Entry),
    Take(OsString),
    /// A rename within one directory: both names change, or neither does.
    Move(OsString, OsString, Entry),
}

/// A change of the names that a power cut may undo, or that comes behind such a one.
#[derive(Clone, Debug)]
struct Pending {
    change: Change,
    kind: SyncKind,
    /// Whether the next sync stores it.
    is_dirty: bool,
    /// Whether a sync has stored it. It stays here if one before it is not, because their order counts.
    is_stored: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Dir {
    pub(super) names: Names,
    stored: Names,
    pending: Vec<Pending>,
}

impl Change {
    fn apply(&self, names: &mut Names) {
        match self {
            Self::Put(name, entry) => {
                names.insert(name.clone(), *entry);
            }
            Self::Take(name) => {
                names.remove(name);
            }
            Self::Move(from, to, entry) => {
                names.remove(from);
                names.insert(to.clone(), *entry);
            }
        }
    }
}

impl Dir {
    /// One that is stored as given.
    pub(super) fn stored(names: Names) -> Self {
        Self {
            stored: names.clone(),
            names,
            pending: Vec::new(),
        }
    }

    pub(super) fn change(&mut self, change: Change, kind: SyncKind) {
        change.apply(&mut self.names);
        self.pending.push(Pending {
            change,
            kind,
            is_dirty: true,
            is_stored: false,
        });
    }

    /// What a sync would be for: the last change that it would store.
    pub(super) fn sync_kind(&self) -> Option<SyncKind> {
        let mut dirty = self.pending.iter().filter(|pending| pending.is_dirty);
        dirty.next_back().map(|pending| pending.kind)
    }

    pub(super) fn sync(&mut self) {
        for pending in &mut self.pending {
            pending.is_stored |= pending.is_dirty;
            pending.is_dirty = false;
        }
        let done = self.pending.iter().take_while(|pending| pending.is_stored);
        let done = done.count();
        for pending in self.pending.drain(..done) {
            pending.change.apply(&mut self.stored);
        }
    }

    pub(super) fn fail_sync(&mut self) {
        for pending in &mut self.pending {
            pending.is_dirty = false;
        }
    }

    /// How many changes a power cut may leave or undo.
    pub(super) fn open_changes(&self) -> usize {
        let open = self.pending.iter().filter(|pending| !pending.is_stored);
        open.count()
    }

    /// The names that a power cut leaves which keeps some of the open changes.
    pub(super) fn left_by(&self, mut keeps: impl FnMut(usize) -> bool) -> Names {
        let mut names = self.stored.clone();
        let mut open = 0;
        for pending in &self.pending {
            let is_kept = pending.is_stored || {
                open += 1;
                keeps(open - 1)
            };
            if is_kept {
                pending.change.apply(&mut names);
            }
        }
        names
    }

    /// What its names name, or may name after a power cut.
    pub(super) fn possible(&self) -> impl Iterator<Item = Entry> {
        let changed = self
            .pending
            .iter()
            .filter_map(|pending| match pending.change {
                Change::Put(_, entry) | Change::Move(_, _, entry) => Some(entry),
                Change::Take(_) => None,
            });
        self.stored.values().copied().chain(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(dir: &mut Dir, name: &str, file: usize) {
        dir.change(
            Change::Put(name.into(), Entry::File(file)),
            SyncKind::Directory,
        );
    }

    fn left(dir: &Dir, kept: &[usize]) -> Vec<String> {
        let names = dir.left_by(|change| kept.contains(&change));
        let names = names.into_keys().map(|name| name.into_string().unwrap());
        names.collect()
    }

    #[test]
    fn a_change_behind_an_open_one_keeps_its_place() {
        let mut dir = Dir::default();
        put(&mut dir, "a", 0);
        dir.fail_sync();
        dir.change(Change::Take("a".into()), SyncKind::Directory);
        dir.sync();
        assert_eq!(dir.open_changes(), 1);
        // Whether the creation was stored or not, the removal came later.
        assert!(left(&dir, &[]).is_empty());
        assert!(left(&dir, &[0]).is_empty());
    }

    #[test]
    fn a_rename_within_a_directory_is_whole_or_not_at_all() {
        let mut dir = Dir::default();
        put(&mut dir, "a", 0);
        put(&mut dir, "b", 1);
        dir.sync();
        dir.change(
            Change::Move("a".into(), "b".into(), Entry::File(0)),
            SyncKind::Rename,
        );
        assert_eq!(dir.sync_kind(), Some(SyncKind::Rename));
        assert_eq!(left(&dir, &[]), ["a", "b"]);
        assert_eq!(left(&dir, &[0]), ["b"]);
        assert_eq!(
            dir.left_by(|_| true)["b".as_ref() as &std::ffi::OsStr],
            Entry::File(0)
        );
        dir.sync();
        assert_eq!(dir.sync_kind(), None);
        assert_eq!(dir.open_changes(), 0);
        assert_eq!(left(&dir, &[]), ["b"]);
    }
}
