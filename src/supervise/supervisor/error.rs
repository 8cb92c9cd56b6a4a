//! How a supervisor ends, and what its commands answer.

use crate::kernel::config::ConfigError;
use crate::kernel::name::Name;
use crate::supervise::child::{ChildExit, FailureCause, GaveUp};
use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// How a supervisor ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Ended {
    /// It was told to stop.
    Stopped,
    /// Restarting did not help.
    GaveUp(Arc<GaveUp>),
    /// A [significant](crate::supervise::child::ChildSpec::significant) child ended by itself.
    AutoShutdown(Name),
    /// Its first start failed, so it never ran.
    NotStarted(Arc<StartError>),
    /// Its task was dropped: its runtime went down, or its own supervisor aborted it.
    Killed,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("stopped as it was told to"),
            Self::GaveUp(gave_up) => gave_up.fmt(f),
            Self::AutoShutdown(child) => write!(f, "shut down because {child} had ended"),
            Self::NotStarted(error) => error.fmt(f),
            Self::Killed => f.write_str("was killed"),
        }
    }
}

/// Why a supervisor did not start. What had been started was stopped again, in reverse.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StartError {
    /// Its configuration cannot be.
    Config(ConfigError),
    /// Two children have this id.
    Duplicate(Name),
    /// There is no tokio runtime here, and no task without one.
    NoRuntime,
    /// This child did not start.
    Child {
        /// The child.
        child: Name,
        /// Why not.
        cause: FailureCause,
    },
    /// A child that had started failed so often that the supervisor gave up.
    GaveUp(Arc<GaveUp>),
    /// It was stopped before it had started.
    Stopped,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Duplicate(id) => write!(f, "two children have the id {id}"),
            Self::NoRuntime => f.write_str("no tokio runtime here: start it inside one"),
            Self::Child { child, cause } => write!(f, "child {child} did not start: it {cause}"),
            Self::GaveUp(gave_up) => gave_up.fmt(f),
            Self::Stopped => f.write_str("it was stopped before it had started"),
        }
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Config(error) => Some(error),
            Self::Child { cause, .. } => cause.source(),
            Self::GaveUp(gave_up) => gave_up.source(),
            _ => None,
        }
    }
}

impl From<ConfigError> for StartError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

/// What came of stopping a child.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Terminated {
    /// Nothing of it runs. How it ended; none if it was never started.
    Stopped(Option<ChildExit>),
    /// It was aborted, and something of it still runs.
    Orphaned,
}

/// Why a command was not done.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CommandError {
    /// No child has this id.
    NotFound,
    /// A child with this id is there already.
    Duplicate,
    /// There are as many children as there may be.
    Full,
    /// The child runs.
    Running,
    /// The child is being restarted, or is on its way up.
    Restarting,
    /// The child is being stopped.
    Stopping,
    /// Something of an incarnation that was aborted still runs.
    Orphaned,
    /// The child did not start.
    NotStarted(FailureCause),
    /// The child was stopped before it was ready.
    Stopped,
    /// The specification cannot be.
    Config(ConfigError),
    /// The supervisor is stopping, or has ended.
    Over,
    /// The child that asked [its supervisor](crate::supervise::child::ChildContext::supervisor) is to stop
    /// itself, and so does not wait for the answer. The command is given, unless it still waited for room.
    NotAwaited,
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "no child has this id",
            Self::Duplicate => "a child with this id is there already",
            Self::Full => "there are as many children as there may be",
            Self::Running => "the child runs",
            Self::Restarting => "the child is being restarted",
            Self::Stopping => "the child is being stopped",
            Self::Orphaned => "something of the child still runs although it was aborted",
            Self::NotStarted(cause) => return write!(f, "the child did not start: it {cause}"),
            Self::Stopped => "the child was stopped before it was ready",
            Self::Config(error) => return error.fmt(f),
            Self::Over => "the supervisor is stopping or has ended",
            Self::NotAwaited => "the child that asked is to stop itself and does not wait",
        })
    }
}

impl Error for CommandError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NotStarted(cause) => cause.source(),
            Self::Config(error) => Some(error),
            _ => None,
        }
    }
}
