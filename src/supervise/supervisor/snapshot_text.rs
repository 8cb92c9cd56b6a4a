//! A tree as text, and as JSON.

use super::snapshot::{ChildSnapshot, ChildState, Phase, TreeSnapshot};
use std::fmt::{self, Write};
use std::time::Duration;

impl Phase {
    /// In `snake_case`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Restarting => "restarting",
            Self::Stopping => "stopping",
            Self::Ended => "ended",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One line per supervisor and child, indented as the tree is:
///
/// ```text
/// shop: running, 1 restart in its window
/// |- db     running #1, up 2m 5s
/// |- cache  backoff #7, restarts in 1s 600ms, ended with an error: refused
/// `- pool   running #1, up 2m 5s, supervisor pool: running, 0 restarts in its window
///    `- w1  running #1, up 2m 5s
/// ```
impl fmt::Display for TreeSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.head(f)?;
        self.lines(f, &mut String::new())
    }
}

impl TreeSnapshot {
    fn head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.restarts_in_window;
        let plural = if n == 1 { "" } else { "s" };
        write!(
            f,
            "{}: {}, {n} restart{plural} in its window",
            self.name, self.phase
        )?;
        match self.pause_left {
            Some(left) => write!(f, ", pauses for {}", Short(left)),
            None => Ok(()),
        }
    }

    /// The lines below the head; `indent` is in front of each. The depth of a tree is the depth of
    /// its supervisors, which their tasks bound long before a stack does.
    fn lines(&self, f: &mut fmt::Formatter<'_>, indent: &mut String) -> fmt::Result {
        let ids = self.children.iter().map(|child| child.id.as_str());
        let width = ids.map(|id| id.chars().count()).max().unwrap_or(0);
        let mut children = self.children.iter().peekable();
        while let Some(child) = children.next() {
            let (branch, below) = match children.peek() {
                Some(_) => ("|- ", "|  "),
                None => ("`- ", "   "),
            };
            write!(f, "\n{indent}{branch}{:width$}  ", child.id)?;
            child.line(f)?;
            if let Some(tree) = &child.tree {
                f.write_str(", supervisor ")?;
                tree.head(f)?;
                indent.push_str(below);
                tree.lines(f, indent)?;
                indent.truncate(indent.len() - below.len());
            }
        }
        Ok(())
    }
}

impl ChildSnapshot {
    fn line(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} #{}", self.state, self.incarnation)?;
        if let Some(uptime) = self.uptime {
            write!(f, ", up {}", Short(uptime))?;
        }
        if let Some(left) = self.restarts_in {
            write!(f, ", restarts in {}", Short(left))?;
        }
        if let Some(used) = self.restarts_in_window {
            write!(f, ", {used} of its own budget")?;
        }
        if let Some(cause) = self.failure() {
            // What it ended of is then how it was stopped.
            f.write_str(", ")?;
            return write!(OneLine(f), "{cause}");
        }
        match &self.last_exit {
            // What an earlier incarnation than the one that is there ended of is history.
            Some(exit) if !self.is_there() => {
                f.write_str(", ")?;
                write!(OneLine(f), "{exit}")
            }
            _ => Ok(()),
        }
    }
}

impl ChildSnapshot {
    /// Whether the incarnation that it is in has not ended yet.
    const fn is_there(&self) -> bool {
        use ChildState::{Running, Starting, Stopping};
        matches!(self.state, Starting | Running | Stopping)
    }
}

/// An error's text may have lines of its own; a child has one.
struct OneLine<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for OneLine<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for (n, line) in text.split(['\n', '\r']).enumerate() {
            if n > 0 {
                self.0.write_char(' ')?;
            }
            self.0.write_str(line)?;
        }
        Ok(())
    }
}

/// `2m 5s`, `1s 600ms`: no more than two units.
struct Short(Duration);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let units = [
            (86_400_000, "d"),
            (3_600_000, "h"),
            (60_000, "m"),
            (1_000, "s"),
            (1, "ms"),
        ];
        let first = units.iter().position(|(unit, _)| millis >= *unit);
        let Some(first) = first else {
            return f.write_str("0ms");
        };
        let (unit, name) = units[first];
        write!(f, "{}{name}", millis / unit)?;
        match units.get(first + 1) {
            Some((next, name)) if millis % unit / next > 0 => {
                write!(f, " {}{name}", millis % unit / next)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(feature = "serde")]
mod json {
    use super::{ChildSnapshot, ChildState, Phase, TreeSnapshot};
    use crate::kernel::config::duration_text;
    use crate::supervise::child::{ChildExit, Failure, Restart};
    use serde::{Serialize, Serializer};
    use std::fmt::Display;
    use std::time::Duration;

    #[derive(Serialize)]
    struct Tree<'a> {
        #[serde(serialize_with = "display")]
        name: &'a dyn Display,
        phase: &'static str,
        restarts_in_window: u32,
        #[serde(
            skip_serializing_if = "Option::is_none",
            with = "duration_text::option"
        )]
        pause_left: Option<Duration>,
        children: &'a [ChildSnapshot],
    }

    #[derive(Serialize)]
    struct Child<'a> {
        #[serde(serialize_with = "display")]
        id: &'a dyn Display,
        state: ChildState,
        restart: Restart,
        incarnation: u64,
        #[serde(
            skip_serializing_if = "Option::is_none",
            with = "duration_text::option"
        )]
        uptime: Option<Duration>,
        #[serde(
            skip_serializing_if = "Option::is_none",
            with = "duration_text::option"
        )]
        restarts_in: Option<Duration>,
        #[serde(skip_serializing_if = "Option::is_none")]
        restarts_in_window: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        last_exit: Option<Exit<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        last_failure: Option<Failed<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        tree: Option<&'a TreeSnapshot>,
    }

    #[derive(Serialize)]
    struct Exit<'a> {
        kind: &'static str,
        #[serde(serialize_with = "display")]
        message: &'a dyn Display,
    }

    #[derive(Serialize)]
    struct Failed<'a> {
        incarnation: u64,
        kind: &'static str,
        #[serde(serialize_with = "display")]
        message: &'a dyn Display,
    }

    fn display<S: Serializer>(value: &dyn Display, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    /// Nobody reads nanoseconds.
    fn millis(duration: Option<Duration>) -> Option<Duration> {
        let millis = u64::try_from(duration?.as_millis()).unwrap_or(u64::MAX);
        Some(Duration::from_millis(millis))
    }

    impl Serialize for TreeSnapshot {
        fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            Tree {
                name: &self.name,
                phase: self.phase.as_str(),
                restarts_in_window: self.restarts_in_window,
                pause_left: millis(self.pause_left),
                children: &self.children,
            }
            .serialize(to)
        }
    }

    impl Serialize for ChildSnapshot {
        fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            Child {
                id: &self.id,
                state: self.state,
                restart: self.restart,
                incarnation: self.incarnation,
                uptime: millis(self.uptime),
                restarts_in: millis(self.restarts_in),
                restarts_in_window: self.restarts_in_window,
                last_exit: self.last_exit.as_ref().map(exit),
                last_failure: self.last_failure.as_ref().map(failed),
                tree: self.tree.as_ref(),
            }
            .serialize(to)
        }
    }

    fn exit(exit: &ChildExit) -> Exit<'_> {
        Exit {
            kind: exit.as_str(),
            message: exit,
        }
    }

    fn failed(failure: &Failure) -> Failed<'_> {
        Failed {
            incarnation: failure.incarnation,
            kind: failure.cause.as_str(),
            message: &failure.cause,
        }
    }

    impl Serialize for ChildState {
        fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            self.as_str().serialize(to)
        }
    }

    impl Serialize for Phase {
        fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            self.as_str().serialize(to)
        }
    }
}
