//! How well recovery works, as figures: time to recover, availability, what was automated.
//!
//! A [`RecoveryReport`] is computed from the [records](crate::supervise::microreboot::RebootRecord)
//! that recoveries leave behind, over a window of time. It is a value: nothing is asked and nothing is
//! kept. Every [`Figure`] comes with the number of samples behind it, and with too few of them it says
//! so instead of a number: it is never `NaN`.
//!
//! ```
//! use backstop::kernel::clock::Clock;
//! use backstop::observe::report::{Figure, Observation, RecoveryReport};
//! use backstop::supervise::microreboot::RebootRecord;
//! use std::time::Duration;
//!
//! # fn main() -> Result<(), backstop::ConfigError> {
//! let until = Clock::default().wall();
//! let week = Observation::new(until - Duration::from_secs(7 * 86_400), until)?;
//! let records: Vec<RebootRecord> = Vec::new(); // `manager.records()`
//! let report = RecoveryReport::over(&week, &records);
//! assert_eq!(report.mttr_seconds, Figure::None);
//! assert_eq!(report.availability.value(), Some(1.0));
//! println!("{report}");
//! # Ok(())
//! # }
//! ```
//!
//! # What is counted
//!
//! An *incident* is an episode of recovery: from its first report until a reboot cured it, or a human
//! acknowledged it. Rejuvenations are no incidents, and count nowhere here: nothing had failed.
//!
//! | figure | is |
//! |---|---|
//! | MTTR | the mean of resolved - started, over the incidents closed within the window |
//! | MTBF | (observed - downtime) / incidents that started within the window |
//! | availability, computed | MTBF / (MTBF + MTTR) |
//! | availability, measured | 1 - downtime / observed |
//! | success | automated reboots that cured / all that ended as cured or failed |
//! | automation | incidents closed without a human / all closed |
//! | partial automation | incidents that a human closed after automation had tried / all closed |
//! | false positives | automated reboots of what was already well / all of which that is known |
//! | blast radius | bad calls / all calls, between onset and the end of the incidents closed |
//! | debt | the ages of open manual tasks, summed |
//!
//! *Downtime* is the time within the window in which at least one incident was open; time in which two
//! were counts once. An incident that is handed over and not acknowledged is open, and a manual task.
//! What was cut off with its process has no outcome, and is in no ratio.
//!
//! # What surprises
//!
//! * **Computed availability is not measured availability.** It takes failures to be spread evenly,
//!   and knows only incidents that are over. They differ most when something is still down.
//! * **No failure at all** is an availability of 1, and no MTTR: not one of zero.
//! * **Episodes are numbered within one process.** Records of several processes go into reports of
//!   their own.

mod figure;
mod incident;
mod observation;
mod recovery;
#[cfg(test)]
mod tests;

pub use figure::Figure;
pub use observation::Observation;
pub use recovery::RecoveryReport;
