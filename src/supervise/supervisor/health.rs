//! A supervisor as a health check.

use super::core::Core;
use super::handle::Supervisor;
use super::machine::{Machine, State};
use crate::health::check::{Check, Finding, Level};
use crate::kernel::name::Name;
use crate::supervise::child::FailureCause;
use std::convert::Infallible;
use std::fmt::Write;

/// How many children that are down are named; the rest is a number.
const NAMED: usize = 8;

impl Supervisor {
    /// A check that fails while this supervisor has ended, [pauses](super::SupervisorBuilder::pausing)
    /// or has a child that is down although it should run: it waits for a restart, is on its way up,
    /// has spent its budget, or is an orphan. Children of nested supervisors count too. Those that an
    /// operator stopped, and those that ended normally and stay so, do not.
    ///
    /// A restart is over within milliseconds, so the check's failure threshold passes it over; a child
    /// that is down for several periods does not come back.
    ///
    /// It looks at each child: 100,000 of them take about a millisecond, in which the supervisor
    /// waits.
    ///
    /// ```
    /// use backstop::health::check::Level;
    /// use backstop::health::tree::{Component, HealthTree};
    /// use backstop::supervise::supervisor::Supervisor;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let workers = Supervisor::builder("workers").start().await?;
    /// let health = HealthTree::builder("shop")
    ///     .component(Component::new("workers").check(workers.health_check("tree", Level::Degraded)))
    ///     .build()?;
    /// # let _ = health;
    /// # Ok(())
    /// # }
    /// ```
    pub fn health_check(&self, name: impl Into<Name>, level: Level) -> Check {
        let supervisor = self.clone();
        Check::new(name, level, move || {
            let finding = supervisor.finding();
            async move { Ok::<_, Infallible>(finding) }
        })
    }

    fn finding(&self) -> Finding {
        if let Some(ended) = self.core().ended() {
            return Finding::failed(format_args!("{}: {ended}", self.name()));
        }
        let mut down = Down::default();
        self.core().look(&mut String::new(), &mut down);
        let count = f64::from(down.count);
        let finding = match down.message(self.name()) {
            Some(message) => Finding::failed(message),
            None => Finding::passed(),
        };
        finding.observed(count, "children down")
    }
}

/// What is down.
#[derive(Default)]
struct Down {
    count: u32,
    names: Vec<String>,
    paused: Vec<String>,
}

impl Down {
    fn message(&self, name: &Name) -> Option<String> {
        let mut message = String::new();
        for paused in &self.paused {
            let _ = write!(message, "{name}{paused} pauses; ");
        }
        if self.count > 0 {
            let _ = write!(message, "{} down: {}", self.count, self.names.join(", "));
            let more = self.count as usize - self.names.len();
            if more > 0 {
                let _ = write!(message, " and {more} more");
            }
        }
        let message = message.trim_end_matches("; ");
        (!message.is_empty()).then(|| message.to_owned())
    }

    fn add(&mut self, path: &str, id: &Name, state: &str, cause: Option<&FailureCause>) {
        self.count = self.count.saturating_add(1);
        if self.names.len() < NAMED {
            let mut name = format!("{path}{id} {state}");
            if let Some(cause) = cause {
                let _ = write!(name, " ({cause})");
            }
            self.names.push(name);
        }
    }
}

impl Core {
    /// Looks at the children of this supervisor, and at those of the ones in it.
    fn look(&self, path: &mut String, down: &mut Down) {
        let now = self.link.clock.now();
        let mut bad = Vec::new();
        let machine = self.machine.lock();
        if !machine.pause_left(now).is_zero() {
            down.paused.push(path.trim_end_matches('/').to_owned());
        }
        let count = machine.down(&mut bad);
        drop(machine);
        for (id, state, cause) in &bad {
            // The user's Display, outside the lock.
            down.add(path, id, state, cause.as_ref());
        }
        down.count = down.count.saturating_add(count);
        let nested: Vec<u32> = self.nested.lock().keys().copied().collect();
        for key in nested {
            let Some(core) = self.nested_core(key).filter(|core| core.ended().is_none()) else {
                continue;
            };
            let length = path.len();
            let _ = write!(path, "{}/", core.name);
            core.look(path, down);
            path.truncate(length);
        }
    }
}

type Bad = (Name, &'static str, Option<FailureCause>);

impl<T> Machine<T> {
    /// Puts the first children that are down into `bad`; how many more there are.
    fn down(&self, bad: &mut Vec<Bad>) -> u32 {
        let mut more = 0_u32;
        for (key, child) in self.children().iter() {
            let state = match child.state {
                State::Due => "waits for its turn",
                State::Starting => "is on its way up",
                State::Backoff => "waits for its restart",
                State::Stopping | State::Aborted if self.will_run(key) => "is being restarted",
                State::Stopped if child.is_spent => "has spent its budget",
                State::Orphaned => "is an orphan",
                State::Running | State::Stopping | State::Aborted | State::Stopped => continue,
            };
            if bad.len() < NAMED {
                let failure = child.last_failure.as_ref();
                let cause = failure.map(|(_, cause)| cause.clone());
                bad.push((child.id.clone(), state, cause));
            } else {
                more = more.saturating_add(1);
            }
        }
        more
    }
}
