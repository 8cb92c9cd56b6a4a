//! Runs scenarios on OTP, if it is there.

use crate::scenario::Scenario;
use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::process::Command;

/// Set by CI: a machine without Erlang then fails the tests that need it.
const REQUIRED: &str = "BACKSTOP_OTP";

/// The report of each scenario, in their order; `None` if there is no Erlang and it is not required.
pub(crate) fn run(scenarios: &[Scenario]) -> Option<Vec<String>> {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("scenarios");
    let terms = scenarios.iter().fold(String::new(), |mut text, scenario| {
        writeln!(text, "{scenario}").expect("a string takes all");
        text
    });
    fs::write(&file, terms).expect("a file");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/otp/otp.escript");
    let run = match Command::new("escript").arg(script).arg(&file).output() {
        Ok(run) => run,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let hint = "no `escript`: install Erlang/OTP (Debian: apt-get install erlang-base)";
            assert!(std::env::var_os(REQUIRED).is_none(), "{hint}");
            eprintln!("NOT COMPARED with OTP, {hint}");
            return None;
        }
        Err(error) => panic!("escript: {error}"),
    };
    let (text, wrong) = (
        String::from_utf8_lossy(&run.stdout),
        String::from_utf8_lossy(&run.stderr),
    );
    assert!(
        run.status.success(),
        "escript: {}\n{text}\n{wrong}",
        run.status
    );
    Some(reports(&text, scenarios))
}

fn reports(text: &str, scenarios: &[Scenario]) -> Vec<String> {
    let body = text.strip_suffix("end\n").expect("it came to its end");
    let mut reports: Vec<String> = Vec::new();
    for line in body.lines().skip(1) {
        if line.starts_with("scenario ") {
            reports.push(String::new());
        }
        let report = reports.last_mut().expect("a scenario's line");
        writeln!(report, "{line}").expect("a string takes all");
    }
    assert_eq!(reports.len(), scenarios.len(), "a report for each scenario");
    reports
}
