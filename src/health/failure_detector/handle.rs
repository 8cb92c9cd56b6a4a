//! The handle that takes heartbeats and answers.

use super::config::FailureDetectorConfig;
use super::machine::Machine;
use super::stall::StallWatch;
use crate::kernel::clock::Clock;
use crate::kernel::config::ConfigError;
use crate::kernel::instant::Instant;
use crate::kernel::name::Name;
use crate::kernel::sync::Mutex;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Says from its heartbeats how likely it is that something is dead. Clones are the same one.
///
/// One per sender. A heartbeat takes one short lock and writes a few words; nothing is allocated once the
/// window is full.
#[derive(Clone)]
pub struct FailureDetector {
    shared: Arc<Shared>,
    stalls: Option<StallWatch>,
}

struct Shared {
    name: Name,
    config: FailureDetectorConfig,
    clock: Clock,
    machine: Mutex<Machine>,
}

/// What a detector says of its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Verdict {
    /// There was no heartbeat yet: not known, neither alive nor dead.
    Unknown,
    /// The silence is not suspicious.
    Alive,
    /// It is, but this process itself has stalled just now: wait.
    Suspended,
    /// It is.
    Suspected,
}

impl Verdict {
    /// In `snake_case`, as in a label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Alive => "alive",
            Self::Suspended => "suspended",
            Self::Suspected => "suspected",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a detector knows at one moment.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct FailureDetectorSnapshot {
    /// Its name.
    pub name: String,
    /// What it says.
    pub verdict: Verdict,
    /// How suspicious the silence is: `-log10` of the probability that a heartbeat is still to come.
    pub phi: f64,
    /// Since the last heartbeat; `None` before the first.
    pub silence: Option<Duration>,
    /// The mean of the intervals that count.
    pub mean_interval: Duration,
    /// All heartbeats so far.
    pub heartbeats: u64,
}

impl FailureDetector {
    /// On the default clock.
    ///
    /// # Errors
    ///
    /// A configuration that cannot be: field, value and allowed range.
    pub fn new(name: impl Into<Name>, config: FailureDetectorConfig) -> Result<Self, ConfigError> {
        Self::with_clock(name, config, Clock::default())
    }

    /// The same with a clock.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_clock(
        name: impl Into<Name>,
        config: FailureDetectorConfig,
        clock: impl Into<Clock>,
    ) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self {
            shared: Arc::new(Shared {
                name: name.into(),
                config,
                clock: clock.into(),
                machine: Mutex::new(Machine::new(config)),
            }),
            stalls: None,
        })
    }

    /// This handle, and clones that are made of it, convict nobody while `stalls` says that this process
    /// itself has stalled.
    #[must_use]
    pub fn stalls(mut self, stalls: &StallWatch) -> Self {
        self.stalls = Some(stalls.clone());
        self
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.shared.name
    }

    /// A heartbeat came.
    pub fn heartbeat(&self) {
        let now = self.shared.clock.now();
        self.shared.machine.lock().heartbeat(now);
    }

    /// How suspicious the silence is: 1 is one wrong suspicion in ten, 8 one in 10^8, as far as the model
    /// holds. 0 before the first heartbeat.
    pub fn phi(&self) -> f64 {
        let now = self.shared.clock.now();
        self.shared.machine.lock().phi(now)
    }

    /// What it says now.
    pub fn verdict(&self) -> Verdict {
        let now = self.shared.clock.now();
        self.judge(&self.shared.machine.lock(), now)
    }

    /// Whether the sender is to be taken for alive: not suspected. True before its first heartbeat; see
    /// [`verdict`](Self::verdict) for that.
    pub fn is_available(&self) -> bool {
        self.verdict() != Verdict::Suspected
    }

    /// Forgets all heartbeats: for a sender that is known to have begun anew.
    pub fn reset(&self) {
        *self.shared.machine.lock() = Machine::new(self.shared.config);
    }

    /// What it knows now.
    pub fn snapshot(&self) -> FailureDetectorSnapshot {
        let now = self.shared.clock.now();
        let machine = self.shared.machine.lock();
        FailureDetectorSnapshot {
            name: self.shared.name.as_str().to_owned(),
            verdict: self.judge(&machine, now),
            phi: machine.phi(now),
            silence: machine
                .last()
                .map(|last| now.saturating_duration_since(last)),
            mean_interval: machine.mean(),
            heartbeats: machine.heartbeats(),
        }
    }

    fn judge(&self, machine: &Machine, now: Instant) -> Verdict {
        if machine.last().is_none() {
            return Verdict::Unknown;
        }
        if !machine.is_suspected(now) {
            return Verdict::Alive;
        }
        match &self.stalls {
            Some(stalls) if stalls.is_suspended_at(now) => Verdict::Suspended,
            _ => Verdict::Suspected,
        }
    }
}

impl fmt::Debug for FailureDetector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FailureDetector")
            .field("name", &self.shared.name)
            .field("config", &self.shared.config)
            .finish_non_exhaustive()
    }
}
