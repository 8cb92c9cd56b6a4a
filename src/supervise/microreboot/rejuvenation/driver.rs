//! What measures, and asks the manager.

use super::config::RejuvenationConfig;
use super::machine::{Machine, Step};
use crate::kernel::clock::Clock;
use crate::kernel::config::ConfigError;
use crate::kernel::name::Name;
use crate::kernel::sync::Mutex;
use crate::supervise::microreboot::manager::MicrorebootManager;
use crate::supervise::microreboot::outcome::RebootOutcome;
use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::task::{AbortHandle, JoinHandle};

/// Rejuvenates components while it is held: reboots them, one after the other, when a resource runs
/// low.
///
/// Dropping it ends it; a reboot that it began goes on.
///
/// ```no_run
/// use backstop::supervise::microreboot::{MicrorebootManager, Rejuvenation, RejuvenationConfig};
///
/// # struct Heap;
/// # impl Heap { fn free_share(&self) -> f64 { 0.5 } }
/// # static HEAP: Heap = Heap;
/// # fn f(manager: &MicrorebootManager) -> Result<(), backstop::ConfigError> {
/// let rejuvenation = Rejuvenation::start(
///     manager,
///     "memory",
///     RejuvenationConfig::default(),
///     ["search", "cart"],
///     || async { Ok::<_, std::io::Error>(HEAP.free_share()) },
/// )?;
/// # drop(rejuvenation);
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping it ends it"]
pub struct Rejuvenation {
    task: JoinHandle<()>,
    shared: Arc<Shared>,
}

struct Shared {
    resource: Name,
    components: Vec<Name>,
    state: Mutex<State>,
}

struct State {
    machine: Machine,
    free: Option<f64>,
    reboots: u64,
}

/// How a rejuvenation stands.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RejuvenationSnapshot {
    /// The resource.
    pub resource: String,
    /// The share that was free when it was last measured; `None` if that is not known.
    pub free: Option<f64>,
    /// A round of reboots is under way.
    pub in_round: bool,
    /// Reboots that were made.
    pub reboots: u64,
    /// The share that the last reboot of each component released, in declared order.
    pub released: Vec<(String, Option<f64>)>,
}

impl Rejuvenation {
    /// Watches `resource` and rejuvenates `components` of that manager. `probe` says which share of
    /// the resource is free, from 0 to 1; it runs in a task of its own, so that a panic in it is an
    /// unknown share and nothing else.
    ///
    /// Its time is the manager's clock.
    ///
    /// # Errors
    ///
    /// A configuration that cannot be, or no components.
    pub fn start<P, F, E>(
        manager: &MicrorebootManager,
        resource: impl Into<Name>,
        config: RejuvenationConfig,
        components: impl IntoIterator<Item = impl Into<Name>>,
        probe: P,
    ) -> Result<Self, ConfigError>
    where
        P: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<f64, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        config.validate()?;
        let components: Vec<Name> = components.into_iter().map(Into::into).collect();
        if components.is_empty() {
            return Err(ConfigError::new("components", "none", "at least one"));
        }
        let state = State {
            machine: Machine::new(config, components.len()),
            free: None,
            reboots: 0,
        };
        let shared = Arc::new(Shared {
            resource: resource.into(),
            components,
            state: Mutex::new(state),
        });
        let driver = Driver {
            manager: manager.clone(),
            shared: shared.clone(),
            config,
            probe: Arc::new(probe),
        };
        let task = manager.runtime().spawn(driver.run());
        Ok(Self { task, shared })
    }

    /// How it stands.
    pub fn snapshot(&self) -> RejuvenationSnapshot {
        let state = self.shared.state.lock();
        let names = self.shared.components.iter().map(Name::to_string);
        RejuvenationSnapshot {
            resource: self.shared.resource.to_string(),
            free: state.free,
            in_round: state.machine.in_round(),
            reboots: state.reboots,
            released: names.zip(state.machine.released()).collect(),
        }
    }
}

impl Drop for Rejuvenation {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Rejuvenation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejuvenation")
            .field("resource", &self.shared.resource)
            .field("components", &self.shared.components)
            .finish_non_exhaustive()
    }
}

struct Driver<P> {
    manager: MicrorebootManager,
    shared: Arc<Shared>,
    config: RejuvenationConfig,
    probe: Arc<P>,
}

impl<P, F, E> Driver<P>
where
    P: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = Result<f64, E>> + Send + 'static,
    E: Into<Box<dyn Error + Send + Sync>> + 'static,
{
    async fn run(self) {
        let clock = self.manager.clock().clone();
        loop {
            let free = self.measure(&clock).await;
            match self.step(free, &clock) {
                Step::Reboot(part) => self.reboot(part).await,
                // Without timers there is nothing to go by.
                Step::Wait => match clock.sleep_until(clock.now() + self.config.period) {
                    Ok(sleep) => sleep.await,
                    Err(_) => return,
                },
            }
        }
    }

    fn step(&self, free: Option<f64>, clock: &Clock) -> Step {
        let mut state = self.shared.state.lock();
        state.free = free;
        state.machine.measured(free, clock.now())
    }

    async fn reboot(&self, part: usize) {
        let component = self.shared.components[part].clone();
        let resource = self.shared.resource.clone();
        let outcome = self.manager.rejuvenate(component, resource).await;
        let mut state = self.shared.state.lock();
        match outcome {
            RebootOutcome::Cured { .. } => state.reboots += 1,
            RebootOutcome::Refused(_) | RebootOutcome::Stale { .. } => state.machine.refused(),
            _ => {
                state.reboots += 1;
                state.machine.failed();
            }
        }
    }

    /// In a task of its own, and within its limit.
    async fn measure(&self, clock: &Clock) -> Option<f64> {
        let probe = self.probe.clone();
        let task = tokio::spawn(async move { probe().await.ok() });
        let _ends_with_this = Ends(task.abort_handle());
        let mut task = pin!(task);
        let limit: Duration = self.config.probe_timeout;
        let mut over = pin!(clock.sleep_until(clock.now() + limit).ok()?);
        poll_fn(|cx| {
            if let Poll::Ready(free) = task.as_mut().poll(cx) {
                return Poll::Ready(free.ok().flatten());
            }
            over.as_mut().poll(cx).map(|()| None)
        })
        .await
        .filter(|free| (0.0..=1.0).contains(free))
    }
}

/// Aborts a task.
struct Ends(AbortHandle);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.abort();
    }
}
