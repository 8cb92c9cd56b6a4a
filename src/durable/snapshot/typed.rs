//! Checkpoints of a type.

use super::checkpoint::{Checkpoint, Entry, PassedOver, Reason};
use super::error::{LoadError, StoreError, check_key};
use super::figures::{Figures, Watched};
use super::marks::{Mark, Marks};
use super::store::{CheckpointStore, Saved};
use crate::durable::codec::{Codec, Postcard, State, StateError, pack, unpack};
use crate::kernel::clock::Clock;
use crate::kernel::instant::Instant;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::SystemTime;

/// The checkpoints of one key, as values of a type.
///
/// ```
/// use backstop::durable::codec::State;
/// use backstop::durable::snapshot::{Checkpoints, MemoryStore};
/// use serde::{Deserialize, Serialize};
/// use std::sync::Arc;
///
/// #[derive(Serialize, Deserialize)]
/// struct Ledger {
///     balance: i64,
/// }
///
/// impl State for Ledger {
///     const TYPE: &'static str = "ledger";
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let checkpoints = Checkpoints::<Ledger>::new(Arc::new(MemoryStore::new()), "ledger")?;
/// checkpoints.save(1, &Ledger { balance: 100 })?;
/// checkpoints.save(2, &Ledger { balance: 90 })?;
///
/// let recovered = checkpoints.latest()?;
/// for passed_over in &recovered.passed_over {
///     eprintln!("{passed_over}");
/// }
/// let restored = recovered.restored.expect("there is one");
/// assert_eq!((restored.sequence, restored.state.balance), (2, 90));
/// # Ok(())
/// # }
/// ```
///
/// A save **reads back** what it is about to store: it decodes the bytes and validates the outcome,
/// because some types encode and do not decode, and the time to learn that is not the next start. It
/// costs the time of a decoding and the memory of one more state;
/// [`read_back`](Self::read_back) turns it off.
///
/// Clones share the store, the key and the figures.
pub struct Checkpoints<S, C = Postcard> {
    store: Arc<dyn CheckpointStore>,
    key: Arc<str>,
    codec: C,
    clock: Clock,
    reads_back: bool,
    figures: Arc<Figures>,
    alive: Arc<()>,
    of: PhantomData<fn() -> S>,
}

/// The newest checkpoint that a state came out of, and what is newer and was passed over.
#[derive(Debug)]
#[non_exhaustive]
pub struct Recovered<S> {
    /// The state; `None` if no checkpoint gave one.
    pub restored: Option<Restored<S>>,
    /// Newest first.
    pub passed_over: Vec<PassedOver>,
}

/// A state out of a checkpoint.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Restored<S> {
    /// The state, valid.
    pub state: S,
    /// The last sequence whose effect is in it.
    pub sequence: u64,
    /// When the checkpoint was taken.
    pub wall: SystemTime,
    /// The version that was stored; another one than the type's was migrated.
    pub version: u32,
    /// The digest that was stored with it.
    pub digest: Option<u64>,
    /// What is marked on the checkpoint.
    pub marks: Marks,
}

/// A state was not saved.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SaveError {
    /// It is not valid, does not encode, or does not decode again. The store was not asked.
    State(StateError),
    /// The store did not take it.
    Store(StoreError),
}

/// Why there is no state from a checkpoint that was asked for by its sequence.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RestoreError {
    /// It is there and gives no state.
    Bad(Reason),
    /// The store failed.
    Store(StoreError),
}

impl<S: State> Checkpoints<S> {
    /// The checkpoints of `key` in `store`, in the default codec.
    ///
    /// # Errors
    ///
    /// What is no key.
    pub fn new(store: Arc<dyn CheckpointStore>, key: &str) -> Result<Self, StoreError> {
        Self::with_codec(store, key, Postcard)
    }
}

impl<S: State, C: Codec> Checkpoints<S, C> {
    /// The same in a codec of your choice.
    ///
    /// # Errors
    ///
    /// What is no key.
    pub fn with_codec(
        store: Arc<dyn CheckpointStore>,
        key: &str,
        codec: C,
    ) -> Result<Self, StoreError> {
        const {
            let is_name = !S::TYPE.is_empty() && S::TYPE.len() <= 255;
            assert!(is_name, "the name of a state's type is 1 to 255 bytes long");
        }
        check_key(key)?;
        Ok(Self {
            store,
            key: key.into(),
            codec,
            clock: Clock::default(),
            reads_back: true,
            figures: Arc::default(),
            alive: Arc::default(),
            of: PhantomData,
        })
    }

    /// The same by a clock of your own: it times saves, and its wall time is the checkpoints'.
    pub fn with_clock(self, clock: impl Into<Clock>) -> Self {
        let clock = clock.into();
        Self { clock, ..self }
    }

    /// Whether a save decodes what it is about to store. By default it does.
    pub fn read_back(self, reads_back: bool) -> Self {
        Self { reads_back, ..self }
    }

    /// Saves the state as it is after that sequence.
    ///
    /// # Errors
    ///
    /// A state that is not valid, does not encode, or does not decode again; then the store was not
    /// asked. [`StoreError::NotNewer`] if a good one is as new or newer; and what else the store says.
    pub fn save(&self, sequence: u64, state: &S) -> Result<Saved, SaveError> {
        self.save_with(sequence, state, None, Marks::none())
    }

    /// The same with a digest, and with marks that are there from the beginning.
    ///
    /// # Errors
    ///
    /// As [`save`](Self::save).
    pub fn save_with(
        &self,
        sequence: u64,
        state: &S,
        digest: Option<u64>,
        marks: Marks,
    ) -> Result<Saved, SaveError> {
        let start = self.clock.now();
        let wall = self.clock.wall();
        let payload = pack(state, &self.codec, self.reads_back).map_err(SaveError::State)?;
        let checkpoint = Checkpoint {
            sequence,
            wall,
            type_name: S::TYPE.to_owned(),
            version: S::VERSION,
            codec: self.codec.name().to_owned(),
            digest,
            payload,
        };
        self.store_checkpoint(&checkpoint, marks, start)
    }

    /// Has the store take it; `start` is when the save began.
    pub(super) fn store_checkpoint(
        &self,
        checkpoint: &Checkpoint,
        marks: Marks,
        start: Instant,
    ) -> Result<Saved, SaveError> {
        let saved = self.store.save_marked(&self.key, checkpoint, marks);
        let saved = saved.map_err(SaveError::Store)?;
        let took = self.clock.now().saturating_duration_since(start);
        self.figures.saved(took, checkpoint.wall);
        if let Some(error) = &saved.leftover {
            tracing::warn!(
                target: super::TARGET,
                key = &*self.key,
                %error,
                "old checkpoints were not removed"
            );
        }
        Ok(saved)
    }

    /// The state of the newest good checkpoint that gives a valid one. What is damaged, suspect, of
    /// another type, codec or an unknown version, does not decode, is not valid, or makes the type's own
    /// code panic, is passed over and named.
    ///
    /// # Errors
    ///
    /// What the store says: it cannot be read, which does not mean that there is no checkpoint.
    pub fn latest(&self) -> Result<Recovered<S>, StoreError> {
        let latest = self.store.latest(&self.key)?;
        let mut passed_over = latest.passed_over;
        let mut restored = None;
        if let Some((checkpoint, marks)) = latest.checkpoint {
            match self.restore(&checkpoint, marks) {
                Ok(state) => restored = Some(state),
                Err(error) => {
                    let sequence = checkpoint.sequence;
                    let reason = Reason::State(error);
                    passed_over.push(PassedOver { sequence, reason });
                    drop(checkpoint);
                    restored = self.older_than(sequence, &mut passed_over)?;
                }
            }
        }
        for one in &passed_over {
            tracing::warn!(
                target: super::TARGET,
                key = &*self.key,
                sequence = one.sequence,
                reason = one.reason.name(),
                "a checkpoint was passed over: {}", one.reason
            );
        }
        if let Some(restored) = &restored {
            self.figures.stands(restored.wall);
        }
        Ok(Recovered {
            restored,
            passed_over,
        })
    }

    fn older_than(
        &self,
        sequence: u64,
        passed_over: &mut Vec<PassedOver>,
    ) -> Result<Option<Restored<S>>, StoreError> {
        for entry in self.store.history(&self.key)? {
            if entry.sequence >= sequence {
                continue;
            }
            match self.restore_entry(&entry)? {
                Some(Ok(restored)) => return Ok(Some(restored)),
                Some(Err(reason)) => passed_over.push(PassedOver {
                    sequence: entry.sequence,
                    reason,
                }),
                None => {}
            }
        }
        Ok(None)
    }

    /// The state of one that the store has listed; `None` if it has gone since.
    fn restore_entry(
        &self,
        entry: &Entry,
    ) -> Result<Option<Result<Restored<S>, Reason>>, StoreError> {
        if let Some(reason) = entry.why_not() {
            return Ok(Some(Err(reason)));
        }
        match self.store.load(&self.key, entry.sequence) {
            Ok(None) => Ok(None),
            Ok(Some(checkpoint)) => {
                let restored = self.restore(&checkpoint, entry.marks);
                Ok(Some(restored.map_err(Reason::State)))
            }
            Err(LoadError::Damaged(error)) => Ok(Some(Err(Reason::Damaged(error)))),
            Err(LoadError::Store(error)) => Err(error),
        }
    }

    fn restore(&self, checkpoint: &Checkpoint, marks: Marks) -> Result<Restored<S>, StateError> {
        let state = unpack(&checkpoint.envelope(), &self.codec)?;
        Ok(Restored {
            state,
            sequence: checkpoint.sequence,
            wall: checkpoint.wall,
            version: checkpoint.version,
            digest: checkpoint.digest,
            marks,
        })
    }

    /// The state of the checkpoint of that sequence, suspect or not; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`RestoreError::Bad`] if it is there and gives no valid state.
    pub fn load(&self, sequence: u64) -> Result<Option<Restored<S>>, RestoreError> {
        let history = self.store.history(&self.key)?;
        let Some(entry) = history.iter().find(|entry| entry.sequence == sequence) else {
            return Ok(None);
        };
        match self.store.load(&self.key, sequence) {
            Ok(None) => Ok(None),
            Ok(Some(checkpoint)) => match self.restore(&checkpoint, entry.marks) {
                Ok(restored) => Ok(Some(restored)),
                Err(error) => Err(RestoreError::Bad(Reason::State(error))),
            },
            Err(LoadError::Damaged(error)) => Err(RestoreError::Bad(Reason::Damaged(error))),
            Err(LoadError::Store(error)) => Err(error.into()),
        }
    }

    /// The sequence of the oldest checkpoint that gives a valid state: a log may be compacted through
    /// it, and no further, or a fall back misses events. `None`: nothing may be compacted.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub fn oldest_retained(&self) -> Result<Option<u64>, StoreError> {
        for entry in self.store.history(&self.key)?.iter().rev() {
            if let Some(Ok(restored)) = self.restore_entry(entry)? {
                return Ok(Some(restored.sequence));
            }
        }
        Ok(None)
    }

    /// One more than the sequence of any checkpoint that is there, good or bad: for states that number
    /// their checkpoints themselves.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub fn next_sequence(&self) -> Result<u64, StoreError> {
        let history = self.store.history(&self.key)?;
        Ok(history
            .first()
            .map_or(1, |entry| entry.sequence.saturating_add(1)))
    }

    /// All checkpoints, newest first, as the store sees them.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub fn history(&self) -> Result<Vec<Entry>, StoreError> {
        self.store.history(&self.key)
    }

    /// Notes something about a checkpoint, and answers what is noted now.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoSuchCheckpoint`], and what else the store says.
    pub fn mark(&self, sequence: u64, mark: Mark) -> Result<Marks, StoreError> {
        self.store.mark(&self.key, sequence, mark)
    }
}

impl<S, C> Checkpoints<S, C> {
    /// The key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn CheckpointStore> {
        &self.store
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(super) fn codec(&self) -> &C {
        &self.codec
    }

    pub(super) fn reads_back(&self) -> bool {
        self.reads_back
    }

    pub(crate) fn watched(&self) -> Watched {
        Watched {
            figures: Arc::clone(&self.figures),
            front: Arc::downgrade(&self.alive),
        }
    }
}

impl<S, C: Clone> Clone for Checkpoints<S, C> {
    fn clone(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            key: Arc::clone(&self.key),
            codec: self.codec.clone(),
            clock: self.clock.clone(),
            reads_back: self.reads_back,
            figures: Arc::clone(&self.figures),
            alive: Arc::clone(&self.alive),
            of: PhantomData,
        }
    }
}

impl<S, C: fmt::Debug> fmt::Debug for Checkpoints<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoints")
            .field("key", &self.key)
            .field("store", &self.store)
            .field("codec", &self.codec)
            .field("reads_back", &self.reads_back)
            .finish_non_exhaustive()
    }
}

impl From<StoreError> for RestoreError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl fmt::Display for SaveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SaveError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::State(error) => Some(error),
            Self::Store(error) => Some(error),
        }
    }
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bad(reason) => reason.fmt(f),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RestoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Bad(_) => None,
            Self::Store(error) => Some(error),
        }
    }
}
