//! What it costs when nothing fails: instructions of a request, without support for restarts of
//! components, with it, and with the gate, counted by callgrind.

use super::Failure;
use super::exchange::Exchange;
use crate::app::load::api::Api;
use crate::app::service::server::routes;
use crate::app::service::site::Site;
use crate::app::service::slot::Support;
use crate::app::service::store::seed;
use crate::app::service::world::{CATEGORIES, World};
use axum::body::Body;
use axum::http::Request;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tower::ServiceExt;

const WORLD: World = World { items: 400 };
const FEW: u64 = 2_000;
const MANY: u64 = 10_000;
const RUNS: usize = 7;
/// A server that is counted is some fifty times as slow.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers so many requests, without sockets. What a start takes goes out by subtraction of two counts.
pub(crate) fn requests(support: Support, count: u64) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let dir = tempfile::tempdir()?;
        seed(dir.path(), WORLD)?;
        let exchange = Exchange::open().await?;
        let site = Site::new(dir.path(), WORLD, exchange.address, support)?;
        crate::app::service::process::start(&site, support).await?;
        let router = routes(site);
        for number in 0..count {
            let item = u32::try_from(number % 400)?;
            let path = match number % 4 {
                0 => format!("/items/{item}"),
                1 => format!("/categories/{}", item % CATEGORIES),
                2 => format!("/users/{}/rating", item / 4),
                _ => format!("/items/{item}/bids"),
            };
            let response = router
                .clone()
                .oneshot(Request::get(path).body(Body::empty())?)
                .await?;
            if !response.status().is_success() {
                return Err(format!("a request was answered by {}", response.status()).into());
            }
        }
        Ok(())
    })
}

/// Counts, and prints.
pub(crate) fn run() -> Result<(), Failure> {
    println!(
        "instructions of a read, from its route to its answer, without sockets and HTTP's text"
    );
    table(counted)?;
    println!(
        "instructions of a read in the server's process, with all that serves it in user space"
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    table(|support, count| runtime.block_on(served(support, count)))
}

fn table(count: impl Fn(&str, u64) -> Result<u64, Failure>) -> Result<(), Failure> {
    let mut without = None;
    for support in ["none", "microreboot", "gate"] {
        // The middle one of some: maps hash by a seed that differs from run to run.
        let mut counts = Vec::new();
        for _ in 0..RUNS {
            counts.push((count(support, MANY)? - count(support, FEW)?) / (MANY - FEW));
        }
        counts.sort_unstable();
        let instructions = counts[RUNS / 2];
        let base = *without.get_or_insert(instructions);
        #[expect(clippy::cast_precision_loss, reason = "some thousands")]
        let more = 100.0 * (instructions as f64 / base as f64 - 1.0);
        println!("{support:<12} {instructions:>7}  {more:+.1} %");
    }
    Ok(())
}

/// This program under callgrind.
fn under_callgrind() -> Result<Command, Failure> {
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .stderr(Stdio::piped());
    Ok(command)
}

fn counted(support: &str, count: u64) -> Result<u64, Failure> {
    let count = count.to_string();
    let output = under_callgrind()?
        .args(["requests", "--support", support, "--count", &count])
        .output()?;
    if !output.status.success() {
        // Older valgrinds give a process no vDSO to read the time from, as rustix does by itself.
        let hint = "build with RUSTFLAGS='--cfg rustix_use_libc' if it died of a signal";
        return Err(format!("under callgrind it ended with {}; {hint}", output.status).into());
    }
    collected(&output)
}

/// The same reads, one after another over HTTP.
async fn served(support: &str, count: u64) -> Result<u64, Failure> {
    let dir = tempfile::tempdir()?;
    seed(dir.path(), WORLD)?;
    let exchange = Exchange::open().await?;
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut server = under_callgrind()?
        .args(["serve", "--support", support, "--dir"])
        .arg(dir.path())
        .args(["--items", &WORLD.items.to_string()])
        .args(["--exchange", &exchange.address.to_string()])
        .args(["--address", &address.to_string()])
        .stdout(Stdio::piped())
        .spawn()?;
    let lines = server
        .stdout
        .take()
        .map(|lines| BufReader::new(lines).lines());
    let serving =
        |line: std::io::Result<String>| line.is_ok_and(|line| line.starts_with("serving"));
    if !lines.into_iter().flatten().any(serving) {
        return Err("under callgrind the server did not start".into());
    }
    let api = Api::new(address, WORLD, PATIENCE);
    for number in 0..count {
        let item = u32::try_from(number % u64::from(WORLD.items))?;
        let right = match number % 4 {
            0 => api.item(item).await,
            1 => api.category(item % CATEGORIES).await,
            2 => api.rating(item / 4).await,
            _ => api.bids_of_item(item).await,
        };
        right.map_err(|failed| format!("a request failed: {failed:?}"))?;
    }
    // It has no other end than a signal.
    Command::new("kill").arg(server.id().to_string()).status()?;
    collected(&server.wait_with_output()?)
}

fn collected(output: &Output) -> Result<u64, Failure> {
    let text = String::from_utf8_lossy(&output.stderr);
    let collected = text
        .lines()
        .find_map(|line| line.split_once("Collected : "));
    let (_, collected) =
        collected.ok_or_else(|| format!("callgrind has counted nothing: {text}"))?;
    Ok(collected.trim().parse()?)
}
