//! A tree one can see.

use super::machine::{Machine, State};
use crate::kernel::instant::Instant;
use crate::kernel::name::Name;
use crate::supervise::child::{ChildExit, Failure, FailureCause, Restart};
use std::fmt;
use std::time::Duration;

/// A supervisor and its children at one moment; of nested supervisors each its own moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TreeSnapshot {
    /// The supervisor.
    pub name: Name,
    /// What it is doing.
    pub phase: Phase,
    /// Restarts that its budget counts now.
    pub restarts_in_window: u32,
    /// How long it pauses yet, if it does.
    pub pause_left: Option<Duration>,
    /// Its children, in the order of their starts.
    pub children: Vec<ChildSnapshot>,
}

/// What a supervisor is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Its children start for the first time.
    Starting,
    /// It watches its children.
    Running,
    /// A group of its children is being restarted.
    Restarting,
    /// Its children are being stopped.
    Stopping,
    /// It has ended.
    Ended,
}

/// One child at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ChildSnapshot {
    /// The child.
    pub id: Name,
    /// What it is doing.
    pub state: ChildState,
    /// When it is restarted.
    pub restart: Restart,
    /// How often it has been started.
    pub incarnation: u64,
    /// How long it has been running; none if it is not.
    pub uptime: Option<Duration>,
    /// When it will be restarted, from now; only in [`ChildState::Backoff`].
    pub restarts_in: Option<Duration>,
    /// Restarts that a budget of its own counts now.
    pub restarts_in_window: Option<u32>,
    /// How it ended last.
    pub last_exit: Option<ChildExit>,
    /// How it failed last, and which incarnation of it. Not always how that one ended: one that hung, or was
    /// not ready in time, was then stopped, or killed.
    pub last_failure: Option<Failure>,
    /// The supervisor that runs in it.
    pub tree: Option<TreeSnapshot>,
}

/// What a child is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChildState {
    /// Its turn to be started has not come.
    Waiting,
    /// It is started, and not ready.
    Starting,
    /// It runs.
    Running,
    /// It waits for its restart.
    Backoff,
    /// It is being stopped.
    Stopping,
    /// It is stopped, and stays so until it is restarted by hand or with its group.
    Stopped,
    /// As stopped, because its own budget is spent.
    Spent,
    /// It was aborted, and something of it still runs.
    Orphaned,
}

impl ChildState {
    /// In `snake_case`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Backoff => "backoff",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Spent => "spent",
            Self::Orphaned => "orphaned",
        }
    }
}

impl fmt::Display for ChildState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl ChildSnapshot {
    /// How the present incarnation failed, if it has.
    pub(super) fn failure(&self) -> Option<&FailureCause> {
        let failure = self.last_failure.as_ref()?;
        (failure.incarnation == self.incarnation).then_some(&failure.cause)
    }
}

impl TreeSnapshot {
    /// The child of that id.
    pub fn child(&self, id: &str) -> Option<&ChildSnapshot> {
        self.children.iter().find(|child| child.id.as_str() == id)
    }
}

impl<T> Machine<T> {
    /// The supervisor without what runs in its children; with the key of each child.
    pub(crate) fn snapshot(&self, now: Instant) -> (TreeSnapshot, Vec<u32>) {
        let mut keys = Vec::with_capacity(self.children().len());
        let mut children = Vec::with_capacity(self.children().len());
        for (key, child) in self.children().iter() {
            let state = match child.state {
                State::Due => ChildState::Waiting,
                State::Starting => ChildState::Starting,
                State::Running => ChildState::Running,
                State::Backoff => ChildState::Backoff,
                State::Stopping | State::Aborted => ChildState::Stopping,
                State::Stopped if child.is_spent => ChildState::Spent,
                State::Stopped => ChildState::Stopped,
                State::Orphaned => ChildState::Orphaned,
            };
            let since = child.since.filter(|_| child.state == State::Running);
            let window = child.window.as_ref();
            keys.push(key);
            children.push(ChildSnapshot {
                id: child.id.clone(),
                state,
                restart: child.policy.restart,
                incarnation: child.incarnation,
                uptime: since.map(|since| now.saturating_duration_since(since)),
                restarts_in: self
                    .restarts_at(key)
                    .map(|at| at.saturating_duration_since(now)),
                restarts_in_window: window.map(|window| window.used(now)),
                last_exit: child.last_exit.clone(),
                last_failure: child
                    .last_failure
                    .as_ref()
                    .map(|(incarnation, cause)| Failure {
                        child: child.id.clone(),
                        incarnation: *incarnation,
                        cause: cause.clone(),
                    }),
                tree: None,
            });
        }
        let tree = TreeSnapshot {
            name: self.name.clone(),
            phase: self.phase(),
            restarts_in_window: self.used(now),
            pause_left: Some(self.pause_left(now)).filter(|left| !left.is_zero()),
            children,
        };
        (tree, keys)
    }
}
