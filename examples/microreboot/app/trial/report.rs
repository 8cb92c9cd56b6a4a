//! What is printed and kept: the table, and a line for each fault as CSV.

use super::cell::{CellResult, LATEST};
use super::predict::failures;
use super::stats::{BreakEven, Figures, Spread, break_even, figures};
use crate::app::load::policy::{ATTEMPT, DEADLINE};
use crate::app::trial::arm::{Arm, Cure};
use backstop::observe::report::Figure;
use std::fmt::Write;

/// What a figure of the records takes: the default of the report.
pub(super) const SAMPLES: u64 = 5;

pub(crate) fn csv(results: &[CellResult]) -> String {
    let mut text = "arm,cost_s,startup_s,items,seed,number,fault,component,suspect,cures,detect_s,recover_s,\
        requests,failed,logged_out,requests_during,failed_during,predicted,actions,failed_actions,lost_sessions,p99_s,generator_p99_behind_ms\n"
        .to_owned();
    for result in results {
        let cell = &result.cell;
        for (number, outcome) in result.outcomes.iter().enumerate() {
            let times = &outcome.times;
            let seconds = |time: Option<std::time::Duration>| {
                time.map_or(String::new(), |time| format!("{:.4}", time.as_secs_f64()))
            };
            let _ = writeln!(
                text,
                "{},{},{:.4},{},{},{number},{},{},{},{},{},{},{},{},{},{},{},{:.1},{},{},{},{:.4},{:.2}",
                cell.arm.name(),
                cell.cost,
                result.starts.whole.as_secs_f64(),
                cell.world.items,
                cell.seed,
                times.fault.kind,
                times.fault.component,
                times.suspect.unwrap_or(""),
                times.cures,
                seconds(times.detected),
                seconds(times.recovered),
                outcome.requests,
                outcome.failed,
                outcome.logged_out,
                outcome.during.0,
                outcome.during.1,
                failures(cell.arm, times.fault, cell.load, cell.gap, &result.starts),
                outcome.actions,
                outcome.failed_actions,
                outcome.lost_sessions,
                outcome.p99.as_secs_f64(),
                result.behind.as_secs_f64() * 1e3,
            );
        }
    }
    text
}

/// The whole report.
pub(crate) fn table(results: &[CellResult]) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "A request has failed if its answer is wrong, an error, or later than {} s after it was due; once for each that was due.\n\
         Bare: one attempt. Retry: attempts of {} s until then, with the default budget. Median [quarter, three quarters] of each fault.\n\
         Logged out: of the mean, the requests that failed because a restart had ended their session.\n",
        DEADLINE.as_secs_f64(),
        ATTEMPT.as_secs_f64(),
    );
    let _ = writeln!(
        text,
        "{:<18} {:>8} {:>3} {:>22} {:>7} {:>9} {:>10} {:>15} {:>8} {:>9} {:>8} {:>8} {:>7} {:>9}",
        "arm",
        "start-up",
        "n",
        "failed requests",
        "mean",
        "predicted",
        "logged out",
        "failed actions",
        "detect",
        "recover",
        "p99",
        "sessions",
        "blamed",
        "generator"
    );
    let mut cost = None;
    for result in results {
        if cost
            .replace(result.cell.cost)
            .is_some_and(|before| before.to_bits() != result.cell.cost.to_bits())
        {
            text.push('\n');
        }
        row(&mut text, result, &figures(result));
    }
    text.push('\n');
    parts(&mut text, results);
    recoveries(&mut text, results);
    even(&mut text, results);
    text.push_str(PAPER);
    text
}

fn row(text: &mut String, result: &CellResult, figures: &Figures) {
    let void = if result.behind > LATEST { " VOID" } else { "" };
    let _ = writeln!(
        text,
        "{:<18} {:>6.2} s {:>3} {:>22} {:>7.1} {:>9.1} {:>10.1} {:>15} {:>6.2} s {:>7.2} s {:>6.2} s {:>8} {:>7} {:>6.2} ms{void}",
        result.cell.arm.name(),
        figures.start.as_secs_f64(),
        result.outcomes.len(),
        spread(figures.failed),
        figures.failed.mean,
        figures.predicted,
        figures.logged_out.mean,
        spread(figures.failed_actions),
        figures.detect.median,
        figures.recover.median,
        figures.p99.median,
        figures.lost_sessions.median,
        format!("{}/{}", figures.blamed.0, figures.blamed.1),
        result.behind.as_secs_f64() * 1e3,
    );
}

fn spread(spread: Spread) -> String {
    format!(
        "{:.0} [{:.0}, {:.0}]",
        spread.median, spread.low, spread.high
    )
}

/// What the start-up is made of.
fn parts(text: &mut String, results: &[CellResult]) {
    let mut done = Vec::new();
    for result in results {
        let cost = result.cell.cost.to_bits();
        if done.contains(&cost) {
            continue;
        }
        done.push(cost);
        let parts = result.starts.parts.iter();
        let parts: Vec<String> = parts
            .map(|(part, took)| format!("{part} {:.3}", took.as_secs_f64()))
            .collect();
        let whole = result.starts.whole.as_secs_f64();
        let _ = writeln!(
            text,
            "A start of {whole:.2} s ({} items), in seconds: {}.",
            result.cell.world.items,
            parts.join(", ")
        );
    }
    text.push('\n');
}

/// What the managers' own records say, where there is a manager.
fn recoveries(text: &mut String, results: &[CellResult]) {
    for result in results {
        let report = result.recoveries.as_ref();
        if let Some(Ok(report)) = report.map(|recorded| recorded.report(&result.outcomes, SAMPLES))
        {
            let percent = |figure: Figure| {
                figure.value().map_or_else(
                    || figure.to_string(),
                    |share| format!("{:.1} % ({})", share * 100.0, figure.samples()),
                )
            };
            let _ = writeln!(
                text,
                "Records of {} at {} s: MTTR {} s, success {}, automation {}, false positives {}, blast radius {}.",
                result.cell.arm.name(),
                result.cell.cost,
                report.mttr_seconds,
                percent(report.success),
                percent(report.automation),
                percent(report.false_positives),
                percent(report.blast_radius),
            );
        }
    }
    text.push('\n');
}

fn even(text: &mut String, results: &[CellResult]) {
    let cells = |cure: Cure, retries: bool| -> Vec<&CellResult> {
        results
            .iter()
            .filter(|result| result.cell.arm == Arm { cure, retries })
            .collect()
    };
    for retries in [false, true] {
        for cure in [Cure::Microreboot, Cure::Gated] {
            let (process, part) = (cells(Cure::Inherited, retries), cells(cure, retries));
            let (mut measured, mut predicted) = (Vec::new(), Vec::new());
            for (process, part) in process.iter().zip(&part) {
                let (process, part) = (figures(process), figures(part));
                let start = process.start.as_secs_f64();
                measured.push((start, process.failed.mean, part.failed.mean));
                predicted.push((start, process.predicted, part.predicted));
            }
            if let (Some(measured), Some(predicted)) =
                (break_even(&measured), break_even(&predicted))
            {
                let name = Arm { cure, retries }.name();
                let _ = writeln!(
                    text,
                    "Break-even of {name} with a process restart that keeps its socket: {}; predicted {}.",
                    said(measured),
                    said(predicted)
                );
            }
        }
    }
}

fn said(even: BreakEven) -> String {
    match even {
        BreakEven::Below(start) => format!("below a start-up of {start:.2} s, the cheapest here"),
        BreakEven::At(start) => format!("at a start-up of {start:.2} s"),
        BreakEven::Above(start) => format!("above a start-up of {start:.2} s, the dearest here"),
    }
}

const PAPER: &str = "
For comparison, the paper (Candea et al., Microreboot, OSDI 2004), on another system and another load:
a process restart failed 3,917 requests a recovery and took 19.1 s; a microreboot 78 (98 % fewer), 0.4 to 0.6 s.
";
