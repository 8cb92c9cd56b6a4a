//! Failure detectors: from the silence of what sends heartbeats to a suspicion.
//!
//! Over a network the dead cannot be told from the slow. A detector does not say yes or no but *how
//! suspicious* the silence is, by the intervals that it has seen: `phi` is 1 where a heartbeat is this late once
//! in ten times, 8 where it is once in 10^8. Who acts chooses the threshold that fits the cost of being
//! wrong.
//!
//! ```
//! use backstop::health::failure_detector::{FailureDetector, FailureDetectorConfig, Verdict};
//! use backstop::kernel::clock::Clock;
//! use std::time::Duration;
//!
//! # fn main() -> Result<(), backstop::ConfigError> {
//! let clock = Clock::manual();
//! let node = FailureDetector::with_clock("node-7", FailureDetectorConfig::default(), &clock)?;
//! assert_eq!(node.verdict(), Verdict::Unknown);
//! for _ in 0..60 {
//!     node.heartbeat();
//!     clock.advance(Duration::from_secs(1));
//! }
//! assert_eq!(node.verdict(), Verdict::Alive);
//! clock.advance(Duration::from_secs(4));
//! assert_eq!(node.verdict(), Verdict::Suspected);
//! # Ok(())
//! # }
//! ```
//!
//! # What surprises
//!
//! * **Before the first heartbeat** nothing is known, and that is what it says: neither alive nor dead.
//! * **After an outage** the first heartbeat makes the sender alive again, and the length of the outage is not
//!   learnt: a detector that learnt it would wait as long the next time.
//! * **A stall of this process** looks as if all others were dead. A [`StallWatch`] holds convictions back.
//! * **The defaults fit one heartbeat a second.** With the normal model a sender is suspected some
//!   3.6 s after its last heartbeat was due: 3 s of `pause`, and 5.6 deviations of at least 100 ms.
//!
//! # Rules
//!
#![doc = include_str!("RULES.md")]
#![allow(clippy::doc_markdown, reason = "a rule's id is no identifier")]

mod config;
mod handle;
mod machine;
mod stall;
mod tail;
#[cfg(test)]
mod tests;

pub use config::{FailureDetectorConfig, Model};
pub use handle::{FailureDetector, FailureDetectorSnapshot, Verdict};
pub use stall::StallWatch;
