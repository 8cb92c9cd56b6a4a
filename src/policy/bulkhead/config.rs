//! What a bulkhead can be told.

use super::word::{HIGHEST_LIMIT, QUEUES, UNCOUNTED, Word};
use crate::kernel::config::ConfigError;
#[cfg(feature = "serde")]
use crate::kernel::config::duration_text;
use crate::kernel::priority::Priority;
use std::time::Duration;

/// The configuration of a [`Bulkhead`](super::Bulkhead): a small value with a default for
/// everything, checked when a bulkhead takes it.
///
/// | setting | default | why |
/// |---|---|---|
/// | [`max_concurrent`](Self::max_concurrent) | 25 | at 100 ms a call that is 250 calls a second, more than most clients of one callee make; and 25 stuck calls leave a service of hundreds of tasks alive |
/// | [`queue`](Self::queue) | none | a queue hides that the callee is slow, and its waits add to the latency of all; who refuses at once tells the caller while there is time to do something else |
/// | [`order`](Self::order) | first in, first out | fair, and the least surprising |
/// | [`totals`](Self::totals) | on | what is not counted cannot be seen; it costs one uncontended add per call |
///
/// ```
/// use backstop::BulkheadConfig;
/// use std::time::Duration;
///
/// let config = BulkheadConfig::default()
///     .max_concurrent(10)
///     .queue(50, Duration::from_millis(500));
/// # backstop::Bulkhead::new("x", config).unwrap();
/// ```
///
/// With the feature `serde` it is read from text, in which unknown fields are refused:
///
/// ```
/// # #[cfg(feature = "serde")] {
/// let config: backstop::BulkheadConfig = toml::from_str(r#"
///     max_concurrent = 10
///     max_waiting = 50
///     max_wait = "500ms"
///     order = "lifo"
/// "#).unwrap();
/// # backstop::Bulkhead::new("x", config).unwrap();
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct BulkheadConfig {
    pub(super) max_concurrent: u32,
    pub(super) max_waiting: u32,
    #[cfg_attr(feature = "serde", serde(with = "duration_text::option"))]
    pub(super) max_wait: Option<Duration>,
    pub(super) order: Order,
    pub(super) totals: bool,
}

/// Who of one class of priority goes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum Order {
    /// Who came first.
    #[default]
    Fifo,
    /// Who came last. Under overload this serves those whose callers still listen, and lets the
    /// others time out, where first in, first out serves everybody late.
    Lifo,
}

impl Default for BulkheadConfig {
    fn default() -> Self {
        Self {
            max_concurrent: 25,
            max_waiting: 0,
            max_wait: None,
            order: Order::Fifo,
            totals: true,
        }
    }
}

impl BulkheadConfig {
    /// This many calls at once (0 to 268,435,455). A bulkhead of 0 refuses everything. Default: 25.
    pub const fn max_concurrent(mut self, calls: u32) -> Self {
        self.max_concurrent = calls;
        self
    }

    /// Beyond those, up to `max_waiting` calls wait (1 to 268,435,455), each for up to `max_wait`
    /// (above zero) unless it says otherwise itself. In text these are the two fields
    /// `max_waiting` and `max_wait`. Default: none waits; who finds no slot is refused at once.
    pub const fn queue(mut self, max_waiting: u32, max_wait: Duration) -> Self {
        self.max_waiting = max_waiting;
        self.max_wait = Some(max_wait);
        self
    }

    /// Without a queue: who finds no slot is refused at once.
    pub const fn without_queue(mut self) -> Self {
        self.max_waiting = 0;
        self.max_wait = None;
        self
    }

    /// Who of one class of priority goes first. Default: who came first.
    pub const fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Whether calls that went through are counted; refusals always are. Without, a call saves one
    /// uncontended add, and [`Totals::finished`](super::Totals::finished) stays where it is.
    /// Default: `true`.
    pub const fn totals(mut self, counted: bool) -> Self {
        self.totals = counted;
        self
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        checked_limit("max_concurrent", self.max_concurrent)?;
        checked_limit("max_waiting", self.max_waiting)?;
        match (self.max_waiting, self.max_wait) {
            (0, None) => Ok(()),
            (0, Some(_)) => Err(ConfigError::new(
                "max_waiting",
                0,
                "at least 1 where there is a max_wait",
            )),
            (_, None) => Err(ConfigError::new(
                "max_wait",
                "none",
                "set where max_waiting is above 0: every wait has an end",
            )),
            (_, Some(Duration::ZERO)) => Err(ConfigError::new("max_wait", "0s", "above 0s")),
            (_, Some(_)) => Ok(()),
        }
    }

    /// What of it the state word carries.
    pub(super) fn word(&self) -> Word {
        let flag = |is_set: bool, flag: u64| if is_set { flag } else { 0 };
        Word::new(
            self.max_concurrent,
            flag(self.max_waiting > 0, QUEUES) | flag(!self.totals, UNCOUNTED),
        )
    }
}

pub(super) fn checked_limit(field: &'static str, limit: u32) -> Result<(), ConfigError> {
    if limit > HIGHEST_LIMIT {
        let allowed = format!("from 0 to {HIGHEST_LIMIT}");
        return Err(ConfigError::new(field, limit, allowed));
    }
    Ok(())
}

/// How a call asks for a slot: its priority, and how long it waits.
///
/// ```
/// use backstop::kernel::priority::Priority;
/// use backstop::policy::bulkhead::Ask;
/// use std::time::Duration;
///
/// let patient = Ask::default().max_wait(Duration::from_secs(5));
/// let unimportant = Ask::from(Priority::Sheddable);
/// # let _ = (patient, unimportant);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    pub(super) priority: Priority,
    pub(super) max_wait: Option<Duration>,
}

impl Ask {
    /// Which waiters it goes before. Default: [`Priority::Critical`].
    pub const fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Waits for at most this long, where there is a queue; zero is not at all. Default: what the
    /// bulkhead's configuration says.
    pub const fn max_wait(mut self, max_wait: Duration) -> Self {
        self.max_wait = Some(max_wait);
        self
    }
}

impl From<Priority> for Ask {
    fn from(priority: Priority) -> Self {
        Self::default().priority(priority)
    }
}
