//! Pipelines that are read from a TOML file, and changed while calls go on.
//!
//! ```text
//! cargo run --example pipeline_toml --features serde
//! ```

use backstop::{Error, Pipeline, PipelineConfig};
use std::collections::BTreeMap;
use std::future::{Ready, ready};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

const FILE: &str = include_str!("pipeline.toml");

type BoxError = Box<dyn std::error::Error>;

/// Reads a file, and makes a pipeline of each of its tables.
fn pipelines(text: &str) -> Result<BTreeMap<String, Pipeline>, BoxError> {
    let configs: BTreeMap<String, PipelineConfig> = toml::from_str(text)?;
    let mut pipelines = BTreeMap::new();
    for (name, config) in configs {
        let pipeline = Pipeline::new(name.clone(), config)
            .map_err(|refused| format!("pipeline `{name}`: {refused}"))?;
        pipelines.insert(name, pipeline);
    }
    Ok(pipelines)
}

/// A payment that fails twice and then goes through.
fn pay(failures: &AtomicU32) -> Ready<Result<&'static str, &'static str>> {
    ready(if failures.fetch_add(1, Relaxed) < 2 {
        Err("connection reset")
    } else {
        Ok("paid")
    })
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let pipelines = pipelines(FILE)?;
    for (name, pipeline) in &pipelines {
        let parts: Vec<_> = pipeline.parts().map(|part| part.snapshot()).collect();
        println!("{name}:");
        for part in parts {
            println!("  {:<16} {:<20} {}", part.policy, part.name, part.state);
        }
    }

    let payments = &pipelines["payments"];
    let failures = AtomicU32::new(0);
    let paid = payments.call(|_| pay(&failures)).await;
    let attempts = payments.retry().map(|retry| retry.totals().attempts);
    println!("\n{paid:?}, after {attempts:?} attempts");
    assert!(paid.is_ok());

    // What a wrong file says, and a configuration that is changed while calls go on.
    let wrong = FILE.replace("failure_rate = \"30%\"", "failure_rate = \"130%\"");
    println!("\na wrong share: {}", self::pipelines(&wrong).unwrap_err());
    let wrong = FILE.replace("time = \"10s\"", "time = \"500ms\"");
    println!("a wrong sum: {}", self::pipelines(&wrong).unwrap_err());
    let fewer = FILE.replace("max_concurrent = 64", "max_concurrent = 0");
    let mut configs: BTreeMap<String, PipelineConfig> = toml::from_str(&fewer)?;
    if let Some(config) = configs.remove("payments") {
        payments.reconfigure(config)?;
    }
    let refused = payments.call(|_| pay(&failures)).await;
    let Err(Error::Rejected(rejection)) = refused else {
        return Err("a bulkhead of no slots lets nothing in".into());
    };
    println!("after a reload: {rejection}");
    Ok(())
}
