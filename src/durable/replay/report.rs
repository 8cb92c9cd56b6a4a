//! What a replay did.

use super::target::Target;
use crate::durable::snapshot::PassedOver;
use std::fmt;
use std::time::Duration;

/// How many failed events a text names.
const SHOWN: usize = 5;

/// Why an event was not applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Failure {
    /// The state rejected it.
    Rejected,
    /// It is no event that the code knows; or decoding it panicked.
    Undecodable,
    /// Checking or applying it panicked.
    Panicked,
}

impl Failure {
    /// In `snake_case`, as in a label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Undecodable => "undecodable",
            Self::Panicked => "panicked",
        }
    }
}

/// An event that was not applied.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailedEvent {
    /// Its place in the stream.
    pub sequence: u64,
    /// Its kind, as it was written.
    pub kind: u32,
    /// Why it was not applied.
    pub failure: Failure,
    /// What the user's code said, cut to 1,024 bytes.
    pub error: String,
}

impl fmt::Display for FailedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            sequence,
            kind,
            failure,
            error,
        } = self;
        let failure = failure.name();
        write!(f, "event {sequence} of kind {kind} {failure}: {error}")
    }
}

/// How many events were left out, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Skipped {
    /// The state rejected them.
    pub rejected: u64,
    /// They could not be decoded.
    pub undecodable: u64,
    /// They panicked.
    pub panicked: u64,
}

impl Skipped {
    /// All of them.
    pub const fn total(&self) -> u64 {
        self.rejected
            .saturating_add(self.undecodable)
            .saturating_add(self.panicked)
    }

    pub(super) const fn count(&mut self, failure: Failure) {
        let count = match failure {
            Failure::Rejected => &mut self.rejected,
            Failure::Undecodable => &mut self.undecodable,
            Failure::Panicked => &mut self.panicked,
        };
        *count = count.saturating_add(1);
    }
}

/// How a loaded state compared with the digest that was stored with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Comparison {
    /// Nothing was compared: no snapshot was loaded, none was stored with it, or the state makes none.
    #[default]
    Unchecked,
    /// They are the same.
    Same,
    /// They differed, and were the same when what is derived had been made anew.
    Rebuilt,
}

impl Comparison {
    /// In `snake_case`, as in a label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unchecked => "unchecked",
            Self::Same => "same",
            Self::Rebuilt => "rebuilt",
        }
    }
}

/// What a replay did, as far as it went.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReplayReport {
    /// The stream.
    pub stream: String,
    /// Where it was to go.
    pub target: Target,
    /// The snapshot that it began with; `None` if with the first event.
    pub snapshot: Option<u64>,
    /// The newer snapshots that would have served if they were sound, newest first.
    pub passed_over: Vec<PassedOver>,
    /// How the state in the snapshot compared with the digest stored with it.
    pub comparison: Comparison,
    /// The last event that was looked at, or that is in the snapshot.
    pub through: u64,
    /// How many events were applied.
    pub applied: u64,
    /// How many events were left out.
    pub skipped: Skipped,
    /// The first of those that were left out, as many as
    /// [`listed`](super::ReplayConfig::listed) says.
    pub failed: Vec<FailedEvent>,
    /// How many events are missing, with [`OnGap::Skip`](super::OnGap::Skip).
    pub missing: u64,
    /// The event in front of which the replay ended, with [`StopBefore`](super::OnRejected::StopBefore).
    pub stopped_before: Option<FailedEvent>,
    /// How often an event was applied once more to make the state anew.
    pub reapplied: u64,
    /// How often the state was copied.
    pub copies: u64,
    /// How long finding, loading and comparing a snapshot took.
    pub loaded_in: Duration,
    /// How long all of it took.
    pub took: Duration,
}

impl ReplayReport {
    pub(super) fn new(stream: &str, target: Target) -> Self {
        Self {
            stream: stream.to_owned(),
            target,
            snapshot: None,
            passed_over: Vec::new(),
            comparison: Comparison::Unchecked,
            through: 0,
            applied: 0,
            skipped: Skipped::default(),
            failed: Vec::new(),
            missing: 0,
            stopped_before: None,
            reapplied: 0,
            copies: 0,
            loaded_in: Duration::ZERO,
            took: Duration::ZERO,
        }
    }
}

impl fmt::Display for ReplayReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            stream, applied, ..
        } = self;
        write!(
            f,
            "{stream}: {applied} events applied through {}",
            self.through
        )?;
        match self.snapshot {
            Some(sequence) => {
                let comparison = self.comparison.name();
                write!(f, " upon the snapshot at {sequence} (digest {comparison})")?;
            }
            None => f.write_str(" from the first one")?,
        }
        write!(f, " in {:?}", self.took)?;
        if self.skipped.total() > 0 {
            let Skipped {
                rejected,
                undecodable,
                panicked,
            } = self.skipped;
            write!(
                f,
                "; left out: {rejected} rejected, {undecodable} undecodable, {panicked} panicked"
            )?;
        }
        if self.missing > 0 {
            write!(f, "; {} are missing", self.missing)?;
        }
        for failed in self.failed.iter().take(SHOWN) {
            write!(f, "; {failed}")?;
        }
        let more = self.skipped.total().saturating_sub(SHOWN as u64);
        if more > 0 {
            write!(f, "; and {more} more")?;
        }
        if let Some(event) = &self.stopped_before {
            write!(f, "; stopped before {event}")?;
        }
        for passed_over in &self.passed_over {
            write!(f, "; passed over {passed_over}")?;
        }
        Ok(())
    }
}

/// How far a replay is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplayProgress {
    /// The last event that was looked at.
    pub sequence: u64,
    /// The event it began behind.
    pub from: u64,
    /// The last event that there is to look at.
    pub through: u64,
    /// How long it has taken so far.
    pub took: Duration,
}
