//! One bad day of an HTTP upstream, lived through three times at once: by a bare client, by the same
//! client behind a circuit breaker, and by one in a full pipeline. Each has a copy of the upstream to
//! itself; all carry the same load, call for call.
//!
//! ```text
//! cargo run --release --example quickstart
//! cargo run --release --example quickstart -- --without-breaker
//! ```
//!
//! What breaker and pipeline are to achieve is stated in numbers before the day and checked after
//! it; the exit code is 1 if they did not. The second command leaves the breakers out, so it must
//! fail.
//!
//! Read `client.rs` first: it is all that a user of the crate writes.

mod client;
mod figures;
mod load;
mod promises;
mod report;
mod script;
mod upstream;

use crate::client::Client;
use crate::load::Log;
use crate::script::Day;
use crate::upstream::Upstream;
use backstop::CircuitBreaker;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use tower::BoxError;

/// How many of the breaker's events wait for us; the day brings about ten.
const EVENTS: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// One of the three: a client, its own upstream, and what became of its calls.
struct Side {
    name: &'static str,
    client: Client,
    breaker: Option<CircuitBreaker>,
    upstream: Upstream,
    log: Log,
}

impl Side {
    async fn start(
        name: &'static str,
        client: Client,
        breaker: Option<CircuitBreaker>,
        day: &Day,
    ) -> Result<Self, BoxError> {
        Ok(Self {
            name,
            client,
            breaker,
            upstream: Upstream::start(day.clone()).await?,
            log: Log::default(),
        })
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let with_breaker = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => true,
        ["--without-breaker"] => false,
        _ => {
            eprintln!(
                "error: unknown arguments {arguments:?}\nusage: quickstart [--without-breaker]"
            );
            return ExitCode::from(2);
        }
    };
    match live_through(with_breaker).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The three sides, in the order of the columns.
struct Sides {
    bare: Side,
    breaker: Side,
    pipeline: Side,
}

impl Sides {
    fn all(&self) -> [&Side; 3] {
        [&self.bare, &self.breaker, &self.pipeline]
    }
}

/// Plays the day and reports it; true if every promise was kept.
async fn live_through(with_breaker: bool) -> Result<bool, BoxError> {
    let breaker = with_breaker.then(client::breaker).transpose()?;
    let pipeline = client::pipeline(with_breaker)?;
    let piped = pipeline.circuit_breaker().cloned();
    let subscribe = |breaker: &Option<CircuitBreaker>| {
        breaker.as_ref().map(|breaker| breaker.subscribe(EVENTS))
    };
    let (events, piped_events) = (subscribe(&breaker), subscribe(&piped));

    promises::state();
    let day = Day::begin();
    let guarded = match &breaker {
        Some(breaker) => client::protected(breaker),
        None => client::bare(),
    };
    let sides = Sides {
        bare: Side::start("bare", client::bare(), None, &day).await?,
        breaker: Side::start("breaker", guarded, breaker, &day).await?,
        pipeline: Side::start("pipeline", client::piped(&pipeline), piped, &day).await?,
    };

    let schedule = load::schedule();
    let drive = |side| load::drive(side, &schedule, &day);
    let (bare, breaker, pipeline_done, ()) = tokio::join!(
        drive(&sides.bare),
        drive(&sides.breaker),
        drive(&sides.pipeline),
        report::live(&sides, &day),
    );
    bare.and(breaker).and(pipeline_done)?;

    let days = [events, piped_events].map(|events| figures::transitions(events, &day));
    let retries = pipeline
        .retry()
        .map(|retry| retry.totals())
        .unwrap_or_default();
    report::table(&sides, &retries, &days);
    Ok(promises::check(&sides, &retries, &days))
}
