use std::iter::repeat;
use std::time::Duration;

use backstop::kernel::backoff::{Backoff, Jitter};
use backstop::kernel::budget::BudgetConfig;
use backstop::policy::errors::WrapErrorsLayer;
use backstop::policy::retry::RetryLayer;
use backstop::{Retry, RetryConfig};
use tower::Layer;

use super::{CLONED, CLONED_NO_BUDGET, STATIC, STATIC_TOWER, TOWER, TOWER_NO_BUDGET, fixed};
use crate::call::{Ask, Backend, Peer, Seen, Tower, at_once, backend};
use crate::scenario::Load;
use crate::settings::{AMPLE_SHARE, ATTEMPTS, BUDGET_RATE, BUDGET_SHARE, BUDGET_SPAN, WAIT};
use crate::suite::{Row, Suite, Window};

#[derive(Clone)]
struct Handle(Retry);

impl Peer for Handle {
    fn call(&mut self, ask: Ask) -> Seen {
        at_once(self.0.call(|_| backend(ask)))
    }
}

pub(super) fn config() -> RetryConfig {
    RetryConfig::default()
        .max_attempts(ATTEMPTS)
        .backoff(Backoff::exponential(WAIT).jitter(Jitter::Full))
        .budget(budget(BUDGET_SHARE))
}

fn no_wait() -> RetryConfig {
    config()
        .waits(|| repeat(Duration::ZERO))
        .budget(budget(AMPLE_SHARE))
}

fn budget(share: f32) -> BudgetConfig {
    BudgetConfig::token_bucket(BUDGET_SPAN, BUDGET_RATE, f64::from(share))
}

pub(super) fn retry(config: RetryConfig) -> Retry {
    Retry::new("compare", config).expect("a valid configuration")
}

fn tower(retry: Retry) -> impl Peer {
    Tower(RetryLayer::new(retry).layer(WrapErrorsLayer::new().layer(Backend)))
}

pub(super) fn rows(suite: &mut Suite<'_>) {
    let row = |name| Row::new(name, Window::None);
    let config = if suite.scenario.load == Load::FailsOnce {
        no_wait
    } else {
        config
    };
    let with = || retry(config());
    let without = || retry(config().budget(BudgetConfig::none()));

    suite.row(row(STATIC), || Handle(fixed(with())));
    suite.row(row(CLONED), || Handle(with()));
    suite.row(row(CLONED_NO_BUDGET), || Handle(without()));
    suite.row(row(STATIC_TOWER), || tower(fixed(with())));
    suite.row(row(TOWER), || tower(with()));
    suite.row(row(TOWER_NO_BUDGET), || tower(without()));
}
