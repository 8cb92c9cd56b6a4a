use std::time::Duration;

use backstop::Timeout;
use backstop::policy::errors::WrapErrorsLayer;
use backstop::policy::timeout::TimeoutLayer;
use tower::Layer;

use super::{CLONED, STATIC, STATIC_TOWER, TOWER, fixed};
use crate::call::{Ask, Backend, Peer, Seen, Tower, at_once, backend};
use crate::settings::ATTEMPT_LIMIT;
use crate::suite::{Row, Suite, Window};

#[derive(Clone)]
struct Handle(Timeout);

impl Peer for Handle {
    fn call(&mut self, ask: Ask) -> Seen {
        at_once(self.0.call(|| backend(ask)))
    }
}

pub(super) fn timeout(limit: Duration) -> Timeout {
    Timeout::new("compare", limit).expect("a valid configuration")
}

fn tower(timeout: Timeout) -> impl Peer {
    Tower(TimeoutLayer::new(timeout).layer(WrapErrorsLayer::new().layer(Backend)))
}

pub(super) fn rows(suite: &mut Suite<'_>) {
    let row = |name| Row::new(name, Window::None);
    suite.row(row(STATIC), || Handle(fixed(timeout(ATTEMPT_LIMIT))));
    suite.row(row(CLONED), || Handle(timeout(ATTEMPT_LIMIT)));
    suite.row(row(STATIC_TOWER), || tower(fixed(timeout(ATTEMPT_LIMIT))));
    suite.row(row(TOWER), || tower(timeout(ATTEMPT_LIMIT)));
}
