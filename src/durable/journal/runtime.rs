//! The threads that lead for tasks.

use super::refusal::AppendError;
use tokio::runtime::Handle;

/// Where a task leaves its work when that would block.
#[derive(Clone, Debug)]
pub(super) enum Runtime {
    Tokio(Handle),
    /// Of a test, which runs or drops what is spawned as it likes.
    #[cfg(test)]
    Test(std::sync::Arc<dyn TestRuntime>),
}

/// What a test puts into the place of a runtime.
#[cfg(test)]
pub(super) trait TestRuntime: std::fmt::Debug + Send + Sync {
    fn spawn(&self, work: Box<dyn FnOnce() + Send>);
}

impl Runtime {
    /// That of the task that runs here.
    pub(super) fn current() -> Result<Self, AppendError> {
        Handle::try_current()
            .map(Self::Tokio)
            .map_err(|_| AppendError::NoRuntime)
    }

    /// Runs `work` on a thread that may block. If the runtime is shut down, it is dropped instead.
    pub(super) fn spawn_blocking(&self, work: impl FnOnce() + Send + 'static) {
        match self {
            Self::Tokio(handle) => drop(handle.spawn_blocking(work)),
            #[cfg(test)]
            Self::Test(runtime) => runtime.spawn(Box::new(work)),
        }
    }
}
