//! A state in the library's hands.

use super::context::Saving;
use super::run::Run;
use crate::kernel::sync::{Mutex, MutexGuard};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// The state and its lock.
pub(super) struct Keep<S> {
    pub(super) state: Mutex<S>,
}

/// A child's state that the library saves by itself: each period, and when the child ends well.
///
/// It stands behind a lock. A save holds that lock while the state is encoded, on a thread for blocking
/// work, and not while it is stored. Clones are the same state.
pub struct Kept<S> {
    pub(super) keep: Arc<Keep<S>>,
    pub(super) run: Arc<Run<S>>,
}

impl<S: Send + 'static> Kept<S> {
    /// The state. Nothing else has it while the guard lives, a save neither: keep it for short, and not
    /// across an await (the guard is not `Send`, so a child that tries does not compile).
    pub fn lock(&self) -> StateGuard<'_, S> {
        StateGuard(self.keep.state.lock())
    }

    /// Saves it now, besides the saves of each period.
    ///
    /// # Errors
    ///
    /// As [`CheckpointContext::save`](super::CheckpointContext::save).
    ///
    /// # Cancel safety
    ///
    /// The save is under way when this returns, and goes on if the future is dropped.
    pub fn save(&self) -> Saving {
        Saving::of(&self.run, self.run.save_kept(&self.keep))
    }
}

impl<S> Clone for Kept<S> {
    fn clone(&self) -> Self {
        Self {
            keep: Arc::clone(&self.keep),
            run: Arc::clone(&self.run),
        }
    }
}

impl<S> fmt::Debug for Kept<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}

/// The state of a [`Kept`], locked.
pub struct StateGuard<'a, S>(MutexGuard<'a, S>);

impl<S> Deref for StateGuard<'_, S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.0
    }
}

impl<S> DerefMut for StateGuard<'_, S> {
    fn deref_mut(&mut self) -> &mut S {
        &mut self.0
    }
}

impl<S: fmt::Debug> fmt::Debug for StateGuard<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
