//! What the figures were made on and with.

use std::fs;
use std::thread::available_parallelism;

/// With the versions of these packages, and what a run itself adds to the load.
pub(crate) fn describe(packages: &[&str], load_of_a_run: &str) -> String {
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
    let versions: Vec<_> = packages
        .iter()
        .map(|name| format!("{name} {}", version(name).unwrap_or("unknown")))
        .collect();
    let versions = versions.join(", ");
    let rustc = env!("COMPARE_RUSTC");
    format!(
        "CPU {cpu}, {cores} cores; {system}, kernel {kernel}; {rustc}\n{versions}\n\
        load average over the last 1, 5 and 15 minutes: {load}; {load_of_a_run}"
    )
}

/// What was built is what the lock file pins.
fn version(package: &str) -> Option<&'static str> {
    let (_, entry) =
        include_str!("../Cargo.lock").split_once(&format!("name = \"{package}\"\nversion = \""))?;
    entry.split('"').next()
}
