//! What it costs when nothing fails: instructions of a request, without support for restarts of
//! components, with it, and with the gate, counted by callgrind.

use super::Failure;
use super::exchange::Exchange;
use crate::app::service::server::routes;
use crate::app::service::site::Site;
use crate::app::service::slot::Support;
use crate::app::service::store::seed;
use crate::app::service::world::{CATEGORIES, World};
use axum::body::Body;
use axum::http::Request;
use std::process::Command;
use tower::ServiceExt;

const WORLD: World = World { items: 400 };
const FEW: u64 = 2_000;
const MANY: u64 = 6_000;

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
    let mut without = None;
    for support in ["none", "microreboot", "gate"] {
        let instructions = (counted(support, MANY)? - counted(support, FEW)?) / (MANY - FEW);
        let base = *without.get_or_insert(instructions);
        #[expect(clippy::cast_precision_loss, reason = "some thousands")]
        let more = 100.0 * (instructions as f64 / base as f64 - 1.0);
        println!("{support:<12} {instructions:>7}  {more:+.1} %");
    }
    Ok(())
}

fn counted(support: &str, count: u64) -> Result<u64, Failure> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args([
            "requests",
            "--support",
            support,
            "--count",
            &count.to_string(),
        ])
        .output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        // Older valgrinds give a process no vDSO to read the time from, as rustix does by itself.
        let hint = "build with RUSTFLAGS='--cfg rustix_use_libc' if it died of a signal";
        return Err(format!("under callgrind it ended with {}; {hint}", output.status).into());
    }
    let collected = text
        .lines()
        .find_map(|line| line.split_once("Collected : "));
    let (_, collected) =
        collected.ok_or_else(|| format!("callgrind has counted nothing: {text}"))?;
    Ok(collected.trim().parse()?)
}
