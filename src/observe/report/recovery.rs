//! The report.

use super::figure::Figure;
use super::incident::{ClosedBy, Incident, downtime, gather, is_attempt};
use super::observation::{Observation, between};
use crate::supervise::microreboot::{CallsSeen, RebootRecord, RecordOutcome};
use std::borrow::Borrow;
use std::fmt;
use std::time::Duration;

/// The figures of recovery over a window of time.
///
/// As text by `Display`, one line per figure with its samples in brackets.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct RecoveryReport {
    /// How long was looked, in seconds.
    pub observed_seconds: f64,
    /// For how long of it something was down, in seconds.
    pub downtime_seconds: f64,
    /// Incidents that started within the window.
    pub started: u64,
    /// Incidents that were closed within it.
    pub closed: u64,
    /// Incidents that were open at its end.
    pub open: u64,
    /// Mean time to recover, of the closed ones.
    pub mttr_seconds: Figure,
    /// Mean time between failures.
    pub mtbf_seconds: Figure,
    /// MTBF / (MTBF + MTTR), from 0 to 1; 1 if nothing failed.
    pub availability: Figure,
    /// The share of the window in which nothing was down, from 0 to 1. Its samples are the incidents
    /// that touch the window.
    pub measured_availability: Figure,
    /// The share of automated reboots that cured, of those that ended as cured or failed.
    pub success: Figure,
    /// The share of closed incidents that no human had a part in.
    pub automation: Figure,
    /// The share of closed incidents that a human closed after automation had tried.
    pub partial_automation: Figure,
    /// The share of automated reboots of what was already well, of those of which that is known.
    pub false_positives: Figure,
    /// The share of bad calls, over the closed incidents of which calls were counted.
    pub blast_radius: Figure,
    /// The ages of open manual tasks at the window's end, summed, in seconds.
    pub debt_seconds: f64,
    /// How many manual tasks are open.
    pub open_tasks: u64,
}

impl RecoveryReport {
    /// The figures of these records within that window. Records of other components, of rejuvenations
    /// and of other times change nothing.
    pub fn over(
        window: &Observation,
        records: impl IntoIterator<Item: Borrow<RebootRecord>>,
    ) -> Self {
        let records: Vec<_> = records.into_iter().collect();
        let of_interest = |record: &&RebootRecord| {
            let component = window.component.as_deref();
            component.is_none_or(|component| record.component == component)
        };
        let records: Vec<&RebootRecord> = records
            .iter()
            .map(Borrow::borrow)
            // What had not happened by then is not known yet.
            .filter(|record| record.ended < window.until)
            .filter(of_interest)
            .collect();
        let incidents = gather(records.iter().copied());
        let attempts: Vec<&RebootRecord> = records
            .into_iter()
            .filter(|record| is_attempt(record) && window.holds(record.ended))
            .collect();
        Self::new(window, &incidents, &attempts)
    }

    fn new(window: &Observation, incidents: &[Incident], attempts: &[&RebootRecord]) -> Self {
        let observed = window.observed();
        let downtime = downtime(incidents, window);
        let count = |of: &dyn Fn(&Incident) -> bool| {
            incidents.iter().filter(|incident| of(incident)).count() as u64
        };
        let closed: Vec<(&Incident, Duration, ClosedBy)> = incidents
            .iter()
            .filter_map(|incident| {
                let (at, by) = incident.closed?;
                let within = window.holds(at);
                within.then(|| (incident, between(incident.started, at), by))
            })
            .collect();
        let closed_by = |by: ClosedBy| closed.iter().filter(|(_, _, who)| *who == by).count();
        let shares = Shares {
            needed: window.needed,
            whole: closed.len() as u64,
        };
        let started = count(&|incident| window.holds(incident.started));
        let times = Times::new(window, downtime, started, &closed);
        let touching = count(&|incident| {
            incident.started < window.until
                && incident.closed.is_none_or(|(at, _)| at >= window.from)
        });
        let since: Vec<_> = incidents
            .iter()
            .filter_map(|incident| incident.handed_over)
            .chain(
                window
                    .tasks
                    .iter()
                    .copied()
                    .filter(|since| *since < window.until),
            )
            .collect();
        let ages = since.iter().map(|since| between(*since, window.until));
        Self {
            observed_seconds: observed.as_secs_f64(),
            downtime_seconds: downtime.as_secs_f64(),
            started,
            closed: closed.len() as u64,
            open: count(&|incident| incident.closed.is_none()),
            mttr_seconds: times.mttr,
            mtbf_seconds: times.mtbf,
            availability: times.availability(touching, window.needed),
            measured_availability: Figure::Known {
                value: 1.0 - downtime.as_secs_f64() / observed.as_secs_f64(),
                samples: touching,
            },
            success: success(attempts, window.needed),
            automation: shares.of(closed_by(ClosedBy::Automation)),
            partial_automation: shares.of(closed_by(ClosedBy::Both)),
            false_positives: false_positives(attempts, window.needed),
            blast_radius: blast_radius(
                closed.iter().map(|(incident, ..)| *incident),
                window.needed,
            ),
            debt_seconds: ages
                .fold(Duration::ZERO, Duration::saturating_add)
                .as_secs_f64(),
            open_tasks: since.len() as u64,
        }
    }
}

/// Shares of one whole.
struct Shares {
    whole: u64,
    needed: u64,
}

impl Shares {
    fn of(&self, part: usize) -> Figure {
        Figure::share(part as u64, self.whole, self.needed)
    }
}

struct Times {
    mttr: Figure,
    mtbf: Figure,
}

impl Times {
    fn new(
        window: &Observation,
        downtime: Duration,
        started: u64,
        closed: &[(&Incident, Duration, ClosedBy)],
    ) -> Self {
        let took: f64 = closed.iter().map(|(_, took, _)| took.as_secs_f64()).sum();
        let up = window.observed().saturating_sub(downtime).as_secs_f64();
        Self {
            mttr: Figure::mean(took, closed.len() as u64, window.needed),
            mtbf: Figure::mean(up, started, window.needed),
        }
    }

    /// `touching` incidents were open at some time within the window.
    fn availability(&self, touching: u64, needed: u64) -> Figure {
        match (self.mttr, self.mtbf) {
            (
                Figure::Known {
                    value: mttr,
                    samples,
                },
                Figure::Known {
                    value: mtbf,
                    samples: failures,
                },
            ) => Figure::of(samples.min(failures), 1, || mtbf / (mtbf + mttr)),
            _ if touching == 0 => Figure::Known {
                value: 1.0,
                samples: 0,
            },
            (mttr, mtbf) => Figure::InsufficientData {
                samples: mttr.samples().min(mtbf.samples()),
                needed,
            },
        }
    }
}

fn success(attempts: &[&RebootRecord], needed: u64) -> Figure {
    let ended = |outcome| {
        attempts
            .iter()
            .filter(|record| record.outcome == outcome)
            .count() as u64
    };
    let cured = ended(RecordOutcome::Cured);
    Figure::share(cured, cured + ended(RecordOutcome::Failed), needed)
}

fn false_positives(attempts: &[&RebootRecord], needed: u64) -> Figure {
    let known = attempts.iter().filter_map(|record| record.was_clear);
    let (clear, all) = known.fold((0, 0), |(clear, all), was_clear| {
        (clear + u64::from(was_clear), all + 1)
    });
    Figure::share(clear, all, needed)
}

fn blast_radius<'a>(incidents: impl Iterator<Item = &'a Incident>, needed: u64) -> Figure {
    let counted = incidents
        .filter_map(|incident| incident.calls)
        .filter(|calls| calls.all > 0);
    let (samples, calls) = counted.fold((0, CallsSeen::default()), |(samples, sum), calls| {
        (samples + 1, sum.and(calls))
    });
    Figure::of(samples, needed, || calls.ratio().unwrap_or_default())
}

impl fmt::Display for RecoveryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |figure: Figure| figure.text(|share| format!("{:.3} %", share * 100.0));
        let time = |figure: Figure| figure.text(seconds);
        let rows = [
            ("observed", seconds(self.observed_seconds)),
            ("downtime", seconds(self.downtime_seconds)),
            (
                "incidents",
                format!(
                    "{} started, {} closed, {} open",
                    self.started, self.closed, self.open
                ),
            ),
            ("MTTR", time(self.mttr_seconds)),
            ("MTBF", time(self.mtbf_seconds)),
            ("availability, computed", percent(self.availability)),
            (
                "availability, measured",
                percent(self.measured_availability),
            ),
            ("success", percent(self.success)),
            ("automation", percent(self.automation)),
            ("automation, partial", percent(self.partial_automation)),
            ("false positives", percent(self.false_positives)),
            ("blast radius", percent(self.blast_radius)),
            (
                "debt",
                format!("{} ({})", seconds(self.debt_seconds), self.open_tasks),
            ),
        ];
        for (at, (what, text)) in rows.iter().enumerate() {
            let end = if at + 1 == rows.len() { "" } else { "\n" };
            write!(f, "{what:<24}{text}{end}")?;
        }
        Ok(())
    }
}

fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if s < 600.0 => format!("{s:.1} s"),
        s if s < 36_000.0 => format!("{:.1} min", s / 60.0),
        s => format!("{:.1} h", s / 3_600.0),
    }
}
