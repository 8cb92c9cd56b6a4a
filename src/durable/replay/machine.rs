//! Applying events so that one that fails leaves nothing behind.
//!
//! A state may be half changed when an event fails, and is thrown away then. What takes its place is
//! made of the last good copy and the events since that one, and copied in turn. So a copy is made
//! when an event has failed and not otherwise, no event is applied more than twice, and there are two
//! states at most: over `n` events of which `f` fail, that is at most `2 n` applications and `f + 1`
//! copies. An event that fails in `decode` or `check` has changed nothing and costs nothing.
//!
//! The events since the last copy are kept in memory while they are few: a store may take long to find
//! the place of one, and where many events fail, there are few between two of them.

use super::config::{OnGap, OnRejected, OnUndecodable, ReplayConfig};
use super::digest::Digest;
use super::error::ReplayErrorKind;
use super::events::{Event, EventStore};
use super::guard::{Panic, caught};
use super::recent::Recent;
use super::report::{FailedEvent, Failure, ReplayReport};
use super::state::EventSourced;
use std::cell::Cell;
use std::fmt;
use std::time::SystemTime;

/// The longest error text that is kept.
const LONGEST: usize = 1_024;

/// An event that was not applied, before it is told.
#[derive(Debug)]
pub(super) struct Failed {
    failure: Failure,
    error: String,
    /// Whether the state may have been changed.
    dirty: bool,
}

impl Failed {
    fn new(failure: Failure, error: impl fmt::Display, dirty: bool) -> Self {
        Self {
            failure,
            error: error.to_string(),
            dirty,
        }
    }

    fn of(mut self, event: Event<'_>) -> FailedEvent {
        if self.error.len() > LONGEST {
            let end = (0..=LONGEST).rfind(|at| self.error.is_char_boundary(*at));
            self.error.truncate(end.unwrap_or(0));
        }
        FailedEvent {
            sequence: event.sequence,
            kind: event.kind,
            failure: self.failure,
            error: self.error,
        }
    }
}

/// How far an event got before it panicked.
#[derive(Clone, Copy)]
enum Stage {
    Decode,
    Check,
    /// Rejected without having been applied; what is left is dropping it.
    Unchanged,
    Apply,
}

/// Applies one event.
fn step<S: EventSourced>(state: &mut S, event: Event<'_>) -> Result<(), Failed> {
    let reached = Cell::new(Stage::Decode);
    let applied = caught(|| {
        let decoded =
            S::decode(event).map_err(|error| Failed::new(Failure::Undecodable, error, false))?;
        reached.set(Stage::Check);
        if let Err(error) = state.check(&decoded) {
            reached.set(Stage::Unchanged);
            return Err(Failed::new(Failure::Rejected, error, false));
        }
        reached.set(Stage::Apply);
        let applied = state.apply(decoded);
        applied.map_err(|error| Failed::new(Failure::Rejected, error, true))
    });
    applied.unwrap_or_else(|panic| {
        // A check that panics may have changed what a shared reference lets it change.
        let (failure, dirty) = match reached.get() {
            Stage::Decode => (Failure::Undecodable, false),
            Stage::Unchanged => (Failure::Panicked, false),
            Stage::Check | Stage::Apply => (Failure::Panicked, true),
        };
        Err(Failed::new(failure, panic, dirty))
    })
}

/// Applies an event once more; 1 if it is left out, as it was before.
fn again<S: EventSourced>(state: &mut S, event: Event<'_>) -> Result<u64, ReplayErrorKind> {
    match step(state, event) {
        Ok(()) => Ok(0),
        Err(Failed { dirty: false, .. }) => Ok(1),
        Err(_) => Err(ReplayErrorKind::NotDeterministic {
            sequence: event.sequence,
        }),
    }
}

/// A state on its way through the events.
#[derive(Debug)]
pub(super) struct Machine<'a, S> {
    events: &'a dyn EventStore,
    stream: &'a str,
    config: ReplayConfig,
    state: S,
    /// When the last event was written.
    wall: Option<SystemTime>,
    /// `None` where a failed event ends the replay anyway.
    good: Option<Good<S>>,
    recent: Recent,
    report: &'a mut ReplayReport,
}

/// The last good copy.
#[derive(Debug)]
struct Good<S> {
    state: S,
    sequence: u64,
    /// How many events were left out since, without a trace in the state.
    left_out: u64,
}

/// The last event to look at, by sequence and by time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Goal {
    pub(super) through: u64,
    pub(super) until: Option<SystemTime>,
}

/// What becomes of a replay behind an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Goes,
    Stops,
}

impl<'a, S: EventSourced> Machine<'a, S> {
    /// Begins with `state`, which is that behind the event of the report's `through`.
    pub(super) fn new(
        (events, stream): (&'a dyn EventStore, &'a str),
        config: ReplayConfig,
        (state, wall): (S, Option<SystemTime>),
        report: &'a mut ReplayReport,
    ) -> Self {
        Self {
            events,
            stream,
            config,
            state,
            wall,
            good: None,
            recent: Recent::new(),
            report,
        }
    }

    /// Applies what is behind the state, up to the goal; calls `tell` behind each event.
    pub(super) fn run(
        &mut self,
        goal: Goal,
        mut tell: impl FnMut(u64),
    ) -> Result<(), ReplayErrorKind> {
        if !matches!(self.config.on_rejected, OnRejected::Fail) {
            self.copy()?;
        }
        if self.report.through >= goal.through {
            return Ok(());
        }
        let mut reader = self.events.read(self.stream, self.report.through)?;
        while self.report.through < goal.through {
            let next = self.following(reader.next()?, self.report.through)?;
            let Some(event) = next.filter(|event| event.sequence <= goal.through) else {
                // The target itself is missing.
                self.report.missing += goal.through - self.report.through;
                self.report.through = goal.through;
                return Ok(());
            };
            let missing = event.sequence - self.report.through - 1;
            if let Some(until) = goal.until {
                if !self.is_due(event, until)? {
                    return Ok(());
                }
            }
            if self.take(event)? == Flow::Stops {
                return Ok(());
            }
            self.report.missing += missing;
            tell(self.report.through);
        }
        Ok(())
    }

    /// The event behind that one; or, where gaps are accepted, a later one, or none.
    fn following<'e>(
        &self,
        event: Option<Event<'e>>,
        behind: u64,
    ) -> Result<Option<Event<'e>>, ReplayErrorKind> {
        let expected = behind.saturating_add(1);
        let found = event.map(|event| event.sequence);
        let is_next = found == Some(expected);
        let is_gap = found.is_none_or(|found| found > expected);
        if is_next || (is_gap && self.config.on_gap == OnGap::Skip) {
            return Ok(event);
        }
        Err(ReplayErrorKind::Gap { expected, found })
    }

    /// Whether the event was written by that time.
    fn is_due(&self, event: Event<'_>, until: SystemTime) -> Result<bool, ReplayErrorKind> {
        match self.wall {
            Some(previous) if event.wall < previous => Err(ReplayErrorKind::TimeWentBack {
                sequence: event.sequence,
                wall: event.wall,
                previous,
            }),
            _ => Ok(event.wall <= until),
        }
    }

    /// The state, if it is valid, when its last event was written, and its digest.
    pub(super) fn finish(self) -> Result<Finished<S>, ReplayErrorKind> {
        let state = &self.state;
        let valid = caught(|| state.validate()).map_err(panicked("validate"))?;
        valid.map_err(ReplayErrorKind::Invalid)?;
        let digest = caught(|| state.digest()).map_err(panicked("digest"))?;
        Ok((self.state, self.wall, digest))
    }

    /// Whether the events go as far as the time that was asked for.
    pub(super) fn reached(&self, goal: Goal, or_latest: bool) -> Result<(), ReplayErrorKind> {
        let through = self.report.through;
        let is_at_end = through == goal.through && self.report.stopped_before.is_none();
        match goal.until {
            Some(until) if is_at_end && !or_latest && self.wall.is_none_or(|wall| wall < until) => {
                Err(ReplayErrorKind::BeyondEnd { last: through })
            }
            _ => Ok(()),
        }
    }

    /// Applies the event behind the last one.
    #[inline]
    fn take(&mut self, event: Event<'_>) -> Result<Flow, ReplayErrorKind> {
        match step(&mut self.state, event) {
            Ok(()) => {
                self.report.applied += 1;
                self.pass(event);
                Ok(Flow::Goes)
            }
            Err(failed) => self.failed(event, failed),
        }
    }

    #[inline]
    fn pass(&mut self, event: Event<'_>) {
        if self.good.is_some() {
            self.recent.keep(event);
        }
        self.report.through = event.sequence;
        self.wall = Some(event.wall);
    }

    #[cold]
    fn failed(&mut self, event: Event<'_>, failed: Failed) -> Result<Flow, ReplayErrorKind> {
        let Failed { failure, dirty, .. } = failed;
        let policy = match (failure, self.config.on_undecodable) {
            (Failure::Undecodable, OnUndecodable::Fail) => OnRejected::Fail,
            _ => self.config.on_rejected,
        };
        let failed = failed.of(event);
        match policy {
            OnRejected::Fail => Err(ReplayErrorKind::Event(failed)),
            OnRejected::StopBefore => {
                if dirty {
                    self.restore()?;
                }
                self.report.stopped_before = Some(failed);
                Ok(Flow::Stops)
            }
            OnRejected::Skip { limit } if self.report.skipped.total() >= limit => {
                let event = failed;
                Err(ReplayErrorKind::TooManySkipped { limit, event })
            }
            OnRejected::Skip { .. } => {
                self.report.skipped.count(failure);
                if self.report.failed.len() < self.config.listed {
                    self.report.failed.push(failed);
                }
                if dirty {
                    self.restore()?;
                }
                self.pass(event);
                if dirty {
                    self.copy()?;
                } else if let Some(good) = &mut self.good {
                    good.left_out += 1;
                }
                Ok(Flow::Goes)
            }
        }
    }

    /// Keeps a copy of the state as it is.
    fn copy(&mut self) -> Result<(), ReplayErrorKind> {
        let state = caught(|| self.state.clone()).map_err(panicked("clone"))?;
        self.report.copies += 1;
        self.recent.clear();
        self.good = Some(Good {
            state,
            sequence: self.report.through,
            left_out: 0,
        });
        Ok(())
    }

    /// Makes the state anew, out of the last good copy and the events since.
    fn restore(&mut self) -> Result<(), ReplayErrorKind> {
        let lost = ReplayErrorKind::NotDeterministic {
            sequence: self.report.through,
        };
        // There is a copy under each policy that comes here.
        let Some(good) = self.good.take() else {
            return Err(lost);
        };
        let dirty = std::mem::replace(&mut self.state, good.state);
        caught(move || drop(dirty)).map_err(panicked("drop"))?;
        let mut left_out = 0;
        if self.recent.is_whole() {
            for event in self.recent.events() {
                left_out += again(&mut self.state, event)?;
                self.report.reapplied += 1;
            }
        } else {
            let mut at = good.sequence;
            let mut reader = self.events.read(self.stream, at)?;
            while at < self.report.through {
                let Some(event) = self.following(reader.next()?, at)? else {
                    return Err(lost);
                };
                left_out += again(&mut self.state, event)?;
                self.report.reapplied += 1;
                at = event.sequence;
            }
        }
        self.report.reapplied -= left_out;
        if left_out == good.left_out {
            Ok(())
        } else {
            Err(lost)
        }
    }
}

/// A state, when its last event was written, and its digest.
pub(super) type Finished<S> = (S, Option<SystemTime>, Option<Digest>);

/// For `map_err`: names the function of the user's that panicked.
pub(super) fn panicked(function: &'static str) -> impl FnOnce(Panic) -> ReplayErrorKind {
    move |panic| ReplayErrorKind::Panicked { function, panic }
}
