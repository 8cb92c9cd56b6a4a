//! What should come out, from the rate, the share of the requests that a fault touches, and how long
//! things are down. It is worked out from the settings and from one start of the server, not from what
//! the faults did.

use super::arm::{Arm, Cure, Starts};
use super::detector::{PERIOD, THRESHOLD, TIMEOUT};
use super::fault::Fault;
use super::generator::Load;
use crate::app::load::policy::{ATTEMPT, ATTEMPTS, BUDGET, DEADLINE, WAITS};
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

/// How long a request is kept alive by so many further attempts, of which each takes `attempt` unless it
/// fails at once.
fn kept_alive(retries: u32, attempt: f64) -> f64 {
    let (first, longest) = (WAITS.0.as_secs_f64(), WAITS.1.as_secs_f64());
    // Between half of the wait and all of it.
    let wait = |retry: u32| 0.75 * (first * f64::from(1 << retry.min(16))).min(longest);
    (0..retries).map(|retry| wait(retry) + attempt).sum()
}

/// An outage as its callers see it.
struct Outage {
    /// How long it lasts, in seconds.
    lasts: f64,
    /// The requests it touches, per second.
    rate: f64,
    /// How long an attempt hangs before it fails.
    attempt: f64,
}

impl Outage {
    /// Requests that are not served although they are tried again: those whose deadline is over before
    /// the outage is, and of the others as many as the budget has no further attempts for: it has
    /// `supply`.
    fn failures(&self, supply: f64) -> f64 {
        let deadline = DEADLINE.as_secs_f64();
        // In steps: the further attempts that a request needs which comes so long before the end.
        let step = 0.01;
        let (mut too_early, mut in_need, mut demand) = (0.0, 0.0, 0.0);
        let mut before = step / 2.0;
        while before < self.lasts {
            let lives = before.min(deadline);
            let enough = |retries: &u32| self.attempt + kept_alive(*retries, self.attempt) >= lives;
            let needed = (0..ATTEMPTS).find(enough).unwrap_or(ATTEMPTS);
            let needed = f64::from(needed) * step * self.rate;
            demand += needed;
            if before > deadline {
                too_early += step * self.rate;
            } else if needed > 0.0 {
                in_need += step * self.rate;
            }
            before += step;
        }
        let unserved = if demand > supply {
            1.0 - supply / demand
        } else {
            0.0
        };
        too_early + in_need * unserved
    }
}

/// Requests that fail.
pub(crate) fn failures(arm: Arm, fault: Fault, load: Load, gap: f64, starts: &Starts) -> f64 {
    let rate = load.rate;
    let (detection, downtime) = (detection(fault), downtime(arm, fault.component, starts));
    let deadline = DEADLINE.as_secs_f64();
    // A caller that is made to wait is served if all is well before its deadline.
    let bridged = |time: f64| (time - deadline).max(0.0);
    let share = fault.share();
    let (touched, others) = match arm.cure {
        Cure::Naive => (detection + downtime, downtime),
        // The queue of the socket holds those that come while nobody serves.
        Cure::Inherited => (detection + bridged(downtime), bridged(downtime)),
        Cure::Microreboot => (detection + downtime, 0.0),
        Cure::Gated => (detection + bridged(downtime), 0.0),
    };
    let failing = if arm.retries {
        let waits = fault.hangs() || matches!(arm.cure, Cure::Inherited | Cure::Gated);
        let attempt = if waits { ATTEMPT.as_secs_f64() } else { 0.0 };
        // What is told something wrong does not ask again, and so fails while nobody has noticed.
        let (told, away) = if fault.misleads() {
            (detection, downtime)
        } else {
            (0.0, detection + downtime)
        };
        // What the budget has saved up since the fault before.
        let (floor, of_calls, most) = BUDGET;
        let saved = (1.5 * gap + detection + downtime).min(most.as_secs_f64());
        let supply = (floor + of_calls * rate) * saved;
        let outage = |lasts, share: f64| Outage {
            lasts,
            rate: rate * share,
            attempt,
        };
        let rest = if arm.restarts_process() {
            // All calls compete for it.
            outage(away, share).failures(supply * share)
                + outage(downtime, 1.0 - share).failures(supply * (1.0 - share))
        } else {
            outage(away, share).failures(supply)
        };
        rate * share * told + rest
    } else {
        rate * (share * touched + (1.0 - share) * others)
    };
    failing + logged_out(arm, fault, rate, gap)
}
