//! How a client tries again: the same in all arms that have a retry.

use super::api::Failed;
use crate::app::time::{clock, since};
use backstop::kernel::backoff::{Backoff, Jitter};
use backstop::kernel::instant::Instant;
use backstop::{Error, Retry, RetryConfig};
use std::time::Duration;

/// A request that is answered later than this after it was due has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(2);

/// How long one attempt waits where there are several.
pub(crate) const ATTEMPT: Duration = Duration::from_millis(600);

/// How many attempts there are at most.
pub(crate) const ATTEMPTS: u32 = 12;

/// The waits between attempts: the first, and the longest. Each is jittered between half of it and all.
pub(crate) const WAITS: (Duration, Duration) =
    (Duration::from_millis(50), Duration::from_millis(400));

/// What the default budget allows, in further attempts: a second at least, as a share of the calls, and
/// over how long they are saved up.
pub(crate) const BUDGET: (f64, f64, Duration) = (10.0, 0.2, Duration::from_secs(10));

/// How requests are made.
#[derive(Clone)]
pub(crate) enum Manner {
    /// Once, with all the time there is.
    Bare,
    Retry(Retry),
}

impl Manner {
    pub(crate) fn new(retries: bool, seed: u64) -> Result<Self, backstop::ConfigError> {
        if !retries {
            return Ok(Self::Bare);
        }
        let config = RetryConfig::default()
            .max_attempts(ATTEMPTS)
            .backoff(
                Backoff::exponential(WAITS.0)
                    .cap(WAITS.1)
                    .jitter(Jitter::Equal),
            )
            .deadline(DEADLINE)
            .seed(seed);
        Ok(Self::Retry(Retry::with_clock("auction", config, clock())?))
    }

    pub(crate) const fn patience(&self) -> Duration {
        match self {
            Self::Bare => DEADLINE,
            Self::Retry(_) => ATTEMPT,
        }
    }

    /// Makes a request that was due at `due`, in one attempt or several; says how many they were.
    pub(crate) async fn make<T, F>(
        &self,
        due: Instant,
        attempt: impl Fn() -> F,
    ) -> (Result<T, Failed>, u32)
    where
        F: Future<Output = Result<T, Failed>>,
    {
        let mut attempts = 1;
        let result = match self {
            Self::Bare => attempt().await,
            Self::Retry(retry) => {
                let result = retry.call_with(again, |this| {
                    attempts = this.number;
                    attempt()
                });
                result.await.map_err(|error| match error {
                    Error::Inner(failed) => failed,
                    Error::Rejected(_) => Failed::Status(503),
                })
            }
        };
        let in_time = since(due) <= DEADLINE;
        (
            result.and_then(|value| {
                if in_time {
                    Ok(value)
                } else {
                    Err(Failed::Late)
                }
            }),
            attempts,
        )
    }
}

/// All requests may be made twice: bids have keys.
fn again<T>(result: Result<&T, &Failed>) -> bool {
    matches!(
        result,
        Err(Failed::Connection | Failed::Late | Failed::Status(500..))
    )
}
