//! A component: a supervised child that the manager can reboot.

use super::config::PhaseLimits;
use super::gate::Gate;
use super::hooks::{BoxError, Boxed, Hook};
use super::manager::MicrorebootManager;
use super::outcome::Report;
use super::part::{self, Ask, Host, Incarnation, Part, Slot};
use super::record::PhaseResult;
use crate::kernel::config::ConfigError;
use crate::kernel::name::Name;
use crate::supervise::budget::{RestartBackoff, RestartBudget};
use crate::supervise::child::{
    ChildContext, ChildExit, ChildSpec, Readiness, SpentHook, Stop, WhenSpent,
};
use crate::supervise::supervisor::{CommandError, Supervisor, Terminated};
use std::fmt;
use std::future::Future;
use std::sync::Arc;

/// The fault under which a component is reported whose own restarts did not help.
pub(crate) const BUDGET_SPENT: &str = "restart_budget_spent";

type Start<S> =
    Arc<dyn Fn(ChildContext, Option<S>) -> Boxed<'static, Result<(), BoxError>> + Send + Sync>;

/// A part of a service that can be rebooted by itself: a supervised child, with its state if it has
/// one.
///
/// | setting | default | why |
/// |---|---|---|
/// | [`checkpoint`](Self::checkpoint) | none: it starts cold | state that can be rebuilt need not be carried |
/// | [`verify`](Self::verify) | none: started is well | only its author knows what well is; give one |
/// | [`limits`](Self::limits) | [`PhaseLimits::default`] | |
/// | [`budget`](Self::budget) | 8 restarts in 60 s | its supervisor's restarts are cheaper than a reboot |
/// | [`readiness`](Self::readiness) | immediate | as for any child |
///
/// # What surprises
///
/// A child that is aborted, because it panicked or did not stop in time, runs no code of its own any
/// more: only what its future holds is dropped. What it has put where others find it, such as the
/// sender of its queue in a shared slot, stays there until the next start replaces it, and callers
/// wait for what nobody will answer. Have a guard of yours take it out:
///
/// ```
/// use backstop::supervise::microreboot::Component;
/// use std::sync::{Arc, Mutex};
/// use tokio::sync::mpsc;
///
/// type Slot = Arc<Mutex<Option<mpsc::Sender<u32>>>>;
///
/// /// Empties the slot, however the child ends.
/// struct InSlot(Slot);
///
/// impl Drop for InSlot {
///     fn drop(&mut self) {
///         self.0.lock().unwrap().take();
///     }
/// }
///
/// # let callers = Slot::default();
/// let slot = callers.clone();
/// let component = Component::stateless("orders", move |cx| {
///     let (to, mut orders) = mpsc::channel(16);
///     let slot = slot.clone();
///     async move {
///         *slot.lock().unwrap() = Some(to);
///         let _in_slot = InSlot(slot);
///         loop {
///             tokio::select! {
///                 () = cx.cancelled() => return Ok::<_, std::io::Error>(()),
///                 _order = orders.recv() => {}
///             }
///         }
///     }
/// });
/// # let _ = component;
/// ```
///
/// # Example
///
/// ```
/// use backstop::supervise::microreboot::{Component, MicrorebootManager, Report};
/// use backstop::supervise::supervisor::Supervisor;
/// use std::sync::{Arc, Mutex};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let supervisor = Supervisor::builder("root").start().await?;
/// let manager = MicrorebootManager::builder("auction").start().await?;
///
/// let carts = Arc::new(Mutex::new(vec!["book"]));
/// let (asked, kept, probed) = (carts.clone(), carts.clone(), carts);
/// let component = Component::new("carts", move |cx, state: Option<Vec<&'static str>>| {
///     *kept.lock().unwrap() = state.unwrap_or_default();
///     async move {
///         cx.cancelled().await;
///         Ok::<_, std::io::Error>(())
///     }
/// })
/// .initial(vec!["book"])
/// .checkpoint(move || {
///     let state = asked.lock().unwrap().clone();
///     async { Ok::<_, std::io::Error>(state) }
/// })
/// .verify(move || {
///     let is_there = !probed.lock().unwrap().is_empty();
///     async move { is_there.then_some(()).ok_or("the carts are gone") }
/// });
/// manager.add(component, &supervisor).await?;
///
/// assert!(manager.report(Report::new("carts", "no_reply")).await.is_cured());
/// # supervisor.stop().await;
/// # Ok(())
/// # }
/// ```
pub struct Component<S = ()> {
    id: Name,
    needs: Vec<Name>,
    group: Option<Name>,
    limits: PhaseLimits,
    start: Start<S>,
    checkpoint: Option<Ask<S>>,
    initial: Option<S>,
    may_start_cold: bool,
    stop: Option<Hook>,
    cleanup: Option<Hook>,
    needs_cleanup: bool,
    verify: Option<Hook>,
    readiness: Readiness,
    budget: RestartBudget,
    backoff: Option<RestartBackoff>,
    blocking: bool,
    gate: Option<Gate>,
}

impl Component<()> {
    /// A component without a state to carry: each start is a cold one.
    pub fn stateless<F, Fut, E>(id: impl Into<Name>, start: F) -> Self
    where
        F: Fn(ChildContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        Component::new(id, move |cx, _: Option<()>| start(cx))
    }
}

impl<S: Clone + Send + Sync + 'static> Component<S> {
    /// A component whose incarnations `start` makes, from a state or from none. The future is the
    /// component: it runs until its [context](ChildContext) says stop.
    ///
    /// The state is cloned for each start, in the component's own task, because a later start may
    /// need it again.
    pub fn new<F, Fut, E>(id: impl Into<Name>, start: F) -> Self
    where
        F: Fn(ChildContext, Option<S>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        Self {
            id: id.into(),
            needs: Vec::new(),
            group: None,
            limits: PhaseLimits::default(),
            start: Arc::new(move |cx, state| {
                let body = start(cx, state);
                Box::pin(async move { body.await.map_err(Into::into) })
            }),
            checkpoint: None,
            initial: None,
            may_start_cold: true,
            stop: None,
            cleanup: None,
            needs_cleanup: true,
            verify: None,
            readiness: Readiness::default(),
            budget: RestartBudget::default(),
            backoff: None,
            blocking: false,
            gate: None,
        }
    }

    /// Asks the running component for its state. It may fail, panic or hang: the reboot goes on from
    /// the last state with which the component was well. Default: there is no state.
    pub fn checkpoint<F, Fut, E>(mut self, checkpoint: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<S, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.checkpoint = Some(part::ask(checkpoint));
        self
    }

    /// A state with which the component is known to be well, for the first start. Default: none.
    pub fn initial(mut self, state: S) -> Self {
        self.initial = Some(state);
        self
    }

    /// It must not start from nothing once it has a [`checkpoint`](Self::checkpoint): without a
    /// state the reboot fails. Its first start is what it is. Default: it may.
    pub const fn never_cold(mut self) -> Self {
        self.may_start_cold = false;
        self
    }

    /// Asks the component to stop, before its token is cancelled; what comes of it makes no
    /// difference. Both have the limit of the phase. Default: the token alone.
    pub fn stop<F, Fut, E>(mut self, stop: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.stop = Some(part::hook(stop));
        self
    }

    /// Clears away what the component left: sockets, leases, temporary files. If it fails, so does
    /// the reboot. Default: nothing to clear away.
    pub fn cleanup<F, Fut, E>(mut self, cleanup: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.cleanup = Some(part::hook(cleanup));
        self
    }

    /// A [`cleanup`](Self::cleanup) that fails does not stop the reboot; one that still runs does.
    pub const fn cleanup_is_optional(mut self) -> Self {
        self.needs_cleanup = false;
        self
    }

    /// Shows that the started component works. Default: one that is started works.
    pub fn verify<F, Fut, E>(mut self, verify: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.verify = Some(part::hook(verify));
        self
    }

    /// How long each phase may take. Default: [`PhaseLimits::default`].
    pub const fn limits(mut self, limits: PhaseLimits) -> Self {
        self.limits = limits;
        self
    }

    /// It cannot work while `other` does not: whenever that one is rebooted, this one is stopped
    /// before and started after it. That one is to be added first.
    pub fn depends_on(mut self, other: impl Into<Name>) -> Self {
        self.needs.push(other.into());
        self
    }

    /// The group that the group rung reboots as a whole. Default: none.
    pub fn group(mut self, group: impl Into<Name>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// When it counts as started. Default: [`Readiness::Immediate`].
    pub const fn readiness(mut self, readiness: Readiness) -> Self {
        self.readiness = readiness;
        self
    }

    /// How often its supervisor restarts it by itself; then it is reported to the manager. Default:
    /// 8 in 60 s.
    pub const fn budget(mut self, budget: RestartBudget) -> Self {
        self.budget = budget;
        self
    }

    /// The waits before those restarts. Default: its supervisor's.
    pub const fn backoff(mut self, backoff: RestartBackoff) -> Self {
        self.backoff = Some(backoff);
        self
    }

    /// Whether it blocks its thread: as [`ChildSpec::blocking`]. Default: no.
    pub const fn blocking(mut self, blocking: bool) -> Self {
        self.blocking = blocking;
        self
    }

    /// The gate in front of it: callers meet a shut gate while it is rebooted, and its records count
    /// the calls that suffered. Default: none.
    pub fn gate(mut self, gate: impl Into<Gate>) -> Self {
        self.gate = Some(gate.into());
        self
    }

    /// Its id.
    pub const fn id(&self) -> &Name {
        &self.id
    }

    fn spec(
        &self,
        slot: Arc<Slot<S>>,
        incarnation: Arc<Incarnation>,
        hook: SpentHook,
    ) -> ChildSpec {
        let start = self.start.clone();
        let spec = ChildSpec::new(self.id.clone(), move |cx: ChildContext| {
            incarnation.set(cx.incarnation());
            let (start, slot) = (start.clone(), slot.clone());
            async move {
                let state = slot.next().map(|state| S::clone(&state));
                start(cx, state).await
            }
        });
        let spec = spec
            .readiness(self.readiness)
            .start_timeout(self.limits.start)
            .stop(Stop::After(self.limits.stop))
            .budget(self.budget)
            .blocking(self.blocking)
            .when_spent(WhenSpent::Report(hook));
        match self.backoff {
            Some(backoff) => spec.backoff(backoff),
            None => spec,
        }
    }
}

impl<S> fmt::Debug for Component<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Component")
            .field("id", &self.id)
            .field("depends_on", &self.needs)
            .field("group", &self.group)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Why a component was not added.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum AddError {
    /// It cannot be: a known id, an unknown dependency, a limit out of its range.
    Config(ConfigError),
    /// Its supervisor did not start it.
    Supervisor(CommandError),
}

impl fmt::Display for AddError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Supervisor(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for AddError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Config(error) => Some(error),
            Self::Supervisor(error) => Some(error),
        }
    }
}

impl MicrorebootManager {
    /// Starts a component under `supervisor`, behind its other children, and takes it in. An episode
    /// for which the process before was ended goes on with it.
    ///
    /// The supervisor should be one that restarts one for one, and that is not restarted itself: a
    /// child that was added to it is gone then.
    ///
    /// # Errors
    ///
    /// A component that cannot be, or that does not start; nothing of it is left then.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the component may be started although the future is dropped; the manager then
    /// does not know it, and its supervisor restarts it within its budget.
    pub async fn add<S: Clone + Send + Sync + 'static>(
        &self,
        component: Component<S>,
        supervisor: &Supervisor,
    ) -> Result<(), AddError> {
        component.limits.validate().map_err(AddError::Config)?;
        let incarnation = Arc::new(Incarnation::default());
        let hook = self.spent_hook(supervisor.name().clone());
        let initial = component.initial.clone();
        let slot = Arc::new(Slot::new(component.checkpoint.clone(), initial));
        let spec = component.spec(slot.clone(), incarnation.clone(), hook);
        let part = Arc::new(Part {
            id: component.id,
            host: Arc::new(supervisor.clone()),
            limits: component.limits,
            states: slot,
            stop: component.stop,
            cleanup: component.cleanup,
            needs_cleanup: component.needs_cleanup,
            verify: component.verify,
            may_start_cold: component.may_start_cold,
            gate: component.gate,
            incarnation,
        });
        let subtree = supervisor.name().clone();
        let index = self
            .add_part(part, &component.needs, component.group, subtree)
            .map_err(AddError::Config)?;
        let mut unless_added = Retire(Some((self, index)));
        supervisor.add(spec).await.map_err(AddError::Supervisor)?;
        unless_added.0 = None;
        self.resume(index);
        Ok(())
    }

    /// Its own restarts did not help: the manager's turn, and its supervisor leaves it alone.
    fn spent_hook(&self, supervisor: Name) -> SpentHook {
        let manager = self.clone();
        SpentHook::new(move |spent| {
            let report = Report::new(spent.child.clone(), BUDGET_SPENT)
                .seen(spent.incarnation)
                .by(supervisor.clone());
            drop(manager.report(report));
        })
    }
}

/// Takes a component back out that did not start.
struct Retire<'a>(Option<(&'a MicrorebootManager, usize)>);

impl Drop for Retire<'_> {
    fn drop(&mut self) {
        if let Some((manager, index)) = self.0.take() {
            manager.retire(index);
        }
    }
}

impl Host for Supervisor {
    fn stop(&self, id: Name) -> Boxed<'static, PhaseResult> {
        let supervisor = self.clone();
        Box::pin(async move {
            match supervisor.terminate(id.as_str()).await {
                Ok(Terminated::Orphaned) => PhaseResult::Orphaned,
                Ok(Terminated::Stopped(Some(ChildExit::Killed))) => PhaseResult::TimedOut,
                Ok(Terminated::Stopped(_)) => PhaseResult::Done,
                Err(error) => PhaseResult::Failed(error.to_string()),
            }
        })
    }

    fn start(&self, id: Name) -> Boxed<'static, PhaseResult> {
        let supervisor = self.clone();
        Box::pin(async move {
            match supervisor.restart(id.as_str()).await {
                Ok(()) => PhaseResult::Done,
                Err(CommandError::Orphaned) => PhaseResult::Orphaned,
                Err(error) => PhaseResult::Failed(error.to_string()),
            }
        })
    }

    fn ends_in_order(&self) -> bool {
        Self::ends_in_order(self)
    }
}
