//! The table at the end, out of criterion's own estimates. It has the rows that were run: a filter on the command line
//! leaves out others, and with them the columns that are made of them.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use serde_json::Value;

use crate::scenario::{self, Load, Scenario};
use crate::suite::Measured;
use crate::{OUTPUT, machine};

pub(crate) const F: &str = "fetch_add";
pub(crate) const BARE: &str = "bare";

#[derive(Clone, Copy)]
struct Estimate {
    ns: f64,
    /// Half of the confidence interval, as a part of the estimate.
    error: f64,
}

struct Estimates(HashMap<(&'static str, &'static str), Estimate>);

impl Estimates {
    fn ns(&self, scenario: &Scenario, row: &'static str) -> Option<f64> {
        Some(self.0.get(&(scenario.name, row))?.ns)
    }
}

pub(crate) fn print(measured: &[Measured], started: SystemTime) -> Result<(), Box<dyn Error>> {
    if measured.is_empty() {
        return Err("no row was run; does the filter match one?".into());
    }
    let mut estimates = HashMap::new();
    for Measured { scenario, row } in measured {
        let estimate = read(scenario.name, row.name, started)
            .map_err(|error| format!("{}/{}: {error}", scenario.name, row.name))?;
        estimates.insert((scenario.name, row.name), estimate);
    }
    let table = lines(measured, &Estimates(estimates));
    println!("\n{}\n{NOTES}{table}", machine::describe());
    Ok(())
}

const NOTES: &str = "F = one uncontended relaxed fetch_add of the same family in this run. ns and +-: criterion's \
estimate for one call and half its 95 % confidence interval.\nover bare: what the policy adds to the bare call, in F. \
ratio: the peer's ns over those of the row of ours that does the same work in the same style. -: the row it is made of \
was not run.\n";

/// The slope where criterion fitted one, else the mean; refused if it is not of this run.
fn read(group: &str, name: &str, started: SystemTime) -> Result<Estimate, Box<dyn Error>> {
    let path = PathBuf::from_iter([OUTPUT, group, name, "new", "estimates.json"]);
    if fs::metadata(&path)?.modified()? < started {
        return Err("the estimate is of an earlier run".into());
    }
    let all: Value = serde_json::from_str(&fs::read_to_string(&path)?)?;
    let estimate = if all["slope"].is_null() {
        &all["mean"]
    } else {
        &all["slope"]
    };
    let number = |value: &Value| {
        value
            .as_f64()
            .ok_or("criterion's file has another form than expected")
    };
    let ns = number(&estimate["point_estimate"])?;
    let interval = &estimate["confidence_interval"];
    let width = number(&interval["upper_bound"])? - number(&interval["lower_bound"])?;
    Ok(Estimate {
        ns,
        error: width / 2.0 / ns,
    })
}

fn lines(measured: &[Measured], estimates: &Estimates) -> String {
    let mut table = String::new();
    for scenario in &scenario::ALL {
        let mut rows = measured
            .iter()
            .filter(|measured| measured.scenario == scenario)
            .peekable();
        if rows.peek().is_none() {
            continue;
        }
        let f = estimates.ns(scenario.plain(), F);
        // No bare call is ever rejected.
        let bare = if scenario.load == Load::Refused {
            estimates.ns(scenario.plain(), BARE)
        } else {
            estimates.ns(scenario, BARE)
        };
        let _ = write!(
            table,
            "\n{}: {}\n  {:<31}{:>11}{:>9}{:>10}{:>11}{:>10}\n",
            scenario.name, scenario.text, "", "ns", "+-", "F", "over bare", "ratio"
        );
        for Measured { row, .. } in rows {
            let Estimate { ns, error } = estimates.0[&(scenario.name, row.name)];
            let in_f = f.map(|f| ns / f);
            let over = f.zip(bare).map(|(f, bare)| (ns - bare) / f);
            let ratio = row.like.map_or_else(String::new, |like| {
                let ratio = estimates.ns(scenario, like).map(|ours| ns / ours);
                format!("{} x {like}", cell(ratio, 10, 1))
            });
            let _ = writeln!(
                table,
                "  {:<31}{ns:>11.2}{:>7.1} %{}{}{ratio}",
                row.name,
                error * 100.0,
                cell(in_f, 10, 2),
                cell(over, 11, 2)
            );
        }
    }
    table
}

fn cell(value: Option<f64>, width: usize, digits: usize) -> String {
    value.map_or_else(
        || format!("{:>width$}", "-"),
        |value| format!("{value:>width$.digits$}"),
    )
}
