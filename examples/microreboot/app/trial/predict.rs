//! What should come out, from the rate, the share of the requests that a fault touches, and how long
//! things are down. It is worked out from the settings and from one start of the server, not from what
//! the faults did.

use super::arm::{Arm, Cure, Starts};
use super::detector::{PERIOD, THRESHOLD, TIMEOUT};
use super::fault::Fault;
use super::generator::Load;
use crate::app::load::policy::DEADLINE;
use crate::app::load::{MIX, SESSIONS};

/// How long it takes until a fault that shows is reported.
fn detection(fault: Fault) -> f64 {
    let (period, timeout) = (PERIOD.as_secs_f64(), TIMEOUT.as_secs_f64());
    let rounds = f64::from(THRESHOLD);
    if fault.hangs() {
        // A round that hangs takes as long as its timeout; the first begins within a period.
        period / 2.0 + rounds * timeout
    } else {
        period / 2.0 + (rounds - 1.0) * period
    }
}

/// How long the component is away, or the process. What is made of a component goes with it.
pub(crate) fn downtime(arm: Arm, component: &str, starts: &Starts) -> f64 {
    if arm.restarts_process() {
        return starts.whole.as_secs_f64();
    }
    let with: &[&str] = match component {
        "catalogue" => &["catalogue", "search"],
        _ => &[],
    };
    let parts = std::iter::once(&component).chain(with);
    parts
        .filter_map(|part| starts.parts.get(*part))
        .map(|took| took.as_secs_f64())
        .sum()
}

/// Requests that fail because they are the first of a session that is gone: each session's first until
/// the next fault, after which it is logged in again.
fn logged_out(arm: Arm, fault: Fault, rate: f64, gap: f64) -> f64 {
    // Who restarts the component carries sessions over that are right.
    let are_wrong = fault.kind == "wrong" && fault.component == "sessions";
    if !arm.restarts_process() && !are_wrong {
        return 0.0;
    }
    let sessions = f64::from(SESSIONS);
    let needing = MIX.iter().filter(|(ask, _)| matches!(*ask, "me" | "bid"));
    let share = f64::from(needing.map(|(_, parts)| parts).sum::<u32>()) / 100.0;
    // Of the gap, and of the time until the next fault is detected.
    let time = 1.5 * gap + detection(fault);
    sessions * (1.0 - (-rate * share * time / sessions).exp())
}

/// Requests that fail.
pub(crate) fn failures(arm: Arm, fault: Fault, load: Load, gap: f64, starts: &Starts) -> f64 {
    let rate = load.rate;
    let (detection, downtime) = (detection(fault), downtime(arm, fault.component, starts));
    let deadline = DEADLINE.as_secs_f64();
    // A caller that tries again, or is made to wait, is served if all is well before its deadline.
    let bridged = |time: f64| (time - deadline).max(0.0);
    let share = fault.share();
    let (touched, others) = match (arm.cure, arm.retries) {
        (Cure::Naive, false) => (detection + downtime, downtime),
        // The queue of the socket holds those that come while nobody serves.
        (Cure::Inherited, false) => (detection + bridged(downtime), bridged(downtime)),
        (Cure::Microreboot, false) => (detection + downtime, 0.0),
        (Cure::Gated, false) => (detection + bridged(downtime), 0.0),
        (Cure::Naive | Cure::Inherited, true) => (bridged(detection + downtime), bridged(downtime)),
        (Cure::Microreboot | Cure::Gated, true) => (bridged(detection + downtime), 0.0),
    };
    rate * (share * touched + (1.0 - share) * others) + logged_out(arm, fault, rate, gap)
}
