//! What a set of compartments can be told.

use super::config::Order;
use super::word::HIGHEST_LIMIT;
use crate::kernel::config::ConfigError;
#[cfg(feature = "serde")]
use crate::kernel::config::duration_text;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

/// The configuration of one compartment.
///
/// ```
/// use backstop::policy::bulkhead::CompartmentConfig;
/// use std::time::Duration;
///
/// let checkout = CompartmentConfig::critical().guaranteed(60);
/// let reports = CompartmentConfig::batch().queue(200, Duration::from_secs(5));
/// # let _ = (checkout, reports);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct CompartmentConfig {
    limit: u32,
    #[cfg_attr(feature = "serde", serde(default))]
    guaranteed: u32,
    #[cfg_attr(feature = "serde", serde(default))]
    max_waiting: u32,
    #[cfg_attr(feature = "serde", serde(default, with = "duration_text::option"))]
    max_wait: Option<Duration>,
    #[cfg_attr(feature = "serde", serde(default))]
    order: Order,
}

impl CompartmentConfig {
    /// At most `limit` calls at once (0 refuses everything), no guarantee, no queue.
    pub const fn new(limit: u32) -> Self {
        Self {
            limit,
            guaranteed: 0,
            max_waiting: 0,
            max_wait: None,
            order: Order::Fifo,
        }
    }

    /// For what people wait for: at most 100 calls at once.
    pub const fn critical() -> Self {
        Self::new(100)
    }

    /// For the bulk of the calls: at most 500 at once.
    pub const fn standard() -> Self {
        Self::new(500)
    }

    /// For what can wait: at most 50 calls at once.
    pub const fn batch() -> Self {
        Self::new(50)
    }

    /// Keeps so many slots of the set's total for this compartment; the others may borrow what of
    /// them is idle. At most the limit; the guarantees of a set together are at most its
    /// [`total`](CompartmentsConfig::total), without which there is nothing to guarantee. Default: 0.
    pub const fn guaranteed(mut self, slots: u32) -> Self {
        self.guaranteed = slots;
        self
    }

    /// Lets so many calls wait for a slot, each for at most `max_wait` (above 0). Default: none.
    pub const fn queue(mut self, max_waiting: u32, max_wait: Duration) -> Self {
        self.max_waiting = max_waiting;
        self.max_wait = Some(max_wait);
        self
    }

    /// Who of those waiting is next. Default: first come.
    pub const fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }
}

/// The configuration of a [`Compartments`](super::Compartments).
///
/// Without a [`total`](Self::total) each compartment stands for itself. With one they share it:
///
/// ```
/// use backstop::policy::bulkhead::{CompartmentConfig, Compartments, CompartmentsConfig};
///
/// let config = CompartmentsConfig::new()
///     .total(400)
///     .compartment("critical", CompartmentConfig::critical().guaranteed(50))
///     .compartment("standard", CompartmentConfig::standard().guaranteed(100))
///     .compartment("batch", CompartmentConfig::batch());
/// let compartments = Compartments::new("api", config)?;
/// assert_eq!(compartments.names().collect::<Vec<_>>(), ["batch", "critical", "standard"]);
/// # Ok::<(), backstop::ConfigError>(())
/// ```
///
/// With the feature `serde` it is read from text, in which unknown fields are refused:
///
/// ```
/// # #[cfg(feature = "serde")] {
/// # use backstop::policy::bulkhead::CompartmentsConfig;
/// let config: CompartmentsConfig = toml::from_str(r#"
///     total = 400
///     compartments.critical = { limit = 100, guaranteed = 50 }
///     compartments.batch = { limit = 50, max_waiting = 200, max_wait = "5s" }
/// "#).unwrap();
/// # let _ = backstop::policy::bulkhead::Compartments::new("api", config).unwrap();
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct CompartmentsConfig {
    #[cfg_attr(feature = "serde", serde(default))]
    total: Option<u32>,
    #[cfg_attr(
        feature = "serde",
        serde(default = "owed_for_by_default", with = "duration_text")
    )]
    owed_for: Duration,
    compartments: BTreeMap<String, CompartmentConfig>,
}

const fn owed_for_by_default() -> Duration {
    Duration::from_secs(1)
}

impl Default for CompartmentsConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl CompartmentsConfig {
    /// No compartments yet.
    pub const fn new() -> Self {
        Self {
            total: None,
            owed_for: owed_for_by_default(),
            compartments: BTreeMap::new(),
        }
    }

    /// `critical` with 100 slots, `standard` with 500, `batch` with 50; each for itself.
    pub fn presets() -> Self {
        Self::new()
            .compartment("critical", CompartmentConfig::critical())
            .compartment("standard", CompartmentConfig::standard())
            .compartment("batch", CompartmentConfig::batch())
    }

    /// Adds a compartment, or replaces the one of that name: 1 to 64 bytes.
    pub fn compartment(mut self, name: impl Into<String>, config: CompartmentConfig) -> Self {
        self.compartments.insert(name.into(), config);
        self
    }

    /// At most so many calls at once in all compartments together (from 1). Default: none, each
    /// compartment stands for itself, at the cost of a plain bulkhead.
    pub const fn total(mut self, slots: u32) -> Self {
        self.total = Some(slots);
        self
    }

    /// For so long a slot is kept for a compartment after it was refused one within its guarantee
    /// (above 0). A caller that waits is owed a slot while it waits, in any case. Default: 1 s, which
    /// is time enough for a retry.
    pub const fn owed_for(mut self, time: Duration) -> Self {
        self.owed_for = time;
        self
    }
}

impl CompartmentConfig {
    fn check(&self, name: &str) -> Result<(), ConfigError> {
        let refused = |field, value: &dyn Display, allowed: &str| {
            Err(ConfigError::new(
                field,
                format_args!("{name}: {value}"),
                allowed,
            ))
        };
        if self.limit > HIGHEST_LIMIT {
            let allowed = format!("from 0 to {HIGHEST_LIMIT}");
            return refused("compartments.limit", &self.limit, &allowed);
        }
        if self.guaranteed > self.limit {
            let allowed = format!("at most the limit ({})", self.limit);
            return refused("compartments.guaranteed", &self.guaranteed, &allowed);
        }
        let (field, value, allowed) = match (self.max_waiting, self.max_wait) {
            (0, None) => return Ok(()),
            (0, Some(_)) => ("max_waiting", "0", "at least 1 where there is a max_wait"),
            (_, None) => ("max_wait", "none", "set where there is a max_waiting"),
            (_, Some(Duration::ZERO)) => ("max_wait", "0s", "above 0s"),
            (waiting, _) if waiting > HIGHEST_LIMIT => {
                ("max_waiting", "too many", "at most 268435455")
            }
            _ => return Ok(()),
        };
        match field {
            "max_waiting" => refused("compartments.max_waiting", &value, allowed),
            _ => refused("compartments.max_wait", &value, allowed),
        }
    }

    fn share(&self) -> Share {
        Share {
            limit: self.limit.into(),
            guaranteed: self.guaranteed.into(),
            max_waiting: self.max_waiting,
            max_wait: self.max_wait.unwrap_or_default(),
            order: self.order,
        }
    }
}

/// Their names are labels of metrics.
const MOST_COMPARTMENTS: usize = 64;
const LONGEST_NAME: usize = 64;

impl CompartmentsConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let number = self.compartments.len();
        if !(1..=MOST_COMPARTMENTS).contains(&number) {
            let allowed = format!("1 to {MOST_COMPARTMENTS} compartments");
            return Err(ConfigError::new("compartments", number, allowed));
        }
        for (name, config) in &self.compartments {
            if !(1..=LONGEST_NAME).contains(&name.len()) {
                let allowed = format!("named by 1 to {LONGEST_NAME} bytes");
                return Err(ConfigError::new(
                    "compartments",
                    format_args!("{name:?}"),
                    allowed,
                ));
            }
            config.check(name)?;
        }
        if self.owed_for.is_zero() {
            return Err(ConfigError::new("owed_for", "0s", "above 0s"));
        }
        let guarantees = self
            .compartments
            .values()
            .map(|config| u64::from(config.guaranteed));
        let guaranteed: u64 = guarantees.sum();
        match self.total {
            None if guaranteed > 0 => Err(ConfigError::new(
                "compartments.guaranteed",
                guaranteed,
                "used together with total, of which it is a part",
            )),
            Some(total) if total == 0 || total > HIGHEST_LIMIT => {
                let allowed = format!("from 1 to {HIGHEST_LIMIT}");
                Err(ConfigError::new("total", total, allowed))
            }
            Some(total) if guaranteed > total.into() => Err(ConfigError::new(
                "compartments.guaranteed",
                format_args!("{guaranteed} in all"),
                format!("at most the total ({total}) in all"),
            )),
            _ => Ok(()),
        }
    }

    /// One plan if they share a total, else one for each.
    pub(super) fn plans(&self) -> Vec<Plan> {
        let shares = self.compartments.values().map(CompartmentConfig::share);
        let plan = |total, shares| Plan {
            total,
            owed_for: self.owed_for,
            shares,
        };
        match self.total {
            Some(total) => vec![plan(total.into(), shares.collect())],
            None => shares
                .map(|share| plan(share.limit, [share].into()))
                .collect(),
        }
    }

    /// Whether they share a total.
    pub(super) const fn is_shared(&self) -> bool {
        self.total.is_some()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.compartments.keys().map(String::as_str)
    }

    pub(super) fn at_mut(&mut self, name: &str) -> Option<&mut CompartmentConfig> {
        self.compartments.get_mut(name)
    }

    pub(super) fn at(&self, name: &str) -> Option<CompartmentConfig> {
        self.compartments.get(name).copied()
    }
}

/// A configuration after it was checked: the compartments in the order of their names.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) total: u64,
    pub(super) owed_for: Duration,
    pub(super) shares: Box<[Share]>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) limit: u64,
    pub(super) guaranteed: u64,
    pub(super) max_waiting: u32,
    pub(super) max_wait: Duration,
    pub(super) order: Order,
}
