//! For those who tell a check how it is, instead of being asked.

use super::shared::Tree;
use crate::health::check::{Ending, Finding, RunResult};
use crate::kernel::shared::WeakShared;
use std::fmt;

/// Reports results to one check. Clones report to the same one; none keeps the tree alive.
///
/// A report counts as a result of a run: against the thresholds, and within the period, after two
/// of which without a report the check is stale. What has only changes to tell wants
/// [`CheckConfig::on_change`](crate::health::check::CheckConfig::on_change).
///
/// ```
/// use backstop::health::check::{Check, CheckConfig, Level, Status};
/// use backstop::health::tree::{Component, HealthTree};
///
/// let tree = HealthTree::builder("shop")
///     .component(Component::new("payments").check(
///         Check::reported("breaker", Level::Degraded).config(CheckConfig::on_change()),
///     ))
///     .build()?;
/// let breaker = tree.reporter("payments", "breaker").expect("it was just made");
/// breaker.passed();
/// assert_eq!(tree.status(), Status::Healthy);
/// breaker.failed("open");
/// assert_eq!(tree.status(), Status::Degraded);
/// # Ok::<(), backstop::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Reporter {
    tree: WeakShared<Tree>,
    check: usize,
}

impl Reporter {
    pub(super) const fn new(tree: WeakShared<Tree>, check: usize) -> Self {
        Self { tree, check }
    }

    /// All is well. Returns whether the tree is still there.
    pub fn passed(&self) -> bool {
        self.report(Finding::passed())
    }

    /// Something is not well, and what. Returns whether the tree is still there.
    pub fn failed(&self, message: impl fmt::Display) -> bool {
        self.report(Finding::failed(message))
    }

    /// It could not be found out how it is, and why: a failure of the level that
    /// [`on_error`](crate::health::check::Check::on_error) says.
    pub fn error(&self, message: impl fmt::Display) -> bool {
        self.put(RunResult::failed(Ending::Error, message))
    }

    /// What was found.
    pub fn report(&self, finding: Finding) -> bool {
        self.put(finding.into())
    }

    fn put(&self, result: RunResult) -> bool {
        let tree = self.tree.upgrade();
        let is_there = tree.is_some();
        if let Some(tree) = tree {
            tree.record(self.check, result, None);
        }
        is_there
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter")
            .field("check", &self.check)
            .finish_non_exhaustive()
    }
}
