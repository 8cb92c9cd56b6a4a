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

fn timeout() -> Timeout {
    Timeout::new("compare", ATTEMPT_LIMIT).expect("a valid configuration")
}

fn tower(timeout: Timeout) -> impl Peer {
    Tower(TimeoutLayer::new(timeout).layer(WrapErrorsLayer::new().layer(Backend)))
}

pub(super) fn rows(suite: &mut Suite<'_>) {
    let row = |name| Row::new(name, Window::None);
    suite.row(row(STATIC), || Handle(fixed(timeout())));
    suite.row(row(CLONED), || Handle(timeout()));
    suite.row(row(STATIC_TOWER), || tower(fixed(timeout())));
    suite.row(row(TOWER), || tower(timeout()));
}
