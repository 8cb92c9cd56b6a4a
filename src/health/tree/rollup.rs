//! What the checks and the children of one component come to together. Pure, and O(1) for each
//! change of one of them.

use super::order::StatusOrder;
use crate::health::check::{CheckState, Level, Status};

/// What a check or a child puts into its component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    part: Part,
    /// Something needs attention.
    flagged: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Nothing,
    Is(Status),
    /// Nobody knows, of something whose failure would degrade at most.
    Doubt,
}

impl Share {
    /// That of a check of `level`.
    pub(super) const fn of_check(state: CheckState, level: Level) -> Self {
        let part = match (state, level) {
            (CheckState::Passing | CheckState::Failing(Level::Maintenance), _) => {
                Part::Is(Status::Healthy)
            }
            (CheckState::Failing(Level::Degraded), _) => Part::Is(Status::Degraded),
            (CheckState::Failing(Level::Critical), _) => Part::Is(Status::Unhealthy),
            // Its failure would not change the status, so neither does not to know of it.
            (CheckState::Starting | CheckState::Stale, Level::Maintenance) => Part::Nothing,
            (CheckState::Starting, _) => Part::Is(Status::Starting),
            (CheckState::Stale, Level::Degraded) => Part::Doubt,
            (CheckState::Stale, Level::Critical) => Part::Is(Status::Unknown),
        };
        Self {
            part,
            flagged: matches!(state, CheckState::Failing(Level::Maintenance)),
        }
    }

    /// That of a child that has come to this.
    pub(super) const fn of_child(health: Summary, optional: bool) -> Self {
        let part = match health.status {
            Status::Unhealthy | Status::OutOfService if optional => Part::Is(Status::Degraded),
            Status::Unknown if optional => Part::Doubt,
            status => Part::Is(status),
        };
        Self {
            part,
            flagged: health.flagged,
        }
    }
}

/// What a component has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) status: Status,
    pub(super) flagged: bool,
}

/// The shares of one component, counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Rollup {
    /// By the status's code.
    is: [u32; 6],
    doubts: u32,
    flags: u32,
}

impl Rollup {
    pub(super) fn add(&mut self, share: Share) {
        if let Some(count) = self.count(share.part) {
            *count += 1;
        }
        self.flags += u32::from(share.flagged);
    }

    pub(super) fn remove(&mut self, share: Share) {
        if let Some(count) = self.count(share.part) {
            *count -= 1;
        }
        self.flags -= u32::from(share.flagged);
    }

    const fn count(&mut self, part: Part) -> Option<&mut u32> {
        match part {
            Part::Nothing => None,
            Part::Is(status) => Some(&mut self.is[status.code() as usize]),
            Part::Doubt => Some(&mut self.doubts),
        }
    }

    const fn has(&self, status: Status) -> bool {
        self.is[status.code() as usize] > 0
    }

    /// The worst of all.
    ///
    /// A doubt is `Unknown` while nothing is known; beside what is known it is `Degraded`, so that
    /// not to know of a part is never worse than to know that it failed.
    pub(super) fn summary(&self, order: StatusOrder) -> Summary {
        use Status::{Degraded, Healthy, OutOfService, Unhealthy, Unknown};
        let is_known = [Healthy, Degraded, Unhealthy, OutOfService]
            .into_iter()
            .any(|status| self.has(status));
        let doubt = if is_known { Degraded } else { Unknown };
        let status = order
            .worst_first()
            .find(|&status| self.has(status) || (self.doubts > 0 && status == doubt))
            .unwrap_or(Unknown);
        Summary {
            status,
            flagged: self.flags > 0,
        }
    }
}
