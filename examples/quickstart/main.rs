//! One bad day of an HTTP upstream, lived through twice at once: by a bare client and by the same
//! client behind a circuit breaker. Each has a copy of the upstream to itself; both carry the same
//! load, call for call.
//!
//! ```text
//! cargo run --release --example quickstart
//! cargo run --release --example quickstart -- --without-breaker
//! ```
//!
//! What the breaker is to achieve is stated in numbers before the day and checked after it; the
//! exit code is 1 if it did not. The second command leaves the breaker out, so it must fail.
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
use std::num::NonZeroUsize;
use std::process::ExitCode;
use tower::BoxError;

/// How many of the breaker's events wait for us; the day brings about ten.
const EVENTS: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// One of the two: a client, its own upstream, and what became of its calls.
struct Side {
    name: &'static str,
    client: Client,
    upstream: Upstream,
    log: Log,
}

impl Side {
    async fn start(name: &'static str, client: Client, day: &Day) -> Result<Self, BoxError> {
        Ok(Self {
            name,
            client,
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

/// Plays the day and reports it; true if every promise was kept.
async fn live_through(with_breaker: bool) -> Result<bool, BoxError> {
    let breaker = with_breaker.then(client::breaker).transpose()?;
    let mut events = breaker.as_ref().map(|breaker| breaker.subscribe(EVENTS));

    promises::state();
    let day = Day::begin();
    let bare = Side::start("bare", client::bare(), &day).await?;
    let protected = match &breaker {
        Some(breaker) => Side::start("protected", client::protected(breaker), &day).await?,
        None => Side::start("bare again", client::bare(), &day).await?,
    };

    let schedule = load::schedule();
    let (bare_done, protected_done, ()) = tokio::join!(
        load::drive(&bare, &schedule, &day),
        load::drive(&protected, &schedule, &day),
        report::live(&bare, &protected, breaker.as_ref(), &day),
    );
    bare_done?;
    protected_done?;

    let transitions = events
        .as_mut()
        .map(|events| figures::transitions(events, &day))
        .unwrap_or_default();
    report::table(&bare, &protected, &transitions);
    Ok(promises::check(&bare, &protected, &transitions))
}
