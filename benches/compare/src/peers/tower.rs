use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Waker};

use tower::limit::{ConcurrencyLimit, ConcurrencyLimitLayer};
use tower::load_shed::{LoadShed, LoadShedLayer};
use tower::retry::budget::{Budget, TpsBudget};
use tower::retry::{Policy, RetryLayer};
use tower::timeout::TimeoutLayer;
use tower::{Service, ServiceBuilder};

use crate::call::{Ask, Backend, Peer, Seen, Tower};
use crate::ours::TOWER;
use crate::scenario::{Family, Load};
use crate::settings::{
    AMPLE_SHARE, ATTEMPT_LIMIT, ATTEMPTS, BUDGET_RATE, BUDGET_SHARE, BUDGET_SPAN, CONCURRENT,
    TOTAL_LIMIT,
};
use crate::suite::{Row, Suite, Window};

pub(super) fn rows(suite: &mut Suite<'_>) {
    let row = |name| Row::new(name, Window::None).like(TOWER);
    match (suite.scenario.family, suite.scenario.load) {
        (Family::Breaker, _) => {}
        (Family::Bulkhead, Load::Refused) => suite.row(row("tower-shed"), full),
        (Family::Bulkhead, _) => {
            suite.row(row("tower"), || {
                Tower(ConcurrencyLimit::new(Backend, CONCURRENT))
            });
            suite.row(row("tower-shed"), || Tower(shedding(CONCURRENT)));
        }
        (Family::Timeout, _) => suite.row(row("tower"), || {
            let timeout = TimeoutLayer::new(ATTEMPT_LIMIT);
            Tower(ServiceBuilder::new().layer(timeout).service(Backend))
        }),
        (Family::Retry, load) => suite.row(row("tower"), || {
            let share = if load == Load::FailsOnce {
                AMPLE_SHARE
            } else {
                BUDGET_SHARE
            };
            let retry = RetryLayer::new(Attempts::new(share));
            Tower(ServiceBuilder::new().layer(retry).service(Backend))
        }),
        (Family::Stack, _) => suite.row(row("tower-of-four"), stack),
    }
}

/// The example of its `Policy`, so many attempts, and that of its `Budget` in one.
#[derive(Clone)]
struct Attempts {
    left: u32,
    budget: Arc<TpsBudget>,
}

impl Attempts {
    fn new(share: f32) -> Self {
        Self {
            left: ATTEMPTS - 1,
            budget: Arc::new(TpsBudget::new(BUDGET_SPAN, BUDGET_RATE, share)),
        }
    }
}

impl<E> Policy<Ask, u64, E> for Attempts {
    type Future = Ready<()>;

    fn retry(&mut self, _: &mut Ask, result: &mut Result<u64, E>) -> Option<Self::Future> {
        if result.is_ok() {
            self.budget.deposit();
            return None;
        }
        if self.left == 0 || !self.budget.withdraw() {
            return None;
        }
        self.left -= 1;
        Some(ready(()))
    }

    fn clone_request(&mut self, ask: &Ask) -> Option<Ask> {
        Some(*ask)
    }
}

type Shedding = LoadShed<ConcurrencyLimit<Backend>>;

fn shedding(max: usize) -> Shedding {
    ServiceBuilder::new()
        .layer(LoadShedLayer::new())
        .layer(ConcurrencyLimitLayer::new(max))
        .service(Backend)
}

/// Its only permit is held by another clone, which was polled ready.
#[derive(Clone)]
struct Full {
    peer: Tower<Shedding>,
    _holder: Arc<Shedding>,
}

impl Peer for Full {
    fn call(&mut self, ask: Ask) -> Seen {
        self.peer.call(ask)
    }
}

fn full() -> Full {
    let peer = shedding(1);
    let mut holder = peer.clone();
    let ready = holder.poll_ready(&mut Context::from_waker(Waker::noop()));
    assert!(ready.is_ready(), "load shedding is always ready");
    Full {
        peer: Tower(peer),
        _holder: Arc::new(holder),
    }
}

/// There is no breaker in tower.
fn stack() -> impl Peer {
    let stack = ServiceBuilder::new()
        .layer(TimeoutLayer::new(TOTAL_LIMIT))
        .layer(ConcurrencyLimitLayer::new(CONCURRENT))
        .layer(RetryLayer::new(Attempts::new(BUDGET_SHARE)))
        .layer(TimeoutLayer::new(ATTEMPT_LIMIT))
        .service(Backend);
    Tower(stack)
}
