//! A supervisor of children that come and go: one template, and arguments for each.

use super::branch::TreeEvent;
use super::builder::SupervisorBuilder;
use super::error::{CommandError, Ended, StartError, Terminated};
use super::event::SupervisorEvent;
use super::handle::Supervisor;
use super::snapshot::TreeSnapshot;
use crate::kernel::event::Subscriber;
use crate::kernel::name::Name;
use crate::kernel::sync::{AtomicU64, Ordering};
use crate::supervise::child::ChildSpec;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

/// A supervisor whose children are all made from one template, each with arguments of its own: a
/// connection per peer, a worker per queue.
///
/// Its strategy is one for one. A child that is [terminated](Self::terminate), or that ends normally
/// and is not restarted, is no longer listed. At the end all children are stopped at the same time, so that a
/// hundred thousand of them take no longer than one. Restarting one of them costs the same whatever
/// their number.
///
/// ```
/// use backstop::supervise::child::{ChildSpec, Restart};
/// use backstop::supervise::supervisor::DynamicSupervisor;
/// use std::error::Error;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn Error>> {
/// let peers = DynamicSupervisor::builder("peers", |port: u16| {
///     ChildSpec::new("peer", move |cx| async move {
///         println!("{} talks to port {port}", cx.id());
///         cx.cancelled().await;
///         Ok::<_, std::io::Error>(())
///     })
///     .restart(Restart::Transient)
/// })
/// .max_children(10_000)
/// .start()
/// .await?;
/// let id = peers.start_child(4711).await?;
/// assert_eq!(id.as_str(), "peer-1");
/// peers.terminate(id.as_str()).await?;
/// # Ok(())
/// # }
/// ```
pub struct DynamicSupervisor<A> {
    supervisor: Supervisor,
    template: Template<A>,
}

type Make<A> = dyn Fn(A) -> ChildSpec + Send + Sync;

struct Template<A> {
    make: Arc<Make<A>>,
    /// Ids that were generated.
    ids: Arc<AtomicU64>,
}

/// A [`DynamicSupervisor`] to be started.
#[must_use = "nothing runs until it is started"]
pub struct DynamicSupervisorBuilder<A> {
    supervisor: SupervisorBuilder,
    template: Template<A>,
}

impl<A: 'static> DynamicSupervisor<A> {
    /// Begins to describe one whose children `template` makes out of their arguments. At most
    /// 10,000 children, unless [`max_children`](DynamicSupervisorBuilder::max_children) says
    /// otherwise.
    pub fn builder(
        name: impl Into<Name>,
        template: impl Fn(A) -> ChildSpec + Send + Sync + 'static,
    ) -> DynamicSupervisorBuilder<A> {
        DynamicSupervisorBuilder {
            supervisor: Supervisor::builder(name).dynamic(MAX_CHILDREN),
            template: Template {
                make: Arc::new(template),
                ids: Arc::new(AtomicU64::new(0)),
            },
        }
    }

    /// Starts a child with these arguments under a generated id, the template's with a number:
    /// `peer-1`. Resolves when it is ready.
    ///
    /// # Errors
    ///
    /// [`CommandError::Full`] if there are [`max_children`](DynamicSupervisorBuilder::max_children);
    /// else as [`Supervisor::add`].
    ///
    /// # Cancel safety
    ///
    /// Once polled, the child is added although the future is dropped.
    pub async fn start_child(&self, arguments: A) -> Result<Name, CommandError> {
        let number = self.template.ids.fetch_add(1, Ordering::Relaxed) + 1;
        let spec = (self.template.make)(arguments);
        let id = Name::from(format!("{}-{number}", spec.id()));
        self.supervisor.add(spec.renamed(id.clone())).await?;
        Ok(id)
    }

    /// The same under an id of the caller's.
    ///
    /// # Errors
    ///
    /// [`CommandError::Duplicate`] too.
    ///
    /// # Cancel safety
    ///
    /// As [`start_child`](Self::start_child).
    pub async fn start_child_as(
        &self,
        id: impl Into<Name>,
        arguments: A,
    ) -> Result<(), CommandError> {
        let spec = (self.template.make)(arguments).renamed(id);
        self.supervisor.add(spec).await
    }

    /// [`Supervisor::terminate`]. Once nothing of the child runs it is no longer listed; an orphan is
    /// until then.
    ///
    /// # Errors
    ///
    /// An unknown id.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the child is stopped although the future is dropped.
    pub async fn terminate(&self, id: &str) -> Result<Terminated, CommandError> {
        self.supervisor.terminate(id).await
    }

    /// [`Supervisor::stop`]: all children at the same time.
    ///
    /// # Cancel safety
    ///
    /// Once polled, it stops although the future is dropped.
    pub async fn stop(&self) -> Ended {
        self.supervisor.stop().await
    }

    /// [`Supervisor::ended`].
    pub async fn ended(&self) -> Ended {
        self.supervisor.ended().await
    }

    /// [`Supervisor::snapshot`].
    pub fn snapshot(&self) -> TreeSnapshot {
        self.supervisor.snapshot()
    }

    /// [`Supervisor::subscribe`].
    pub fn subscribe(&self, capacity: NonZeroUsize) -> Subscriber<SupervisorEvent> {
        self.supervisor.subscribe(capacity)
    }

    /// [`Supervisor::subscribe_tree`].
    pub fn subscribe_tree(&self, capacity: NonZeroUsize) -> Subscriber<TreeEvent> {
        self.supervisor.subscribe_tree(capacity)
    }

    /// The supervisor beneath, for what is not about the template.
    pub const fn supervisor(&self) -> &Supervisor {
        &self.supervisor
    }
}

/// A connection or a queue costs kilobytes; a million of them should be a decision.
const MAX_CHILDREN: u32 = 10_000;

impl<A: 'static> DynamicSupervisorBuilder<A> {
    /// How many children there may be at a time, stopped ones that are listed included (1 to
    /// 10,000,000). Default: 10,000.
    pub fn max_children(mut self, max: u32) -> Self {
        self.supervisor = self.supervisor.dynamic(max);
        self
    }

    /// Everything else that is said of a supervisor: its budget, its back-off, its clock. The
    /// strategy stays one for one.
    ///
    /// The budget is that of all children together. With thousands of them, give each its own, in
    /// the template.
    pub fn configure(
        mut self,
        configure: impl FnOnce(SupervisorBuilder) -> SupervisorBuilder,
    ) -> Self {
        self.supervisor = configure(self.supervisor);
        self
    }

    /// Starts it, without children.
    ///
    /// # Errors
    ///
    /// A configuration that cannot be.
    ///
    /// # Cancel safety
    ///
    /// As [`SupervisorBuilder::start`].
    pub async fn start(self) -> Result<DynamicSupervisor<A>, StartError> {
        Ok(DynamicSupervisor {
            supervisor: self.supervisor.start().await?,
            template: self.template,
        })
    }

    /// It as a child of another supervisor. After a restart it has no children.
    pub fn child(&self) -> ChildSpec {
        ChildSpec::supervisor(self.supervisor.clone())
    }

    /// Its present incarnation under the supervisor that has [it](Self::child) as a child, while it
    /// runs.
    pub fn under(&self, parent: &Supervisor) -> Option<DynamicSupervisor<A>> {
        Some(DynamicSupervisor {
            supervisor: parent.nested(self.supervisor.name().as_str())?,
            template: self.template.clone(),
        })
    }
}

impl<A> Clone for Template<A> {
    fn clone(&self) -> Self {
        Self {
            make: self.make.clone(),
            ids: self.ids.clone(),
        }
    }
}

impl<A> Clone for DynamicSupervisor<A> {
    fn clone(&self) -> Self {
        Self {
            supervisor: self.supervisor.clone(),
            template: self.template.clone(),
        }
    }
}

impl<A> Clone for DynamicSupervisorBuilder<A> {
    fn clone(&self) -> Self {
        Self {
            supervisor: self.supervisor.clone(),
            template: self.template.clone(),
        }
    }
}

impl<A> fmt::Debug for DynamicSupervisor<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DynamicSupervisor")
            .field(&self.supervisor)
            .finish()
    }
}

impl<A> fmt::Debug for DynamicSupervisorBuilder<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DynamicSupervisorBuilder")
            .field(&self.supervisor)
            .finish()
    }
}
