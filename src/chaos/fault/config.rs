//! What a fault can be told.

use crate::kernel::config::ConfigError;
use crate::kernel::name::Name;
use std::time::Duration;

/// A fault to be injected: a small value, checked by
/// [`FaultInjector::inject`](super::FaultInjector::inject).
///
/// | setting | default | why |
/// |---|---|---|
/// | [`probability`](Self::probability) | 1 | a test of one step wants it to happen |
/// | [`ttl`](Self::ttl) | none | a test removes its faults itself; an experiment sets one, so that a fault outlives nobody |
/// | [`name`](Self::name) | none | only who looks at the list of faults needs it |
///
/// ```
/// use backstop::chaos::fault::Fault;
/// use std::time::Duration;
///
/// let slow = Fault::latency(Duration::from_millis(300)).probability(0.1);
/// let outage = Fault::error().ttl(Duration::from_secs(30)).name("database outage");
/// # let _ = (slow, outage);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    pub(super) kind: FaultKind,
    pub(super) probability: f64,
    pub(super) ttl: Option<Duration>,
    pub(super) name: Option<Name>,
}

/// What a fault does to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// The call is made this much later.
    Latency(Duration),
    /// The call is not made, and ends with an error.
    Error,
    /// The call is not made before the fault ends.
    Hang,
    /// The call is not made, and its future panics.
    Panic,
}

impl FaultKind {
    /// In `snake_case`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Latency(_) => "latency",
            Self::Error => "error",
            Self::Hang => "hang",
            Self::Panic => "panic",
        }
    }
}

impl Fault {
    /// Calls are made `latency` (above zero) later.
    pub const fn latency(latency: Duration) -> Self {
        Self::of(FaultKind::Latency(latency))
    }

    /// Calls are not made, and end with the error that the caller of the injector makes.
    pub const fn error() -> Self {
        Self::of(FaultKind::Error)
    }

    /// Calls are not made before the fault is removed or its time to live is over.
    pub const fn hang() -> Self {
        Self::of(FaultKind::Hang)
    }

    /// Calls are not made, and panic while they are polled.
    pub const fn panic() -> Self {
        Self::of(FaultKind::Panic)
    }

    const fn of(kind: FaultKind) -> Self {
        Self {
            kind,
            probability: 1.0,
            ttl: None,
            name: None,
        }
    }

    /// Hits this share of the calls: from 0 to 1. Default: 1.
    pub const fn probability(mut self, probability: f64) -> Self {
        self.probability = probability;
        self
    }

    /// Ends by itself this long (above zero) after it was injected. Default: never.
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Gives it a name for lists, logs and the message of its panics. Default: none.
    pub fn name(mut self, name: impl Into<Name>) -> Self {
        self.name = Some(name.into());
        self
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        // Written so that NaN fails.
        if !(0.0..=1.0).contains(&self.probability) {
            return Err(ConfigError::new(
                "probability",
                self.probability,
                "from 0 to 1",
            ));
        }
        if self.kind == FaultKind::Latency(Duration::ZERO) {
            return Err(ConfigError::new("latency", "0s", "above 0s"));
        }
        if self.ttl == Some(Duration::ZERO) {
            return Err(ConfigError::new("ttl", "0s", "above 0s"));
        }
        Ok(())
    }

    /// Its name, or what it does.
    pub(super) fn label(&self) -> &str {
        self.name.as_ref().map_or(self.kind.as_str(), Name::as_str)
    }
}
