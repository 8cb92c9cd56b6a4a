//! A ledger that cannot be shut down, only killed; and loses nothing by it.
//!
//! ```text
//! cargo run --release --example ledger --features durable
//! cargo run --release --example ledger --features durable -- serve --dir /tmp/ledger --addr 127.0.0.1:8080
//! ```
//!
//! Without arguments it starts itself as a server on a temporary directory, loads it, kills it a few
//! times, starts it again each time, and audits what is there in the end. It ends with 0 if every
//! acknowledged transfer is there exactly once.
//!
//! As a server: `curl -X PUT localhost:8080/accounts/1 -d '{"balance": 100}'`, the same for account 2,
//! `curl -X PUT localhost:8080/transfers/rent-may -d '{"from": 1, "to": 2, "amount": 40}'` as often as
//! you like, `curl localhost:8080/accounts/1`.

mod service;

use service::drill::Drill;
use service::server::{Answers, Options, serve};
use std::error::Error;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

const USAGE: &str =
    "ledger | ledger serve --dir DIR [--addr ADDR] [--snapshot-every N] [--segment-bytes N]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.split_first() {
        None => demo(),
        Some((command, rest)) if command == "serve" => options(rest).and_then(|it| serve(&it)),
        _ => Err(USAGE.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ledger: {error}");
            ExitCode::FAILURE
        }
    }
}

fn options(arguments: &[String]) -> Result<Options, Box<dyn Error>> {
    let mut dir = None;
    let mut options = Options {
        dir: Path::new("").to_owned(),
        address: ([127, 0, 0, 1], 0).into(),
        snapshot_every: 10_000,
        segment_bytes: 1 << 20,
        answers: Answers::Durable,
    };
    let mut pairs = arguments.chunks_exact(2);
    for pair in &mut pairs {
        let value = &pair[1];
        match &*pair[0] {
            "--dir" => dir = Some(value.into()),
            "--addr" => options.address = value.parse()?,
            "--snapshot-every" => options.snapshot_every = value.parse()?,
            "--segment-bytes" => options.segment_bytes = value.parse()?,
            "--answers" if value == "durable" => options.answers = Answers::Durable,
            "--answers" if value == "buffered" => options.answers = Answers::Buffered,
            _ => return Err(USAGE.into()),
        }
    }
    options.dir = match dir {
        Some(dir) if pairs.remainder().is_empty() => dir,
        _ => return Err(USAGE.into()),
    };
    Ok(options)
}

fn demo() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let drill = Drill {
        kills: 6,
        clients: 8,
        seed: fastrand::u64(..),
        longest_life: Duration::from_millis(1_500),
        command: |dir| {
            let program = std::env::current_exe().expect("this program is a file");
            let mut command = Command::new(program);
            command.args([
                "serve",
                "--snapshot-every",
                "1000",
                "--segment-bytes",
                "65536",
            ]);
            command.arg("--dir").arg(dir);
            command
        },
    };
    println!(
        "killing a ledger {} times (seed {})",
        drill.kills, drill.seed
    );
    println!("{}", drill.run(dir.path())?);
    Ok(())
}
