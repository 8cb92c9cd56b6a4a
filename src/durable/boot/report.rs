//! What a boot did.

use crate::durable::journal::OpenReport;
use crate::durable::replay::ReplayReport;
use std::fmt;
use std::time::Duration;

/// A part of a boot, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Looking which snapshots there are, so that their journal is not taken for a fresh one.
    Look,
    /// Reading the journal, and verifying all of it.
    Verify,
    /// Copying what a repair is about to change.
    Quarantine,
    /// Repairing the journal: writing anew what is not known to be durable, cutting off what is torn.
    Repair,
    /// Loading a snapshot, and comparing it with its digest.
    Load,
    /// Applying the events behind it.
    Replay,
}

impl Stage {
    /// All of them, in order.
    pub const ALL: [Self; 6] = [
        Self::Look,
        Self::Verify,
        Self::Quarantine,
        Self::Repair,
        Self::Load,
        Self::Replay,
    ];

    /// In `snake_case`, as in a label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Look => "look",
            Self::Verify => "verify",
            Self::Quarantine => "quarantine",
            Self::Repair => "repair",
            Self::Load => "load",
            Self::Replay => "replay",
        }
    }
}

/// How far a boot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BootProgress {
    /// What it is about.
    pub stage: Stage,
    /// How much of that is done: bytes of the journal, or events where it replays.
    pub done: u64,
    /// How much there is to do, in the same unit; 0 where that is not known.
    pub total: u64,
}

/// What a boot did, and how long each stage took.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BootReport {
    /// What opening the journal found and did.
    pub open: OpenReport,
    /// What replaying it came to.
    pub replay: ReplayReport,
    /// The snapshots that were ahead of the journal and were marked as suspect, newest first.
    pub retired: Vec<u64>,
    pub(super) times: Times,
    /// How long all of it took.
    pub took: Duration,
}

impl BootReport {
    /// How long a stage took; zero if there was nothing to do in it.
    pub fn time(&self, stage: Stage) -> Duration {
        self.times.0[stage as usize]
    }
}

impl fmt::Display for BootReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "booted in {:.1?} (", self.took)?;
        for stage in Stage::ALL {
            let comma = if stage == Stage::Look { "" } else { ", " };
            write!(f, "{comma}{} {:.1?}", stage.name(), self.time(stage))?;
        }
        write!(f, ")\njournal: {}\nreplay: {}", self.open, self.replay)?;
        for sequence in &self.retired {
            write!(
                f,
                "\nthe snapshot at {sequence} was ahead of the journal and is suspect now"
            )?;
        }
        Ok(())
    }
}

/// The time that each stage took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Times([Duration; Stage::ALL.len()]);

impl Times {
    pub(super) fn add(&mut self, stage: Stage, time: Duration) {
        let taken = &mut self.0[stage as usize];
        *taken = taken.saturating_add(time);
    }
}
