//! Components as their user describes them.

use super::handle::HealthTree;
use super::order::StatusOrder;
use crate::health::check::{Check, Probe};
use crate::kernel::clock::Clock;
use crate::kernel::config::ConfigError;
use crate::kernel::name::Name;
use std::collections::HashSet;

/// A part of a system: its checks, and the components that it is made of or depends on.
///
/// ```
/// use backstop::health::check::{Check, Level};
/// use backstop::health::tree::Component;
///
/// let cache = Component::new("cache")
///     .dependency()
///     .optional()
///     .check(Check::reported("connected", Level::Critical));
/// # let _ = cache;
/// ```
#[derive(Debug)]
pub struct Component {
    name: Name,
    checks: Vec<Check>,
    children: Vec<Component>,
    optional: bool,
    dependency: bool,
}

impl Component {
    /// A component without checks. The name is one of its own in the tree.
    pub fn new(name: impl Into<Name>) -> Self {
        Self {
            name: name.into(),
            checks: Vec::new(),
            children: Vec::new(),
            optional: false,
            dependency: false,
        }
    }

    /// Adds a check, with a name of its own in this component.
    pub fn check(mut self, check: Check) -> Self {
        self.checks.push(check);
        self
    }

    /// Adds a component that this one needs.
    pub fn component(mut self, child: Self) -> Self {
        self.children.push(child);
        self
    }

    /// The one above can do without it: whatever it comes to degrades that one at most.
    pub const fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// It is not part of this process: to restart this process would not mend it, so none of its
    /// checks, nor of those beneath it, is a liveness check (unless
    /// [the tree](HealthTreeBuilder::liveness_of_dependencies) says so).
    pub const fn dependency(mut self) -> Self {
        self.dependency = true;
        self
    }
}

/// A tree that is being described; see [`HealthTree::builder`].
#[derive(Debug)]
pub struct HealthTreeBuilder {
    root: Component,
    pub(super) order: StatusOrder,
    pub(super) clock: Clock,
    pub(super) seed: Option<u64>,
    liveness_of_dependencies: bool,
}

impl HealthTreeBuilder {
    pub(super) fn new(name: Name) -> Self {
        Self {
            root: Component::new(name),
            order: StatusOrder::default(),
            clock: Clock::default(),
            seed: None,
            liveness_of_dependencies: false,
        }
    }

    /// Adds a check of the system as a whole.
    pub fn check(mut self, check: Check) -> Self {
        self.root = self.root.check(check);
        self
    }

    /// Adds a component.
    pub fn component(mut self, component: Component) -> Self {
        self.root = self.root.component(component);
        self
    }

    /// Which status is worse than which.
    pub const fn order(mut self, order: StatusOrder) -> Self {
        self.order = order;
        self
    }

    /// The clock that everything here goes by.
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = clock.into();
        self
    }

    /// Makes the jitter of back-offs the same in each run.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Whether dependencies may have liveness checks, so that this process is restarted because of
    /// them. Default: they may not.
    pub const fn liveness_of_dependencies(mut self, may: bool) -> Self {
        self.liveness_of_dependencies = may;
        self
    }

    /// The tree. Nothing runs yet: see [`HealthTree::start`].
    ///
    /// # Errors
    ///
    /// A setting that cannot be; a name that two components, or two checks of one component, have;
    /// a liveness check of a dependency.
    pub fn build(self) -> Result<HealthTree, ConfigError> {
        let (plan, builder) = self.plan()?;
        Ok(HealthTree::assemble(plan, &builder))
    }

    /// Takes the tree apart.
    fn plan(mut self) -> Result<(Plan, Self), ConfigError> {
        let root = std::mem::replace(&mut self.root, Component::new(""));
        let mut plan = Plan::default();
        let mut names = HashSet::new();
        // A stack and no recursion: a chain of components is as long as somebody made it.
        let mut open = vec![Open::of(root, None)];
        while let Some(mut next) = open.pop() {
            let Some(component) = next.component.take() else {
                // All beneath it is placed.
                if let Some(node) = next.placed {
                    plan.nodes[node].end = plan.nodes.len();
                }
                continue;
            };
            let name = component.name.clone();
            if !names.insert(name.as_str().to_owned()) {
                return Err(twice("component", &name, "no other component has"));
            }
            let node = plan.nodes.len();
            let above = next.parent.map(|parent: usize| &plan.nodes[parent]);
            plan.nodes.push(PlannedNode {
                name,
                parent: next.parent,
                end: 0,
                optional: component.optional,
                needed: !component.optional && above.is_none_or(|above| above.needed),
                outside: component.dependency || above.is_some_and(|above| above.outside),
            });
            self.place_checks(&mut plan, node, component.checks)?;
            open.push(Open {
                component: None,
                parent: next.parent,
                placed: Some(node),
            });
            let children = component.children.into_iter().rev();
            open.extend(children.map(|child| Open::of(child, Some(node))));
        }
        Ok((plan, self))
    }

    fn place_checks(
        &self,
        plan: &mut Plan,
        node: usize,
        checks: Vec<Check>,
    ) -> Result<(), ConfigError> {
        let mut names = HashSet::new();
        for check in checks {
            check.validate()?;
            if !names.insert(check.name.as_str().to_owned()) {
                return Err(twice("check", &check.name, "no other check of it has"));
            }
            let is_liveness = check.probe == Probe::Liveness;
            if is_liveness && plan.nodes[node].outside && !self.liveness_of_dependencies {
                return Err(ConfigError::new(
                    "probe",
                    check.probe,
                    "readiness or start-up for a check of a dependency",
                )
                .within("check"));
            }
            plan.checks.push((node, check));
        }
        Ok(())
    }
}

fn twice(field: &'static str, name: &Name, whose: &str) -> ConfigError {
    ConfigError::new(
        field,
        format_args!("{name:?}"),
        format!("a name that {whose}"),
    )
}

struct Open {
    component: Option<Component>,
    parent: Option<usize>,
    placed: Option<usize>,
}

impl Open {
    const fn of(component: Component, parent: Option<usize>) -> Self {
        Self {
            component: Some(component),
            parent,
            placed: None,
        }
    }
}

/// The tree laid out: each component before those beneath it, which follow it without a gap.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) nodes: Vec<PlannedNode>,
    pub(super) checks: Vec<(usize, Check)>,
}

pub(super) struct PlannedNode {
    pub(super) name: Name,
    pub(super) parent: Option<usize>,
    /// One past the last component beneath it.
    pub(super) end: usize,
    pub(super) optional: bool,
    /// Nothing on the way up is optional: its liveness and start-up checks speak for the process.
    pub(super) needed: bool,
    /// Whether it is, or belongs to, a dependency.
    pub(super) outside: bool,
}
