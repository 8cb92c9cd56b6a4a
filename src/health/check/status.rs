//! What a failure means, and how well something is.

use std::fmt;

/// What the failure of a check means. Ordered by severity, the mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum Level {
    /// Somebody should look at it. The status stays what it is, and is flagged.
    Maintenance,
    /// The system works with reduced function: [`Status::Degraded`].
    Degraded,
    /// The system cannot function: [`Status::Unhealthy`].
    Critical,
}

impl Level {
    /// In `snake_case`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Maintenance => "maintenance",
            Self::Degraded => "degraded",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How well a component is. Ordered from well to worse; where several meet, the worst counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum Status {
    /// All is well.
    Healthy,
    /// There are too few results yet to say.
    Starting,
    /// Nobody knows: there are no checks, or their results are too old.
    Unknown,
    /// It works with reduced function.
    Degraded,
    /// It does not work.
    Unhealthy,
    /// Somebody took it out of service by hand.
    OutOfService,
}

impl Status {
    /// All of them, the best first.
    pub const ALL: [Self; 6] = [
        Self::Healthy,
        Self::Starting,
        Self::Unknown,
        Self::Degraded,
        Self::Unhealthy,
        Self::OutOfService,
    ];

    /// In `snake_case`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Starting => "starting",
            Self::Unknown => "unknown",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
            Self::OutOfService => "out_of_service",
        }
    }

    pub(crate) const fn code(self) -> u8 {
        self as u8
    }

    pub(crate) const fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Healthy,
            1 => Self::Starting,
            2 => Self::Unknown,
            3 => Self::Degraded,
            4 => Self::Unhealthy,
            _ => Self::OutOfService,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a check's answer is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum Probe {
    /// Whether the process must be restarted: it is stuck, and only that helps.
    Liveness,
    /// Whether it should be given work.
    #[default]
    Readiness,
    /// Whether it has come up. It holds back the other checks until it has passed once, and does
    /// not run again then.
    StartUp,
}

impl Probe {
    /// In `snake_case`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Liveness => "liveness",
            Self::Readiness => "readiness",
            Self::StartUp => "start_up",
        }
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
