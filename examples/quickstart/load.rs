//! The load: open-loop, so calls begin when the schedule says and not when earlier ones have ended.

use crate::Side;
use crate::client::{Answer, Call, Client};
use crate::script::{Day, Phase};
use backstop::kernel::rejection::{PolicyError, RejectionKind};
use http_body_util::Empty;
use hyper::Request;
use std::sync::Arc;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;
use tokio::task::JoinSet;
use tower::{BoxError, ServiceExt};

const CALLS_PER_SECOND: f64 = 200.0;
const SEED: u64 = 20_250_301;

/// The times at which calls begin: a Poisson process, the same in every run.
pub(crate) fn schedule() -> Vec<Duration> {
    let mut rng = fastrand::Rng::with_seed(SEED);
    let gaps = std::iter::repeat_with(|| {
        Duration::from_secs_f64(-(1.0 - rng.f64()).ln() / CALLS_PER_SECOND)
    });
    let times = gaps.scan(Duration::ZERO, |time, gap| {
        *time += gap;
        Some(*time)
    });
    times.take_while(|time| *time < Day::length()).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Success,
    /// A 5xx, a timeout, a broken connection.
    Failure,
    /// The call was not made.
    Rejected(RejectionKind),
}

impl From<Answer> for End {
    fn from(answer: Answer) -> Self {
        match answer {
            Ok(response) if response.status().is_success() => Self::Success,
            Ok(_) => Self::Failure,
            // A rejection comes as the error type of the stack, whatever that is.
            Err(error) => error
                .rejection()
                .map_or(Self::Failure, |rejection| Self::Rejected(rejection.kind())),
        }
    }
}

/// What became of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub(crate) phase: Phase,
    pub(crate) waited: Duration,
    pub(crate) end: End,
}

/// The calls that have ended, in the order of their ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<Record>>>);

impl Log {
    pub(crate) fn records(&self) -> MutexGuard<'_, Vec<Record>> {
        self.0.lock().expect("nobody panics with the log in hand")
    }
}

/// Makes every call of the schedule, each in a task of its own, and waits for the last to end.
pub(crate) async fn drive(side: &Side, schedule: &[Duration], day: &Day) -> Result<(), BoxError> {
    let mut calls = JoinSet::new();
    for &time in schedule {
        day.wait_until(time).await;
        let request = Request::get(&side.upstream.url).body(Empty::new())?;
        calls.spawn(call(
            side.client.clone(),
            request,
            Phase::at(time),
            side.log.clone(),
            day.clone(),
        ));
    }
    while let Some(ended) = calls.join_next().await {
        ended?;
    }
    Ok(())
}

async fn call(client: Client, request: Call, phase: Phase, log: Log, day: Day) {
    let begun = day.now();
    let end = End::from(client.oneshot(request).await);
    let waited = day.now().saturating_sub(begun);
    log.records().push(Record { phase, waited, end });
}
