//! A run: its cells, in an order that spreads what the machine does besides over the arms.

use super::Failure;
use super::arm::{Arm, Cure, Server};
use super::cell::{Cell, CellResult, LATEST, copy, run as run_cell};
use super::exchange::Exchange;
use super::generator::Load;
use super::report::{csv, table};
use super::svg::plot;
use super::{drill, fault};
use crate::app::load::api::Api;
use crate::app::load::policy::DEADLINE;
use crate::app::service::store::seed;
use crate::app::service::world::World;
use crate::app::time::{now, since};
use crate::app::{Arguments, Verdict};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// What is to be run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) title: &'static str,
    pub(crate) arms: Vec<Arm>,
    /// Start-up costs to aim at, in seconds.
    pub(crate) costs: Vec<f64>,
    pub(crate) faults: usize,
    pub(crate) load: Load,
    pub(crate) seed: u64,
    /// Where the CSV, the table and the plot are kept; nowhere if there is none.
    pub(crate) out: Option<PathBuf>,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// The arms beside each other.
    Compare,
    /// Faults, and as many disturbances that are none.
    Drill,
}

impl Plan {
    /// Less than a minute: it shows that everything works.
    pub(crate) fn smoke() -> Self {
        Self {
            title: "SMOKE RUN: too few faults to say anything of the figures",
            arms: ["naive", "process", "microreboot", "gate+retry"]
                .into_iter()
                .filter_map(Arm::named)
                .collect(),
            costs: vec![0.05],
            faults: 3,
            load: Load {
                rate: 100.0,
                users: 10,
            },
            seed: 1,
            out: None,
            form: Form::Compare,
        }
    }

    /// About ten minutes.
    pub(crate) fn medium() -> Self {
        Self {
            title: "Process restart and microreboot, the medium form",
            faults: 6,
            ..Self::long()
        }
    }

    /// About ten minutes.
    pub(crate) fn drill() -> Self {
        Self {
            title: "Faults and disturbances through the detector",
            arms: Arm::named("microreboot").into_iter().collect(),
            costs: vec![0.05],
            faults: 300,
            form: Form::Drill,
            ..Self::long()
        }
    }

    /// About an hour.
    pub(crate) fn long() -> Self {
        Self {
            title: "Process restart and microreboot",
            arms: Arm::ALL.to_vec(),
            costs: vec![0.05, 0.5, 5.0],
            faults: 24,
            load: Load {
                rate: 150.0,
                users: 20,
            },
            seed: fastrand::u64(..1 << 32),
            out: Some(PathBuf::from("target/recovery")),
            form: Form::Compare,
        }
    }

    /// `--arms a,b --costs 0.05,5 --faults 6 --rate 100 --users 10 --seed 7 --out DIR` in any part.
    pub(crate) fn changed_by(mut self, arguments: &[String]) -> Result<Self, Box<dyn Error>> {
        let arguments = Arguments::read(arguments)?;
        if let Some(names) = arguments.get::<String>("arms")? {
            let arm =
                |name: &str| Arm::named(name).ok_or_else(|| format!("there is no arm {name}"));
            self.arms = names.split(',').map(arm).collect::<Result<_, _>>()?;
        }
        if let Some(costs) = arguments.get::<String>("costs")? {
            self.costs = costs.split(',').map(str::parse).collect::<Result<_, _>>()?;
        }
        self.faults = arguments.get("faults")?.unwrap_or(self.faults);
        self.load.rate = arguments.get("rate")?.unwrap_or(self.load.rate);
        self.load.users = arguments.get("users")?.unwrap_or(self.load.users);
        self.seed = arguments.get("seed")?.unwrap_or(self.seed);
        self.out = arguments.get("out")?.or(self.out);
        Ok(self)
    }
}

/// Of the capacity, the most that the load may be.
const BUSIEST: f64 = 0.3;
/// The market that the first start is measured with.
const FIRST: World = World { items: 20_000 };
const FEWEST: f64 = 4_500.0;

pub(crate) async fn run(plan: &Plan) -> Result<Verdict, Failure> {
    println!("{}\nseed {}", plan.title, plan.seed);
    let scratch = tempfile::tempdir()?;
    let out = plan
        .out
        .clone()
        .unwrap_or_else(|| scratch.path().to_owned());
    std::fs::create_dir_all(&out)?;
    let mut results = Vec::new();
    let mut rate = start_rate(&Market::new(FIRST, scratch.path())?, scratch.path()).await?;
    for &cost in &plan.costs {
        // The first estimate is of a smaller market: a second one is of a market near to it.
        rate = start_rate(
            &Market::for_cost(cost, rate, scratch.path())?,
            scratch.path(),
        )
        .await?;
        let market = Market::for_cost(cost, rate, scratch.path())?;
        if cost.to_bits() == plan.costs[0].to_bits() {
            let capacity = capacity(&market, scratch.path()).await?;
            println!(
                "capacity {capacity:.0} requests/s with load and server on this machine; the open loop is {:.1} % of it",
                100.0 * plan.load.rate / capacity
            );
            if plan.load.rate > BUSIEST * capacity {
                println!(
                    "void: the load may be {:.0} % of the capacity at most",
                    100.0 * BUSIEST
                );
                return Ok(Verdict::Void);
            }
        }
        for &arm in &plan.arms {
            let cell = Cell {
                arm,
                cost,
                world: market.world,
                market: market.journal.clone(),
                faults: match plan.form {
                    Form::Compare => fault::plan(plan.faults, plan.seed),
                    Form::Drill => fault::drill(plan.faults, plan.seed),
                },
                gap: if plan.form == Form::Drill { 0.2 } else { 0.7 },
                load: plan.load,
                seed: plan.seed,
            };
            let result = run_cell(cell, scratch.path(), &out).await?;
            tell(&result);
            results.push(result);
            // What there is, if the run is ended early.
            std::fs::write(out.join("faults.csv"), csv(&results))?;
        }
    }
    let body = match plan.form {
        Form::Compare => table(&results),
        Form::Drill => results.iter().map(drill::report).collect(),
    };
    let report = format!("{}, seed {}\n\n{body}", plan.title, plan.seed);
    println!("\n{report}");
    std::fs::write(out.join("report.txt"), &report)?;
    std::fs::write(out.join("plot.svg"), plot(&csv(&results), plan.title)?)?;
    if plan.out.is_some() {
        println!("kept in {}", out.display());
    }
    Ok(verdict(&results))
}

fn tell(result: &CellResult) {
    let (requests, failed) = result.calm;
    let sum: u64 = result.outcomes.iter().map(|outcome| outcome.failed).sum();
    println!(
        "{:<18} {:>5} s: {} faults, {sum} requests failed ({failed} of {requests} before the first fault), audit {}",
        result.cell.arm.name(),
        result.cell.cost,
        result.outcomes.len(),
        if result.wrong.is_empty() {
            "clean"
        } else {
            "NOT clean"
        },
    );
    for what in result.wrong.iter().take(10) {
        println!("    {what}");
    }
}

fn verdict(results: &[CellResult]) -> Verdict {
    if results.iter().any(|result| !result.wrong.is_empty()) {
        return Verdict::Failed;
    }
    if results.iter().any(|result| result.behind > LATEST) {
        println!("void: the load generator was late");
        return Verdict::Void;
    }
    Verdict::Passed
}

/// A journal to begin with.
struct Market {
    world: World,
    journal: PathBuf,
}

impl Market {
    fn new(world: World, scratch: &Path) -> Result<Self, Failure> {
        let dir = scratch.join(format!("market-{}", world.items));
        std::fs::create_dir_all(&dir)?;
        seed(&dir, world)?;
        Ok(Self {
            world,
            journal: dir.join("journal"),
        })
    }

    /// As large as it takes for a start to cost about so much.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "some millions at most"
    )]
    fn for_cost(cost: f64, rate: f64, scratch: &Path) -> Result<Self, Failure> {
        let items = (cost * rate).clamp(FEWEST, 20_000_000.0) as u32;
        Self::new(World { items }, scratch)
    }
}

/// How many items a start takes in a second: the middle one of three. The market is gone after it.
async fn start_rate(market: &Market, scratch: &Path) -> Result<f64, Failure> {
    let mut took = Vec::new();
    for _ in 0..3 {
        took.push(start(market, scratch).await?);
    }
    took.sort_unstable();
    std::fs::remove_dir_all(&market.journal)?;
    Ok(f64::from(market.world.items) / took[1].as_secs_f64())
}

/// How long a start takes.
async fn start(market: &Market, scratch: &Path) -> Result<Duration, Failure> {
    let dir = tempfile::tempdir_in(scratch)?;
    copy(&market.journal, &dir.path().join("journal"))?;
    let exchange = Exchange::open().await?;
    let mut server = Server::start(Cure::Inherited, dir.path(), market.world, exchange.address)?;
    Ok(server.serving()?.whole)
}

/// Requests a second that the server answers when as many are made as it takes: items are read by 32
/// clients for half a second.
async fn capacity(market: &Market, scratch: &Path) -> Result<f64, Failure> {
    let dir = tempfile::tempdir_in(scratch)?;
    copy(&market.journal, &dir.path().join("journal"))?;
    let exchange = Exchange::open().await?;
    let mut server = Server::start(Cure::Inherited, dir.path(), market.world, exchange.address)?;
    server.serving()?;
    let api = Api::new(server.address, market.world, DEADLINE);
    let done = Arc::new(AtomicU64::new(0));
    let begun = now();
    let lasts = Duration::from_millis(500);
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..32 {
        let (api, done) = (api.clone(), done.clone());
        clients.spawn(async move {
            let mut item = client;
            while since(begun) < lasts {
                let _ = api.item(item % api.world.items).await;
                done.fetch_add(1, Relaxed);
                item += 7;
            }
        });
    }
    clients.join_all().await;
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    Ok(done.load(Relaxed) as f64 / since(begun).as_secs_f64())
}
