//! From a description to a running tree.

use super::branch::Branch;
use super::config::{AutoShutdown, Rules, Strategy};
use super::core::{Command, Core};
use super::driver::{Driver, Parent};
use super::error::{Ended, StartError};
use super::handle::Supervisor;
use super::machine::Machine;
use crate::kernel::clock::Clock;
use crate::kernel::config::ConfigError;
use crate::kernel::name::Name;
use crate::supervise::budget::{Pausing, RestartBackoff, RestartBudget};
use crate::supervise::child::{ChildContext, ChildExit, ChildSpec, Link, Readiness, Stop};
use std::sync::Arc;
use tokio::runtime::Handle;

/// A supervisor to be started, and started again if it is a child of another one.
///
/// | setting | default | why |
/// |---|---|---|
/// | [`strategy`](Self::strategy) | one for one | children that depend on each other say so |
/// | [`budget`](Self::budget) | 8 restarts in 60 s | a blip is survived; what restarting does not cure goes up |
/// | [`backoff`](Self::backoff) | 100 ms, doubled up to 30 s | a dependency gets time to come back |
/// | [`pausing`](Self::pausing) | off | only the top of a tree has nobody above it |
/// | [`never_give_up`](Self::never_give_up) | no | a failure that nobody hears of is the worst |
/// | [`auto_shutdown`](Self::auto_shutdown) | never | OTP's |
#[derive(Clone, Debug)]
#[must_use = "nothing runs until it is started"]
pub struct SupervisorBuilder {
    name: Name,
    rules: Rules,
    children: Vec<ChildSpec>,
    clock: Option<Clock>,
}

impl SupervisorBuilder {
    pub(super) fn new(name: Name) -> Self {
        Self {
            name,
            rules: Rules::default(),
            children: Vec::new(),
            clock: None,
        }
    }

    /// Which children are restarted when one has failed. Default: [`Strategy::OneForOne`].
    pub const fn strategy(mut self, strategy: Strategy) -> Self {
        self.rules.strategy = strategy;
        self
    }

    /// How many restarts within which time; one more, and the supervisor gives up. Default: 8 in
    /// 60 s.
    pub const fn budget(mut self, budget: RestartBudget) -> Self {
        self.rules.budget = budget;
        self
    }

    /// The wait before a restart. Default: 100 ms, doubled up to 30 s.
    pub const fn backoff(mut self, backoff: RestartBackoff) -> Self {
        self.rules.backoff = backoff;
        self
    }

    /// Whether it goes on restarting although its budget is spent. Default: no.
    pub const fn never_give_up(mut self, never: bool) -> Self {
        self.rules.never_give_up = never;
        self
    }

    /// Pauses its restarts when there are too many failures, instead of giving up: what runs goes on,
    /// what failed waits, and then all of it tries again. The [budget](Self::budget) then only
    /// counts. Default: off.
    pub const fn pausing(mut self, pausing: Pausing) -> Self {
        self.rules.pausing = Some(pausing);
        self
    }

    /// For children that come and go: at the end they are stopped at the same time.
    pub(super) const fn dynamic(mut self, max_children: u32) -> Self {
        self.rules.stops_together = true;
        self.rules.max_children = Some(max_children);
        self
    }

    pub(super) const fn name(&self) -> &Name {
        &self.name
    }

    /// Whether it ends with its significant children. Default: [`AutoShutdown::Never`].
    pub const fn auto_shutdown(mut self, auto_shutdown: AutoShutdown) -> Self {
        self.rules.auto_shutdown = auto_shutdown;
        self
    }

    /// Adds a child; children start in the order in which they are added.
    pub fn child(mut self, child: ChildSpec) -> Self {
        self.children.push(child);
        self
    }

    /// Adds a supervisor as a child: [`ChildSpec::supervisor`].
    pub fn child_supervisor(self, supervisor: Self) -> Self {
        self.child(ChildSpec::supervisor(supervisor))
    }

    /// The clock of its waits and deadlines. Default: that of the supervisor above, or
    /// [`Clock::default`].
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = Some(clock.into());
        self
    }

    /// Makes the jitter of its back-offs the same each time.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.rules.seed = Some(seed);
        self
    }

    /// Starts the children in order, all or nothing; resolves when the last one is ready.
    ///
    /// The tree lives in a task of this runtime, and goes on when the handle is dropped.
    ///
    /// # Errors
    ///
    /// A configuration that cannot be; a child that did not start. What had started is stopped
    /// again, in reverse.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops what was started, in the background.
    pub async fn start(self) -> Result<Supervisor, StartError> {
        let runtime = Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        let clock = self.clock.clone().unwrap_or_default();
        let (core, driver) = self.build(Link::new(clock, runtime.clone()), None)?;
        runtime.spawn(driver);
        let unless_dropped = StopOnDrop(Some(core));
        let core = unless_dropped.wait().await;
        match core.ended() {
            Some(Ended::NotStarted(error)) => Err(StartError::clone(error)),
            Some(Ended::Killed) => Err(StartError::Stopped),
            // It may have ended since: that is told by the handle.
            _ => Ok(Supervisor::new(core)),
        }
    }

    fn validate(&self) -> Result<(), StartError> {
        let Rules {
            budget, backoff, ..
        } = &self.rules;
        if let Some(pausing) = &self.rules.pausing {
            pausing.validate()?;
        }
        if self.rules.max_children.is_some() {
            self.validate_dynamic()?;
        }
        if self.rules.goes_on() {
            budget.validate()?;
            backoff.validate()?;
        } else {
            budget.check_with(backoff)?;
        }
        for child in &self.children {
            child.validate()?;
            validate_in(&self.rules, child)?;
        }
        Ok(())
    }

    fn validate_dynamic(&self) -> Result<(), ConfigError> {
        let max = self.rules.max_children.unwrap_or(0);
        if !(1..=MOST_CHILDREN).contains(&max) {
            let allowed = format!("from 1 to {MOST_CHILDREN}");
            return Err(ConfigError::new("max_children", max, allowed));
        }
        if self.rules.strategy != Strategy::OneForOne {
            return Err(ConfigError::new(
                "strategy",
                "a group",
                "one for one under a dynamic supervisor",
            ));
        }
        Ok(())
    }

    fn build(self, link: Link, parent: Option<Parent>) -> Result<(Arc<Core>, Driver), StartError> {
        self.validate()?;
        let mut machine = Machine::new(self.name, self.rules);
        machine.reserve(self.children.len());
        for child in &self.children {
            if machine
                .list(child.id.clone(), child.policy.clone())
                .is_none()
            {
                return Err(StartError::Duplicate(child.id.clone()));
            }
        }
        let alarm = link.clock.outside_alarm();
        let alarm = alarm.map_err(|_| StartError::NoRuntime)?;
        let branch = parent.as_ref().and_then(Parent::branch);
        let branch = branch.unwrap_or_else(|| Branch::top(machine.name.clone()));
        let core = Arc::new(Core::new(machine, link, branch));
        core.link.belongs_to(core.clone().weak());
        let driver = Driver::new(core.clone(), self.children, alarm, parent);
        Ok((core, driver))
    }
}

const MOST_CHILDREN: u32 = 10_000_000;

/// Checks a child against the settings of its supervisor.
pub(super) fn validate_in(rules: &Rules, child: &ChildSpec) -> Result<(), ConfigError> {
    let policy = &child.policy;
    if policy.significant && rules.auto_shutdown == AutoShutdown::Never {
        return Err(ConfigError::new(
            "significant",
            "true",
            "false under a supervisor whose auto_shutdown is never",
        ));
    }
    let own = policy.budget().is_some() || policy.backoff().is_some();
    if own && !(policy.budget().is_none() && rules.goes_on()) {
        let budget = policy.budget().unwrap_or(&rules.budget);
        let backoff = policy.backoff().unwrap_or(&rules.backoff);
        budget.check_with(backoff)?;
    }
    if rules.goes_on() && policy.budget().is_some() && !policy.reports {
        return Err(ConfigError::new(
            "when_spent",
            "GiveUp",
            "Report for a budget of a child's own under a supervisor that never gives up",
        ));
    }
    Ok(())
}

/// Stops a tree whose start is not waited for any more.
struct StopOnDrop(Option<Arc<Core>>);

impl StopOnDrop {
    async fn wait(mut self) -> Arc<Core> {
        let core = self.0.clone().expect("it is taken once, below");
        core.up.cancelled().await;
        self.0 = None;
        core
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        if let Some(core) = self.0.take() {
            core.send(Command::Stop);
        }
    }
}

impl ChildSpec {
    /// A supervisor as a child: it is ready when its own first start is done, its giving up is one
    /// failure, and at each restart it is made anew as it was described. Children that were added
    /// to it meanwhile are gone then.
    ///
    /// It has no start timeout and [no stop timeout](Stop::Unlimited): both are bounded by those of
    /// its children.
    pub fn supervisor(supervisor: SupervisorBuilder) -> Self {
        let id = supervisor.name.clone();
        let mut spec = Self::with_exits(id, move |cx| nested(supervisor.clone(), cx));
        spec.is_supervisor = true;
        spec.policy.start_timeout = None;
        spec.readiness(Readiness::Explicit).stop(Stop::Unlimited)
    }
}

async fn nested(supervisor: SupervisorBuilder, cx: ChildContext) -> ChildExit {
    let clock = supervisor.clock.clone();
    let clock = clock.unwrap_or_else(|| cx.clock().clone());
    let link = Link::new(clock, cx.inner().link.runtime.clone());
    let parent = Parent {
        cx: cx.clone(),
        stop: Some(Box::pin(cx.token().cancelled_owned())),
    };
    let (core, driver) = match supervisor.build(link, Some(parent)) {
        Ok(built) => built,
        Err(error) => return ChildExit::Error(Arc::new(error)),
    };
    cx.inner().nest(core.weak());
    drop(cx);
    match driver.await {
        Ended::Stopped | Ended::AutoShutdown(_) => ChildExit::Shutdown,
        Ended::GaveUp(gave_up) => ChildExit::GaveUp(gave_up),
        Ended::NotStarted(error) if matches!(*error, StartError::Stopped) => ChildExit::Shutdown,
        Ended::NotStarted(error) => ChildExit::Error(error),
        Ended::Killed => ChildExit::Killed,
    }
}
