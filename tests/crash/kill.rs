//! The ledger of the examples under load, killed with `SIGKILL` at random points and audited.
//!
//! The ledger's source is a module of this binary, which runs itself again as the server; so the test
//! depends on nothing that was built elsewhere. The points are drawn from a seed that is printed; where
//! exactly they lie in the work of the server is the system's choice.

#[path = "../../examples/ledger/service/mod.rs"]
mod service;

use service::drill::Drill;
use service::server::{Answers, Options, serve};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Where the child process finds its directory.
const DIR: &str = "BACKSTOP_LEDGER_DIR";

/// Set for a child that answers before an entry is durable.
const BROKEN: &str = "BACKSTOP_LEDGER_BROKEN";

fn server(dir: &Path) -> Command {
    let program = std::env::current_exe().expect("this test is a file");
    let mut command = Command::new(program);
    command
        .args(["--exact", "kill::serves_as_a_child", "--ignored"])
        .args(["--nocapture", "--test-threads", "1"])
        .env(DIR, dir);
    command
}

#[test]
#[ignore = "the child process of the test below"]
fn serves_as_a_child() {
    let dir = std::env::var_os(DIR).expect("it is run by the test below");
    // The test's harness has begun a line.
    println!();
    serve(&Options {
        dir: dir.into(),
        address: ([127, 0, 0, 1], 0).into(),
        // So few that kills meet snapshots, compactions and new segments.
        snapshot_every: 100,
        segment_bytes: 4_096,
        answers: match std::env::var_os(BROKEN) {
            Some(_) => Answers::Buffered,
            None => Answers::Durable,
        },
    })
    .expect("it serves until it is killed");
}

#[test]
fn bo2b_a_killed_ledger_loses_nothing_and_does_nothing_twice() {
    let seed = std::env::var("BACKSTOP_SEED").map_or_else(
        |_| fastrand::u64(..),
        |seed| seed.parse().expect("a seed is a number"),
    );
    let kills = match std::env::var_os("BACKSTOP_SOAK") {
        Some(_) => 250,
        None => 20,
    };
    println!("BACKSTOP_SEED={seed}");
    let dir = tempfile::tempdir().expect("there is room");
    let drill = Drill {
        kills,
        clients: 6,
        seed,
        longest_life: Duration::from_millis(400),
        command: server,
    };
    let outcome = drill
        .run(dir.path())
        .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    println!("{outcome}");
    // Or the drill has not tried what it is there for.
    assert!(outcome.acknowledged > 0, "seed {seed}: {outcome}");
    assert!(
        outcome.lives.iter().any(|life| life.booted.snapshot > 0),
        "seed {seed}: {outcome}"
    );
}

/// Or the drill would find nothing.
#[test]
fn bo2b_a_ledger_that_answers_too_early_is_found_out() {
    let dir = tempfile::tempdir().expect("there is room");
    let drill = Drill {
        kills: 20,
        clients: 6,
        seed: 1,
        longest_life: Duration::from_millis(400),
        command: |dir| {
            let mut command = server(dir);
            command.env(BROKEN, "1");
            command
        },
    };
    let error = drill
        .run(dir.path())
        .expect_err("it loses what it answered");
    println!("{error}");
    // A client whose account is gone is refused; one whose transfer is gone finds that in the audit.
    let is_lost = error.contains("not there") || error.contains("should hold");
    assert!(is_lost || error.contains("422"), "{error}");
}
