//! What breaker and pipeline are to achieve, in numbers, and whether they did.

use crate::client::TIMEOUT;
use crate::figures::{Summary, Transition, percent};
use crate::report::millis;
use crate::script::Phase;
use crate::{Side, Sides};
use backstop::policy::circuit_breaker::State;
use backstop::policy::retry::RetryTotals;
use std::time::Duration;

/// Of the calls that reach a sick upstream, the share that a breaker keeps away.
const RELIEF_PERCENT: f64 = 80.0;
/// A caller's wait while the upstream is dead, 99th percentile. Bare, it is the timeout.
const DEAD_WAIT: Duration = Duration::from_millis(100);
/// From the end of the dead phase to a closed breaker. A probe sent just before that end takes its
/// timeout of 0.5 s to fail, and the longest wait of the open breaker is 2 s.
const CLOSED_AFTER: Duration = Duration::from_millis(3_500);
/// Success rate while the upstream is healthy, and how far it may lie below the bare client's.
const WELL_PERCENT: f64 = 99.0;
const LOST_PERCENT: f64 = 1.0;
/// Of the calls made to the recovering upstream, which fails one in twenty, the share that the
/// pipeline brings to an end.
const MENDED_PERCENT: f64 = 99.0;
/// What the retries may add to the load of the upstream: a fifth of the calls, and 10 a second.
const EXTRA_SHARE: f64 = 0.2;
const EXTRA_PER_SECOND: f64 = 10.0;

/// Prints the promises.
pub(crate) fn state() {
    println!(
        "A bad day of an HTTP upstream, and what a breaker and a pipeline are to make of it:
1. of the calls that would reach the slow, erroring or dead upstream, >= {RELIEF_PERCENT} % do not;
2. while it is dead, 99 of 100 callers wait <= {DEAD_WAIT:?} (bare: a timeout of {TIMEOUT:?});
3. <= {CLOSED_AFTER:?} after it comes back, the circuit is closed for good;
4. while it is healthy, >= {WELL_PERCENT} % of calls succeed, <= {LOST_PERCENT} % fewer than bare;
and the pipeline alone:
5. of the calls made to the recovering upstream, >= {MENDED_PERCENT} % succeed (bare: 95 %);
6. at most {:.0} % of the calls and {EXTRA_PER_SECOND} a second are further attempts.
",
        EXTRA_SHARE * 100.0
    );
}

/// Prints what became of each promise; true if all were kept.
pub(crate) fn check(sides: &Sides, retries: &RetryTotals, days: &[Vec<Transition>; 2]) -> bool {
    let Sides {
        bare,
        breaker,
        pipeline,
    } = sides;
    let mut all_kept = true;
    println!();
    for (side, transitions) in [breaker, pipeline].into_iter().zip(days) {
        let kept = [
            relief(bare, side),
            dead_wait(side),
            closes(transitions),
            well(bare, side),
        ];
        all_kept &= tell(side.name, 1, &kept);
    }
    all_kept & tell(pipeline.name, 5, &[mended(sides), extra(pipeline, retries)])
}

fn tell(name: &str, first: u32, promises: &[(bool, String)]) -> bool {
    for (number, (kept, figures)) in (first..).zip(promises) {
        let verdict = if *kept { "PASS" } else { "FAIL" };
        println!("{verdict} {number}. {name}: {figures}");
    }
    promises.iter().all(|(kept, _)| *kept)
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
            .map_or("the circuit never opened", |_| "it is not closed");
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

fn mended(sides: &Sides) -> (bool, String) {
    let [bare, breaker, pipeline] = sides
        .all()
        .map(|side| Summary::of_made(&side.log.records(), Phase::Recovering));
    let figures = format!(
        "{:.2} % of {} calls made to the recovering upstream succeeded, breaker {:.2} %, bare {:.2} %",
        pipeline.success_percent(),
        pipeline.calls,
        breaker.success_percent(),
        bare.success_percent(),
    );
    (pipeline.success_percent() >= MENDED_PERCENT, figures)
}

#[expect(clippy::cast_precision_loss, reason = "counts of a few thousand")]
fn extra(pipeline: &Side, retries: &RetryTotals) -> (bool, String) {
    let calls = pipeline.log.records().len() as f64;
    let seconds = crate::script::Day::length().as_secs_f64();
    let allowed = calls * EXTRA_SHARE + seconds * EXTRA_PER_SECOND;
    let figures = format!(
        "{} further attempts of {calls} calls; {allowed:.0} were allowed, {} were refused",
        retries.retries, retries.budget_empty
    );
    (retries.retries as f64 <= allowed, figures)
}
