//! A child with checkpoints.

use super::config::CheckpointedConfig;
use super::context::CheckpointContext;
use super::error::BoxError;
use super::event::{CheckpointedEvent, Teller};
use super::run::run;
use super::shared::Shared;
use crate::durable::codec::{Codec, State};
use crate::durable::snapshot::{Checkpoints, Restored};
use crate::kernel::config::ConfigError;
use crate::kernel::event::Subscriber;
use crate::kernel::name::Name;
use crate::supervise::child::{ChildSpec, Readiness};
use std::fmt;
use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;

/// A child with a state and a store of checkpoints: it makes the child's specification, and tells what
/// becomes of its checkpoints. Clones are the same one.
///
/// What a process knows of a child's checkpoints beyond the store is here: two of them on one key are two
/// writers, each of which takes the other's checkpoints for its own.
pub struct Checkpointed<S> {
    shared: Arc<Shared<S>>,
}

impl<S: State + Send + 'static> Checkpointed<S> {
    /// A child of that id, whose checkpoints these are.
    ///
    /// # Errors
    ///
    /// A time below 1 ms, or a budget that is too small to try an older state.
    pub fn new<C: Codec>(
        id: impl Into<Name>,
        checkpoints: Checkpoints<S, C>,
        config: CheckpointedConfig,
    ) -> Result<Self, ConfigError> {
        let config = config.checked()?;
        let id = id.into();
        let teller = Teller::new(id.clone(), checkpoints.clock().clone());
        let shared = Shared::new(id, config, Box::new(checkpoints), teller);
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// The child's specification, with a budget of its own. `factory` is called for each start, with the
    /// state that the start goes on from; `None`: there is none.
    ///
    /// Restart type, stop and back-off are set on what this returns. Readiness is not:
    /// [`explicit_readiness`](CheckpointedConfig::explicit_readiness) is the way, as a start that has no
    /// state yet is never ready.
    pub fn child<F, T, E>(&self, factory: F) -> ChildSpec
    where
        F: Fn(CheckpointContext<S>, Option<Restored<S>>) -> T + Send + Sync + 'static,
        T: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        let shared = Arc::clone(&self.shared);
        let factory = Arc::new(factory);
        let start = move |child| run(Arc::clone(&shared), child, Arc::clone(&factory));
        ChildSpec::new(self.shared.id.clone(), start)
            .readiness(Readiness::Explicit)
            .budget(self.shared.config.budget)
    }
}

impl<S: Send + 'static> Checkpointed<S> {
    /// What becomes of the checkpoints, from now on. A subscriber that is too slow for its capacity loses
    /// the oldest.
    pub fn subscribe(&self, capacity: NonZeroUsize) -> Subscriber<CheckpointedEvent> {
        self.shared.teller.subscribe(capacity)
    }

    /// The child's id.
    pub fn id(&self) -> &Name {
        &self.shared.id
    }
}

impl<S> Clone for Checkpointed<S> {
    fn clone(&self) -> Self {
        let shared = Arc::clone(&self.shared);
        Self { shared }
    }
}

impl<S> fmt::Debug for Checkpointed<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpointed")
            .field("id", &self.shared.id)
            .field("config", &self.shared.config)
            .finish_non_exhaustive()
    }
}
