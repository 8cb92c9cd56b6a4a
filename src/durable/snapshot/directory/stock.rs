//! What is done with the files of one key.

use super::super::checkpoint::{About, Checkpoint};
use super::super::error::StoreError;
use super::super::machine::{Soundness, Standing, removable};
use super::super::marks::{Mark, Marks};
use super::super::notes;
use super::super::store::Saved;
use super::names::{self, Files, Stock};
use super::{Inner, files};
use crate::durable::codec::EnvelopeError;
use crate::durable::storage::{Operation, StorageError};
use crate::kernel::sync::Ordering;
use std::path::{Path, PathBuf};

/// A key whose lock is held.
pub(super) struct Key<'a> {
    pub(super) inner: &'a Inner,
    pub(super) key: &'a str,
}

/// A checkpoint that may not be there, or not be sound.
type Found<T> = Option<Result<T, EnvelopeError>>;

impl Key<'_> {
    fn checkpoint_path(&self, sequence: u64) -> PathBuf {
        let name = names::checkpoint(self.key, sequence);
        self.inner.dir.join(name)
    }

    fn marks_path(&self, sequence: u64) -> PathBuf {
        self.inner.dir.join(names::marks(self.key, sequence))
    }

    /// Which files there are.
    pub(super) fn stock(&self) -> Result<Stock, StorageError> {
        let known = match self.inner.stocks.lock().get(self.key) {
            None => return Ok(Stock::new()),
            Some(known) => known.clone(),
        };
        known.map_or_else(|| self.list(), Ok)
    }

    /// The same after a change that nobody knows how far it got.
    fn list(&self) -> Result<Stock, StorageError> {
        let Inner { storage, dir, .. } = self.inner;
        let entries = storage.list(dir);
        let entries = entries.map_err(StorageError::at(Operation::List, dir))?;
        let mut listing = names::Listing::of(entries);
        let stock = listing.stocks.remove(self.key).unwrap_or_default();
        self.put(stock.clone());
        Ok(stock)
    }

    /// The files that are there from now on.
    fn put(&self, stock: Stock) {
        let mut stocks = self.inner.stocks.lock();
        if stock.is_empty() {
            stocks.remove(self.key);
        } else {
            stocks.insert(self.key.to_owned(), Some(stock));
        }
    }

    /// Which files there are is looked up before it is needed again.
    fn not_known(&self) {
        let mut stocks = self.inner.stocks.lock();
        stocks.insert(self.key.to_owned(), None);
    }

    /// Runs a change of files, which notes in the stock what it did. If it does not end well, nobody
    /// knows which are there.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Stock) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut stock = self.stock()?;
        self.not_known();
        let done = change(&mut stock);
        match &done {
            // Nothing was touched.
            Ok(_) | Err(StoreError::NotNewer { .. } | StoreError::NoSuchCheckpoint { .. }) => {
                self.put(stock);
            }
            Err(_) => {}
        }
        done
    }

    pub(super) fn marks(&self, sequence: u64, files: Files) -> Result<Marks, StorageError> {
        if !files.marks {
            return Ok(Marks::none());
        }
        files::read_marks(&*self.inner.storage, &self.marks_path(sequence), sequence)
    }

    pub(super) fn read(&self, sequence: u64) -> Result<Found<Checkpoint>, StorageError> {
        let path = self.checkpoint_path(sequence);
        files::read(&*self.inner.storage, &path, sequence)
    }

    pub(super) fn verify(&self, sequence: u64) -> Result<Found<About>, StorageError> {
        let path = self.checkpoint_path(sequence);
        files::verify(&*self.inner.storage, &path, sequence)
    }

    /// What is known of a checkpoint whose file is there; `None` if the file has gone.
    fn standing(&self, sequence: u64, files: Files) -> Result<Option<Standing>, StorageError> {
        let marks = self.marks(sequence, files)?;
        let soundness = match self.verify(sequence)? {
            None => return Ok(None),
            Some(Ok(_)) => Soundness::Sound,
            Some(Err(_)) => Soundness::Damaged,
        };
        Ok(Some(Standing {
            sequence,
            marks,
            soundness,
        }))
    }

    pub(super) fn save(&self, checkpoint: &Checkpoint, marks: Marks) -> Result<Saved, StoreError> {
        let envelope = checkpoint.envelope();
        let (head, trailer) = envelope.around().map_err(StoreError::Unfit)?;
        let sequence = checkpoint.sequence;
        let saved = self.change(|stock| {
            self.expect_newer(stock, sequence)?;
            // What is bad and of the same sequence makes room: its marks are not the new one's.
            self.discard(stock, &[sequence])?;
            if marks != Marks::none() {
                self.write_marks(stock, sequence, marks)?;
            }
            let path = self.checkpoint_path(sequence);
            let written = self.publish(&path, &[&head, &checkpoint.payload, &trailer]);
            if let Err(error) = written {
                // It may have its name already. Marks stay: a crash may bring it back.
                let _left = self.inner.storage.remove(&path);
                return Err(error.into());
            }
            stock.entry(sequence).or_default().checkpoint = true;
            Ok(self.prune(stock, sequence, marks))
        })?;
        if saved.leftover.is_some() {
            self.not_known();
        }
        Ok(saved)
    }

    /// Refuses a sequence if a good checkpoint is as new or newer.
    fn expect_newer(&self, stock: &Stock, sequence: u64) -> Result<(), StoreError> {
        for (&newest, files) in stock.range(sequence..).rev() {
            if !files.checkpoint {
                continue;
            }
            let standing = self.standing(newest, *files)?;
            if standing.is_some_and(|standing| standing.is_good()) {
                return Err(StoreError::NotNewer { sequence, newest });
            }
        }
        Ok(())
    }

    /// Writes a file under its temporary name, syncs it, and gives it its name durably.
    fn publish(&self, path: &Path, parts: &[&[u8]]) -> Result<(), StorageError> {
        let storage = &*self.inner.storage;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = self.inner.dir.join(names::temporary(&name));
        files::write(storage, &temporary, parts)?;
        self.durably(|| {
            let renamed = storage.rename(&temporary, path);
            renamed.map_err(StorageError::at(Operation::Rename, &temporary))
        })
        .inspect_err(|_| {
            let _left = storage.remove(&temporary);
        })
    }

    /// Makes a change of names, and makes it durable.
    fn durably(
        &self,
        change: impl FnOnce() -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let Inner { storage, dir, .. } = self.inner;
        let _turn = self.inner.changes.lock();
        change()?;
        storage.sync_dir(dir).map_err(|error| {
            self.inner.is_unsure.store(true, Ordering::Relaxed);
            StorageError::new(Operation::SyncDir, dir, error)
        })
    }

    pub(super) fn mark(&self, sequence: u64, mark: Mark) -> Result<Marks, StoreError> {
        self.change(|stock| {
            let files = stock.get(&sequence).copied().unwrap_or_default();
            if !files.checkpoint {
                return Err(StoreError::NoSuchCheckpoint { sequence });
            }
            let marks = self.marks(sequence, files)?.with(mark);
            self.write_marks(stock, sequence, marks)?;
            Ok(marks)
        })
    }

    fn write_marks(
        &self,
        stock: &mut Stock,
        sequence: u64,
        marks: Marks,
    ) -> Result<(), StorageError> {
        let bytes = notes::encode(sequence, marks);
        self.publish(&self.marks_path(sequence), &[&bytes])?;
        stock.entry(sequence).or_default().marks = true;
        Ok(())
    }

    /// Removes what is no longer needed now that there is a new checkpoint. Its failure is not that of
    /// the save.
    fn prune(&self, stock: &mut Stock, newest: u64, marks: Marks) -> Saved {
        let there = || stock.iter().rev().filter(|(_, files)| files.checkpoint);
        if there().count() <= self.inner.keep {
            return Saved::default();
        }
        let standings: Vec<Standing> = there()
            .filter_map(|(&sequence, &files)| {
                let standing = |marks, soundness| Standing {
                    sequence,
                    marks,
                    soundness,
                };
                if sequence == newest {
                    return Some(standing(marks, Soundness::Sound));
                }
                match self.standing(sequence, files) {
                    Ok(found) => found,
                    Err(_) => Some(standing(notes::UNREADABLE, Soundness::Unknown)),
                }
            })
            .collect();
        let removed = removable(&standings, self.inner.keep);
        match self.discard(stock, &removed) {
            Ok(()) => Saved::new(removed, None),
            Err(error) => Saved::new(Vec::new(), Some(error)),
        }
    }

    /// Removes checkpoints, and then their marks: at no moment, a crash included, is one there without
    /// the marks it had.
    fn discard(&self, stock: &mut Stock, sequences: &[u64]) -> Result<(), StoreError> {
        let storage = &*self.inner.storage;
        let remove = |path: &Path| {
            let removed = storage.remove(path);
            match removed {
                // Somebody else did it.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
                removed => removed.map_err(StorageError::at(Operation::Remove, path)),
            }
        };
        let has =
            |stock: &Stock, sequence, of: fn(&Files) -> bool| stock.get(&sequence).is_some_and(of);
        let there = sequences.iter().copied();
        let checkpoints: Vec<u64> = there
            .clone()
            .filter(|at| has(stock, *at, |files| files.checkpoint))
            .collect();
        let marks: Vec<u64> = there
            .filter(|at| has(stock, *at, |files| files.marks))
            .collect();
        if checkpoints.is_empty() && marks.is_empty() {
            return Ok(());
        }
        if self.inner.is_unsure.load(Ordering::Relaxed) {
            return Err(StoreError::Unsure);
        }
        if !checkpoints.is_empty() {
            self.durably(|| {
                checkpoints
                    .iter()
                    .try_for_each(|at| remove(&self.checkpoint_path(*at)))
            })?;
        }
        if !marks.is_empty() {
            self.durably(|| {
                marks
                    .iter()
                    .try_for_each(|at| remove(&self.marks_path(*at)))
            })?;
        }
        for sequence in sequences {
            stock.remove(sequence);
        }
        Ok(())
    }

    pub(super) fn forget(&self) -> Result<(), StoreError> {
        self.change(|stock| {
            let all: Vec<u64> = stock.keys().copied().collect();
            self.discard(stock, &all)
        })
    }
}
