//! What a supervisor is told of a child.

use super::context::ChildContext;
use super::exit::{BoxError, ChildExit};
use super::run::{Factory, IntoExit, Launch};
use crate::kernel::config::ConfigError;
use crate::kernel::name::Name;
use crate::supervise::budget::{RestartBackoff, RestartBudget};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// When a child that ended is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum Restart {
    /// Always, also when it ended normally.
    #[default]
    Permanent,
    /// After a [failure](ChildExit::is_failure); one that ended normally stays listed, as stopped.
    Transient,
    /// Never, not even with a group that is restarted; once ended it is forgotten, and its
    /// failure costs no budget.
    Temporary,
}

/// When a child counts as started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum Readiness {
    /// Once it is spawned; a failure right after that is a crash.
    #[default]
    Immediate,
    /// Once it calls [`ready`](ChildContext::ready): ending before that, with or without an error,
    /// is a failed start.
    Explicit,
}

/// How long a child may take to stop after it has been told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stop {
    /// This long; then it is aborted.
    After(Duration),
    /// As long as it likes. Never for what may hang; it is the default of supervisors, which end
    /// when their children have.
    Unlimited,
    /// It is told and aborted at once.
    AtOnce,
}

impl Default for Stop {
    /// 5 s, as in OTP.
    fn default() -> Self {
        Self::After(Duration::from_secs(5))
    }
}

/// What happens when a child's own budget is spent.
#[derive(Clone, Default)]
pub enum WhenSpent {
    /// Its supervisor gives up.
    #[default]
    GiveUp,
    /// The child is left stopped, and this hears of it; its supervisor and siblings go on.
    Report(SpentHook),
}

/// Hears of a child whose own budget is spent.
///
/// It runs in the supervisor's task, outside all locks, and must not block. A panic in it is caught
/// and goes no further.
#[derive(Clone)]
pub struct SpentHook(Arc<dyn Fn(&Spent) + Send + Sync>);

impl SpentHook {
    /// Calls `hook`.
    pub fn new(hook: impl Fn(&Spent) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hook))
    }

    pub(crate) fn call(&self, spent: &Spent) {
        let call = std::panic::AssertUnwindSafe(|| (self.0)(spent));
        if let Err(payload) = std::panic::catch_unwind(call) {
            super::exit::discard(payload);
        }
    }
}

impl fmt::Debug for SpentHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpentHook").finish_non_exhaustive()
    }
}

impl fmt::Debug for WhenSpent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GiveUp => "GiveUp",
            Self::Report(_) => "Report(..)",
        })
    }
}

/// A child whose own budget is spent: it is stopped, and waits for somebody to restart it by hand.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Spent {
    /// The child.
    pub child: Name,
    /// The incarnation that failed last.
    pub incarnation: u64,
    /// The budget that is spent.
    pub budget: RestartBudget,
    /// The last failure.
    pub cause: super::exit::FailureCause,
}

/// What a supervisor is told of a child: an id, a factory of futures, and how to treat them.
///
/// | setting | default | why |
/// |---|---|---|
/// | [`restart`](Self::restart) | permanent | a part of a service is there to run |
/// | [`readiness`](Self::readiness) | immediate | only the child's author knows when it is ready |
/// | [`start_timeout`](Self::start_timeout) | 30 s | for explicit readiness: time for a connection and a cache |
/// | [`stop`](Self::stop) | after 5 s | OTP's |
/// | [`budget`](Self::budget) | none | failures count against the supervisor's |
/// | [`backoff`](Self::backoff) | none | the supervisor's |
///
/// ```
/// use backstop::supervise::child::{ChildSpec, Restart};
///
/// let spec = ChildSpec::new("poller", |cx| async move {
///     while !cx.is_stopping() {
///         tokio::task::yield_now().await;
///     }
///     Ok::<_, std::io::Error>(())
/// })
/// .restart(Restart::Transient);
/// assert_eq!(spec.id().as_str(), "poller");
/// ```
#[derive(Clone)]
pub struct ChildSpec {
    pub(crate) id: Name,
    pub(crate) policy: Policy,
    pub(crate) when_spent: WhenSpent,
    pub(crate) factory: Arc<dyn Launch>,
    /// It is made by [`ChildSpec::supervisor`].
    pub(crate) is_supervisor: bool,
}

/// The part of a specification that decisions need: plain values.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent settings, set by name"
)]
pub(crate) struct Policy {
    pub(crate) restart: Restart,
    pub(crate) readiness: Readiness,
    pub(crate) start_timeout: Option<Duration>,
    pub(crate) stop: Stop,
    pub(crate) significant: bool,
    pub(crate) reports: bool,
    pub(crate) blocking: bool,
    pub(crate) overlap: bool,
    /// What most children do not have; apart, because there may be very many children.
    own: Option<Box<Own>>,
}

/// Settings of a child's own, in place of the supervisor's.
#[derive(Clone, Debug, Default)]
struct Own {
    budget: Option<RestartBudget>,
    backoff: Option<RestartBackoff>,
    watchdog: Option<Duration>,
}

impl Policy {
    pub(crate) fn budget(&self) -> Option<&RestartBudget> {
        self.own.as_ref()?.budget.as_ref()
    }

    pub(crate) fn backoff(&self) -> Option<&RestartBackoff> {
        self.own.as_ref()?.backoff.as_ref()
    }

    pub(crate) fn watchdog(&self) -> Option<Duration> {
        self.own.as_ref()?.watchdog
    }

    fn own(&mut self) -> &mut Own {
        self.own.get_or_insert_default()
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            restart: Restart::default(),
            readiness: Readiness::default(),
            start_timeout: Some(Duration::from_secs(30)),
            stop: Stop::default(),
            significant: false,
            reports: false,
            blocking: false,
            overlap: false,
            own: None,
        }
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl ChildSpec {
    /// A child whose incarnations `factory` makes. It is called for each start, in the supervisor's
    /// task and outside all locks, and must not block; a panic in it is a failed start.
    pub fn new<F, Fut, E>(id: impl Into<Name>, factory: F) -> Self
    where
        F: Fn(ChildContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        Self::with_exits(id, factory)
    }

    /// One whose futures say themselves how they ended.
    pub(crate) fn with_exits<F, Fut>(id: impl Into<Name>, factory: F) -> Self
    where
        F: Fn(ChildContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoExit> + Send + 'static,
    {
        Self {
            id: id.into(),
            policy: Policy::default(),
            when_spent: WhenSpent::GiveUp,
            factory: Arc::new(Factory(factory)),
            is_supervisor: false,
        }
    }

    /// Its id, unique among its siblings.
    pub const fn id(&self) -> &Name {
        &self.id
    }

    /// The same under another id.
    pub fn renamed(mut self, id: impl Into<Name>) -> Self {
        self.id = id.into();
        self
    }

    /// When it is started again. Default: [`Restart::Permanent`].
    pub const fn restart(mut self, restart: Restart) -> Self {
        self.policy.restart = restart;
        self
    }

    /// When it counts as started. Default: [`Readiness::Immediate`].
    pub const fn readiness(mut self, readiness: Readiness) -> Self {
        self.policy.readiness = readiness;
        self
    }

    /// How long an [explicitly ready](Readiness::Explicit) child may take to become ready; longer
    /// is a failed start. Default: 30 s.
    pub const fn start_timeout(mut self, limit: Duration) -> Self {
        self.policy.start_timeout = Some(limit);
        self
    }

    /// How long it may take to stop. Default: [`Stop::After`] 5 s.
    pub const fn stop(mut self, stop: Stop) -> Self {
        self.policy.stop = stop;
        self
    }

    /// A budget of its own: its failures are charged to it instead of the supervisor's.
    pub fn budget(mut self, budget: RestartBudget) -> Self {
        self.policy.own().budget = Some(budget);
        self
    }

    /// A back-off of its own instead of the supervisor's.
    pub fn backoff(mut self, backoff: RestartBackoff) -> Self {
        self.policy.own().backoff = Some(backoff);
        self
    }

    /// What happens when its own budget is spent. Default: [`WhenSpent::GiveUp`]. Needs a
    /// [`budget`](Self::budget) of its own.
    pub fn when_spent(mut self, when_spent: WhenSpent) -> Self {
        self.policy.reports = matches!(when_spent, WhenSpent::Report(_));
        self.when_spent = when_spent;
        self
    }

    /// Whether its end by itself can end the supervisor, as that one's
    /// [`auto_shutdown`](crate::supervise::supervisor::SupervisorBuilder::auto_shutdown) says.
    /// Default: no. Never for a permanent child, which has no end.
    pub const fn significant(mut self, significant: bool) -> Self {
        self.policy.significant = significant;
        self
    }

    /// It promises a [heartbeat](ChildContext::heartbeat) at least each `period` (1 ms to 24 h), from
    /// when it is ready on. One that misses it hangs, and has crashed: it is stopped as its
    /// [`stop`](Self::stop) says and started again. Default: no promise.
    ///
    /// While the supervisor itself is held up for more than a period nobody is judged: a process
    /// that was suspended is no proof against its children.
    pub fn watchdog(mut self, period: Duration) -> Self {
        self.policy.own().watchdog = Some(period);
        self
    }

    /// Whether it blocks its thread: it then runs on one of tokio's blocking threads, where it
    /// holds up nothing else. Default: no.
    ///
    /// Such a child is aborted when it next awaits something that is not ready.
    pub const fn blocking(mut self, blocking: bool) -> Self {
        self.policy.blocking = blocking;
        self
    }

    /// Whether a new incarnation may start while an orphan of an old one still runs. Default: no.
    pub const fn overlap(mut self, overlap: bool) -> Self {
        self.policy.overlap = overlap;
        self
    }

    /// Checks what the types do not.
    ///
    /// # Errors
    ///
    /// Permanent and significant; `when_spent` without a budget of its own; a bad budget or
    /// back-off.
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        let budget = self.policy.budget();
        if self.policy.significant && self.policy.restart == Restart::Permanent {
            return Err(ConfigError::new(
                "significant",
                "true",
                "false for a permanent child",
            ));
        }
        if self.policy.reports && budget.is_none() {
            return Err(ConfigError::new(
                "when_spent",
                "Report",
                "GiveUp for a child without a budget of its own",
            ));
        }
        let watchdog = self.policy.watchdog().unwrap_or(DAY);
        if !(Duration::from_millis(1)..=DAY).contains(&watchdog) {
            let value = format!("{watchdog:?}");
            return Err(ConfigError::new("watchdog", value, "from 1ms to 24h"));
        }
        if let Some(budget) = budget {
            budget.validate()?;
        }
        if let Some(backoff) = self.policy.backoff() {
            backoff.validate()?;
        }
        Ok(())
    }
}

impl fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildSpec")
            .field("id", &self.id)
            .field("policy", &self.policy)
            .field("when_spent", &self.when_spent)
            .finish_non_exhaustive()
    }
}

impl IntoExit for ChildExit {
    fn into_exit(self, _stopping: bool) -> ChildExit {
        self
    }
}

impl<E: Into<BoxError>> IntoExit for Result<(), E> {
    fn into_exit(self, stopping: bool) -> ChildExit {
        match self {
            Ok(()) if stopping => ChildExit::Shutdown,
            Ok(()) => ChildExit::Normal,
            Err(error) => ChildExit::Error(error.into().into()),
        }
    }
}
