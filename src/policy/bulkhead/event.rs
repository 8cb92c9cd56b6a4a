//! What a bulkhead tells the world.

use crate::kernel::instant::Instant;

/// One fact about a bulkhead.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BulkheadEvent {
    /// Counts the facts of this bulkhead, from 1: a gap tells a subscriber that it lost some.
    pub seq: u64,
    /// When, on the bulkhead's clock.
    pub at: Instant,
    /// What.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// It refused a call for want of a slot, after a time without refusals.
    Saturated {
        /// The limit.
        limit: u32,
        /// How many waited.
        waiting: u32,
    },
    /// No call was refused for a second. Told by the next call or look after that second.
    Relieved {
        /// How many were refused since it was saturated.
        refused: u64,
    },
    /// Its limit was changed by [`resize`](super::Bulkhead::resize).
    Resized {
        /// The limit before.
        from: u32,
        /// The limit now.
        to: u32,
    },
    /// A new configuration is in force.
    Reconfigured,
    /// The first guard holds it isolated: everything is refused.
    Isolated,
    /// The last guard let go.
    Released,
    /// Its peak was forgotten by hand, and that it was saturated.
    Reset,
}
