//! What a window of outcomes counts.

pub(crate) mod count;
pub(crate) mod time;

/// The totals of a window of calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Counts {
    /// Calls recorded.
    pub recorded: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// Those of them that were slow, failed or not.
    pub slow: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, class: Class, count: u64) {
        self.recorded = self.recorded.saturating_add(count);
        if class.is_failed() {
            self.failed = self.failed.saturating_add(count);
        }
        if class.is_slow() {
            self.slow = self.slow.saturating_add(count);
        }
    }
}

/// One recorded call, as a window keeps it: a bit for failed, and one for slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Class {
    Ok = 0,
    Failed = 1,
    Slow = 2,
    FailedSlow = 3,
}

pub(crate) const CLASSES: [Class; 4] = [Class::Ok, Class::Failed, Class::Slow, Class::FailedSlow];

impl Class {
    pub(crate) const fn new(failed: bool, slow: bool) -> Self {
        match (failed, slow) {
            (false, false) => Self::Ok,
            (true, false) => Self::Failed,
            (false, true) => Self::Slow,
            (true, true) => Self::FailedSlow,
        }
    }

    pub(crate) const fn is_failed(self) -> bool {
        matches!(self, Self::Failed | Self::FailedSlow)
    }

    pub(crate) const fn is_slow(self) -> bool {
        matches!(self, Self::Slow | Self::FailedSlow)
    }
}
