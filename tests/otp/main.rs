//! The supervisor beside Erlang/OTP's own.
//!
//! A [`scenario`] is a tree of supervisors and what happens to it. It runs on OTP ([`otp`], a script of
//! `escript`) and on a [`naive`] model of OTP, and their [`report`]s must be the same text: the order of
//! starts and stops, what commands answer, who gives up, and what runs after each step.
//!
//! A machine without Erlang says that it did not compare. With `BACKSTOP_OTP=required`, as in CI, it
//! fails. `BACKSTOP_SOAK=1` runs twenty times as many scenarios.

mod naive;
mod otp;
mod report;
mod scenario;

use naive::Fault;
use scenario::{Mix, Scenario};

/// Scenarios of a short run.
const SCENARIOS: u64 = 800;

fn scenarios() -> Vec<Scenario> {
    let times = if std::env::var_os("BACKSTOP_SOAK").is_some() {
        20
    } else {
        1
    };
    (0..SCENARIOS * times)
        .map(|seed| Scenario::new(seed, Mix { waits: 15 }))
        .collect()
}

#[test]
fn the_model_is_otps() {
    let scenarios = scenarios();
    let Some(otp) = otp::run(&scenarios) else {
        return;
    };
    for (scenario, otp) in scenarios.iter().zip(&otp) {
        let ours = naive::run(scenario, None);
        assert_eq!(
            *otp, ours,
            "\n{scenario}\n--- otp ---\n{otp}--- model ---\n{ours}"
        );
    }
}

#[test]
fn the_scenarios_reach_what_they_should() {
    let texts: Vec<_> = scenarios()
        .iter()
        .map(|one| naive::run(one, None))
        .collect();
    let with = |what: &str| texts.iter().filter(|text| text.contains(what)).count();
    for what in [
        "give up root",
        "give up s",
        "fail ",
        "-> running",
        "-> already present",
        "-> not found",
        "-> start failed",
        "wait ",
    ] {
        println!("{what}: {}", with(what));
    }
    assert!(with("give up root") >= 50);
}

#[test]
fn a_broken_rule_is_caught() {
    let scenarios = scenarios();
    for fault in [
        Fault::StartsReversed,
        Fault::OneTooMany,
        Fault::NeverForgets,
        Fault::FreeStarts,
        Fault::TemporaryComesBack,
    ] {
        let caught = scenarios
            .iter()
            .filter(|one| naive::run(one, Some(fault)) != naive::run(one, None))
            .count();
        println!("{fault:?}: {caught}");
        assert!(caught > 0, "{fault:?} is not noticed");
    }
}
