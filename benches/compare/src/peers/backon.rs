use std::future::ready;
use std::time::Duration;

use backon::{ConstantBuilder, ExponentialBuilder, Retryable};

use crate::call::{Ask, Peer, Seen, at_once, backend};
use crate::ours::CLONED_NO_BUDGET;
use crate::scenario::{Family, Load};
use crate::settings::{ATTEMPTS, WAIT};
use crate::suite::{Row, Suite, Window};

/// Its retries after the first attempt.
const TIMES: usize = ATTEMPTS as usize - 1;

#[derive(Clone)]
struct Exponential;

impl Peer for Exponential {
    fn call(&mut self, ask: Ask) -> Seen {
        let backoff = ExponentialBuilder::default()
            .with_min_delay(WAIT)
            .with_max_times(TIMES);
        at_once((|| backend(ask)).retry(backoff))
    }
}

/// With a sleeper of the caller's: its own would make a timer for no time too.
#[derive(Clone)]
struct NoWait;

impl Peer for NoWait {
    fn call(&mut self, ask: Ask) -> Seen {
        let backoff = ConstantBuilder::default()
            .with_delay(Duration::ZERO)
            .with_max_times(TIMES);
        at_once((|| backend(ask)).retry(backoff).sleep(|_| ready(())))
    }
}

pub(super) fn rows(suite: &mut Suite<'_>) {
    let row = Row::new("backon", Window::None).like(CLONED_NO_BUDGET);
    match (suite.scenario.family, suite.scenario.load) {
        (Family::Retry, Load::FailsOnce) => suite.row(row, || NoWait),
        (Family::Retry, _) => suite.row(row, || Exponential),
        _ => {}
    }
}
