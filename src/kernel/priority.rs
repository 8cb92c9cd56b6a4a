//! How much a call matters, where not all of them can be served.

use std::fmt;

/// How much a call matters to those who wait for its result.
///
/// The four classes are those of Google's servers (*Site Reliability Engineering*, chapter 21,
/// "Handling Overload"). Where calls queue, those of a higher class go first; where load is shed,
/// it is shed from the lowest class up. `Ord` follows the importance:
///
/// ```
/// use backstop::kernel::priority::Priority;
///
/// assert!(Priority::CriticalPlus > Priority::Critical);
/// assert_eq!(Priority::default(), Priority::Critical);
/// assert_eq!(Priority::SheddablePlus.as_str(), "sheddable_plus");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum Priority {
    /// Nobody notices if it fails now and then: prefetching, statistics.
    Sheddable,
    /// It can be made later, and will be: batch work that tries again.
    SheddablePlus,
    /// A user waits for it. What most calls are, and so the default.
    #[default]
    Critical,
    /// Without it a user sees an outage: a login, a payment.
    CriticalPlus,
}

impl Priority {
    /// All of them, the most important first.
    pub const ALL: [Self; 4] = [
        Self::CriticalPlus,
        Self::Critical,
        Self::SheddablePlus,
        Self::Sheddable,
    ];

    /// In `snake_case`, as in configuration text and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CriticalPlus => "critical_plus",
            Self::Critical => "critical",
            Self::SheddablePlus => "sheddable_plus",
            Self::Sheddable => "sheddable",
        }
    }

    /// Its place in [`ALL`](Self::ALL): 0 is the most important.
    pub(crate) const fn rank(self) -> usize {
        Self::CriticalPlus as usize - self as usize
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_classes_are_listed_from_the_most_important_down() {
        assert!(Priority::ALL.is_sorted_by(|above, below| above > below));
        for (rank, priority) in Priority::ALL.into_iter().enumerate() {
            assert_eq!(priority.rank(), rank);
        }
        assert_eq!(format!("{:>10}", Priority::Critical), "  critical");
    }

    #[cfg(feature = "serde")]
    #[test]
    fn the_text_form_is_the_label() {
        for priority in Priority::ALL {
            let text = serde_json::to_string(&priority).unwrap();
            assert_eq!(text, format!("{:?}", priority.as_str()));
            assert_eq!(serde_json::from_str::<Priority>(&text).unwrap(), priority);
        }
    }
}
