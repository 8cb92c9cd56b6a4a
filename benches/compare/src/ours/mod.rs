//! backstop's rows: by a handle of each kind, and through tower.

mod breaker;

use backstop::Error;

use crate::call::{Fault, Seen};
use crate::scenario::Family;
use crate::suite::Suite;

/// Rows that a peer's row is set against: all share an `Arc`, as the peers do.
pub(crate) const CLONED: &str = "backstop-cloned";
pub(crate) const TIME: &str = "backstop-cloned-time";
pub(crate) const TOWER: &str = "backstop-cloned-tower";
pub(crate) const TOWER_TIME: &str = "backstop-cloned-tower-time";
pub(crate) const CLONED_NO_BUDGET: &str = "backstop-cloned-no-budget";
pub(crate) const TOWER_NO_BUDGET: &str = "backstop-cloned-tower-no-budget";

impl From<Error<Fault>> for Seen {
    fn from(error: Error<Fault>) -> Self {
        match error {
            Error::Rejected(_) => Seen::Rejected,
            Error::Inner(fault) => fault.into(),
        }
    }
}

pub(crate) fn rows(suite: &mut Suite<'_>) {
    match suite.scenario.family {
        Family::Breaker => breaker::rows(suite),
        Family::Bulkhead | Family::Timeout | Family::Retry | Family::Stack => {}
    }
}
