//! A cell of the experiment: one arm at one start-up cost, and the faults in it one after another.

use super::Failure;
use super::arm::{Arm, Server, Starts};
use super::audit::audit;
use super::detector::{PERIOD, Prober};
use super::exchange::Exchange;
use super::fault::Fault;
use super::generator::{Generator, Load, parse_bid};
use super::outcome::{Outcome, Times, outcomes};
use super::recoveries::Recoveries;
use crate::app::load::api::Api;
use crate::app::service::store::stored;
use crate::app::service::world::{Bid, World};
use crate::app::time::{micros, now, since, sleep};
use fastrand::Rng;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a cell is made of.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) arm: Arm,
    /// The start-up cost that was aimed at, in seconds.
    pub(crate) cost: f64,
    pub(crate) world: World,
    /// A journal with the market in it.
    pub(crate) market: PathBuf,
    pub(crate) faults: Vec<Fault>,
    /// Seconds from a cure to the next fault: so many, and up to as many more.
    pub(crate) gap: f64,
    pub(crate) load: Load,
    pub(crate) seed: u64,
}

/// What came of it.
pub(crate) struct CellResult {
    pub(crate) cell: Cell,
    pub(crate) starts: Starts,
    pub(crate) outcomes: Vec<Outcome>,
    /// How late the generator was: the 99th percentile.
    pub(crate) behind: Duration,
    /// Requests before the first fault, and how many of them failed.
    pub(crate) calm: (u64, u64),
    /// What the server's manager recorded, and how long it was watched; none if it has no manager.
    pub(crate) recoveries: Option<Recoveries>,
    pub(crate) wrong: Vec<String>,
}

/// Beyond this the generator was late, and what was measured is void.
pub(crate) const LATEST: Duration = Duration::from_millis(5);

/// How long nothing happens before the first fault.
const CALM: Duration = Duration::from_millis(1_500);
/// How long it is awaited that a fault shows, that a cure helps, and how often one is tried.
const SHOWS: Duration = Duration::from_secs(15);
/// How long it is watched whether a disturbance passes unnoticed.
const PASSES: Duration = Duration::from_millis(800);
const HELPS: Duration = Duration::from_secs(20);
const CURES: u32 = 3;

struct Running<'a> {
    cell: &'a Cell,
    exchange: Exchange,
    server: Server,
    generator: Generator,
    prober: Prober,
    control: Api,
    rng: Rng,
    wrong: Vec<String>,
}

pub(crate) async fn run(cell: Cell, scratch: &Path, out: &Path) -> Result<CellResult, Failure> {
    let dir = tempfile::tempdir_in(scratch)?;
    copy(&cell.market, &dir.path().join("journal"))?;
    let exchange = Exchange::open().await?;
    let mut server = Server::start(cell.arm.cure, dir.path(), cell.world, exchange.address)?;
    let starts = server.serving()?;
    let records = out.join(format!("requests-{}-{}.csv", cell.arm.name(), cell.cost));
    let generator = Generator::start(
        server.address,
        cell.world,
        cell.load,
        cell.arm.retries,
        cell.seed,
        &records,
    )?;
    let prober = Prober::new(server.address, cell.world);
    if !prober.well(HELPS).await {
        return Err(format!(
            "it is not well before anything was done: {:?}",
            prober.round().await
        )
        .into());
    }
    let mut running = Running {
        cell: &cell,
        exchange,
        control: Prober::control(server.address, cell.world),
        server,
        generator,
        prober,
        rng: Rng::with_seed(cell.seed),
        wrong: Vec::new(),
    };
    let mut times = Vec::new();
    sleep(CALM).await;
    for fault in &cell.faults {
        times.push(running.fault(*fault).await?);
        if times.len() % 50 == 0 {
            println!("{} of {}", times.len(), cell.faults.len());
        }
        let gap = cell.gap * (1.0 + running.rng.f64());
        sleep(Duration::from_secs_f64(gap)).await;
    }
    let recoveries = running.recoveries(&times).await?;
    let Running {
        mut server,
        mut generator,
        prober,
        mut wrong,
        ..
    } = running;
    // The last audit is of what is on disk.
    let acknowledged = generator.bids("acknowledged")?;
    let (mut sent, records) = generator.end()?;
    sent.extend(prober.sent());
    server.kill()?;
    let on_disk = stored(dir.path()).map_err(|error| -> Failure { error })?;
    wrong.extend(
        audit(&on_disk, &acknowledged, &sent)
            .into_iter()
            .map(|what| format!("at the end: {what}")),
    );
    let (outcomes, calm, behind) = outcomes(&times, &records);
    Ok(CellResult {
        cell,
        starts,
        outcomes,
        behind,
        calm,
        recoveries,
        wrong,
    })
}

impl Running<'_> {
    /// Does the fault, waits until it is detected and cured, and audits.
    async fn fault(&mut self, fault: Fault) -> Result<Times, Failure> {
        let Fault { kind, component } = fault;
        let mut times = Times::of(fault, micros());
        let begun = now();
        if kind == "hung" {
            self.exchange.hang();
        } else {
            let path = format!("/faults/{component}/{kind}");
            self.control
                .post(&path)
                .await
                .map_err(|failed| format!("{path}: {failed:?}"))?;
        }
        // The detector has a rhythm of its own.
        sleep(PERIOD.mul_f64(self.rng.f64())).await;
        let within = if fault.is_benign() { PASSES } else { SHOWS };
        let Some(mut suspect) = self.prober.detect(within).await else {
            if fault.is_benign() {
                times.recovered = Some(since(begun));
                return Ok(times);
            }
            self.wrong.push(format!("{fault} was not noticed"));
            return Ok(times);
        };
        times.detected = Some(since(begun));
        times.suspect = Some(suspect);
        for cure in 1..=CURES {
            times.cures = cure;
            self.cure(suspect, cure).await?;
            if self.prober.well(HELPS).await {
                times.recovered = Some(since(begun));
                break;
            }
            suspect = self.prober.detect(SHOWS).await.unwrap_or(suspect);
        }
        if times.recovered.is_none() {
            self.wrong.push(format!("{fault} was not cured"));
            return Ok(times);
        }
        self.audit(fault).await?;
        Ok(times)
    }

    /// What the arm does about a component. The last attempt is a restart of the process in all arms.
    async fn cure(&mut self, component: &str, attempt: u32) -> Result<(), Failure> {
        if self.cell.arm.restarts_process() || attempt == CURES || self.server.has_ended() {
            self.server.restart()?;
            return Ok(());
        }
        let path = format!("/reboots/{component}");
        self.control
            .post(&path)
            .await
            .map_err(|failed| format!("{path}: {failed:?}"))?;
        Ok(())
    }

    /// What the manager recorded, if there is one.
    async fn recoveries(&self, times: &[Times]) -> Result<Option<Recoveries>, Failure> {
        if self.cell.arm.restarts_process() {
            return Ok(None);
        }
        let records = self
            .control
            .get("/records")
            .await
            .map_err(|failed| format!("no records: {failed:?}"))?;
        Ok(Some(Recoveries {
            records: serde_json::from_str(&records)?,
            from: times.first().map_or(0, |times| times.injected),
            until: micros(),
        }))
    }

    async fn audit(&mut self, fault: Fault) -> Result<(), Failure> {
        // In this order, as the load goes on meanwhile.
        let acknowledged = self.generator.bids("acknowledged")?;
        let stored = self
            .control
            .get("/audit")
            .await
            .map_err(|failed| format!("no audit: {failed:?}"))?;
        let stored: Option<Vec<Bid>> = stored.lines().map(parse_bid).collect();
        let sent = all_sent(&mut self.generator, &self.prober)?;
        let wrong = audit(&stored.unwrap_or_default(), &acknowledged, &sent);
        self.wrong.extend(
            wrong
                .into_iter()
                .map(|what| format!("after {fault}: {what}")),
        );
        Ok(())
    }
}

fn all_sent(generator: &mut Generator, prober: &Prober) -> Result<Vec<Bid>, Failure> {
    let mut sent = generator.bids("sent")?;
    sent.extend(prober.sent());
    Ok(sent)
}

pub(super) fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}
