//! Which recovery action is due. Pure: events in, decisions out.

use crate::health::check::Level;
use crate::kernel::backoff::Backoff;
use crate::kernel::instant::Instant;
use crate::kernel::rng::Rolls;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How a check's action is repeated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Repeat {
    pub(super) retries: u32,
    pub(super) backoff: Backoff,
}

/// An attempt that is to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) target: usize,
    /// The check whose action it is.
    pub(super) check: usize,
    /// From 1.
    pub(super) attempt: u32,
}

/// The end of what was done about a target in one episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) target: usize,
    pub(super) check: usize,
    pub(super) attempts: u32,
    pub(super) outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    Failed,
    /// The checks were clean again before the next attempt.
    Withdrawn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No check is in an episode.
    Quiet,
    Due,
    Running,
    /// The last attempt failed.
    Waiting(Instant),
    /// It was done, or given up, in this episode.
    Spent,
}

#[derive(Debug)]
struct Target {
    state: State,
    /// Those in an episode, with their levels.
    checks: BTreeMap<usize, Level>,
    /// When the episode began, in the order of all.
    onset: u64,
    /// The one whose action is taken, once it was.
    chosen: Option<usize>,
    attempts: u32,
    waited: Duration,
    /// The checks were clean since the attempt that runs has begun: whatever it comes to is about
    /// an episode that is over.
    outlived: bool,
}

impl Target {
    fn severity(&self) -> Option<Level> {
        self.checks.values().copied().max()
    }

    /// The most severe, the first of them.
    fn choice(&self) -> Option<usize> {
        let severity = self.severity()?;
        self.checks
            .iter()
            .find_map(|(&check, &level)| (level == severity).then_some(check))
    }

    fn begin_again(&mut self, onset: u64) {
        self.state = State::Due;
        self.onset = onset;
        self.chosen = None;
        self.attempts = 0;
        self.waited = Duration::ZERO;
        self.outlived = false;
    }

    fn end(&self, target: usize, outcome: Outcome) -> Option<End> {
        self.chosen.map(|check| End {
            target,
            check,
            attempts: self.attempts,
            outcome,
        })
    }
}

/// All targets.
#[derive(Debug)]
pub(super) struct Recovery {
    targets: Vec<Target>,
    /// Those that are neither quiet nor spent, so that looking for work is not looking at all.
    active: BTreeSet<usize>,
    onsets: u64,
    maintenance: bool,
    rolls: Rolls,
}

impl Recovery {
    pub(super) fn new(targets: usize, rolls: Rolls) -> Self {
        let target = || Target {
            state: State::Quiet,
            checks: BTreeMap::new(),
            onset: 0,
            chosen: None,
            attempts: 0,
            waited: Duration::ZERO,
            outlived: false,
        };
        Self {
            targets: std::iter::repeat_with(target).take(targets).collect(),
            active: BTreeSet::new(),
            onsets: 0,
            maintenance: false,
            rolls,
        }
    }

    /// In maintenance mode no attempt begins.
    pub(super) const fn set_maintenance(&mut self, on: bool) {
        self.maintenance = on;
    }

    /// A check's episode began, or goes on at a worse level.
    pub(super) fn fails(&mut self, at: usize, check: usize, level: Level) {
        let onset = self.onsets;
        let target = &mut self.targets[at];
        target.checks.insert(check, level);
        if target.state == State::Quiet {
            target.begin_again(onset);
            self.onsets += 1;
            self.active.insert(at);
        }
    }

    /// A check's episode is over.
    pub(super) fn is_over(&mut self, at: usize, check: usize) -> Option<End> {
        let target = &mut self.targets[at];
        target.checks.remove(&check);
        if !target.checks.is_empty() {
            return None;
        }
        match target.state {
            State::Running => {
                target.outlived = true;
                None
            }
            State::Quiet => None,
            State::Due | State::Waiting(_) => {
                target.state = State::Quiet;
                self.active.remove(&at);
                target.end(at, Outcome::Withdrawn)
            }
            State::Spent => {
                target.state = State::Quiet;
                None
            }
        }
    }

    /// The attempt on a target is over.
    pub(super) fn attempted(
        &mut self,
        at: usize,
        worked: bool,
        repeat: Repeat,
        now: Instant,
    ) -> Option<End> {
        let onset = self.onsets;
        let target = &mut self.targets[at];
        if target.state != State::Running {
            return None;
        }
        if !worked && !target.outlived && target.attempts <= repeat.retries {
            target.waited = repeat
                .backoff
                .wait(target.attempts, target.waited, &mut self.rolls);
            target.state = State::Waiting(now + target.waited);
            return None;
        }
        let end = target.end(
            at,
            if worked {
                Outcome::Done
            } else {
                Outcome::Failed
            },
        );
        if !target.outlived {
            target.state = State::Spent;
            self.active.remove(&at);
        } else if target.checks.is_empty() {
            target.state = State::Quiet;
            self.active.remove(&at);
        } else {
            target.begin_again(onset);
            self.onsets += 1;
        }
        end
    }

    /// The attempts that begin now, the most severe first; a milder one waits while a more severe
    /// one is due or runs.
    pub(super) fn begin(&mut self, now: Instant) -> Vec<Job> {
        if self.maintenance || self.active.is_empty() {
            return Vec::new();
        }
        let is_due = |target: &Target| match target.state {
            State::Due => true,
            State::Waiting(until) => until <= now,
            _ => false,
        };
        let severity = self
            .active
            .iter()
            .map(|&at| &self.targets[at])
            .filter(|target| target.state == State::Running || is_due(target))
            .filter_map(Target::severity)
            .max();
        let mut due: Vec<usize> = self
            .active
            .iter()
            .copied()
            .filter(|&at| is_due(&self.targets[at]) && self.targets[at].severity() == severity)
            .collect();
        due.sort_by_key(|&at| self.targets[at].onset);
        due.into_iter()
            .filter_map(|at| {
                let target = &mut self.targets[at];
                let check = target.chosen.or_else(|| target.choice())?;
                target.chosen = Some(check);
                target.attempts = target.attempts.saturating_add(1);
                target.state = State::Running;
                Some(Job {
                    target: at,
                    check,
                    attempt: target.attempts,
                })
            })
            .collect()
    }

    /// When the next attempt is due that waits for nothing but its time.
    pub(super) fn next(&self) -> Option<Instant> {
        if self.maintenance {
            return None;
        }
        self.active
            .iter()
            .filter_map(|&at| match self.targets[at].state {
                State::Waiting(until) => Some(until),
                _ => None,
            })
            .min()
    }
}
