//! One check of a tree, as its user holds it.

use super::machine::CheckSlot;
use super::reporter::Reporter;
use super::shared::Tree;
use super::snapshot::CheckSnapshot;
use crate::health::check::{CheckConfig, CheckState};
use crate::kernel::config::ConfigError;
use crate::kernel::name::Name;
use crate::kernel::shared::Shared;
use std::fmt;

/// One check of a tree, which it keeps alive: looked at, and reconfigured while it runs.
///
/// ```
/// use backstop::health::check::{Check, CheckConfig, Level};
/// use backstop::health::tree::{Component, HealthTree};
/// use std::time::Duration;
///
/// # async fn ping() -> Result<(), std::io::Error> { Ok(()) }
/// let tree = HealthTree::builder("shop")
///     .component(Component::new("db").check(Check::new("ping", Level::Critical, ping)))
///     .build()?;
///
/// let ping = tree.check("db", "ping").expect("it was just made");
/// ping.reconfigure(ping.config().period(Duration::from_secs(2)).failure_threshold(5))?;
/// assert!(ping.reconfigure(CheckConfig::new().failure_threshold(0)).is_err());
/// assert_eq!(ping.config().validate(), Ok(()));
/// # Ok::<(), backstop::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct CheckHandle {
    tree: Shared<Tree>,
    id: usize,
}

impl CheckHandle {
    pub(super) fn find(tree: &Shared<Tree>, node: usize, check: &str) -> Option<Self> {
        let is_it = |slot: &CheckSlot| slot.node == node && slot.name.as_str() == check;
        let id = tree.locked(|state| state.checks.iter().position(is_it))?;
        let tree = tree.clone();
        Some(Self { tree, id })
    }

    /// Its name.
    pub fn name(&self) -> Name {
        self.look(|slot| slot.name.clone())
    }

    /// What it has come to.
    pub fn state(&self) -> CheckState {
        self.snapshot().state
    }

    /// The same with its last result.
    pub fn snapshot(&self) -> CheckSnapshot {
        let now = self.tree.clock.now();
        self.tree.locked(|state| {
            state.expire(now);
            CheckSnapshot::of(&state.checks[self.id], now)
        })
    }

    /// The settings in force.
    pub fn config(&self) -> CheckConfig {
        self.look(CheckSlot::config)
    }

    /// Takes other settings, whether the tree runs or not.
    ///
    /// | what | from when on |
    /// |---|---|
    /// | period | at once: the next run begins a period after the start of the last, or now if that is past |
    /// | timeout | the next run; one that goes on keeps the time it was given |
    /// | thresholds | the next result, with the counts as they are |
    /// | initial delay | the next result |
    /// | staleness | at once; what is fresh has the new time from now on, at most as long as it had |
    ///
    /// What the check has come to stays until a result says otherwise, and so does what is stale.
    /// No run is begun beside one that goes on.
    ///
    /// # Errors
    ///
    /// Settings that cannot be; the old ones stay.
    pub fn reconfigure(&self, config: CheckConfig) -> Result<(), ConfigError> {
        config
            .validate()
            .map_err(|refused| refused.within("check"))?;
        self.tree.reconfigure(self.id, config);
        Ok(())
    }

    /// A reporter to it.
    pub fn reporter(&self) -> Reporter {
        Reporter::new(self.tree.downgrade(), self.id)
    }

    fn look<R>(&self, look: impl FnOnce(&CheckSlot) -> R) -> R {
        self.tree.locked(|state| look(&state.checks[self.id]))
    }
}

impl fmt::Debug for CheckHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckHandle")
            .field("name", &self.name())
            .field("state", &self.state())
            .field("config", &self.config())
            .finish()
    }
}
