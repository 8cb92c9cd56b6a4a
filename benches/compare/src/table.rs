//! The table at the end, out of criterion's own estimates. It has the rows that were run: a filter on the command line
//! leaves out others, and with them the columns that are made of them.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write;
use std::time::SystemTime;

use crate::estimate::Estimate;
use crate::machine;
use crate::scenario::{self, Load, Scenario};
use crate::suite::Measured;

pub(crate) const F: &str = "fetch_add";
pub(crate) const BARE: &str = "bare";

/// Packages whose versions are named.
const PACKAGES: [&str; 9] = [
    "tower",
    "tower-resilience",
    "seatbelt",
    "tokio",
    "backon",
    "recloser",
    "failsafe",
    "circuitbreaker-rs",
    "backstop",
];

const LOAD: &str = "the run itself makes 1, with two threads 2; a busier machine makes the figures of two threads worthless";

struct Estimates(HashMap<(&'static str, &'static str), Estimate>);

impl Estimates {
    fn ns(&self, scenario: &Scenario, row: &'static str) -> Option<f64> {
        Some(self.0.get(&(scenario.name, row))?.ns)
    }
}

pub(crate) fn print(measured: &[Measured], started: SystemTime) -> Result<(), Box<dyn Error>> {
    let mut estimates = HashMap::new();
    for Measured { scenario, row } in measured {
        let estimate = Estimate::read(scenario.name, row.name, started)
            .map_err(|error| format!("{}/{}: {error}", scenario.name, row.name))?;
        estimates.insert((scenario.name, row.name), estimate);
    }
    let table = lines(measured, &Estimates(estimates));
    println!("\n{}\n{NOTES}{table}", machine::describe(&PACKAGES, LOAD));
    Ok(())
}

const NOTES: &str = "F = one uncontended relaxed fetch_add of the same family in this run. ns and +-: criterion's \
estimate for one call and half its 95 % confidence interval.\nover bare: what the policy adds to the bare call, in F. \
ratio: the peer's ns over those of the row of ours that does the same work in the same style. -: the row it is made of \
was not run.\n";

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
