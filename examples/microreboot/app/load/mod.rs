//! The load, as a process of its own: requests at random times whatever becomes of them (open loop), and
//! beside them users who do one thing after another and think between (closed loop).

pub(crate) mod api;
pub(crate) mod policy;
pub(crate) mod sheet;
pub(crate) mod visitors;

use crate::app::service::world::{CATEGORIES, World};
use crate::app::time::{clock, now, sleep};
use api::{Api, MOST};
use fastrand::Rng;
use policy::Manner;
use sheet::Sheet;
use std::error::Error;
use std::io::BufRead;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use visitors::{Ask, Crowd, Visitor};

/// How the load is made.
pub(crate) struct Options {
    pub(crate) server: SocketAddr,
    pub(crate) world: World,
    /// Requests a second of the open loop.
    pub(crate) rate: f64,
    /// Users of the closed loop.
    pub(crate) users: u32,
    pub(crate) retries: bool,
    pub(crate) seed: u64,
    /// Where the records go in the end.
    pub(crate) out: PathBuf,
}

/// How long a user of the closed loop thinks, on average.
const THINK: Duration = Duration::from_millis(300);

/// Sessions that the open loop's requests come from.
pub(crate) const SESSIONS: u32 = 32;

/// What is asked for, in parts of a hundred.
pub(crate) const MIX: [(&str, u32); 9] = [
    ("item", 25),
    ("category", 10),
    ("search", 15),
    ("rating", 10),
    ("fee", 5),
    ("bids", 10),
    ("me", 5),
    ("bid", 15),
    ("read_bid", 5),
];

/// Makes load until the standard input says `end`. `acknowledged` and `sent` on it ask for the bids, a
/// line for each and a point behind the last; at the end those come that were sent.
pub(crate) fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let manner = Manner::new(options.retries, options.seed)?;
    let crowd = Crowd {
        api: Api::new(options.server, options.world, manner.patience()),
        manner,
        sheet: Arc::new(Sheet::default()),
    };
    let (generator, handle) = (crowd.clone(), runtime.handle().clone());
    let (rate, seed) = (options.rate, options.seed);
    std::thread::spawn(move || open_loop(&generator, &handle, rate, seed));
    for user in 0..options.users {
        // Users of their own: what they have bid for is known to them alone.
        let visitor = Visitor::new(SESSIONS + user);
        runtime.spawn(closed_loop(
            crowd.clone(),
            visitor,
            options.seed ^ u64::from(user + 1),
        ));
    }
    for line in std::io::stdin().lock().lines() {
        match line?.as_str() {
            "acknowledged" => println!("{}.", crowd.sheet.acknowledged_lines()),
            "sent" => println!("{}.", crowd.sheet.sent_lines()),
            _ => break,
        }
    }
    // What is sent after this is not known to anybody, so nothing is.
    runtime.shutdown_timeout(Duration::from_secs(1));
    println!("{}.", crowd.sheet.sent_lines());
    std::fs::write(&options.out, crowd.sheet.csv())?;
    Ok(())
}

/// Makes requests at random times, from a thread that does nothing else: a runtime's timers are as
/// coarse as what is measured here.
fn open_loop(crowd: &Crowd, runtime: &Handle, rate: f64, seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let visitors = (0..SESSIONS).map(|user| Arc::new(Visitor::new(user)));
    let visitors: Vec<Arc<Visitor>> = visitors.collect();
    for visitor in &visitors {
        let _ = runtime.block_on(crowd.ask(visitor, Ask::Login, now(), None));
    }
    println!("running");
    let mut due = now();
    loop {
        // A Poisson process: the gaps are exponential.
        due = due + Duration::from_secs_f64(-(1.0 - rng.f64()).ln() / rate);
        clock().park_until(due);
        let visitor = visitors[rng.usize(..visitors.len())].clone();
        let ask = any(crowd, &mut rng);
        let crowd = crowd.clone();
        runtime.spawn(async move {
            let result = crowd.ask(&visitor, ask, due, Some(ask.kind())).await;
            if result == Err(api::Failed::Status(401)) {
                // Who is logged out logs in again; that is part of no schedule.
                let _ = crowd.ask(&visitor, Ask::Login, now(), None).await;
            }
        });
    }
}

fn any(crowd: &Crowd, rng: &mut Rng) -> Ask {
    let world = crowd.api.world;
    let mut roll = rng.u32(..100);
    let kind = MIX
        .iter()
        .find(|(_, parts)| match roll.checked_sub(*parts) {
            Some(less) => {
                roll = less;
                false
            }
            None => true,
        });
    let item = rng.u32(..world.items);
    match kind.map_or("item", |(kind, _)| kind) {
        "category" => Ask::Category(rng.u32(..CATEGORIES)),
        "search" => Ask::Search(item),
        "rating" => Ask::Rating(rng.u32(..world.users())),
        "fee" => Ask::Fee(rng.u64(1..MOST)),
        "bids" => Ask::BidsOfItem(item),
        "me" => Ask::Me,
        "bid" => Ask::Bid {
            item,
            amount: rng.u64(1..MOST),
        },
        "read_bid" => match crowd.sheet.any_acknowledged(rng.usize(..)) {
            Some(bid) => Ask::BidOfKey(bid),
            None => Ask::BidsOfItem(item),
        },
        _ => Ask::Item(item),
    }
}

/// A user logs in once, and then looks for something, looks at it, asks for its price, bids, and looks
/// whether the bid is there. An action has failed if one of its steps has; nothing follows that step.
async fn closed_loop(crowd: Crowd, visitor: Visitor, seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let mut logged_in = false;
    loop {
        think(&mut rng).await;
        let begun = now();
        let wall = crate::app::time::micros();
        let mut end = "ok".to_owned();
        if !logged_in {
            logged_in = crowd.ask(&visitor, Ask::Login, begun, None).await.is_ok();
        }
        for step in 0..5 {
            let item = rng.u32(..crowd.api.world.items);
            let amount = rng.u64(1..MOST);
            let ask = match step {
                0 => Ask::Search(item),
                1 => Ask::Item(item),
                2 => Ask::Fee(amount),
                3 => Ask::Bid { item, amount },
                _ => Ask::Me,
            };
            if let Err(failed) = crowd.ask(&visitor, ask, now(), None).await {
                logged_in &= failed != api::Failed::Status(401);
                end = failed.name();
                break;
            }
            think(&mut rng).await;
        }
        let took = crate::app::time::micros().saturating_sub(wall);
        crowd.note("action", wall, took, 1, end, 0);
    }
}

async fn think(rng: &mut Rng) {
    sleep(THINK.mul_f64(-(1.0 - rng.f64()).ln() / 2.0)).await;
}
