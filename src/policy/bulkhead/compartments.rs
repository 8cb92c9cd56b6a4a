//! A set of compartments, as users hold it.

use super::compartments_config::CompartmentsConfig;
use super::compartments_handle::Compartment;
use super::compartments_seat::{Seat, Set};
use super::compartments_slots::Slots;
use crate::kernel::clock::Clock;
use crate::kernel::config::ConfigError;
use crate::kernel::name::Name;
use crate::kernel::shared::Shared;
use crate::kernel::sync::Mutex;
use std::fmt;
use std::sync::Arc;

/// Bulkheads by name that bound each other: a flood of one kind of call leaves the others their
/// share.
///
/// Each [`Compartment`] has a limit of its own. With a
/// [`total`](CompartmentsConfig::total) they share the slots of the set, each with a guaranteed
/// part, of which others borrow what is idle. A borrowed slot is not taken back before its call
/// ends; then it goes to the compartment that is owed one, before any borrower.
///
/// Clones share the set.
///
/// ```
/// use backstop::policy::bulkhead::{CompartmentConfig, Compartments, CompartmentsConfig};
///
/// let config = CompartmentsConfig::new()
///     .total(3)
///     .compartment("critical", CompartmentConfig::new(3).guaranteed(1))
///     .compartment("batch", CompartmentConfig::new(3));
/// let compartments = Compartments::new("api", config)?;
/// let (critical, batch) = (compartments.require("critical")?, compartments.require("batch")?);
///
/// // All that is idle can be borrowed,
/// let borrowed = [batch.try_acquire()?, batch.try_acquire()?, batch.try_acquire()?];
/// assert!(critical.try_acquire().is_err());
/// // and the first slot that comes back is for whom it is owed to.
/// let [first, ..] = borrowed;
/// drop(first);
/// assert!(batch.try_acquire().is_err());
/// assert!(critical.try_acquire().is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Compartments(Arc<Members>);

struct Members {
    set: Arc<Set>,
    compartments: Box<[Compartment]>,
}

impl Compartments {
    /// A set on the default clock.
    ///
    /// # Errors
    ///
    /// A configuration that cannot be: the error names the field, its value and what is allowed.
    pub fn new(name: impl Into<Name>, config: CompartmentsConfig) -> Result<Self, ConfigError> {
        Self::with_clock(name, config, Clock::default())
    }

    /// The same on a clock of your own, which waits and debts are measured by.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_clock(
        name: impl Into<Name>,
        config: CompartmentsConfig,
        clock: impl Into<Clock>,
    ) -> Result<Self, ConfigError> {
        config.check()?;
        let clock = clock.into();
        let slots = config.plans().into_iter();
        let slots = slots.map(|plan| Arc::new(Slots::new(plan, clock.clone())));
        let keys: Vec<String> = config.names().map(String::from).collect();
        let set = Arc::new(Set {
            name: name.into(),
            slots: slots.collect(),
            config: Mutex::new(config),
        });
        let seats = keys.iter().enumerate();
        let compartments =
            seats.map(|(at, key)| Compartment::of(Shared::new(Seat::new(&set, key, at))));
        Ok(Self(Arc::new(Members {
            compartments: compartments.collect(),
            set,
        })))
    }

    /// The compartment of this name.
    pub fn get(&self, name: &str) -> Option<Compartment> {
        self.iter()
            .find(|compartment| compartment.key() == name)
            .cloned()
    }

    /// The compartment of this name, or an error that lists those there are.
    ///
    /// # Errors
    ///
    /// There is none of this name.
    pub fn require(&self, name: &str) -> Result<Compartment, UnknownCompartment> {
        self.get(name)
            .ok_or_else(|| UnknownCompartment::new(self.name(), name, self.names()))
    }

    /// The compartments, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Compartment> {
        self.0.compartments.iter()
    }

    /// Their names in the set, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.iter().map(Compartment::key)
    }

    /// The name of the set.
    pub fn name(&self) -> &Name {
        &self.0.set.name
    }

    /// How many calls hold a slot, in all compartments. The counts are read one after the other.
    pub fn in_flight(&self) -> u32 {
        self.iter()
            .map(Compartment::in_flight)
            .fold(0, u32::saturating_add)
    }

    /// The configuration in force.
    pub fn config(&self) -> CompartmentsConfig {
        self.0.set.config.lock().clone()
    }

    /// Takes new numbers for the same compartments from the next call on. Running calls and those
    /// who wait stay. A set that was made much smaller than it becomes may from then on take a short
    /// lock for each call.
    ///
    /// # Errors
    ///
    /// A configuration that cannot be, other compartments, or a total where there was none (and
    /// the other way round): all of it stays as it was.
    pub fn reconfigure(&self, config: CompartmentsConfig) -> Result<(), ConfigError> {
        self.0.set.reconfigure(|old| *old = config)
    }
}

impl fmt::Debug for Compartments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compartments")
            .field("name", self.name())
            .field("compartments", &self.0.compartments)
            .finish()
    }
}

/// There is no compartment of that name; the message lists those there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownCompartment {
    set: Name,
    name: String,
    known: Vec<String>,
}

impl UnknownCompartment {
    pub(super) fn new<'a>(set: &Name, name: &str, known: impl Iterator<Item = &'a str>) -> Self {
        Self {
            set: set.clone(),
            name: name.to_owned(),
            known: known.map(str::to_owned).collect(),
        }
    }

    /// The name that was asked for.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The names there are.
    pub fn known(&self) -> impl Iterator<Item = &str> {
        self.known.iter().map(String::as_str)
    }
}

impl fmt::Display for UnknownCompartment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { set, name, known } = self;
        let known = known.join(", ");
        write!(f, "`{set}` has no compartment {name:?}; it has {known}")
    }
}

impl std::error::Error for UnknownCompartment {}
