//! Checks of other parts of this crate. They ask nobody: they read what is known.

use crate::health::check::{Check, Finding, Level};
use crate::health::failure_detector::{FailureDetector, Verdict};
use crate::policy::circuit_breaker::{CircuitBreaker, State};
use std::convert::Infallible;
use std::future::ready;

/// A check named `circuit_breaker` that fails while the circuit is open, by itself or by hand. Half-open
/// passes: calls are let through again, and what they come to decides.
///
/// `Degraded` fits: the breaker already keeps calls away, and a service that goes out of service because a
/// dependency of it is down takes more down with it. A circuit is probed by calls only: do not
/// shed the calls of a component by its own breaker's check.
pub fn circuit_breaker(level: Level, breaker: &CircuitBreaker) -> Check {
    let breaker = breaker.clone();
    Check::new("circuit_breaker", level, move || {
        let finding = match breaker.state() {
            state @ (State::Open | State::ForcedOpen) => Finding::failed(format_args!(
                "the circuit {} is {}",
                breaker.name(),
                state.as_str()
            )),
            _ => Finding::passed(),
        };
        ready(Ok::<_, Infallible>(finding))
    })
}

/// A check named `heartbeat` that fails while the detector suspects its sender, and before the first
/// heartbeat: what was never heard of is not known to be well. Its value is phi.
///
/// While this process itself has stalled (see [`StallWatch`](crate::health::failure_detector::StallWatch)) it passes.
pub fn failure_detector(level: Level, detector: &FailureDetector) -> Check {
    let detector = detector.clone();
    Check::new("heartbeat", level, move || {
        let snapshot = detector.snapshot();
        let finding = match (snapshot.verdict, snapshot.silence) {
            (Verdict::Unknown, _) => {
                Finding::failed(format_args!("no heartbeat of {} yet", snapshot.name))
            }
            (Verdict::Suspected, silence) => Finding::failed(format_args!(
                "no heartbeat of {} for {:?}",
                snapshot.name,
                silence.unwrap_or_default()
            )),
            _ => Finding::passed(),
        };
        ready(Ok::<_, Infallible>(finding.observed(snapshot.phi, "phi")))
    })
}
