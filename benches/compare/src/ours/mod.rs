//! backstop's rows: by a handle of each kind, and through tower.

mod breaker;
mod bulkhead;
mod retry;
mod stack;
mod timeout;

use backstop::Error;

use crate::call::{Fault, Seen};
use crate::scenario::Family;
use crate::suite::Suite;

pub(crate) const STATIC: &str = "backstop-static";
pub(crate) const STATIC_TOWER: &str = "backstop-static-tower";

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

/// Leaked where a service has a `static`: a benchmark makes a new one for each scenario.
fn fixed<H: From<&'static H> + 'static>(handle: H) -> H {
    H::from(&*Box::leak(Box::new(handle)))
}

pub(crate) fn rows(suite: &mut Suite<'_>) {
    match suite.scenario.family {
        Family::Breaker => breaker::rows(suite),
        Family::Bulkhead => bulkhead::rows(suite),
        Family::Timeout => timeout::rows(suite),
        Family::Retry => retry::rows(suite),
        Family::Stack => stack::rows(suite),
    }
}
