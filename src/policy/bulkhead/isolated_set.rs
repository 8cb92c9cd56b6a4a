//! Isolated bulkheads by name.

use super::compartments::UnknownCompartment;
use super::isolated::{IsolatedBulkhead, StartError};
use super::isolated_config::IsolatedConfig;
use crate::kernel::clock::Clock;
use crate::kernel::config::ConfigError;
use crate::kernel::name::Name;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The configuration of an [`IsolatedCompartments`]: one [`IsolatedConfig`] per name.
///
/// ```
/// # #[cfg(feature = "serde")] {
/// # use backstop::policy::bulkhead::IsolatedCompartmentsConfig;
/// let config: IsolatedCompartmentsConfig = toml::from_str(r#"
///     reports = { worker_threads = 4, max_waiting = 100, max_wait = "5s" }
///     images = { worker_threads = 2, max_concurrent = 8, time_limit = "30s" }
/// "#).unwrap();
/// # drop(config);
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(transparent)
)]
pub struct IsolatedCompartmentsConfig {
    compartments: BTreeMap<String, IsolatedConfig>,
}

impl IsolatedCompartmentsConfig {
    /// No compartments yet.
    pub const fn new() -> Self {
        Self {
            compartments: BTreeMap::new(),
        }
    }

    /// `critical` with 20 worker threads, `standard` with 50, `batch` with 10.
    pub fn presets() -> Self {
        Self::new()
            .compartment("critical", IsolatedConfig::critical())
            .compartment("standard", IsolatedConfig::standard())
            .compartment("batch", IsolatedConfig::batch())
    }

    /// Adds a compartment, or replaces the one of that name.
    pub fn compartment(mut self, name: impl Into<String>, config: IsolatedConfig) -> Self {
        self.compartments.insert(name.into(), config);
        self
    }
}

/// Isolated bulkheads by name, each with a runtime of its own: what is stuck in one of them takes
/// no thread from the others. Clones share them. Each is named `set/compartment`.
#[derive(Clone)]
pub struct IsolatedCompartments {
    name: Name,
    compartments: Arc<[(String, IsolatedBulkhead)]>,
}

impl IsolatedCompartments {
    /// A set on the default clock, with all its threads running.
    ///
    /// # Errors
    ///
    /// As [`IsolatedBulkhead::new`]; those that were started already shut down again.
    pub fn new(
        name: impl Into<Name>,
        config: &IsolatedCompartmentsConfig,
    ) -> Result<Self, StartError> {
        Self::with_clock(name, config, Clock::default())
    }

    /// The same on a clock of your own.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_clock(
        name: impl Into<Name>,
        config: &IsolatedCompartmentsConfig,
        clock: impl Into<Clock>,
    ) -> Result<Self, StartError> {
        let (name, clock) = (name.into(), clock.into());
        let compartments = &config.compartments;
        if compartments.is_empty() {
            return Err(ConfigError::new("compartments", 0, "at least 1 compartment").into());
        }
        // All are checked before the first thread is made.
        for config in compartments.values() {
            config.checked()?;
        }
        let start = |(key, config): (&String, &IsolatedConfig)| {
            let name = format!("{name}/{key}");
            let bulkhead = IsolatedBulkhead::with_clock(name, *config, clock.clone())?;
            Ok((key.clone(), bulkhead))
        };
        let started: Result<_, StartError> = compartments.iter().map(start).collect();
        Ok(Self {
            compartments: started?,
            name,
        })
    }

    /// The compartment of this name.
    pub fn get(&self, name: &str) -> Option<IsolatedBulkhead> {
        let mut all = self.compartments.iter();
        all.find(|(key, _)| key == name)
            .map(|(_, bulkhead)| bulkhead.clone())
    }

    /// The compartment of this name, or an error that lists those there are.
    ///
    /// # Errors
    ///
    /// There is none of this name.
    pub fn require(&self, name: &str) -> Result<IsolatedBulkhead, UnknownCompartment> {
        self.get(name)
            .ok_or_else(|| UnknownCompartment::new(&self.name, name, self.names()))
    }

    /// Their names in the set, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.compartments.iter().map(|(key, _)| key.as_str())
    }

    /// The compartments, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &IsolatedBulkhead> {
        self.compartments.iter().map(|(_, bulkhead)| bulkhead)
    }

    /// The name of the set.
    pub fn name(&self) -> &Name {
        &self.name
    }
}

impl fmt::Debug for IsolatedCompartments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IsolatedCompartments")
            .field("name", &self.name)
            .field("compartments", &self.names().collect::<Vec<_>>())
            .finish()
    }
}
