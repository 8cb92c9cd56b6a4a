//! What a report is about.

use crate::kernel::config::ConfigError;
use std::time::{Duration, SystemTime};

/// What is looked at: a window of time, all components or one, and how many samples a figure takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    pub(super) from: SystemTime,
    pub(super) until: SystemTime,
    pub(super) component: Option<String>,
    pub(super) needed: u64,
    pub(super) tasks: Vec<SystemTime>,
}

impl Observation {
    /// Of all components, from the first time up to but without the second.
    ///
    /// # Errors
    ///
    /// A window without any time in it.
    pub fn new(from: SystemTime, until: SystemTime) -> Result<Self, ConfigError> {
        if until <= from {
            return Err(ConfigError::new(
                "until",
                format!("{until:?}"),
                format!("later than {from:?}"),
            ));
        }
        Ok(Self {
            from,
            until,
            component: None,
            needed: 5,
            tasks: Vec::new(),
        })
    }

    /// Of the incidents of this component alone: those that it was reported for.
    pub fn component(mut self, component: impl Into<String>) -> Self {
        self.component = Some(component.into());
        self
    }

    /// So many samples a mean or a ratio takes (at least 1; 0 counts as 1). Default: 5, as a mean of
    /// fewer moves by a fifth or more with each.
    pub const fn min_samples(mut self, samples: u64) -> Self {
        self.needed = if samples == 0 { 1 } else { samples };
        self
    }

    /// Adds a manual task that is open since then, besides the incidents that were handed over.
    pub fn open_task(mut self, since: SystemTime) -> Self {
        self.tasks.push(since);
        self
    }

    pub(super) fn observed(&self) -> Duration {
        between(self.from, self.until)
    }

    pub(super) fn holds(&self, time: SystemTime) -> bool {
        self.from <= time && time < self.until
    }
}

/// Zero if the clock stepped back.
pub(super) fn between(from: SystemTime, until: SystemTime) -> Duration {
    until.duration_since(from).unwrap_or(Duration::ZERO)
}
