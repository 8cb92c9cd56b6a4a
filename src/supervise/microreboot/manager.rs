//! The handle of a manager.

use super::config::MicrorebootConfig;
use super::core::{Core, Now, Taken};
use super::event::{MicrorebootEvent, Notice};
use super::flight::Airborne;
use super::groups::Index;
use super::history::{MemoryHistory, RebootHistory};
use super::inner::{ExitHook, Inner, NoticeHook};
use super::outcome::{Report, Reported};
use super::part::Part;
use super::record::{RebootRecord, Trigger};
use super::snapshot::{ComponentSnapshot, MicrorebootSnapshot};
use crate::kernel::clock::Clock;
use crate::kernel::config::ConfigError;
use crate::kernel::event::{Events, Subscriber};
use crate::kernel::name::Name;
use crate::kernel::sync::Mutex;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Weak};
use std::time::SystemTime;
use tokio::runtime::Handle;
use tokio::sync::{Mutex as Turnstile, Notify};

/// Takes reports of failed components, and reboots them: one at a time each, not too often, not in a
/// storm, wider when narrow does not help, and in the end it tells a human.
///
/// Clones are the same manager. It goes on without a handle as long as a component or a reboot holds
/// it: a reboot that has begun is brought to its end.
#[derive(Clone, Debug)]
pub struct MicrorebootManager {
    pub(crate) inner: Arc<Inner>,
}

/// A handle that does not keep the manager.
#[derive(Clone, Debug)]
pub(crate) struct WeakManager(Weak<Inner>);

impl WeakManager {
    pub(crate) fn is_there(&self) -> bool {
        self.0.strong_count() > 0
    }
}

/// Why a manager did not start.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ManagerError {
    /// Its configuration cannot be.
    Config(ConfigError),
    /// There is no tokio runtime here, and no task without one.
    NoRuntime,
}

impl fmt::Display for ManagerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::NoRuntime => f.write_str("no tokio runtime here: start it inside one"),
        }
    }
}

impl std::error::Error for ManagerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Config(error) => Some(error),
            Self::NoRuntime => None,
        }
    }
}

impl From<ConfigError> for ManagerError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

/// A manager to be.
pub struct MicrorebootManagerBuilder {
    name: Name,
    config: MicrorebootConfig,
    clock: Clock,
    wall: Option<SystemTime>,
    store: Arc<dyn RebootHistory>,
    on_notice: Option<NoticeHook>,
    exit: Option<ExitHook>,
}

impl fmt::Debug for MicrorebootManagerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MicrorebootManagerBuilder")
            .field("name", &self.name)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl MicrorebootManagerBuilder {
    /// The configuration. Default: [`MicrorebootConfig::default`].
    pub fn config(mut self, config: MicrorebootConfig) -> Self {
        self.config = config;
        self
    }

    /// The clock of all limits. Default: [`Clock::default`].
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = clock.into();
        self
    }

    /// What the wall clock shows at the start. From then on wall time is counted by the clock.
    /// Default: the system's.
    pub fn wall(mut self, wall: SystemTime) -> Self {
        self.wall = Some(wall);
        self
    }

    /// Where charges, cures and holds are kept. Default: in memory, so that a new process begins
    /// anew.
    pub fn history(mut self, store: impl RebootHistory) -> Self {
        self.store = Arc::new(store);
        self
    }

    /// Calls `hook` with each [`Notice`]: what pages somebody. It must not block; a panic in it goes
    /// no further.
    pub fn on_notice(mut self, hook: impl Fn(&Notice) + Send + Sync + 'static) -> Self {
        self.on_notice = Some(Arc::new(hook));
        self
    }

    /// How the process rung ends the process, with code [`EXIT_CODE`](super::EXIT_CODE).
    #[cfg(feature = "durable")]
    #[cfg_attr(docsrs, doc(cfg(feature = "durable")))]
    pub fn exit(mut self, exit: crate::durable::boot::Exit) -> Self {
        self.exit = Some(Arc::new(move |why| exit.stop(super::EXIT_CODE, why)));
        self
    }

    /// Starts it. What its history holds is read first, for at most the configured limit.
    ///
    /// # Errors
    ///
    /// A configuration that cannot be: the process rung without an exit, or with a history that does
    /// not survive the process, among them. No tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn start(self) -> Result<MicrorebootManager, ManagerError> {
        self.config.validate()?;
        if self.config.ladder.has_process() && (self.exit.is_none() || !self.store.is_durable()) {
            let allowed = "false without an exit and a history that survives the process";
            return Err(ConfigError::new("ladder.process", "true", allowed).into());
        }
        let runtime = Handle::try_current().map_err(|_| ManagerError::NoRuntime)?;
        let started = Now {
            at: self.clock.now(),
            wall: self.wall.unwrap_or_else(|| self.clock.wall()),
        };
        let inner = Arc::new(Inner {
            name: self.name,
            clock: self.clock,
            runtime,
            started,
            core: Mutex::new(Core::new(self.config)),
            events: Events::new(),
            turn: Notify::new(),
            store: self.store,
            read: Arc::new(Turnstile::new(false)),
            on_notice: self.on_notice,
            exit: self.exit,
        });
        inner.read_history().await;
        Ok(MicrorebootManager { inner })
    }
}

impl MicrorebootManager {
    /// A manager of that name.
    pub fn builder(name: impl Into<Name>) -> MicrorebootManagerBuilder {
        MicrorebootManagerBuilder {
            name: name.into(),
            config: MicrorebootConfig::default(),
            clock: Clock::default(),
            wall: None,
            store: Arc::new(MemoryHistory::new()),
            on_notice: None,
            exit: None,
        }
    }

    /// Tells managers apart while there is a handle, weak ones included.
    pub(crate) fn id(&self) -> usize {
        Arc::as_ptr(&self.inner).addr()
    }

    /// A handle that does not keep it.
    pub(crate) fn downgrade(&self) -> WeakManager {
        WeakManager(Arc::downgrade(&self.inner))
    }

    /// Where its tasks run.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.inner.runtime
    }

    /// What its limits are measured by.
    pub(crate) fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.inner.name
    }

    /// A component failed. It is rebooted, or not, and all reporters of the same reboot get the same
    /// outcome. This returns at once; the reboot goes on whether or not the outcome is awaited.
    ///
    /// ```no_run
    /// # async fn f(manager: backstop::supervise::microreboot::MicrorebootManager) {
    /// use backstop::supervise::microreboot::Report;
    ///
    /// let outcome = manager.report(Report::new("cart", "no_reply").by("prober")).await;
    /// println!("{}", outcome.name());
    /// # }
    /// ```
    #[expect(clippy::needless_pass_by_value, reason = "a report is handed over")]
    pub fn report(&self, report: Report) -> Reported {
        self.take(&report, Trigger::Report)
    }

    /// Reboots a component because a human says so: neither the cap nor a storm nor a hold refuses,
    /// it is charged all the same, and no wider rung follows if it fails.
    pub fn reboot(&self, component: impl Into<Name>) -> Reported {
        let report = Report::new(component, "by_hand").by("operator");
        self.take(&report, Trigger::ByHand)
    }

    /// Reboots a component because a resource runs low: a storm or a hold refuses, it is not charged
    /// (its caller has a cap of its own), and no wider rung follows if it fails.
    pub(crate) fn rejuvenate(
        &self,
        component: impl Into<Name>,
        resource: impl Into<Name>,
    ) -> Reported {
        let report = Report::new(component, resource).by("rejuvenation");
        self.take(&report, Trigger::Rejuvenation)
    }

    fn take(&self, report: &Report, trigger: Trigger) -> Reported {
        let taken = self
            .inner
            .changed(|core, now| core.take(report, trigger, now));
        match taken {
            Taken::AtOnce(outcome) => Reported::at_once(outcome),
            Taken::Joined(episode, landing) => Reported::waiting(landing, episode),
            Taken::Opened(course, landing) => {
                let episode = course.episode;
                let airborne = Airborne::new(self.inner.clone(), *course, landing.clone());
                self.inner.runtime.spawn(airborne.fly());
                Reported::waiting(landing, episode)
            }
        }
    }

    /// A human has seen to a component that was handed over: reports of it are answered again. Whether
    /// it was held.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave it unsaid to the history's store; it is acknowledged all the same.
    pub async fn acknowledge(&self, component: &str) -> bool {
        let was_held = self
            .inner
            .changed(|core, now| core.acknowledge(component, now));
        if was_held {
            self.inner.persist().await;
        }
        was_held
    }

    /// What the component's own check says: it is well, or not. The storm gate counts it, and a
    /// reboot of what is well is a false positive in its record. Whether there is such a component.
    pub fn health(&self, component: &str, is_well: bool) -> bool {
        self.inner.changed(|core, now| {
            let Some(index) = core.groups.find(component) else {
                return false;
            };
            core.parts[index].check = Some(is_well);
            core.look(now);
            true
        })
    }

    /// Which start of the component the present one is; it grows when `start` is called.
    pub fn incarnation(&self, component: &str) -> Option<u64> {
        let core = self.inner.core.lock();
        let index = core.groups.find(component)?;
        Some(core.parts[index].part.incarnation.get())
    }

    /// The records that are kept, oldest first.
    pub fn records(&self) -> Vec<Arc<RebootRecord>> {
        self.inner.core.lock().records.iter().cloned().collect()
    }

    /// Subscribes to what happens from now on; the subscriber keeps at most `capacity` events.
    pub fn subscribe(&self, capacity: NonZeroUsize) -> Subscriber<MicrorebootEvent> {
        self.inner.events.subscribe(capacity)
    }

    /// The configuration in force.
    pub fn config(&self) -> MicrorebootConfig {
        self.inner.core.lock().config
    }

    /// Takes a new configuration; what is under way goes on and meets it at its next decision.
    ///
    /// # Errors
    ///
    /// A configuration that cannot be; the old one stays.
    pub fn reconfigure(&self, config: MicrorebootConfig) -> Result<(), ConfigError> {
        config.validate()?;
        let inner = &self.inner;
        if config.ladder.has_process() && (inner.exit.is_none() || !inner.store.is_durable()) {
            let allowed = "false without an exit and a history that survives the process";
            return Err(ConfigError::new("ladder.process", "true", allowed));
        }
        inner.changed(|core, now| {
            core.config = config;
            core.look(now);
        });
        Ok(())
    }

    /// The state as a value.
    pub fn snapshot(&self) -> MicrorebootSnapshot {
        let core = self.inner.core.lock();
        let there = core.parts.iter().enumerate();
        let there = there.filter(|(_, known)| !known.is_retired);
        let components = there.map(|(index, known)| {
            let id = known.part.id.as_str();
            ComponentSnapshot {
                id: id.to_owned(),
                incarnation: known.part.incarnation.get(),
                check: known.check,
                is_reported: known.reported,
                is_held: core.history.is_held(id),
                is_waiting: core.flights.takes_along(index, false),
                is_rebooting: core.flights.takes_along(index, true),
                cures: known.cures,
            }
        });
        MicrorebootSnapshot {
            name: self.inner.name.to_string(),
            components: components.collect(),
            is_storm: core.storm.is_closed(),
            is_exiting: core.exiting,
            recorded: core.recorded,
        }
    }

    /// Takes a component in.
    pub(crate) fn add_part(
        &self,
        part: Arc<Part>,
        needs: &[Name],
        group: Option<Name>,
        subtree: Name,
    ) -> Result<Index, ConfigError> {
        let add = |core: &mut Core, _| core.add(part, needs, group, subtree);
        self.inner.changed(add)
    }

    /// The component did not come to run.
    pub(crate) fn retire(&self, component: Index) {
        self.inner.changed(|core, now| {
            core.retire(component);
            core.look(now);
        });
    }

    /// The component runs: an episode for which the process before was ended goes on here.
    pub(crate) fn resume(&self, component: Index) {
        let resumed = self.inner.changed(|core, now| core.resume(component, now));
        if let Some((course, pending, landing)) = resumed {
            let airborne = Airborne::new(self.inner.clone(), course, landing);
            self.inner.runtime.spawn(airborne.resume(pending));
        }
    }
}
