//! A replay: what of, to where, and how.

use super::config::ReplayConfig;
use super::digest::Digest;
use super::error::{ReplayError, ReplayErrorKind};
use super::events::{Bounds, EventStore};
use super::guard::caught;
use super::machine::{Finished, Goal, Machine};
use super::report::{ReplayProgress, ReplayReport};
use super::start::{self, Snapshots};
use super::state::EventSourced;
use super::target::Target;
use crate::durable::codec::Codec;
use crate::durable::snapshot::CheckpointStore;
use crate::kernel::clock::Clock;
use crate::kernel::instant::Instant;
use std::fmt;
use std::time::{Duration, SystemTime};

type Progress<'a> = Box<dyn FnMut(ReplayProgress) + 'a>;

/// Makes the state of a stream as it was at a point in time.
pub struct Replayer<'a, S> {
    events: &'a dyn EventStore,
    stream: &'a str,
    initial: S,
    snapshots: Option<Snapshots<'a, S>>,
    target: Target,
    or_latest: bool,
    config: ReplayConfig,
    clock: Clock,
    progress: Option<(Duration, Progress<'a>)>,
}

/// A state at a point in time, and how it came about.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Replay<S> {
    /// The state. It is valid.
    pub state: S,
    /// The last event that is in it, or was left out behind all others; 0: none.
    pub sequence: u64,
    /// When that one was written; `None` if there is none.
    pub wall: Option<SystemTime>,
    /// The state's digest, if it makes one.
    pub digest: Option<Digest>,
    /// How the replay went.
    pub report: ReplayReport,
}

impl<'a, S: EventSourced> Replayer<'a, S> {
    /// Of that stream, whose state before its first event is `initial`; to the latest event, unless
    /// said otherwise.
    pub fn new(events: &'a dyn EventStore, stream: &'a str, initial: S) -> Self {
        Self {
            events,
            stream,
            initial,
            snapshots: None,
            target: Target::Latest,
            or_latest: false,
            config: ReplayConfig::default(),
            clock: Clock::default(),
            progress: None,
        }
    }

    /// Begins with the nearest sound snapshot at the target or before it, instead of the first event.
    /// Snapshots are kept under the name of the stream.
    ///
    /// The wall time of a snapshot must be that of its last event, or a time names another point of
    /// the stream with it than without it.
    pub fn snapshots<C: Codec>(mut self, store: &'a dyn CheckpointStore, codec: C) -> Self {
        let decode = Box::new(move |checkpoint: &_| start::decode(checkpoint, &codec));
        self.snapshots = Some(Snapshots { store, decode });
        self
    }

    /// Where to; to the latest event by default.
    pub fn target(mut self, target: Target) -> Self {
        self.target = target;
        self
    }

    /// Takes the latest state where the target is behind the last event, which is an error otherwise.
    pub fn or_latest(mut self) -> Self {
        self.or_latest = true;
        self
    }

    /// What is done about events that fail.
    pub fn config(mut self, config: ReplayConfig) -> Self {
        self.config = config;
        self
    }

    /// The clock that times it.
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = clock.into();
        self
    }

    /// Tells how far it is, behind an event and at most once in `every`.
    pub fn progress(mut self, every: Duration, tell: impl FnMut(ReplayProgress) + 'a) -> Self {
        self.progress = Some((every, Box::new(tell)));
        self
    }

    /// Replays. It blocks for as long as that takes.
    ///
    /// # Errors
    ///
    /// Whatever there is in [`ReplayErrorKind`]; no state comes of it then.
    pub fn run(self) -> Result<Replay<S>, ReplayError> {
        let started = self.clock.now();
        let clock = self.clock.clone();
        let mut report = ReplayReport::new(self.stream, self.target);
        let replayed = self.replay(&mut report, started);
        report.took = clock.now().saturating_duration_since(started);
        match replayed {
            Ok((state, wall, digest)) => Ok(Replay {
                state,
                sequence: report.through,
                wall,
                digest,
                report,
            }),
            Err(kind) => Err(ReplayError::new(kind, report)),
        }
    }

    fn replay(
        mut self,
        report: &mut ReplayReport,
        started: Instant,
    ) -> Result<Finished<S>, ReplayErrorKind> {
        let history = match &self.snapshots {
            Some(snapshots) => snapshots.history(self.stream)?,
            None => Vec::new(),
        };
        let bounds = self.events.bounds(self.stream)?;
        let goal = self.goal(bounds)?;
        let loaded = match &self.snapshots {
            Some(snapshots) => {
                snapshots.load(&history, (self.stream, self.target, bounds), report)?
            }
            None => None,
        };
        report.loaded_in = self.clock.now().saturating_duration_since(started);
        let start = match loaded {
            Some((state, wall)) => (state, Some(wall)),
            None => (self.initial, None),
        };
        let needed = report.through + 1;
        if report.through < goal.through && needed < bounds.first {
            let first = bounds.first;
            return Err(ReplayErrorKind::Compacted { needed, first });
        }
        let mut teller = Teller {
            clock: &self.clock,
            started,
            told: started,
            from: report.through,
            through: goal.through,
        };
        let source = (self.events, self.stream);
        let mut machine = Machine::new(source, self.config, start, report);
        let ran = match &mut self.progress {
            None => machine.run(goal, |_| ()),
            Some((every, tell)) => machine.run(goal, |sequence| {
                teller.look(sequence, *every, &mut **tell);
            }),
        };
        let reached = ran.and_then(|()| machine.reached(goal, self.or_latest));
        match reached {
            Ok(()) => machine.finish(),
            Err(kind) => {
                // What is thrown away may be half changed, and is the user's.
                let _ = caught(move || drop(machine));
                Err(kind)
            }
        }
    }

    /// What the target comes to in this stream.
    fn goal(&mut self, bounds: Bounds) -> Result<Goal, ReplayErrorKind> {
        let last = bounds.last;
        let (through, until) = match self.target {
            Target::Sequence(target) if target > last => {
                if !self.or_latest {
                    return Err(ReplayErrorKind::BeyondEnd { last });
                }
                self.target = Target::Latest;
                (last, None)
            }
            Target::Sequence(target) => (target, None),
            Target::Latest => (last, None),
            Target::Time(time) => (last, Some(time)),
        };
        Ok(Goal { through, until })
    }
}

/// Tells how far a replay is, now and then.
struct Teller<'a> {
    clock: &'a Clock,
    started: Instant,
    told: Instant,
    from: u64,
    through: u64,
}

impl Teller<'_> {
    fn look(&mut self, sequence: u64, every: Duration, tell: &mut dyn FnMut(ReplayProgress)) {
        let now = self.clock.coarse();
        if now.saturating_duration_since(self.told) >= every {
            self.told = now;
            tell(ReplayProgress {
                sequence,
                from: self.from,
                through: self.through,
                took: now.saturating_duration_since(self.started),
            });
        }
    }
}

impl<S> fmt::Debug for Replayer<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replayer")
            .field("stream", &self.stream)
            .field("target", &self.target)
            .field("or_latest", &self.or_latest)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
