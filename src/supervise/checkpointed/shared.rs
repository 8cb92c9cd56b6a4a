//! What the starts of one child share.

use super::config::CheckpointedConfig;
use super::error::{RestoreFailure, SaveFailure};
use super::event::{EventKind, Teller};
use super::machine::Machine;
use super::port::Port;
use super::pump::{Pump, Save, Work};
use super::restore::{LoadFor, Loaded};
use crate::durable::codec::StateError;
use crate::durable::snapshot::{Mark, Marks, Packed, StoreError};
use crate::kernel::name::Name;
use crate::kernel::sync::{AtomicU64, Mutex, Ordering};
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

pub(super) struct Shared<S> {
    pub(super) id: Name,
    pub(super) config: CheckpointedConfig,
    pub(super) port: Box<dyn Port<S>>,
    pub(super) machine: Mutex<Machine>,
    pub(super) teller: Teller,
    pump: Arc<Pump>,
    /// Starts that were begun.
    starts: AtomicU64,
    /// The start whose saves are stored: the last one that was loaded for. It and the next are written
    /// by the pump alone, so by one thread at a time.
    saving: AtomicU64,
    /// The sequence of the next checkpoint.
    next: AtomicU64,
}

/// A state on its way: encoded, or to be encoded off the async thread.
pub(super) type Pack = Box<dyn FnOnce() -> Result<Packed, StateError> + Send>;

/// A save that one start asks for.
pub(super) struct Wanted {
    /// Of which start.
    pub(super) start: u64,
    /// The sequence, for those who number their checkpoints themselves.
    pub(super) sequence: Option<u64>,
    /// Whether the start has not been proven yet.
    pub(super) is_provisional: bool,
    pub(super) pack: Pack,
}

impl<S: Send + 'static> Shared<S> {
    pub(super) fn new(
        id: Name,
        config: CheckpointedConfig,
        port: Box<dyn Port<S>>,
        teller: Teller,
    ) -> Self {
        Self {
            id,
            machine: Mutex::new(Machine::new(config.cold_start)),
            config,
            port,
            teller,
            pump: Arc::default(),
            starts: AtomicU64::new(0),
            saving: AtomicU64::new(0),
            next: AtomicU64::new(1),
        }
    }

    /// The number of a start that begins.
    pub(super) fn begin(&self) -> u64 {
        self.starts.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Has the state of a start read.
    pub(super) fn load_for(
        self: &Arc<Self>,
        start: u64,
        runtime: &Handle,
    ) -> oneshot::Receiver<Result<Loaded<S>, RestoreFailure>> {
        let (to, loaded) = oneshot::channel();
        let shared = Arc::clone(self);
        let load = LoadFor {
            shared,
            start,
            runtime: runtime.clone(),
            to,
        };
        self.pump.put(runtime, Work::Load(Box::new(load)));
        loaded
    }

    /// Has a state saved. `told` is told how it ended before those are who wait.
    pub(super) fn save_for(
        self: &Arc<Self>,
        wanted: Wanted,
        runtime: &Handle,
        told: impl FnOnce(&Result<u64, SaveFailure>) + Send + 'static,
    ) -> oneshot::Receiver<Result<u64, SaveFailure>> {
        let (to, saved) = oneshot::channel();
        let (shared, start) = (Arc::clone(self), wanted.start);
        let run = move || {
            let outcome = shared.store(wanted);
            let kind = match &outcome {
                Ok(sequence) => EventKind::Saved {
                    sequence: *sequence,
                },
                Err(error) => EventKind::SaveFailed {
                    error: error.clone(),
                },
            };
            shared.teller.tell(kind);
            told(&outcome);
            outcome
        };
        let save = Save {
            start,
            run: Box::new(run),
            waiting: vec![to],
        };
        self.pump.put(runtime, Work::Save(save));
        saved
    }

    /// Has marks stored, behind what was asked for before; the receiver hears when they were tried.
    pub(super) fn mark_for(
        self: &Arc<Self>,
        marks: Vec<(u64, Mark)>,
        runtime: &Handle,
    ) -> oneshot::Receiver<()> {
        let (to, marked) = oneshot::channel();
        let shared = Arc::clone(self);
        let run = move || {
            shared.mark_all(marks);
            let _gone = to.send(());
        };
        self.pump.put(runtime, Work::Marks(Box::new(run)));
        marked
    }
}

/// What the pump's thread does.
impl<S> Shared<S> {
    /// From now on only this start's states are stored.
    pub(super) fn saves_are_of(&self, start: u64) {
        self.saving.store(start, Ordering::Relaxed);
    }

    pub(super) fn numbers_from(&self, next: u64) {
        self.next.fetch_max(next, Ordering::Relaxed);
    }

    fn store(&self, wanted: Wanted) -> Result<u64, SaveFailure> {
        // What a start has left behind must not be newer than what the next one went on from.
        if wanted.start != self.saving.load(Ordering::Relaxed) {
            return Err(SaveFailure::Ended);
        }
        let packed = (wanted.pack)().map_err(SaveFailure::State)?;
        let next = self.next.load(Ordering::Relaxed);
        let sequence = wanted.sequence.unwrap_or(next);
        let marks = if wanted.is_provisional {
            Marks::none().with(Mark::Provisional)
        } else {
            Marks::none()
        };
        let saved = self
            .port
            .save(sequence, packed, marks)
            .map_err(SaveFailure::from);
        match &saved {
            // A failed save may be there all the same.
            Err(SaveFailure::Store(StoreError::NotNewer { newest, .. })) => {
                self.numbers_from(newest.saturating_add(1));
            }
            _ => self.numbers_from(sequence.saturating_add(1)),
        }
        saved.map(|()| sequence)
    }

    pub(super) fn mark_all(&self, marks: impl IntoIterator<Item = (u64, Mark)>) {
        for (sequence, mark) in marks {
            match self.port.mark(sequence, mark) {
                Ok(()) | Err(StoreError::NoSuchCheckpoint { .. }) => {
                    self.machine.lock().mark_is_stored(sequence, mark);
                }
                Err(error) => {
                    self.machine.lock().mark_is_owed(sequence, mark);
                    self.teller.tell(EventKind::MarkNotStored {
                        sequence,
                        mark,
                        error,
                    });
                }
            }
        }
    }
}
