//! A boot.

use super::config::{BootConfig, OnAhead};
use super::error::BootError;
use super::exit::Exit;
use super::report::{BootProgress, BootReport, Stage};
use super::snapshotter::Snapshotter;
use super::watch::{Tell, Watch};
use crate::durable::codec::Codec;
use crate::durable::journal::{Journal, Opener};
use crate::durable::replay::{EventSourced, JournalEvents, Replayer};
use crate::durable::snapshot::{CheckpointStore, Entry, Mark, StoreError};
use crate::durable::storage::Storage;
use crate::kernel::clock::Clock;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_millis(250);

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
    pub fn run(self) -> Result<Booted<S, C>, BootError> {
        self.config.checked()?;
        let watch = Watch::start(self.clock.clone(), self.tell);
        let (store, codec) = self.snapshots;
        let history = store.history(&self.stream)?;
        watch.next(Stage::Verify);
        let (journal, open) = Opener::new(self.storage, self.dir)
            .config(self.config.journal.clone())
            .clock(self.clock.clone())
            .snapshot_at(proof(&history, self.config.on_ahead))
            .progress(watch.of_open())
            .open()?;
        watch.next(Stage::Load);
        let retired = match self.config.on_ahead {
            OnAhead::Refuse => Vec::new(),
            OnAhead::Retire => retire(&*store, &self.stream, &history, open.last_sequence)?,
        };
        let events = JournalEvents::new(&journal, &self.stream);
        let replay = Replayer::new(&events, &self.stream, self.initial)
            .snapshots(&*store, codec.clone())
            .config(self.config.replay_of(&open))
            .clock(self.clock.clone())
            .progress(TELL_EVERY, |progress| watch.replays(&progress))
            .run()?;
        let (times, took) = watch.finish(&replay.report);
        let snapshotter = Snapshotter::new(
            journal.clone(),
            (store, codec),
            self.stream,
            replay.report.snapshot.unwrap_or(0),
            (self.config.snapshot_every, self.clock),
        );
        Ok(Booted {
            state: replay.state,
            sequence: replay.sequence,
            wall: replay.wall,
            journal,
            snapshotter,
            exit: self.exit,
            report: BootReport {
                open,
                replay: replay.report,
                retired,
                times,
                took,
            },
        })
    }
}

/// The sequence that the journal must reach, as there is a snapshot of it.
fn proof(history: &[Entry], on_ahead: OnAhead) -> u64 {
    match on_ahead {
        OnAhead::Retire => 0,
        // A suspect one may be of a history that was given up.
        OnAhead::Refuse => {
            let told = history.iter().find(|entry| !entry.marks.suspect);
            told.map_or(0, |entry| entry.sequence)
        }
    }
}

/// Marks the snapshots that are ahead of the journal.
fn retire(
    store: &dyn CheckpointStore,
    stream: &str,
    history: &[Entry],
    last: u64,
) -> Result<Vec<u64>, StoreError> {
    let ahead = history
        .iter()
        .filter(|entry| entry.sequence > last && !entry.marks.suspect);
    ahead
        .map(|entry| {
            store.mark(stream, entry.sequence, Mark::Suspect)?;
            Ok(entry.sequence)
        })
        .collect()
}

impl<S, C> fmt::Debug for Boot<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Boot")
            .field("dir", &self.dir)
            .field("stream", &self.stream)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
