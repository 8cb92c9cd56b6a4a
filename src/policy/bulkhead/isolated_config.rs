//! What an isolated bulkhead can be told.

use super::config::{BulkheadConfig, Order};
use crate::kernel::config::ConfigError;
#[cfg(feature = "serde")]
use crate::kernel::config::duration_text;
use std::time::Duration;

/// The configuration of an [`IsolatedBulkhead`](super::IsolatedBulkhead).
///
/// | setting | default | why |
/// |---|---|---|
/// | [`worker_threads`](Self::new) | none, it must be said | how much of the machine a compartment may block is what this is about |
/// | [`max_concurrent`](Self::max_concurrent) | as many as worker threads | calls that all block still find a thread each |
/// | [`queue`](Self::queue) | none | as for a [`BulkheadConfig`] |
/// | [`time_limit`](Self::time_limit) | none | only the caller knows how long is too long |
///
/// ```
/// use backstop::policy::bulkhead::IsolatedConfig;
/// use std::time::Duration;
///
/// let reports = IsolatedConfig::batch()
///     .queue(100, Duration::from_secs(5))
///     .time_limit(Duration::from_secs(60));
/// # let _ = reports;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct IsolatedConfig {
    worker_threads: u32,
    #[cfg_attr(feature = "serde", serde(default))]
    max_concurrent: Option<u32>,
    #[cfg_attr(feature = "serde", serde(default))]
    max_waiting: u32,
    #[cfg_attr(feature = "serde", serde(default, with = "duration_text::option"))]
    max_wait: Option<Duration>,
    #[cfg_attr(feature = "serde", serde(default))]
    order: Order,
    #[cfg_attr(feature = "serde", serde(default, with = "duration_text::option"))]
    time_limit: Option<Duration>,
}

/// More threads than this are a mistake: 1,024 idle ones hold 2 GiB of address space for stacks.
const MOST_THREADS: u32 = 1_024;

impl IsolatedConfig {
    /// A runtime with so many worker threads (1 to 1,024) for async work. Blocking work gets
    /// threads of its own, made when they are needed, up to
    /// [`max_concurrent`](Self::max_concurrent).
    pub const fn new(worker_threads: u32) -> Self {
        Self {
            worker_threads,
            max_concurrent: None,
            max_waiting: 0,
            max_wait: None,
            order: Order::Fifo,
            time_limit: None,
        }
    }

    /// For what people wait for: 20 worker threads.
    pub const fn critical() -> Self {
        Self::new(20)
    }

    /// For the bulk of the calls: 50 worker threads.
    pub const fn standard() -> Self {
        Self::new(50)
    }

    /// For what can wait: 10 worker threads.
    pub const fn batch() -> Self {
        Self::new(10)
    }

    /// So many calls at once (1 to 1,024), async and blocking ones together. More than worker
    /// threads make sense where async work waits more than it computes. Default: as many as worker
    /// threads.
    pub const fn max_concurrent(mut self, calls: u32) -> Self {
        self.max_concurrent = Some(calls);
        self
    }

    /// Beyond those, up to `max_waiting` calls wait, each for up to `max_wait` (above zero).
    /// Default: none waits.
    pub const fn queue(mut self, max_waiting: u32, max_wait: Duration) -> Self {
        self.max_waiting = max_waiting;
        self.max_wait = Some(max_wait);
        self
    }

    /// Who of those waiting goes first. Default: who came first.
    pub const fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// A caller leaves when its call has run for this long (above zero): async work is dropped at
    /// its next await, blocking work runs on, and either keeps its slot until it has ended.
    /// Default: none.
    pub const fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = Some(limit);
        self
    }

    pub(super) fn checked(&self) -> Result<IsolatedPlan, ConfigError> {
        let threads = |field, number| {
            if (1..=MOST_THREADS).contains(&number) {
                return Ok(number as usize);
            }
            let allowed = format!("from 1 to {MOST_THREADS}");
            Err(ConfigError::new(field, number, allowed))
        };
        let worker_threads = threads("worker_threads", self.worker_threads)?;
        let max_concurrent = self.max_concurrent.unwrap_or(self.worker_threads);
        let blocking_threads = threads("max_concurrent", max_concurrent)?;
        if let Some(Duration::ZERO) = self.time_limit {
            return Err(ConfigError::new("time_limit", "0s", "above 0s"));
        }
        let mut admission = BulkheadConfig::default()
            .max_concurrent(max_concurrent)
            .order(self.order);
        admission.max_waiting = self.max_waiting;
        admission.max_wait = self.max_wait;
        admission.check()?;
        Ok(IsolatedPlan {
            worker_threads,
            blocking_threads,
            time_limit: self.time_limit,
            admission,
        })
    }
}

/// A configuration after it was checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct IsolatedPlan {
    pub(super) worker_threads: usize,
    pub(super) blocking_threads: usize,
    pub(super) time_limit: Option<Duration>,
    pub(super) admission: BulkheadConfig,
}
