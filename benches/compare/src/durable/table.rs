//! The table at the end. It has the rows that were run.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write;
use std::time::SystemTime;

use crate::disk::Disk;
use crate::estimate::Estimate;
use crate::machine;
use crate::scenario::{self, Scenario, Work};
use crate::suite::Measured;

/// Our row, which the others are set against.
pub(crate) const OURS: &str = "backstop";

/// Packages whose versions are named.
const PACKAGES: [&str; 5] = ["okaywal", "wal-db", "redb", "fjall", "backstop"];

const LOAD: &str =
    "what else uses the disk or the cores makes all figures worse, and not all alike";

const NOTES: &str = "us and +-: criterion's estimate for one record and half its 95 % confidence interval. ratio: the \
row's time over that of backstop; -: that was not run. records/sync: where a log lets its user count.\n";

pub(crate) fn print(
    measured: &[Measured],
    disk: &Disk,
    started: SystemTime,
) -> Result<(), Box<dyn Error>> {
    let mut estimates = HashMap::new();
    for Measured { scenario, row, .. } in measured {
        let estimate = Estimate::read(scenario.name, row, started)
            .map_err(|error| format!("{}/{row}: {error}", scenario.name))?;
        estimates.insert((scenario.name, *row), estimate);
    }
    let mut table = String::new();
    for scenario in &scenario::ALL {
        lines(&mut table, scenario, measured, &estimates);
    }
    println!(
        "\n{}; {}\n{NOTES}{table}",
        machine::describe(&PACKAGES, LOAD),
        disk.file_system
    );
    Ok(())
}

type Estimates = HashMap<(&'static str, &'static str), Estimate>;

fn lines(
    table: &mut String,
    scenario: &'static Scenario,
    measured: &[Measured],
    estimates: &Estimates,
) {
    let rows: Vec<_> = measured
        .iter()
        .filter(|measured| measured.scenario == scenario)
        .collect();
    if rows.is_empty() {
        return;
    }
    let _ = write!(
        table,
        "\n{}: {}\n  {:<18}{:>12}{:>10}{:>13}{:>9}{:>14}{:>8}\n",
        scenario.name, scenario.text, "", "us", "+-", "records/s", "GB/s", "records/sync", "ratio"
    );
    let ours = estimates.get(&(scenario.name, OURS));
    for measured in rows {
        let row = measured.row;
        let Estimate { ns, error } = estimates[&(scenario.name, row)];
        let bandwidth = matches!(scenario.work, Work::Replay { .. })
            .then(|| format!("{:.2}", scenario.bytes as f64 / ns));
        let per_sync = measured
            .records_per_sync
            .map(|records| format!("{records:.1}"));
        let ratio = ours.map(|ours| format!("{:.2}", ns / ours.ns));
        let _ = writeln!(
            table,
            "  {row:<18}{:>12.3}{:>8.1} %{:>13.0}{:>9}{:>14}{:>8}",
            ns / 1e3,
            error * 100.0,
            1e9 / ns,
            bandwidth.unwrap_or_default(),
            per_sync.unwrap_or_default(),
            ratio.as_deref().unwrap_or("-"),
        );
    }
}
