//! The drill: many faults and as many disturbances that pass by themselves, and what the detector and
//! the cures make of them.

use super::cell::CellResult;
use super::outcome::Outcome;
use super::report::SAMPLES;
use super::stats::Spread;
use std::fmt::Write;

#[expect(clippy::cast_precision_loss, reason = "some hundreds")]
fn percent(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole as f64
}

pub(crate) fn report(result: &CellResult) -> String {
    let (benign, faults): (Vec<&Outcome>, Vec<&Outcome>) = result
        .outcomes
        .iter()
        .partition(|outcome| outcome.times.fault.is_benign());
    let count = |of: &dyn Fn(&Outcome) -> bool, among: &[&Outcome]| {
        among.iter().filter(|outcome| of(outcome)).count()
    };
    let noticed = count(&|outcome| outcome.times.suspect.is_some(), &faults);
    let blamed = count(
        &|outcome| outcome.times.suspect == Some(outcome.times.fault.component),
        &faults,
    );
    let cured = count(
        &|outcome| outcome.times.recovered.is_some() && outcome.times.cures == 1,
        &faults,
    );
    let later = count(
        &|outcome| outcome.times.recovered.is_some() && outcome.times.cures > 1,
        &faults,
    );
    let alarms = count(&|outcome| outcome.times.suspect.is_some(), &benign);
    let radius = faults.iter().filter(|outcome| outcome.during.0 > 0);
    #[expect(clippy::cast_precision_loss, reason = "some hundreds")]
    let radius =
        Spread::of(radius.map(|outcome| 100.0 * outcome.during.1 as f64 / outcome.during.0 as f64));
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{} faults, {} benign disturbances, arm {}",
        faults.len(),
        benign.len(),
        result.cell.arm.name()
    );
    let _ = writeln!(
        text,
        "noticed                       {noticed:>4}  ({:.1} %)",
        percent(noticed, faults.len())
    );
    let _ = writeln!(
        text,
        "ascribed to the right one     {blamed:>4}  ({:.1} %)",
        percent(blamed, faults.len())
    );
    let _ = writeln!(
        text,
        "success: cured, nobody helped {cured:>4}  ({:.1} %), and {later} by a further attempt",
        percent(cured, faults.len())
    );
    let _ = writeln!(
        text,
        "false positives               {alarms:>4}  ({:.1} % of the disturbances, {:.1} % of all {} cures)",
        percent(alarms, benign.len()),
        percent(alarms, alarms + noticed),
        alarms + noticed
    );
    let _ = writeln!(
        text,
        "blast radius, of the requests between fault and recovery: median {:.1} % [{:.1}, {:.1}], mean {:.1} %",
        radius.median, radius.low, radius.high, radius.mean
    );
    if let Some(recoveries) = &result.recoveries {
        let _ = match recoveries.report(&result.outcomes, SAMPLES) {
            Ok(report) => writeln!(
                text,
                "\nThe report of the manager's records; how many samples are in brackets.\n{report}"
            ),
            Err(error) => writeln!(text, "\nno report: {error}"),
        };
    }
    text
}
