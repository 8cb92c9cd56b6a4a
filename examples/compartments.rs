//! Background jobs in compartments: `critical`, `standard` and `batch`.
//!
//! ```text
//! cargo run --example compartments
//! ```
//!
//! One worker has 8 slots for all jobs. A flood of batch jobs borrows every idle slot; a critical
//! job that then comes gets the next one that is free, before any of the hundreds that wait.

use backstop::Error;
use backstop::kernel::clock::Clock;
use backstop::policy::bulkhead::{CompartmentConfig, Compartments, CompartmentsConfig};
use std::convert::Infallible;
use std::time::Duration;
use tokio::task::JoinSet;

const JOB: Duration = Duration::from_millis(20);
const MINUTE: Duration = Duration::from_secs(60);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = CompartmentsConfig::new()
        .total(8)
        .compartment(
            "critical",
            CompartmentConfig::new(8).guaranteed(2).queue(100, MINUTE),
        )
        .compartment(
            "standard",
            CompartmentConfig::new(8).guaranteed(3).queue(100, MINUTE),
        )
        .compartment("batch", CompartmentConfig::new(8).queue(200, MINUTE));
    let compartments = Compartments::new("jobs", config)?;

    // 200 batch jobs: all 8 slots are idle, so all 8 are borrowed; the others wait.
    let mut jobs = JoinSet::new();
    for _ in 0..200 {
        let batch = compartments.require("batch")?;
        jobs.spawn(async move { batch.call(job).await.map(|took| ("batch", took)) });
    }
    tokio::task::yield_now().await;
    let batch = compartments.require("batch")?.snapshot();
    println!(
        "batch: {} running, {} waiting",
        batch.in_flight, batch.waiting
    );
    assert_eq!(batch.in_flight, 8);

    // Then a few jobs of the other kinds.
    for (name, number) in [("critical", 4), ("standard", 20)] {
        for _ in 0..number {
            let compartment = compartments.require(name)?;
            jobs.spawn(async move { compartment.call(job).await.map(|took| (name, took)) });
        }
    }
    let mut finished = Vec::new();
    while let Some(done) = jobs.join_next().await {
        let (name, ()) = done?.map_err(|error: Error<Infallible>| error.to_string())?;
        finished.push(name);
    }
    for name in ["critical", "standard", "batch"] {
        let last = finished.iter().rposition(|done| *done == name);
        let last = last.map_or(0, |position| position + 1);
        println!(
            "the last {name} job was number {last} of {} to finish",
            finished.len()
        );
    }
    let critical = finished.iter().rposition(|done| *done == "critical");
    assert!(
        critical < Some(50),
        "critical jobs do not queue behind batch ones"
    );
    for compartment in compartments.iter() {
        let totals = compartment.totals();
        println!(
            "{}: {} done, {} waited",
            compartment.name(),
            totals.finished,
            totals.waited
        );
    }

    let typo = compartments.require("bacth").unwrap_err();
    println!("{typo}");
    Ok(())
}

/// What a job does.
async fn job() -> Result<(), Infallible> {
    let clock = Clock::default();
    if let Ok(sleep) = clock.sleep_until(clock.now() + JOB) {
        sleep.await;
    }
    Ok(())
}
