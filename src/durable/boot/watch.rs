//! What time each stage takes, and how far it is.

use super::report::{BootProgress, Stage, Times};
use crate::durable::journal::{self, Progress};
use crate::durable::replay::{ReplayProgress, ReplayReport};
use crate::kernel::clock::Clock;
use crate::kernel::instant::Instant;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// The user's callback.
pub(super) type Tell = Box<dyn FnMut(BootProgress) + Send>;

/// A clock that is read whenever a stage ends.
#[derive(Clone)]
pub(super) struct Watch(Arc<Inner>);

struct Inner {
    clock: Clock,
    started: Instant,
    laps: Mutex<Laps>,
    /// Out of its place while it runs.
    tell: Mutex<Option<Tell>>,
}

struct Laps {
    times: Times,
    stage: Stage,
    since: Instant,
}

impl Watch {
    /// Starts with the first stage.
    pub(super) fn start(clock: Clock, tell: Option<Tell>) -> Self {
        let now = clock.now();
        let watch = Self(Arc::new(Inner {
            clock,
            started: now,
            laps: Mutex::new(Laps {
                times: Times::default(),
                stage: Stage::Look,
                since: now,
            }),
            tell: Mutex::new(tell),
        }));
        watch.tell(Stage::Look, 0, 0);
        watch
    }

    /// A stage ends, and another begins.
    pub(super) fn next(&self, stage: Stage) {
        let now = self.0.clock.now();
        {
            let mut laps = self.0.laps.lock();
            let (ended, since) = (laps.stage, laps.since);
            laps.times.add(ended, now.saturating_duration_since(since));
            laps.since = now;
            laps.stage = stage;
        }
        self.tell(stage, 0, 0);
    }

    /// What is to be told how far the open of the journal is.
    pub(super) fn of_open(&self) -> impl FnMut(&Progress) + Send + 'static {
        let watch = self.clone();
        move |progress| {
            let stage = match progress.stage {
                journal::Stage::Verifying => Stage::Verify,
                journal::Stage::Quarantining => Stage::Quarantine,
                journal::Stage::Rewriting => Stage::Repair,
            };
            let at = watch.0.laps.lock().stage;
            if at != stage {
                watch.next(stage);
            }
            watch.tell(stage, progress.bytes, progress.total_bytes);
        }
    }

    /// How far the replay is.
    pub(super) fn replays(&self, progress: &ReplayProgress) {
        let done = progress.sequence.saturating_sub(progress.from);
        let total = progress.through.saturating_sub(progress.from);
        self.tell(Stage::Replay, done, total);
    }

    /// The end of the last stage, of which the replay knows when it had its snapshot.
    pub(super) fn finish(&self, report: &ReplayReport) -> (Times, Duration) {
        let now = self.0.clock.now();
        let laps = self.0.laps.lock();
        let mut times = laps.times;
        let rest = now.saturating_duration_since(laps.since);
        let replay = report.took.saturating_sub(report.loaded_in);
        times.add(Stage::Load, rest.saturating_sub(replay));
        times.add(Stage::Replay, replay.min(rest));
        (times, now.saturating_duration_since(self.0.started))
    }

    fn tell(&self, stage: Stage, done: u64, total: u64) {
        // The callback is the user's, and runs under no lock.
        let tell = self.0.tell.lock().take();
        if let Some(mut tell) = tell {
            tell(BootProgress { stage, done, total });
            *self.0.tell.lock() = Some(tell);
        }
    }
}
