//! The handle of a supervisor.

use super::builder::SupervisorBuilder;
use super::core::{Command, Core};
use super::error::{CommandError, Ended, Terminated};
use super::event::SupervisorEvent;
use super::machine::Done;
use super::snapshot::{Phase, TreeSnapshot};
use crate::kernel::event::Subscriber;
use crate::kernel::name::Name;
use crate::supervise::child::ChildSpec;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

/// A running supervisor. Clones are of the same one.
///
/// **Dropping handles stops nothing**, not even the last one: a tree ends when it is
/// [stopped](Self::stop), when it gives up, or with its runtime. (A drop cannot wait, and a tree
/// that is torn down in the background while the process goes on as if it were gone is worse than
/// one that runs.)
///
/// A command is given when its future is first polled. Dropping the future later does not take it
/// back.
#[derive(Clone)]
pub struct Supervisor {
    core: Arc<Core>,
}

impl Supervisor {
    /// Begins to describe a supervisor.
    pub fn builder(name: impl Into<Name>) -> SupervisorBuilder {
        SupervisorBuilder::new(name.into())
    }

    pub(super) const fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    pub(super) const fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Tells supervisors apart while there is a handle.
    pub(crate) fn id(&self) -> usize {
        Arc::as_ptr(&self.core).addr()
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.core.name
    }

    /// Adds a child behind all others and starts it; resolves when it is ready.
    ///
    /// # Errors
    ///
    /// A bad specification, or a known id. A child that does not become ready is an error and is
    /// not kept.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the child is added although the future is dropped.
    pub async fn add(&self, child: ChildSpec) -> Result<(), CommandError> {
        let child = Box::new(child);
        let done = self.core.ask(|reply| Command::Add(child, reply)).await?;
        debug_assert!(matches!(done, Done::Started));
        Ok(())
    }

    /// Stops a child, and calls off a restart of it; resolves when nothing of it runs, or when it
    /// is an orphan. It stays listed, unless it is temporary.
    ///
    /// This is no failure and costs no budget. A child that awaits its own end here is aborted when
    /// its stop timeout is over; it should watch its token as well.
    ///
    /// # Errors
    ///
    /// An unknown id.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the child is stopped although the future is dropped.
    pub async fn terminate(&self, id: &str) -> Result<Terminated, CommandError> {
        let id = id.to_owned();
        match self.core.ask(|reply| Command::Terminate(id, reply)).await? {
            Done::Terminated(terminated) => Ok(terminated),
            Done::Started | Done::Deleted => Err(CommandError::Over),
        }
    }

    /// Starts a child that is stopped; resolves when it is ready.
    ///
    /// # Errors
    ///
    /// It is not stopped, or does not become ready; then it is stopped again.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the child is started although the future is dropped.
    pub async fn restart(&self, id: &str) -> Result<(), CommandError> {
        let id = id.to_owned();
        self.core.ask(|reply| Command::Restart(id, reply)).await?;
        Ok(())
    }

    /// Takes a child that is stopped off the list.
    ///
    /// # Errors
    ///
    /// It is not stopped.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the child is deleted although the future is dropped.
    pub async fn delete(&self, id: &str) -> Result<(), CommandError> {
        let id = id.to_owned();
        self.core.ask(|reply| Command::Delete(id, reply)).await?;
        Ok(())
    }

    /// Stops all children in reverse order and ends; resolves when it has ended, however.
    ///
    /// # Cancel safety
    ///
    /// Once polled, it stops although the future is dropped.
    pub async fn stop(&self) -> Ended {
        self.core.send(Command::Stop);
        self.ended().await
    }

    /// Resolves when the supervisor has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn ended(&self) -> Ended {
        self.core.wait().await
    }

    /// The tree as it is now. It copies each child while the supervisor waits: 100,000 children are
    /// some milliseconds.
    pub fn snapshot(&self) -> TreeSnapshot {
        self.core.snapshot()
    }

    /// Whether it is over, or ending, without having given up: what it does not do any more is no failure.
    pub(crate) fn ends_in_order(&self) -> bool {
        match self.core.ended() {
            Some(Ended::Stopped | Ended::AutoShutdown(_) | Ended::Killed) => true,
            Some(_) => false,
            None => self.core.machine.lock().ends_in_order(),
        }
    }

    /// A supervisor that is a child of this one, while it runs.
    pub fn nested(&self, id: &str) -> Option<Self> {
        let key = self.core.machine.lock().children().find(id)?;
        let core = self.core.nested_core(key)?;
        // Its handles keep what is left of it after its end.
        core.ended().is_none().then_some(Self { core })
    }

    /// Subscribes to what happens from now on; of `capacity` events that wait to be received the
    /// oldest is lost first.
    pub fn subscribe(&self, capacity: NonZeroUsize) -> Subscriber<SupervisorEvent> {
        self.core.events.subscribe(capacity)
    }
}

impl Core {
    pub(super) fn nested_core(&self, key: u32) -> Option<Arc<Self>> {
        let incarnation = self.nested.lock().get(&key).cloned()?;
        incarnation.nested()?.downcast().ok()
    }

    fn snapshot(&self) -> TreeSnapshot {
        let now = self.link.clock.now();
        let (mut tree, keys) = self.machine.lock().snapshot(now);
        for (child, key) in tree.children.iter_mut().zip(keys) {
            child.tree = self.nested_core(key).map(|nested| nested.snapshot());
        }
        if self.ended().is_some() {
            // Also if it was killed, which its machine never heard of.
            tree.phase = Phase::Ended;
        }
        tree
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor")
            .field("name", self.name())
            .field("ended", &self.core.ended())
            .finish_non_exhaustive()
    }
}
