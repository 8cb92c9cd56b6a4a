//! What the breaker is to achieve, in numbers, and whether it did.

use crate::Side;
use crate::client::TIMEOUT;
use crate::figures::{Summary, Transition, percent};
use crate::report::millis;
use crate::script::Phase;
use backstop::policy::circuit_breaker::State;
use std::time::Duration;

/// Of the calls that reach a sick upstream, the share that the breaker keeps away.
const RELIEF_PERCENT: f64 = 80.0;
/// A caller's wait while the upstream is dead, 99th percentile. Bare, it is the timeout.
const DEAD_WAIT: Duration = Duration::from_millis(100);
/// From the end of the dead phase to a closed breaker. A probe sent just before that end takes its
/// timeout of 0.5 s to fail, and the longest wait of the open breaker is 2 s.
const CLOSED_AFTER: Duration = Duration::from_millis(3_500);
/// Success rate while the upstream is healthy, and how far it may lie below the bare client's.
const WELL_PERCENT: f64 = 99.0;
const LOST_PERCENT: f64 = 1.0;

/// Prints the promises.
pub(crate) fn state() {
    println!(
        "A bad day of an HTTP upstream, and what the breaker is to make of it:
1. of the calls that would reach the slow, erroring or dead upstream, >= {RELIEF_PERCENT} % do not;
2. while it is dead, 99 of 100 callers wait <= {DEAD_WAIT:?} (bare: a timeout of {TIMEOUT:?});
3. <= {CLOSED_AFTER:?} after it comes back, the breaker is closed for good;
4. while it is healthy, >= {WELL_PERCENT} % of calls succeed, <= {LOST_PERCENT} % fewer than bare.
"
    );
}

/// Prints what became of each promise; true if all were kept.
pub(crate) fn check(bare: &Side, protected: &Side, transitions: &[Transition]) -> bool {
    let kept = [
        relief(bare, protected),
        dead_wait(protected),
        closes(transitions),
        well(bare, protected),
    ];
    println!();
    for (number, (kept, figures)) in (1..).zip(&kept) {
        println!(
            "{} {number}. {figures}",
            if *kept { "PASS" } else { "FAIL" }
        );
    }
    kept.iter().all(|(kept, _)| *kept)
}

fn relief(bare: &Side, protected: &Side) -> (bool, String) {
    let [bare, protected] = [bare, protected].map(|side| side.upstream.reached_in(&Phase::SICK));
    let kept_away = 100.0 - percent(protected, bare);
    let figures = format!(
        "{protected} calls reached the sick upstream instead of {bare}: {kept_away:.1} % fewer"
    );
    (kept_away >= RELIEF_PERCENT, figures)
}

fn dead_wait(protected: &Side) -> (bool, String) {
    let wait = Summary::of_phases(&protected.log.records(), &[Phase::Dead]).wait_percentile(99);
    let figures = format!(
        "p99 of a caller's wait while the upstream is dead: {}",
        millis(wait)
    );
    (wait <= DEAD_WAIT, figures)
}

fn closes(transitions: &[Transition]) -> (bool, String) {
    let Some(closed) = transitions.last().filter(|last| last.to == State::Closed) else {
        let seen = transitions
            .last()
            .map_or("the breaker never opened", |_| "it is not closed");
        return (false, seen.to_owned());
    };
    let after = closed.time.saturating_sub(Phase::Recovering.begins());
    let figures = format!(
        "closed for good {} after the upstream came back",
        millis(after)
    );
    (after <= CLOSED_AFTER, figures)
}

fn well(bare: &Side, protected: &Side) -> (bool, String) {
    let [bare, protected] = [bare, protected]
        .map(|side| Summary::of_phases(&side.log.records(), &Phase::WELL).success_percent());
    let figures = format!("success rate while healthy: {protected:.2} %, bare {bare:.2} %");
    let kept = protected >= WELL_PERCENT && protected >= bare - LOST_PERCENT;
    (kept, figures)
}
