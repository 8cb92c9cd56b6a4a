//! Waiting for a component's health to change.

use super::shared::{Health, Tree};
use crate::kernel::shared::{Shared, WeakShared};
use std::fmt;
use tokio::sync::watch;

/// Tells of each change of a component's health, or of the last one of several.
///
/// It keeps no tree alive. That a result has become stale is seen in time while the tree
/// [runs](super::HealthTree::start); else when somebody asks for a status.
pub struct HealthWatch {
    tree: WeakShared<Tree>,
    node: usize,
    changes: watch::Receiver<()>,
    seen: Health,
}

impl HealthWatch {
    pub(super) fn new(tree: &Shared<Tree>, node: usize) -> Self {
        // Subscribed before the first look, so that no change falls between them.
        let changes = tree.watch(node);
        Self {
            tree: tree.downgrade(),
            node,
            changes,
            seen: tree.health(node),
        }
    }

    /// What this watch has seen last.
    pub const fn seen(&self) -> Health {
        self.seen
    }

    /// The health as soon as it is another one than was last seen; `None` once the tree is gone.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn changed(&mut self) -> Option<Health> {
        loop {
            let health = self.tree.upgrade()?.health(self.node);
            if health != self.seen {
                self.seen = health;
                return Some(health);
            }
            self.changes.changed().await.ok()?;
        }
    }

    /// The health as soon as `is_wanted` likes it, now or later; `None` once the tree is gone.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn until(&mut self, mut is_wanted: impl FnMut(Health) -> bool) -> Option<Health> {
        self.seen = self.tree.upgrade()?.health(self.node);
        loop {
            if is_wanted(self.seen) {
                return Some(self.seen);
            }
            self.changed().await?;
        }
    }
}

impl fmt::Debug for HealthWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthWatch")
            .field("seen", &self.seen)
            .finish_non_exhaustive()
    }
}
