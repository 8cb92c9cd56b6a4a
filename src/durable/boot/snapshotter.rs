//! Snapshots of a running service, and the compaction that they allow.

use crate::durable::codec::{Codec, StateError, pack};
use crate::durable::journal::{AppendError, CompactError, Journal, ReadError};
use crate::durable::replay::{Digest, EventSourced, Panic, caught, decode};
use crate::durable::snapshot::{Checkpoint, CheckpointStore, StoreError};
use crate::kernel::clock::Clock;
use crate::kernel::sync::{AtomicU64, Ordering};
use std::error::Error;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Takes snapshots of a running service's state, and compacts its journal behind them. Clones are the
/// same one.
///
/// The order is what makes it safe, whenever the process is killed: the state is checked, then the
/// journal is synced through its last event, then the snapshot is saved, and then the journal is
/// compacted, no further than the oldest snapshot that is kept and good.
pub struct Snapshotter<S, C> {
    shared: Arc<Shared<C>>,
    state: PhantomData<fn(&S)>,
}

struct Shared<C> {
    journal: Journal,
    store: Arc<dyn CheckpointStore>,
    stream: String,
    codec: C,
    clock: Clock,
    every: u64,
    /// The last event of the newest snapshot.
    newest: AtomicU64,
    /// That of the newest one that was taken or is being taken.
    begun: AtomicU64,
}

/// A snapshot was taken.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Taken {
    /// The last event that is in it.
    pub sequence: u64,
    /// Bytes of its payload.
    pub bytes: usize,
    /// Through which event the journal was compacted; `None` if not at all.
    pub compacted: Option<u64>,
    /// Why the journal was not compacted, though it could have been. The next snapshot tries again.
    pub compact_error: Option<SnapshotError>,
    /// How long it took.
    pub took: Duration,
}

/// Why no snapshot was taken, or nothing was compacted behind it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The state is not valid, cannot be encoded, or does not come back as it was.
    State(StateError),
    /// The state that comes back has another digest.
    Differs {
        /// That of the state.
        state: Digest,
        /// That of what was decoded again.
        decoded: Digest,
    },
    /// The journal could not be synced.
    Sync(AppendError),
    /// The state has events that the journal does not have.
    NotInJournal {
        /// The last event in the state.
        sequence: u64,
        /// The last one that the journal has synced.
        synced: u64,
    },
    /// The journal could not be read.
    Read(ReadError),
    /// The store failed.
    Store(StoreError),
    /// The journal could not be compacted.
    Compact(CompactError),
}

impl<S: EventSourced, C: Codec> Snapshotter<S, C> {
    pub(super) fn new(
        journal: Journal,
        (store, codec): (Arc<dyn CheckpointStore>, C),
        stream: String,
        newest: u64,
        (every, clock): (u64, Clock),
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                journal,
                store,
                stream,
                codec,
                clock,
                every,
                newest: AtomicU64::new(newest),
                begun: AtomicU64::new(newest),
            }),
            state: PhantomData,
        }
    }

    /// Whether a snapshot is due for a state whose last event is `sequence`: as many events after the
    /// newest one as [`snapshot_every`](super::BootConfig::snapshot_every) says.
    pub fn is_due(&self, sequence: u64) -> bool {
        sequence.saturating_sub(self.newest()) >= self.shared.every
    }

    /// The last event of the newest snapshot; 0: there is none.
    pub fn newest(&self) -> u64 {
        self.shared.newest.load(Ordering::Acquire)
    }

    /// Takes a snapshot of `state`, whose last event is `sequence`, and compacts the journal. It blocks
    /// for the disk's time; `None` if there is a snapshot that is as new, or one is being taken.
    ///
    /// The service goes on meanwhile: give it a copy of the state. The state is encoded, and decoded
    /// again to see that it comes back, so that takes memory of three states for a moment. No lock is
    /// held meanwhile: the state's own code and the store may call this again.
    ///
    /// # Errors
    ///
    /// Nothing was published. After [`SnapshotError::Sync`] and where the store failed, it is worth
    /// while to see whether the journal still takes events.
    pub fn take(&self, state: &S, sequence: u64) -> Result<Option<Taken>, SnapshotError> {
        let shared = &*self.shared;
        let Some(_begun) = shared.begin(sequence) else {
            return Ok(None);
        };
        let started = shared.clock.now();
        let mut checkpoint = self.encode(state, sequence)?;
        let synced = shared.journal.sync().map_err(SnapshotError::Sync)?;
        if synced < sequence {
            return Err(SnapshotError::NotInJournal { sequence, synced });
        }
        checkpoint.wall = shared.wall_of(sequence)?;
        match shared.store.save(&shared.stream, &checkpoint) {
            Ok(_) => {}
            // A newer one overtook it.
            Err(StoreError::NotNewer { .. }) if shared.is_overtaken(sequence) => return Ok(None),
            Err(error) => return Err(SnapshotError::Store(error)),
        }
        shared.newest.fetch_max(sequence, Ordering::AcqRel);
        let (compacted, compact_error) = match shared.compact() {
            Ok(through) => (through, None),
            Err(error) => (None, Some(error)),
        };
        Ok(Some(Taken {
            sequence,
            bytes: checkpoint.payload.len(),
            compacted,
            compact_error,
            took: shared.clock.now().saturating_duration_since(started),
        }))
    }

    /// The state's checkpoint, without its time, if it is valid and comes back as it is.
    fn encode(&self, state: &S, sequence: u64) -> Result<Checkpoint, SnapshotError> {
        let codec = &self.shared.codec;
        let digest = |state: &S| caught(|| state.digest()).map_err(|panic| panicked(&panic));
        let payload = pack(state, codec, false)?;
        let digest_of_state = digest(state)?;
        let checkpoint = Checkpoint {
            sequence,
            wall: SystemTime::UNIX_EPOCH,
            type_name: S::TYPE.to_owned(),
            version: S::VERSION,
            codec: codec.name().to_owned(),
            digest: digest_of_state.map(Digest::as_u64),
            payload,
        };
        let decoded: S =
            caught(|| decode(&checkpoint, codec)).map_err(|panic| panicked(&panic))??;
        let valid = caught(|| decoded.validate()).map_err(|panic| panicked(&panic))?;
        let digest_again = digest(&decoded)?;
        caught(move || drop(decoded)).map_err(|panic| panicked(&panic))?;
        valid?;
        match (digest_of_state, digest_again) {
            (Some(state), Some(decoded)) if state != decoded => {
                Err(SnapshotError::Differs { state, decoded })
            }
            _ => Ok(checkpoint),
        }
    }
}

fn panicked(panic: &Panic) -> StateError {
    StateError::Panicked(panic.message().to_owned())
}

/// A snapshot is being taken; dropping it lets one of the same event begin, unless it was taken.
struct Begun<'a> {
    sequence: u64,
    newest: &'a AtomicU64,
    mark: &'a AtomicU64,
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        let newest = self.newest.load(Ordering::Acquire);
        if newest < self.sequence {
            // A newer one that began meanwhile stays.
            let _ = self.mark.compare_exchange(
                self.sequence,
                newest,
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
        }
    }
}

impl<C> Shared<C> {
    /// `None` if one as new is there or on its way.
    fn begin(&self, sequence: u64) -> Option<Begun<'_>> {
        let before = self.begun.fetch_max(sequence, Ordering::AcqRel);
        (before < sequence).then_some(Begun {
            sequence,
            newest: &self.newest,
            mark: &self.begun,
        })
    }

    fn is_overtaken(&self, sequence: u64) -> bool {
        self.begun.load(Ordering::Acquire) > sequence
            || self.newest.load(Ordering::Acquire) >= sequence
    }

    /// When that event, which the journal has synced, was written. Where damage took it: the next one
    /// that is left, or now; a snapshot that says it is younger than it is is never used too early.
    fn wall_of(&self, sequence: u64) -> Result<SystemTime, SnapshotError> {
        let mut reader = self.journal.read(sequence).map_err(SnapshotError::Read)?;
        let left = reader.next().map_err(SnapshotError::Read)?;
        Ok(left.map_or_else(|| self.clock.wall(), |record| record.wall()))
    }

    /// Compacts the journal through the oldest good snapshot.
    fn compact(&self) -> Result<Option<u64>, SnapshotError> {
        let oldest = self.store.oldest_retained(&self.stream);
        let Some(oldest) = oldest.map_err(SnapshotError::Store)? else {
            return Ok(None);
        };
        self.journal
            .compact(oldest)
            .map_err(SnapshotError::Compact)?;
        Ok(Some(oldest))
    }
}

impl<S, C> Clone for Snapshotter<S, C> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            state: PhantomData,
        }
    }
}

impl<S, C> fmt::Debug for Snapshotter<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshotter")
            .field("stream", &self.shared.stream)
            .field("newest", &self.shared.newest.load(Ordering::Relaxed))
            .field("every", &self.shared.every)
            .finish_non_exhaustive()
    }
}

impl From<StateError> for SnapshotError {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(error) => error.fmt(f),
            Self::Differs { state, decoded } => write!(
                f,
                "a state with the digest {state} comes back with {decoded}"
            ),
            Self::Sync(error) => error.fmt(f),
            Self::NotInJournal { sequence, synced } => write!(
                f,
                "the state has event {sequence}, and the journal has synced {synced} events"
            ),
            Self::Read(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Compact(error) => error.fmt(f),
        }
    }
}

impl Error for SnapshotError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::State(error) => Some(error),
            Self::Sync(error) => Some(error),
            Self::Read(error) => Some(error),
            Self::Store(error) => Some(error),
            Self::Compact(error) => Some(error),
            Self::Differs { .. } | Self::NotInJournal { .. } => None,
        }
    }
}
