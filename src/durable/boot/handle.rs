//! A boot.

use super::config::{BootConfig, OnAhead};
use super::error::BootError;
use super::exit::Exit;
use super::report::{BootProgress, BootReport, Stage, Times};
use super::snapshotter::Snapshotter;
use crate::durable::codec::Codec;
use crate::durable::journal::{self, Journal, RecoveryMode};
use crate::durable::replay::{EventSourced, EventStore, JournalEvents, OnGap, Replay, Replayer};
use crate::durable::snapshot::{CheckpointStore, Entry, Mark, StoreError};
use crate::durable::storage::Storage;
use crate::kernel::clock::Clock;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_millis(250);

type Tell = Box<dyn FnMut(BootProgress) + Send>;

/// Recovers a service from its journal and its snapshots. Starting is recovering: every start takes
/// this way, whatever came before it.
pub struct Boot<S, C> {
    storage: Arc<dyn Storage>,
    dir: PathBuf,
    stream: String,
    initial: S,
    snapshots: (Arc<dyn CheckpointStore>, C),
    config: BootConfig,
    clock: Clock,
    exit: Exit,
    tell: Option<Tell>,
}

/// A service that has recovered, and may serve.
#[derive(Debug)]
#[non_exhaustive]
pub struct Booted<S, C> {
    /// The state, with all events of the journal. It is valid.
    pub state: S,
    /// The last event in it; the next one that is appended gets the next sequence.
    pub sequence: u64,
    /// When that one was written; `None` if there is none.
    pub wall: Option<SystemTime>,
    /// The journal, open. What it acknowledges from now on, the next boot finds.
    pub journal: Journal,
    /// Takes snapshots while the service runs.
    pub snapshotter: Snapshotter<S, C>,
    /// The way out.
    pub exit: Exit,
    /// What was done.
    pub report: BootReport,
}

impl<S: EventSourced, C: Codec> Boot<S, C> {
    /// Of the journal in that directory. The snapshots are in `store` under the name `stream`, encoded
    /// by `codec`; `initial` is the state before the first event.
    pub fn new(
        storage: Arc<dyn Storage>,
        dir: impl Into<PathBuf>,
        stream: impl Into<String>,
        (store, codec): (Arc<dyn CheckpointStore>, C),
        initial: S,
    ) -> Self {
        Self {
            storage,
            dir: dir.into(),
            stream: stream.into(),
            initial,
            snapshots: (store, codec),
            config: BootConfig::default(),
            clock: Clock::default(),
            exit: Exit::default(),
            tell: None,
        }
    }

    /// How.
    pub fn config(mut self, config: BootConfig) -> Self {
        self.config = config;
        self
    }

    /// The clock of the boot and of the journal.
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = clock.into();
        self
    }

    /// The way out that the service takes; the end of the process by default.
    pub fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// Tells how far it is, at most four times a second in each stage.
    pub fn progress(mut self, tell: impl FnMut(BootProgress) + Send + 'static) -> Self {
        self.tell = Some(Box::new(tell));
        self
    }

    /// Recovers. It blocks for as long as that takes.
    ///
    /// # Errors
    ///
    /// [`BootError`] says which stage failed. Nothing is served then, and another boot may be tried:
    /// whatever was done until then is done again or found done.
    pub fn run(mut self) -> Result<Booted<S, C>, BootError> {
        self.config.checked()?;
        let started = self.clock.now();
        let mut times = Times::default();
        let history = self.snapshots.0.history(&self.stream)?;
        times.add(Stage::Look, self.clock.now().saturating_duration_since(started));
        let (journal, open) = self.open(&history, &mut times)?;
        let events = JournalEvents::new(&journal, &self.stream);
        let retired = self.retire(&history, &events)?;
        let replay = self.replay(&events)?;
        times.add(Stage::Load, replay.report.loaded_in);
        let replayed = replay.report.took.saturating_sub(replay.report.loaded_in);
        times.add(Stage::Replay, replayed);
        todo!()
    }
}
