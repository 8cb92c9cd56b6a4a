//! What any policy can be asked and told, whatever its type.

use crate::kernel::config::ConfigError;
use crate::kernel::name::Name;
use std::any::Any;

/// A policy as an operator's tools see it: named, shown, reset, isolated, reconfigured.
pub trait Managed: Send + Sync {
    /// The type of the policy in `snake_case`, as in metric labels.
    fn policy(&self) -> &'static str;

    /// Its name.
    fn name(&self) -> &Name;

    /// Its state and figures at this moment.
    fn snapshot(&self) -> ManagedSnapshot;

    /// Back to its first state, with empty windows.
    fn reset(&self);

    /// Refuses all calls until the guard, and every other one, is dropped.
    fn isolate(&self) -> Isolation;

    /// A copy of its configuration, to be changed or put back with
    /// [`reconfigure`](Self::reconfigure).
    fn config(&self) -> Box<dyn Any + Send + Sync>;

    /// Takes a new configuration of its own type, from the next call on.
    ///
    /// # Errors
    ///
    /// A configuration of another type, or one that cannot be; the old one stays.
    fn reconfigure(&self, config: &(dyn Any + Send + Sync)) -> Result<(), ConfigError>;
}

/// A configuration as the type that a policy takes; `wanted` is that type's name with its article.
///
/// # Errors
///
/// A configuration of another type.
pub(crate) fn config_of<'a, C: Any>(
    config: &'a (dyn Any + Send + Sync),
    wanted: &str,
) -> Result<&'a C, ConfigError> {
    config
        .downcast_ref()
        .ok_or_else(|| ConfigError::new("config", "a configuration of another type", wanted))
}

/// The state of a policy in words and numbers.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ManagedSnapshot {
    /// The type of the policy in `snake_case`.
    pub policy: &'static str,
    /// Its name.
    pub name: String,
    /// Its state in `snake_case`.
    pub state: &'static str,
    /// Its figures by name.
    pub figures: Vec<(&'static str, f64)>,
}

impl ManagedSnapshot {
    /// A snapshot without figures.
    pub fn new(policy: &'static str, name: &Name, state: &'static str) -> Self {
        Self {
            policy,
            name: name.to_string(),
            state,
            figures: Vec::new(),
        }
    }

    /// Adds a figure.
    pub fn with_figure(mut self, name: &'static str, value: f64) -> Self {
        self.figures.push((name, value));
        self
    }
}

/// Holds a policy isolated; dropping it lets go. Guards are counted: the last one frees.
#[must_use = "dropping it ends the isolation"]
pub struct Isolation {
    release: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl Isolation {
    /// A guard that runs `release` once, when it is dropped.
    pub fn new(release: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self {
            release: Some(Box::new(release)),
        }
    }
}

impl Drop for Isolation {
    fn drop(&mut self) {
        if let Some(release) = self.release.take() {
            release();
        }
    }
}

impl std::fmt::Debug for Isolation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Isolation").finish_non_exhaustive()
    }
}
