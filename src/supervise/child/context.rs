//! What a child knows of itself, and how it runs further work.

use super::exit::ChildExit;
use super::incarnation::Incarnation;
use crate::kernel::clock::Clock;
use crate::kernel::name::Name;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What a child is started with: who it is, when to stop, and where its further work goes.
///
/// Clones are of the same incarnation. Work that a child starts through [`spawn`](Self::spawn) and
/// [`spawn_blocking`](Self::spawn_blocking) belongs to it: once its future has ended, that work is
/// told to stop too, aborted if it does not, and the child counts as ended when none of it is left.
#[derive(Clone)]
pub struct ChildContext {
    incarnation: Arc<Incarnation>,
}

impl ChildContext {
    pub(crate) const fn new(incarnation: Arc<Incarnation>) -> Self {
        Self { incarnation }
    }

    pub(crate) const fn inner(&self) -> &Arc<Incarnation> {
        &self.incarnation
    }

    /// The child's id.
    pub fn id(&self) -> &Name {
        &self.incarnation.id
    }

    /// Which start of the child this is, counted from 1.
    pub fn incarnation(&self) -> u64 {
        self.incarnation.number
    }

    /// The clock of its supervisor.
    pub fn clock(&self) -> &Clock {
        &self.incarnation.link.clock
    }

    /// A token that is cancelled when the child is to stop. Made when it is first asked for.
    pub fn token(&self) -> CancellationToken {
        self.incarnation.token().clone()
    }

    /// Resolves when the child is to stop.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn cancelled(&self) {
        self.incarnation.token().cancelled().await;
    }

    /// Whether the child is to stop: one load.
    #[inline]
    pub fn is_stopping(&self) -> bool {
        self.incarnation.is_stopping()
    }

    /// Says that the child is ready. The first call counts; it means something for
    /// [`Readiness::Explicit`](super::Readiness::Explicit).
    pub fn ready(&self) {
        self.incarnation.ready();
    }

    /// Gives a sign of life, for a [watchdog](super::ChildSpec::watchdog): a coarse reading of the
    /// clock and one store. Nobody is woken.
    pub fn heartbeat(&self) {
        self.incarnation.beat();
    }

    /// Runs `work` in a task of its own that belongs to the child.
    ///
    /// A panic in it shows in the returned handle only; a child that wants to fail with it awaits
    /// the handle. Once the incarnation has ended or was aborted nothing can be added to it: the
    /// work is dropped, and the handle says "cancelled".
    pub fn spawn<F>(&self, work: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.incarnation.spawn(work)
    }

    /// Runs `work` on one of tokio's blocking threads; it belongs to the child.
    ///
    /// What has begun cannot be aborted: until it returns, the child has not ended. As
    /// [`spawn`](Self::spawn) otherwise.
    pub fn spawn_blocking<F, T>(&self, work: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.incarnation.spawn_blocking(work)
    }

    pub(crate) fn end(&self, exit: ChildExit) {
        self.incarnation.end(exit);
    }
}

impl fmt::Debug for ChildContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildContext")
            .field("id", self.id())
            .field("incarnation", &self.incarnation())
            .field("stopping", &self.is_stopping())
            .finish_non_exhaustive()
    }
}
