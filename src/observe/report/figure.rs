//! A number, and what it stands on.

use std::fmt;

/// A number with the count of its samples, or why there is none.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(tag = "state", rename_all = "snake_case")
)]
pub enum Figure {
    /// The number. It is finite.
    Known {
        /// The number, in the unit that its field names.
        value: f64,
        /// How many samples it is made of.
        samples: u64,
    },
    /// There are samples, and too few of them.
    InsufficientData {
        /// How many there are.
        samples: u64,
        /// How many it takes.
        needed: u64,
    },
    /// There was nothing to measure.
    None,
}

impl Figure {
    /// The number, if there is one.
    pub const fn value(self) -> Option<f64> {
        match self {
            Self::Known { value, .. } => Some(value),
            Self::InsufficientData { .. } | Self::None => None,
        }
    }

    /// How many samples there are.
    pub const fn samples(self) -> u64 {
        match self {
            Self::Known { samples, .. } | Self::InsufficientData { samples, .. } => samples,
            Self::None => 0,
        }
    }

    /// `sum / samples`, if there are enough.
    pub(super) fn mean(sum: f64, samples: u64, needed: u64) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a mean of many samples")]
        Self::of(samples, needed, || sum / samples as f64)
    }

    /// `part / whole`, if there are enough of the whole.
    pub(super) fn share(part: u64, whole: u64, needed: u64) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a share of many")]
        Self::mean(part as f64, whole, needed)
    }

    pub(super) fn of(samples: u64, needed: u64, value: impl FnOnce() -> f64) -> Self {
        if samples == 0 {
            return Self::None;
        }
        if samples < needed {
            return Self::InsufficientData { samples, needed };
        }
        let value = value();
        if value.is_finite() {
            Self::Known { value, samples }
        } else {
            Self::None
        }
    }

    /// As text, its number through `number`.
    pub(super) fn text(self, number: impl FnOnce(f64) -> String) -> String {
        match self {
            Self::Known { value, samples } => format!("{} ({samples})", number(value)),
            Self::InsufficientData { samples, needed } => {
                format!("insufficient data ({samples} of {needed})")
            }
            Self::None => String::from("none"),
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text(|value| format!("{value:.3}")))
    }
}
