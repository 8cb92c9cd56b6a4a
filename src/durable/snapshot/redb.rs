//! Checkpoints in a redb database.

use super::checkpoint::{Checkpoint, Entry};
use super::error::{LoadError, StoreError, check_key};
use super::machine::{Soundness, Standing, removable};
use super::marks::{Mark, Marks};
use super::notes;
use super::store::{CheckpointStore, Saved};
use crate::durable::codec::Envelope;
use ::redb::{Database, ReadableTable, TableDefinition, TableError};
use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Key and sequence: the bytes that a file would hold.
const CHECKPOINTS: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("checkpoints");
const MARKS: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("marks");

/// Checkpoints in a database of the crate `redb`: one file, for very many keys.
///
/// A save is one transaction, so it costs what a commit costs, copies the checkpoint twice, and one
/// save waits for the other. One process uses a database at a time; the database says so at once. Its
/// tables are `checkpoints` and `marks`, by key and sequence. Clones share it.
///
/// ```
/// use backstop::durable::snapshot::{CheckpointStore, RedbStore};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let temporary = tempfile::tempdir()?;
/// # let path = temporary.path().join("checkpoints.redb");
/// let store = RedbStore::open(&path)?;
/// assert!(store.latest("ledger")?.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedbStore {
    database: Arc<Database>,
    path: PathBuf,
    keep: usize,
}

fn failed(error: impl Into<::redb::Error>) -> StoreError {
    StoreError::other(error.into())
}

fn all_of(key: &str) -> RangeInclusive<(&str, u64)> {
    (key, 0)..=(key, u64::MAX)
}

impl RedbStore {
    /// Opens the database in that file, or creates it; three good checkpoints of a key are kept.
    ///
    /// # Errors
    ///
    /// What the database says: it is in use, is none, or cannot be read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_keeping(path, super::DEFAULT_KEEP)
    }

    /// The same, which keeps another number of good checkpoints of a key: 1 to 1,000.
    ///
    /// # Errors
    ///
    /// A number outside that range, too.
    pub fn open_keeping(path: impl AsRef<Path>, keep: usize) -> Result<Self, StoreError> {
        super::check_keep(keep).map_err(StoreError::other)?;
        let path = path.as_ref().to_owned();
        let database = Database::create(&path).map_err(failed)?;
        // So that a read never meets a database without its tables.
        let transaction = database.begin_write().map_err(failed)?;
        transaction.open_table(CHECKPOINTS).map_err(failed)?;
        transaction.open_table(MARKS).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        Ok(Self {
            database: Arc::new(database),
            path,
            keep,
        })
    }

    /// Runs one transaction over both tables; what is an error has changed nothing.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Tables<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let transaction = self.database.begin_write().map_err(failed)?;
        let mut tables = Tables {
            checkpoints: transaction.open_table(CHECKPOINTS).map_err(failed)?,
            marks: transaction.open_table(MARKS).map_err(failed)?,
        };
        let changed = change(&mut tables);
        drop(tables);
        match changed {
            Ok(answer) => {
                transaction.commit().map_err(failed)?;
                Ok(answer)
            }
            Err(error) => {
                transaction.abort().map_err(failed)?;
                Err(error)
            }
        }
    }

    /// Opens a table to read.
    fn table(
        &self,
        table: TableDefinition<'static, (&'static str, u64), &'static [u8]>,
    ) -> Result<impl ReadableTable<(&'static str, u64), &'static [u8]> + use<>, StoreError> {
        let transaction = self.database.begin_read().map_err(failed)?;
        let opened: Result<_, TableError> = transaction.open_table(table);
        opened.map_err(failed)
    }
}

struct Tables<'a> {
    checkpoints: ::redb::Table<'a, (&'static str, u64), &'static [u8]>,
    marks: ::redb::Table<'a, (&'static str, u64), &'static [u8]>,
}

fn marks_in(
    table: &impl ReadableTable<(&'static str, u64), &'static [u8]>,
    key: &str,
    sequence: u64,
) -> Result<Marks, StoreError> {
    let found = table.get((key, sequence)).map_err(failed)?;
    Ok(found.map_or(Marks::none(), |bytes| {
        notes::decode(sequence, bytes.value()).unwrap_or(notes::UNREADABLE)
    }))
}

fn history_in(
    checkpoints: &impl ReadableTable<(&'static str, u64), &'static [u8]>,
    marks: &impl ReadableTable<(&'static str, u64), &'static [u8]>,
    key: &str,
) -> Result<Vec<Entry>, StoreError> {
    let mut history = Vec::new();
    for found in checkpoints.range(all_of(key)).map_err(failed)?.rev() {
        let (at, bytes) = found.map_err(failed)?;
        let (_, sequence) = at.value();
        let about = Envelope::decode(bytes.value())
            .and_then(|envelope| envelope.expect_sequence(sequence))
            .map(Into::into);
        let marks = marks_in(marks, key, sequence)?;
        history.push(Entry::new(sequence, marks, about));
    }
    Ok(history)
}

impl Tables<'_> {
    fn note(&mut self, key: &str, sequence: u64, marks: Marks) -> Result<(), StoreError> {
        let bytes = notes::encode(sequence, marks);
        let noted = self.marks.insert((key, sequence), &bytes[..]);
        noted.map_err(failed)?;
        Ok(())
    }

    fn remove(&mut self, key: &str, sequence: u64) -> Result<(), StoreError> {
        self.checkpoints.remove((key, sequence)).map_err(failed)?;
        self.marks.remove((key, sequence)).map_err(failed)?;
        Ok(())
    }
}

impl CheckpointStore for RedbStore {
    fn save_marked(
        &self,
        key: &str,
        checkpoint: &Checkpoint,
        marks: Marks,
    ) -> Result<Saved, StoreError> {
        check_key(key)?;
        let bytes = checkpoint.envelope().encode().map_err(StoreError::Unfit)?;
        let sequence = checkpoint.sequence;
        self.change(|tables| {
            let history = history_in(&tables.checkpoints, &tables.marks, key)?;
            let mut newer = history
                .iter()
                .take_while(|entry| entry.sequence >= sequence);
            if let Some(newest) = newer.find(|entry| entry.is_good()) {
                let newest = newest.sequence;
                return Err(StoreError::NotNewer { sequence, newest });
            }
            tables.remove(key, sequence)?;
            let saved = tables.checkpoints.insert((key, sequence), &*bytes);
            saved.map_err(failed)?;
            if marks != Marks::none() {
                tables.note(key, sequence, marks)?;
            }
            let mut standings: Vec<Standing> = history
                .iter()
                .filter(|entry| entry.sequence != sequence)
                .map(|entry| Standing {
                    sequence: entry.sequence,
                    marks: entry.marks,
                    soundness: match entry.about {
                        Ok(_) => Soundness::Sound,
                        Err(_) => Soundness::Damaged,
                    },
                })
                .collect();
            standings.push(Standing {
                sequence,
                marks,
                soundness: Soundness::Sound,
            });
            standings.sort_unstable_by_key(|one| std::cmp::Reverse(one.sequence));
            let removed = removable(&standings, self.keep);
            for sequence in &removed {
                tables.remove(key, *sequence)?;
            }
            Ok(Saved::new(removed, None))
        })
    }

    fn history(&self, key: &str) -> Result<Vec<Entry>, StoreError> {
        check_key(key)?;
        let transaction = self.database.begin_read().map_err(failed)?;
        let checkpoints = transaction.open_table(CHECKPOINTS).map_err(failed)?;
        let marks = transaction.open_table(MARKS).map_err(failed)?;
        history_in(&checkpoints, &marks, key)
    }

    fn load(&self, key: &str, sequence: u64) -> Result<Option<Checkpoint>, LoadError> {
        check_key(key)?;
        let table = self.table(CHECKPOINTS)?;
        let Some(bytes) = table.get((key, sequence)).map_err(failed)? else {
            return Ok(None);
        };
        let envelope = Envelope::decode(bytes.value())?.expect_sequence(sequence)?;
        Ok(Some(envelope.into()))
    }

    fn mark(&self, key: &str, sequence: u64, mark: Mark) -> Result<Marks, StoreError> {
        check_key(key)?;
        self.change(|tables| {
            let found = tables.checkpoints.get((key, sequence)).map_err(failed)?;
            if found.is_none() {
                return Err(StoreError::NoSuchCheckpoint { sequence });
            }
            drop(found);
            let marks = marks_in(&tables.marks, key, sequence)?.with(mark);
            tables.note(key, sequence, marks)?;
            Ok(marks)
        })
    }

    fn forget(&self, key: &str) -> Result<(), StoreError> {
        check_key(key)?;
        self.change(|tables| {
            for entry in history_in(&tables.checkpoints, &tables.marks, key)? {
                tables.remove(key, entry.sequence)?;
            }
            Ok(())
        })
    }
}

impl fmt::Debug for RedbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbStore")
            .field("path", &self.path)
            .field("keep", &self.keep)
            .finish_non_exhaustive()
    }
}
