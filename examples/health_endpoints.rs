//! The probes of a service through a bad day, asked over HTTP.
//!
//! `cargo run --example health_endpoints --features axum` starts an axum service on loopback, breaks what
//! it depends on, mends it, and asks `/livez`, `/startupz`, `/readyz` and `/health` after each step until
//! they answer what they should. How its parts are is a few flags; the checks, the recovery action and the
//! endpoints are what a service has.
//!
//! ```text
//! what happened         livez startupz readyz health  notes; what fails
//! the cache is cold       200      503    503    503  starting; shop:warm-up: the cache is cold
//! it is warm              200      200    200    200  healthy
//! the database is down    200      200    503    503  unhealthy; db:ping: the connection is gone
//! ```

use axum::Router;
use axum::routing::get;
use backstop::health::check::{Check, CheckConfig, Finding, Level, Probe, RecoveryAction, Status};
use backstop::health::tree::{
    Component, Detail, HealthEvent, HealthEventKind, HealthRoutes, HealthTree, RecoveryOutcome,
};
use backstop::kernel::backoff::Backoff;
use backstop::kernel::clock::Clock;
use backstop::kernel::event::Subscriber;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use serde_json::Value;
use std::error::Error;
use std::net::Ipv4Addr;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

type BoxError = Box<dyn Error + Send + Sync>;

/// A day takes seconds here: a service leaves these at 10 s, 1 s and 3.
fn often() -> CheckConfig {
    CheckConfig::default()
        .period(PERIOD)
        .timeout(PERIOD)
        .failure_threshold(2)
}

const PERIOD: Duration = Duration::from_millis(100);

/// What the service and its surroundings are like.
#[derive(Default)]
struct World {
    is_warm: AtomicBool,
    is_stuck: AtomicBool,
    database_is_down: AtomicBool,
    /// Connections to it that work; they do not survive its restart.
    connected: AtomicBool,
    cache_is_down: AtomicBool,
    queued: AtomicU32,
    disk_used: AtomicU32,
    reconnects: AtomicU32,
}

impl World {
    fn warmed(&self) -> Result<Finding, BoxError> {
        failed_if(!self.is_warm.load(Ordering::Relaxed), "the cache is cold")
    }

    fn moves(&self) -> Result<Finding, BoxError> {
        failed_if(
            self.is_stuck.load(Ordering::Relaxed),
            "no turn for a minute",
        )
    }

    fn ping_db(&self) -> Result<Finding, BoxError> {
        failed_if(
            !self.connected.load(Ordering::Relaxed),
            "the connection is gone",
        )
    }

    fn ping_cache(&self) -> Result<Finding, BoxError> {
        failed_if(self.cache_is_down.load(Ordering::Relaxed), "no route to it")
    }

    fn depth(&self) -> Result<Finding, BoxError> {
        let depth = self.queued.load(Ordering::Relaxed);
        let finding = failed_if(depth > 1_000, "it backs up")?;
        Ok(finding.observed(depth, "orders"))
    }

    fn space(&self) -> Result<Finding, BoxError> {
        let used = self.disk_used.load(Ordering::Relaxed);
        let finding = failed_if(used > 80, "it fills up")?;
        Ok(finding.observed(used, "%"))
    }

    /// What mends the connections, once the database is there.
    fn reconnect(&self) -> Result<(), BoxError> {
        self.reconnects.fetch_add(1, Ordering::Relaxed);
        if self.database_is_down.load(Ordering::Relaxed) {
            return Err("connection refused".into());
        }
        self.connected.store(true, Ordering::Relaxed);
        Ok(())
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "a check that asks over a network has errors"
)]
fn failed_if(failed: bool, message: &str) -> Result<Finding, BoxError> {
    Ok(if failed {
        Finding::failed(message)
    } else {
        Finding::passed()
    })
}

fn describe(world: &Arc<World>) -> Result<HealthTree, BoxError> {
    let check = |name: &'static str, level, ask: fn(&World) -> Result<Finding, BoxError>| {
        let world = world.clone();
        Check::new(name, level, move || std::future::ready(ask(&world))).config(often())
    };
    let reconnect = {
        let world = world.clone();
        RecoveryAction::new("pool", move || std::future::ready(world.reconnect()))
            .retries(50)
            .backoff(Backoff::constant(PERIOD))
    };
    let tree = HealthTree::builder("shop")
        .check(
            check("warm-up", Level::Critical, World::warmed)
                .probe(Probe::StartUp)
                // A slow start is no failure.
                .config(often().failure_threshold(100)),
        )
        .component(
            Component::new("worker")
                .check(check("turns", Level::Critical, World::moves).probe(Probe::Liveness))
                .check(check("queue", Level::Degraded, World::depth))
                .check(check("disk", Level::Maintenance, World::space)),
        )
        .component(
            Component::new("db")
                .dependency()
                .check(check("ping", Level::Critical, World::ping_db).recovery(reconnect)),
        )
        .component(Component::new("cache").dependency().optional().check(check(
            "ping",
            Level::Critical,
            World::ping_cache,
        )))
        .build()?;
    Ok(tree)
}

/// The codes of `/livez`, `/startupz`, `/readyz` and `/health`, and what the last one said.
#[derive(Debug)]
struct Answer {
    codes: [u16; 4],
    notes: String,
    /// The checks that do not pass, and what they say.
    failing: Vec<(String, String)>,
}

impl Answer {
    fn is(&self, codes: [u16; 4], notes: &str, failing: &[&str]) -> bool {
        let names = self.failing.iter().map(|(name, _)| name.as_str());
        self.codes == codes && self.notes == notes && names.eq(failing.iter().copied())
    }
}

struct Prober {
    client: Client<HttpConnector, Empty<bytes::Bytes>>,
    url: String,
    clock: Clock,
}

impl Prober {
    async fn get(&self, path: &str) -> Result<(u16, Value), BoxError> {
        let response = self
            .client
            .get(format!("{}{path}", self.url).parse()?)
            .await?;
        let code = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((code, serde_json::from_slice(&body)?))
    }

    async fn ask(&self) -> Result<Answer, BoxError> {
        let mut codes = [0; 4];
        for (code, path) in codes.iter_mut().zip(["/livez", "/startupz", "/readyz"]) {
            *code = self.get(path).await?.0;
        }
        let (code, health) = self.get("/health").await?;
        codes[3] = code;
        let notes = health["notes"].as_array().ok_or("there are no notes")?;
        let notes: Vec<&str> = notes.iter().filter_map(Value::as_str).collect();
        let checks = health["checks"].as_object().ok_or("there are no checks")?;
        let failing = checks.iter().filter_map(|(name, entries)| {
            let entry = &entries[0];
            let output = entry["output"].as_str()?;
            (entry["status"] != "pass").then(|| (name.clone(), output.to_owned()))
        });
        let failing = failing.collect();
        Ok(Answer {
            codes,
            notes: notes.join(", "),
            failing,
        })
    }

    /// Asks until the endpoints answer this, and prints what they answered.
    async fn expect(
        &self,
        what: &str,
        codes: [u16; 4],
        notes: &str,
        failing: &[&str],
    ) -> Result<(), BoxError> {
        let deadline = self.clock.now() + Duration::from_secs(4);
        let answer = loop {
            let answer = self.ask().await?;
            if answer.is(codes, notes, failing) {
                break answer;
            }
            if self.clock.now() > deadline {
                return Err(format!("{what}: {answer:?} instead of {codes:?}, {notes}").into());
            }
            self.wait(PERIOD / 5).await?;
        };
        let [live, start, ready, health] = answer.codes;
        print!("{what:<31} {live:>5} {start:>8} {ready:>6} {health:>6}  {notes}");
        for (name, output) in &answer.failing {
            print!("; {name}: {output}");
        }
        println!();
        Ok(())
    }

    async fn wait(&self, time: Duration) -> Result<(), BoxError> {
        self.clock.sleep_until(self.clock.now() + time)?.await;
        Ok(())
    }
}

const ALL_YES: [u16; 4] = [200; 4];
const NOT_READY: [u16; 4] = [200, 200, 503, 503];

async fn bad_day(world: &World, tree: &HealthTree, probes: &Prober) -> Result<(), BoxError> {
    let set = |flag: &AtomicBool, to| flag.store(to, Ordering::Relaxed);
    let (codes, notes) = ([200, 503, 503, 503], "starting");
    probes
        .expect("the cache is cold", codes, notes, &["shop:warm-up"])
        .await?;
    set(&world.connected, true);
    set(&world.is_warm, true);
    probes.expect("it is warm", ALL_YES, "healthy", &[]).await?;

    world.disk_used.store(85, Ordering::Relaxed);
    let notes = "healthy, needs attention";
    probes
        .expect("the disk fills up", ALL_YES, notes, &["worker:disk"])
        .await?;
    world.disk_used.store(40, Ordering::Relaxed);
    set(&world.cache_is_down, true);
    world.queued.store(5_000, Ordering::Relaxed);
    probes
        .expect(
            "no cache, and orders back up",
            ALL_YES,
            "degraded",
            &["cache:ping", "worker:queue"],
        )
        .await?;
    set(&world.cache_is_down, false);
    world.queued.store(3, Ordering::Relaxed);
    probes
        .expect("all is well again", ALL_YES, "healthy", &[])
        .await?;

    set(&world.database_is_down, true);
    set(&world.connected, false);
    probes
        .expect("the database is down", NOT_READY, "unhealthy", &["db:ping"])
        .await?;
    // Reconnecting fails, and is tried again.
    probes.wait(3 * PERIOD).await?;
    set(&world.database_is_down, false);
    probes
        .expect("it is back, and reconnected to", ALL_YES, "healthy", &[])
        .await?;
    // Two clean results in a row end the episode; the next failure is one of its own.
    probes.wait(4 * PERIOD).await?;

    let before = world.reconnects.load(Ordering::Relaxed);
    tree.maintenance(true);
    set(&world.connected, false);
    let notes = "unhealthy, in maintenance";
    probes
        .expect(
            "an operator is at the database",
            NOT_READY,
            notes,
            &["db:ping"],
        )
        .await?;
    probes.wait(4 * PERIOD).await?;
    if world.reconnects.load(Ordering::Relaxed) != before {
        return Err("a recovery began in maintenance mode".into());
    }
    tree.maintenance(false);
    probes
        .expect("maintenance is over", ALL_YES, "healthy", &[])
        .await?;

    set(&world.is_stuck, true);
    let codes = [503, 200, 503, 503];
    probes
        .expect("the worker is stuck", codes, "unhealthy", &["worker:turns"])
        .await?;
    set(&world.is_stuck, false);
    probes.expect("it moves", ALL_YES, "healthy", &[]).await?;

    tree.root().set_status(Status::OutOfService);
    probes
        .expect(
            "taken out of service by hand",
            NOT_READY,
            "out_of_service",
            &[],
        )
        .await?;
    tree.root().set_status(None);
    probes
        .expect("given back to its checks", ALL_YES, "healthy", &[])
        .await
}

/// Each outage was recovered from once: the first one's action by several attempts.
fn judge(world: &World, events: &mut Subscriber<HealthEvent>) -> Result<(), BoxError> {
    let mut recoveries = Vec::new();
    while let Some(event) = events.try_recv() {
        if let HealthEventKind::RecoveryEnded {
            attempts, outcome, ..
        } = event.kind
        {
            println!("recovery {}, attempts: {attempts}", outcome.as_str());
            recoveries.push((attempts, outcome));
        }
    }
    let reconnects = world.reconnects.load(Ordering::Relaxed);
    match &recoveries[..] {
        [(first, RecoveryOutcome::Done), (1, RecoveryOutcome::Done)]
            if *first > 1 && first + 1 == reconnects =>
        {
            Ok(())
        }
        _ => Err(format!("{reconnects} reconnects for {recoveries:?}").into()),
    }
}

async fn run() -> Result<(), BoxError> {
    let world = Arc::new(World::default());
    let tree = describe(&world)?;
    let mut events = tree.subscribe(NonZeroUsize::new(1024).ok_or("it is not 0")?);
    tree.start()?;

    // Messages may hold addresses and secrets: all detail is for a port of the operators' own.
    let health = HealthRoutes::new(&tree).detail(Detail::Full);
    let app = Router::new()
        .route("/price", get(async || "3.50\n"))
        .merge(health.into_router());
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let probes = Prober {
        client: Client::builder(hyper_util::rt::TokioExecutor::new()).build_http(),
        url: format!("http://{}", listener.local_addr()?),
        clock: Clock::system(),
    };
    tokio::spawn(async move { axum::serve(listener, app).await });

    let what = "what happened";
    println!("{what:<31} livez startupz readyz health  notes; what fails");
    bad_day(&world, &tree, &probes).await?;
    judge(&world, &mut events)
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
