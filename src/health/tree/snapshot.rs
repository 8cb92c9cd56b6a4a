//! A whole tree at one moment.

use super::machine::{CheckSlot, State};
use super::shared::{Health, Tree};
use crate::health::check::{CheckResult, CheckState, Level, Probe, Status};
use crate::kernel::instant::Instant;
use crate::kernel::name::Name;
use std::fmt;
use std::time::Duration;

/// All components and checks of a tree, as they were at one moment.
///
/// As text it is indented by depth:
///
/// ```
/// use backstop::health::check::{Check, Level};
/// use backstop::health::tree::{Component, HealthTree};
///
/// let tree = HealthTree::builder("shop")
///     .component(Component::new("db").check(Check::reported("ping", Level::Critical)))
///     .build()?;
/// assert_eq!(
///     tree.snapshot().to_string(),
///     "shop: starting\n  db: starting\n    ping (critical): starting\n"
/// );
/// # Ok::<(), backstop::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct HealthSnapshot {
    /// Each component before those beneath it, the root first: there is always one.
    components: Vec<ComponentSnapshot>,
}

/// One component.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ComponentSnapshot {
    /// Its name.
    pub name: Name,
    /// How many components are above it.
    pub depth: usize,
    /// How well it is.
    pub health: Health,
    /// What its status was set to by hand.
    pub forced: Option<Status>,
    /// Its own checks.
    pub checks: Vec<CheckSnapshot>,
}

/// One check.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CheckSnapshot {
    /// Its name.
    pub name: Name,
    /// What its failure means.
    pub level: Level,
    /// What its answer is for.
    pub probe: Probe,
    /// What it has come to.
    pub state: CheckState,
    /// How old its last result is; `None`: there is none.
    pub age: Option<Duration>,
    /// Its last result.
    pub result: Option<CheckResult>,
}

impl HealthSnapshot {
    /// All components, each before those beneath it, the root first.
    pub fn components(&self) -> &[ComponentSnapshot] {
        &self.components
    }

    /// How well the system is.
    pub fn health(&self) -> Health {
        self.components[0].health
    }

    /// The component of that name.
    pub fn component(&self, name: &str) -> Option<&ComponentSnapshot> {
        let is_it = |one: &&ComponentSnapshot| one.name.as_str() == name;
        self.components.iter().find(is_it)
    }

    /// The name of the root.
    pub fn name(&self) -> &Name {
        &self.components[0].name
    }

    pub(super) fn of(tree: &Tree) -> Self {
        let now = tree.clock.now();
        tree.locked(|state| {
            state.expire(now);
            Self::from(state, now)
        })
    }

    fn from(state: &State, now: Instant) -> Self {
        let mut components: Vec<ComponentSnapshot> = Vec::with_capacity(state.nodes.len());
        for node in &state.nodes {
            let depth = node.parent.map_or(0, |parent| components[parent].depth + 1);
            components.push(ComponentSnapshot {
                name: node.name.clone(),
                depth,
                health: Health {
                    status: node.now.status,
                    needs_attention: node.now.flagged,
                    in_maintenance: state.maintenance,
                },
                forced: node.forced,
                checks: Vec::new(),
            });
        }
        for slot in &state.checks {
            components[slot.node]
                .checks
                .push(CheckSnapshot::of(slot, now));
        }
        Self { components }
    }
}

impl CheckSnapshot {
    pub(super) fn of(slot: &CheckSlot, now: Instant) -> Self {
        Self {
            name: slot.name.clone(),
            level: slot.level,
            probe: slot.probe,
            state: slot.state(),
            age: slot.last().map(|last| now.saturating_duration_since(last)),
            result: slot.result.clone(),
        }
    }
}

impl fmt::Display for HealthSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for component in &self.components {
            let indent = 2 * component.depth;
            let status = component.health.status;
            write!(f, "{:indent$}{}: {status}", "", component.name)?;
            if component.forced.is_some() {
                f.write_str(", by hand")?;
            }
            if component.health.needs_attention {
                f.write_str(", needs attention")?;
            }
            f.write_str("\n")?;
            for check in &component.checks {
                let indent = indent + 2;
                let CheckSnapshot {
                    name, level, state, ..
                } = check;
                write!(f, "{:indent$}{name} ({level}): {state}", "")?;
                if let Some(age) = check.age {
                    write!(f, ", {age:?} ago")?;
                }
                if let Some(message) = check.result.as_ref().and_then(|r| r.message.as_ref()) {
                    write!(f, ": {message}")?;
                }
                f.write_str("\n")?;
            }
        }
        Ok(())
    }
}
