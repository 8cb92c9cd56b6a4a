//! The whole disk: what is on it, and what may be.

use super::SyncKind;
use super::dir::{Change, Dir, Entry};
use super::file::File;
use crate::durable::storage::paths::{named, parent};
use crate::durable::storage::traits::DirEntry;
use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

/// Files and directories by number, which none of them ever changes. A clone shares what neither
/// copy changes.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    pub(super) files: Vec<Arc<File>>,
    /// The first is the root.
    pub(super) dirs: Vec<Arc<Dir>>,
    /// Bytes that all files together may take.
    pub(super) capacity: u64,
}

/// A name and the directory it is in.
struct At {
    dir: usize,
    name: OsString,
}

impl Disk {
    pub(super) fn new() -> Self {
        Self {
            files: Vec::new(),
            dirs: vec![Arc::new(Dir::default())],
            capacity: u64::MAX,
        }
    }

    pub(super) fn file(&mut self, file: usize) -> &mut File {
        Arc::make_mut(&mut self.files[file])
    }

    fn dir(&mut self, dir: usize) -> &mut Dir {
        Arc::make_mut(&mut self.dirs[dir])
    }

    /// The number of a directory.
    pub(super) fn find_dir(&self, path: &Path) -> io::Result<usize> {
        let mut dir = 0;
        for name in &named(path) {
            dir = match self.dirs[dir].names.get(name) {
                Some(Entry::Dir(dir)) => *dir,
                Some(Entry::File(_)) => return Err(ErrorKind::NotADirectory.into()),
                None => return Err(ErrorKind::NotFound.into()),
            };
        }
        Ok(dir)
    }

    /// Where a path points; it need not exist, but its directory must.
    fn place(&self, path: &Path) -> io::Result<At> {
        let path = named(path);
        let name = path.file_name().ok_or(ErrorKind::IsADirectory)?.to_owned();
        let dir = self.find_dir(parent(&path))?;
        Ok(At { dir, name })
    }

    fn entry(&self, at: &At) -> Option<Entry> {
        self.dirs[at.dir].names.get(&at.name).copied()
    }

    fn file_at(&self, at: &At) -> io::Result<usize> {
        match self.entry(at) {
            Some(Entry::File(file)) => Ok(file),
            Some(Entry::Dir(_)) => Err(ErrorKind::IsADirectory.into()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    /// The number of a file.
    pub(super) fn find_file(&self, path: &Path) -> io::Result<usize> {
        self.file_at(&self.place(path)?)
    }

    /// Where there is nothing yet.
    fn free_place(&self, path: &Path) -> io::Result<At> {
        if named(path).as_os_str().is_empty() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let at = self.place(path)?;
        match self.entry(&at) {
            None => Ok(at),
            Some(_) => Err(ErrorKind::AlreadyExists.into()),
        }
    }

    fn put(&mut self, at: At, entry: Entry, kind: SyncKind) {
        self.dir(at.dir).change(Change::Put(at.name, entry), kind);
    }

    pub(super) fn create_file(&mut self, path: &Path) -> io::Result<usize> {
        let at = self.free_place(path)?;
        let file = self.files.len();
        self.files.push(Arc::new(File::new()));
        self.put(at, Entry::File(file), SyncKind::Directory);
        Ok(file)
    }

    pub(super) fn create_dir(&mut self, path: &Path) -> io::Result<()> {
        let at = self.free_place(path)?;
        let dir = self.dirs.len();
        self.dirs.push(Arc::new(Dir::default()));
        self.put(at, Entry::Dir(dir), SyncKind::Directory);
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<usize> {
        let at = self.place(path)?;
        let file = self.file_at(&at)?;
        self.dir(at.dir)
            .change(Change::Take(at.name), SyncKind::Directory);
        Ok(file)
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<usize> {
        let from = self.place(from)?;
        let file = self.file_at(&from)?;
        let to = self.place(to)?;
        let entry = Entry::File(file);
        match self.entry(&to) {
            Some(Entry::Dir(_)) => return Err(ErrorKind::IsADirectory.into()),
            // Two names of one file, or one name: nothing happens.
            Some(there) if there == entry => {}
            _ if from.dir == to.dir => self
                .dir(to.dir)
                .change(Change::Move(from.name, to.name, entry), SyncKind::Rename),
            _ => {
                self.put(to, entry, SyncKind::Rename);
                self.dir(from.dir)
                    .change(Change::Take(from.name), SyncKind::Rename);
            }
        }
        Ok(file)
    }

    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let dir = self.find_dir(path)?;
        let names = self.dirs[dir].names.iter().map(|(name, entry)| {
            let name = name.to_string_lossy();
            match entry {
                Entry::Dir(_) => DirEntry::dir(name),
                Entry::File(file) => DirEntry::file(name, self.files[*file].len()),
            }
        });
        let mut entries: Vec<DirEntry> = names.collect();
        entries.sort_unstable();
        Ok(entries)
    }

    pub(super) fn sync_dir(&mut self, dir: usize) {
        self.dir(dir).sync();
    }

    pub(super) fn fail_sync_dir(&mut self, dir: usize) {
        self.dir(dir).fail_sync();
    }

    /// Bytes that are free; a file that was removed keeps its room while it is `open`.
    pub(super) fn free(&self, open: &HashMap<usize, usize>) -> u64 {
        if self.capacity == u64::MAX {
            return u64::MAX;
        }
        let names = self.dirs.iter().flat_map(|dir| dir.names.values());
        let mut taken: Vec<usize> = names
            .filter_map(|entry| match entry {
                Entry::File(file) => Some(*file),
                Entry::Dir(_) => None,
            })
            .chain(open.keys().copied())
            .collect();
        taken.sort_unstable();
        taken.dedup();
        let taken = taken.iter().map(|file| self.files[*file].len()).sum();
        self.capacity.saturating_sub(taken)
    }
}
