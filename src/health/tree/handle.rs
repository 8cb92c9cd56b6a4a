//! The handles that users hold.

use super::check_handle::CheckHandle;
use super::component::{HealthTreeBuilder, Plan};
use super::drive;
use super::event::HealthEvent;
use super::figures::Figures;
use super::machine::CheckSlot;
use super::reporter::Reporter;
use super::shared::{Health, Tree};
use super::snapshot::HealthSnapshot;
use super::watch::HealthWatch;
use crate::health::check::Status;
use crate::kernel::clock::NoRuntime;
use crate::kernel::event::Subscriber;
use crate::kernel::name::Name;
use crate::kernel::shared::{Shared, WeakShared};
use std::convert::Infallible;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

/// The health of a system: components, their checks, and what they come to together.
///
/// See the [room](super) for how it works. Clones are the same tree; with the last handle (of this
/// kind, a [`ComponentHandle`] or a [`CheckHandle`]) its checks stop.
#[derive(Clone)]
pub struct HealthTree(pub(super) Shared<Tree>);

impl HealthTree {
    /// Describes a tree whose root has this name.
    pub fn builder(name: impl Into<Name>) -> HealthTreeBuilder {
        HealthTreeBuilder::new(name.into())
    }

    pub(super) fn assemble(plan: Plan, builder: &HealthTreeBuilder) -> Self {
        Self(Shared::new(Tree::new(plan, builder)))
    }

    /// Starts to run the checks, each in a task of its own, and recovery actions. It returns at
    /// once; a tree that runs goes on.
    ///
    /// # Errors
    ///
    /// There is no tokio runtime with timers here.
    pub fn start(&self) -> Result<(), NoRuntime> {
        drive::start(&self.0)
    }

    /// Stops to run the checks, and aborts those that run. Their results grow old: unless it is
    /// started again, the status is `Unknown` soon.
    pub fn stop(&self) {
        drive::stop(&self.0);
    }

    /// [Starts](Self::start) and goes on without an end.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future [stops](Self::stop) the tree.
    pub async fn run(&self) -> Result<Infallible, NoRuntime> {
        struct Stops<'a>(&'a HealthTree);
        impl Drop for Stops<'_> {
            fn drop(&mut self) {
                self.0.stop();
            }
        }
        self.start()?;
        let _stops = Stops(self);
        Ok(std::future::pending().await)
    }

    /// How well the system is, from memory: two loads and a reading of the coarse clock, whatever
    /// the size of the tree.
    ///
    /// What has become stale is seen here, at most one grain of the clock late, even if nothing runs
    /// any more: a runtime that hangs does not leave its last good answer behind.
    #[inline]
    pub fn status(&self) -> Status {
        self.health().status
    }

    /// The same with what is orthogonal to it.
    #[inline]
    pub fn health(&self) -> Health {
        self.0.health(0)
    }

    /// Whether the process should go on: no critical liveness check fails. Not to know is no reason
    /// to be restarted.
    pub fn is_alive(&self) -> bool {
        self.0.is_alive()
    }

    /// Whether it should be given work: it is `Healthy` or `Degraded`.
    pub fn is_ready(&self) -> bool {
        matches!(self.status(), Status::Healthy | Status::Degraded)
    }

    /// Whether it has come up: all start-up checks of what is not optional have passed, and the status
    /// was once another one than `Starting`. It stays so.
    pub fn has_started(&self) -> bool {
        self.0.has_started()
    }

    /// The component of that name, the root's included.
    pub fn component(&self, name: &str) -> Option<ComponentHandle> {
        self.0.find(name).map(|node| ComponentHandle {
            tree: self.0.clone(),
            node,
        })
    }

    /// The root as a component.
    pub fn root(&self) -> ComponentHandle {
        ComponentHandle {
            tree: self.0.clone(),
            node: 0,
        }
    }

    /// A check of a component.
    pub fn check(&self, component: &str, check: &str) -> Option<CheckHandle> {
        CheckHandle::find(&self.0, self.0.find(component)?, check)
    }

    /// A reporter to a check of a component.
    pub fn reporter(&self, component: &str, check: &str) -> Option<Reporter> {
        self.check(component, check).map(|check| check.reporter())
    }

    /// Tells of each change of [`health`](Self::health).
    pub fn watch(&self) -> HealthWatch {
        HealthWatch::new(&self.0, 0)
    }

    /// Switches maintenance mode, in which no recovery action begins. What was due is done when it
    /// ends, if it is due still.
    pub fn maintenance(&self, on: bool) {
        self.0.locked(|state| state.set_maintenance(on));
    }

    /// All components and checks, as they are at one moment.
    pub fn snapshot(&self) -> HealthSnapshot {
        HealthSnapshot::of(&self.0)
    }

    /// Subscribes to what happens, with a queue for so many events.
    pub fn subscribe(&self, capacity: NonZeroUsize) -> Subscriber<HealthEvent> {
        self.0.subscribe(capacity)
    }

    /// What is counted of its checks, in the order of [`labels`](Self::labels).
    pub(crate) fn figures(&self) -> Arc<Figures> {
        self.0.figures.clone()
    }

    /// `component:check` of each check.
    pub(crate) fn labels(&self) -> Vec<String> {
        self.0.locked(|state| {
            let label = |slot: &CheckSlot| format!("{}:{}", state.nodes[slot.node].name, slot.name);
            state.checks.iter().map(label).collect()
        })
    }

    /// The statuses of all components, in the order of a snapshot's.
    pub(crate) fn statuses(&self) -> Vec<Status> {
        self.0.statuses()
    }

    /// One that does not keep the tree alive.
    pub(crate) fn downgrade(&self) -> WeakHealthTree {
        WeakHealthTree(self.0.downgrade())
    }
}

impl From<&'static HealthTree> for HealthTree {
    fn from(tree: &'static HealthTree) -> Self {
        Self(Shared::of_static(&tree.0))
    }
}

impl fmt::Debug for HealthTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// A [`HealthTree`] that does not keep it alive.
#[derive(Clone, Debug)]
pub(crate) struct WeakHealthTree(WeakShared<Tree>);

impl WeakHealthTree {
    pub(crate) fn upgrade(&self) -> Option<HealthTree> {
        self.0.upgrade().map(HealthTree)
    }
}

/// One component of a tree, which it keeps alive.
#[derive(Clone)]
pub struct ComponentHandle {
    tree: Shared<Tree>,
    node: usize,
}

impl ComponentHandle {
    /// Its name.
    pub fn name(&self) -> Name {
        self.tree
            .locked(|state| state.nodes[self.node].name.clone())
    }

    /// How well it is, from memory as [`HealthTree::status`].
    #[inline]
    pub fn status(&self) -> Status {
        self.health().status
    }

    /// The same with what is orthogonal to it.
    #[inline]
    pub fn health(&self) -> Health {
        self.tree.health(self.node)
    }

    /// Tells of each change of [`health`](Self::health).
    pub fn watch(&self) -> HealthWatch {
        HealthWatch::new(&self.tree, self.node)
    }

    /// Sets its status by hand, whatever its checks say; `None` gives it back to them. Liveness is
    /// not touched: nothing set by hand restarts the process.
    pub fn set_status(&self, status: impl Into<Option<Status>>) {
        let status = status.into();
        self.tree.locked(|state| state.force(self.node, status));
    }

    /// A check of it.
    pub fn check(&self, name: &str) -> Option<CheckHandle> {
        CheckHandle::find(&self.tree, self.node, name)
    }

    /// A reporter to a check of it.
    pub fn reporter(&self, check: &str) -> Option<Reporter> {
        self.check(check).map(|check| check.reporter())
    }
}

impl fmt::Debug for ComponentHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ComponentHandle")
            .field("name", &self.name())
            .field("health", &self.health())
            .finish()
    }
}
