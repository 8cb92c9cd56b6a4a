//! The table at the end, out of criterion's own estimates.

use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::thread::available_parallelism;
use std::time::SystemTime;

use serde_json::Value;

use crate::OUTPUT;
use crate::suite::{Row, Scenario};

pub(crate) const F: &str = "fetch_add";
pub(crate) const BARE: &str = "bare";

/// Packages whose versions the table names.
const PEERS: [&str; 6] = [
    "tower-resilience",
    "seatbelt",
    "recloser",
    "failsafe",
    "circuitbreaker-rs",
    "backstop",
];

#[derive(Clone, Copy)]
struct Estimate {
    ns: f64,
    /// Half of the confidence interval, as a part of the estimate.
    error: f64,
}

type Estimates = HashMap<(&'static str, &'static str), Estimate>;

pub(crate) fn print(rows: &[(Scenario, Row)], started: SystemTime) -> Result<(), Box<dyn Error>> {
    let mut estimates = Estimates::new();
    for (scenario, row) in rows {
        let estimate = read(scenario.name(), row.name, started)
            .map_err(|error| format!("{}/{}: {error}", scenario.name(), row.name))?;
        estimates.insert((scenario.name(), row.name), estimate);
    }
    let table = lines(rows, &estimates)?;
    println!("\n{}\n{}{table}", machine(), NOTES);
    Ok(())
}

const NOTES: &str = "F = one uncontended relaxed fetch_add of this run. ns and +-: criterion's estimate for one call and \
half its 95 % confidence interval.\nover bare: what the breaker adds to the bare call, in F. ratio: the peer's ns over \
those of the row of ours that does the same work in the same style.\n";

/// The slope where criterion fitted one, else the mean; refused if it is not of this run.
fn read(group: &str, name: &str, started: SystemTime) -> Result<Estimate, Box<dyn Error>> {
    let path = PathBuf::from_iter([OUTPUT, group, name, "new", "estimates.json"]);
    if fs::metadata(&path)?.modified()? < started {
        return Err("the estimate is of an earlier run; was this one filtered?".into());
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

fn lines(rows: &[(Scenario, Row)], estimates: &Estimates) -> Result<String, Box<dyn Error>> {
    let get = |scenario: Scenario, name| {
        estimates
            .get(&(scenario.name(), name))
            .copied()
            .ok_or_else(|| format!("no row {}/{name}", scenario.name()))
    };
    let f = get(Scenario::Healthy, F)?.ns;
    let mut table = String::new();
    for scenario in Scenario::ALL {
        // No bare call is ever rejected.
        let bare = get(
            if scenario == Scenario::Open {
                Scenario::Healthy
            } else {
                scenario
            },
            BARE,
        )?
        .ns;
        table += &format!("\n{}\n", scenario.describe());
        table += &format!(
            "  {:<27}{:>11}{:>9}{:>10}{:>11}{:>10}\n",
            "", "ns", "+-", "F", "over bare", "ratio"
        );
        for (_, row) in rows.iter().filter(|(of, _)| *of == scenario) {
            let Estimate { ns, error } = get(scenario, row.name)?;
            let ratio = match row.like {
                Some(like) => format!("{:>10.1} x {like}", ns / get(scenario, like)?.ns),
                None => String::new(),
            };
            let (error, over) = (error * 100.0, (ns - bare) / f);
            table += &format!(
                "  {:<27}{ns:>11.2}{error:>7.1} %{:>10.2}{over:>11.2}{ratio}\n",
                row.name,
                ns / f
            );
        }
    }
    Ok(table)
}

fn machine() -> String {
    let unknown = || "unknown".to_owned();
    let field = |path: &str, key: &str, split: char| {
        let text = fs::read_to_string(path).ok()?;
        let line = text.lines().find(|line| line.starts_with(key))?;
        Some(
            line.split_once(split)?
                .1
                .trim()
                .trim_matches('"')
                .to_owned(),
        )
    };
    let cpu = field("/proc/cpuinfo", "model name", ':')
        .unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let cores = available_parallelism().map_or_else(|_| unknown(), |n| n.to_string());
    let system = field("/etc/os-release", "PRETTY_NAME", '=')
        .unwrap_or_else(|| std::env::consts::OS.to_owned());
    let proc =
        |path| fs::read_to_string(path).map_or_else(|_| unknown(), |text| text.trim().to_owned());
    let kernel = proc("/proc/sys/kernel/osrelease");
    let load = proc("/proc/loadavg")
        .split(' ')
        .take(3)
        .collect::<Vec<_>>()
        .join(" ");
    let versions = PEERS
        .map(|name| format!("{name} {}", version(name).unwrap_or("unknown")))
        .join(", ");
    let rustc = env!("COMPARE_RUSTC");
    format!(
        "CPU {cpu}, {cores} cores; {system}, kernel {kernel}; {rustc}\n{versions}\n\
        load average over the last 1, 5 and 15 minutes: {load}; the run itself makes 1, with two threads 2; \
        a busier machine makes the last scenario worthless"
    )
}

/// What was built is what the lock file pins.
fn version(package: &str) -> Option<&'static str> {
    let (_, entry) =
        include_str!("../Cargo.lock").split_once(&format!("name = \"{package}\"\nversion = \""))?;
    entry.split('"').next()
}
