//! Figures of a cell.

use super::cell::CellResult;
use super::predict::failures;
use std::time::Duration;

/// The middle, and what three quarters and one quarter are below.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spread {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
    pub(crate) mean: f64,
}

#[expect(clippy::cast_precision_loss, reason = "counts of some thousands")]
impl Spread {
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let at = |percent: usize| {
            let rank = (values.len() * percent).div_ceil(100);
            values
                .get(rank.saturating_sub(1))
                .copied()
                .unwrap_or(f64::NAN)
        };
        Self {
            low: at(25),
            median: at(50),
            high: at(75),
            mean: values.iter().sum::<f64>() / values.len() as f64,
        }
    }
}

/// What is shown of a cell.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    pub(crate) failed: Spread,
    pub(crate) predicted: f64,
    pub(crate) logged_out: Spread,
    pub(crate) failed_actions: Spread,
    pub(crate) detect: Spread,
    pub(crate) recover: Spread,
    pub(crate) p99: Spread,
    pub(crate) lost_sessions: Spread,
    /// Of those that were detected, how many were ascribed to the right component.
    pub(crate) blamed: (usize, usize),
    pub(crate) start: Duration,
}

#[expect(clippy::cast_precision_loss, reason = "counts of some thousands")]
pub(crate) fn figures(result: &CellResult) -> Figures {
    let outcomes = &result.outcomes;
    let spread = |of: &dyn Fn(&super::outcome::Outcome) -> Option<f64>| {
        Spread::of(outcomes.iter().filter_map(of))
    };
    let predicted = result.cell.faults.iter().map(|fault| {
        failures(
            result.cell.arm,
            *fault,
            result.cell.load,
            result.cell.gap,
            &result.starts,
        )
    });
    let seconds = |duration: Option<Duration>| duration.map(|duration| duration.as_secs_f64());
    let detected: Vec<_> = outcomes
        .iter()
        .filter(|outcome| outcome.times.suspect.is_some())
        .collect();
    let right = |outcome: &&&super::outcome::Outcome| {
        outcome.times.suspect == Some(outcome.times.fault.component)
    };
    Figures {
        failed: spread(&|outcome| Some(outcome.failed as f64)),
        predicted: Spread::of(predicted).mean,
        logged_out: spread(&|outcome| Some(outcome.logged_out as f64)),
        failed_actions: spread(&|outcome| Some(outcome.failed_actions as f64)),
        detect: spread(&|outcome| seconds(outcome.times.detected)),
        recover: spread(&|outcome| seconds(outcome.times.recovered)),
        p99: spread(&|outcome| Some(outcome.p99.as_secs_f64())),
        lost_sessions: spread(&|outcome| Some(outcome.lost_sessions as f64)),
        blamed: (detected.iter().filter(right).count(), detected.len()),
        start: result.starts.whole,
    }
}

/// The start-up time at which the first begins to be worse than the second, on the line between the
/// measured points: `(start-up, first, second)`, the cheapest start first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum BreakEven {
    /// The second is better at all points.
    Below(f64),
    At(f64),
    /// The first is better at all points.
    Above(f64),
}

pub(crate) fn break_even(points: &[(f64, f64, f64)]) -> Option<BreakEven> {
    let (first, last) = (points.first()?, points.last()?);
    let excess = |point: &(f64, f64, f64)| point.1 - point.2;
    if points.iter().all(|point| excess(point) > 0.0) {
        return Some(BreakEven::Below(first.0));
    }
    let crossing = points
        .windows(2)
        .find(|pair| excess(&pair[0]) <= 0.0 && excess(&pair[1]) > 0.0);
    Some(match crossing {
        Some(pair) => {
            let (before, after) = (excess(&pair[0]), excess(&pair[1]));
            BreakEven::At(pair[0].0 + (pair[1].0 - pair[0].0) * -before / (after - before))
        }
        None => BreakEven::Above(last.0),
    })
}
