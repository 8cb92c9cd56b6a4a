//! The handle of a supervisor.

use super::branch::TreeEvent;
use super::builder::SupervisorBuilder;
use super::core::{Command, Core, Lane, Reply};
use super::error::{CommandError, Ended, Terminated};
use super::event::SupervisorEvent;
use super::machine::Done;
use super::snapshot::{Phase, TreeSnapshot};
use crate::kernel::event::Subscriber;
use crate::kernel::name::Name;
use crate::supervise::child::{ChildContext, ChildSpec};
use std::fmt;
use std::future::{Future, poll_fn};
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

/// A running supervisor. Clones are of the same one.
///
/// **Dropping handles stops nothing**, not even the last one: a tree ends when it is
/// [stopped](Self::stop), when it gives up, or with its runtime. (A drop cannot wait, and a tree
/// that is torn down in the background while the process goes on as if it were gone is worse than
/// one that runs.)
///
/// A command is given when its future is first polled. Dropping the future later does not take it
/// back. If 1,024 children are on their way to be added, one more waits until there is room, and is not
/// given if its future is dropped before that; the same goes for the other commands, which have room of
/// their own: a caller that adds without end holds up no operator. A [`stop`](Self::stop) needs no room.
#[derive(Clone)]
pub struct Supervisor {
    core: Arc<Core>,
    /// The child whose handle this is.
    caller: Option<ChildContext>,
}

impl Supervisor {
    /// Begins to describe a supervisor.
    pub fn builder(name: impl Into<Name>) -> SupervisorBuilder {
        SupervisorBuilder::new(name.into())
    }

    pub(super) const fn new(core: Arc<Core>) -> Self {
        Self { core, caller: None }
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

    /// Asks the task. A child does not wait for the answer when it is to stop itself: it may be what the
    /// answer waits for.
    async fn ask(
        &self,
        lane: Lane,
        command: impl FnOnce(Reply) -> Command,
    ) -> Result<Done, CommandError> {
        let asked = self.core.ask(lane, command);
        let Some(caller) = &self.caller else {
            return asked.await;
        };
        let (mut asked, mut stopping) = (pin!(asked), pin!(caller.cancelled()));
        poll_fn(|cx| match asked.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(answer),
            Poll::Pending => {
                let stops = stopping.as_mut().poll(cx);
                stops.map(|()| Err(CommandError::NotAwaited))
            }
        })
        .await
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
        let done = self
            .ask(Lane::Add, |reply| Command::Add(child, reply))
            .await?;
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
        match self
            .ask(Lane::Steer, |reply| Command::Terminate(id, reply))
            .await?
        {
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
        self.ask(Lane::Steer, |reply| Command::Restart(id, reply))
            .await?;
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
        self.ask(Lane::Steer, |reply| Command::Delete(id, reply))
            .await?;
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

    /// Tells it to stop, and waits for nothing. It is what a child of it uses, which would wait for its own
    /// end.
    pub fn begin_stop(&self) {
        self.core.send(Command::Stop);
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
        core.ended().is_none().then(|| Self {
            core,
            caller: self.caller.clone(),
        })
    }

    /// Subscribes to what happens from now on; of `capacity` events that wait to be received the
    /// oldest is lost first.
    pub fn subscribe(&self, capacity: NonZeroUsize) -> Subscriber<SupervisorEvent> {
        self.core.events.subscribe(capacity)
    }

    /// Subscribes to what happens from now on here and in all supervisors below, those that come later
    /// included; each event with the [path](super::TreePath) of its supervisor. Of one supervisor they come in
    /// order; of `capacity` that wait to be received the oldest is lost first, and
    /// [counted](Subscriber::lost).
    ///
    /// With no subscriber in the whole tree it costs an event one relaxed load. With one, each supervisor
    /// tells its events to all above it.
    pub fn subscribe_tree(&self, capacity: NonZeroUsize) -> Subscriber<TreeEvent> {
        self.core.branch.subscribe(capacity)
    }
}

impl ChildContext {
    /// The supervisor that runs this child; none once that has ended.
    ///
    /// With it a child can add siblings, stop and restart them, find supervisors beside it
    /// ([`nested`](Supervisor::nested), [`DynamicSupervisorBuilder::under`](super::DynamicSupervisorBuilder::under)) and
    /// look at the tree. Like every handle it keeps nothing running; a tree ends as if it were not there.
    ///
    /// **A child does not wait for its own end.** What it awaits by this handle, and by those that it finds
    /// by it, ends with [`CommandError::NotAwaited`] as soon as it is told to stop itself: so it may
    /// [terminate](Supervisor::terminate) itself, and two children each other. Three things it must not
    /// await:
    ///
    /// * [`Supervisor::stop`] and [`Supervisor::ended`], unless it hears its token beside them: it would be
    ///   aborted when its stop timeout is over, and wait for ever if that is unlimited.
    ///   [`Supervisor::begin_stop`] waits for nothing.
    /// * Before it is ready, the start of a sibling: that may have to wait for this one's. The start timeout
    ///   ends it.
    /// * Anything, by blocking its thread on it, in a factory or a hook: they run in the supervisor's task.
    ///
    /// ```
    /// use backstop::supervise::child::ChildSpec;
    /// use backstop::supervise::supervisor::CommandError;
    ///
    /// let acceptor = ChildSpec::new("acceptor", |cx| async move {
    ///     let Some(supervisor) = cx.supervisor() else { return Ok(()) };
    ///     let session = ChildSpec::new("session", |cx| async move {
    ///         cx.cancelled().await;
    ///         Ok::<_, std::io::Error>(())
    ///     });
    ///     supervisor.add(session).await?;
    ///     cx.cancelled().await;
    ///     Ok::<_, CommandError>(())
    /// });
    /// # let _ = acceptor;
    /// ```
    pub fn supervisor(&self) -> Option<Supervisor> {
        let core: Arc<Core> = self.inner().link.owner()?.downcast().ok()?;
        core.ended().is_none().then(|| Supervisor {
            core,
            caller: Some(self.clone()),
        })
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
