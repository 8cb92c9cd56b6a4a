//! `tokio::time::timeout`, which most services wrap a call in.

use tokio::time::error::Elapsed;
use tokio::time::timeout;

use crate::call::{Ask, Peer, Seen, at_once, backend};
use crate::ours::CLONED;
use crate::scenario::Family;
use crate::settings::ATTEMPT_LIMIT;
use crate::suite::{Row, Suite, Window};

#[derive(Clone)]
struct Timeout;

impl From<Elapsed> for Seen {
    fn from(_: Elapsed) -> Self {
        Seen::Failed
    }
}

impl Peer for Timeout {
    fn call(&mut self, ask: Ask) -> Seen {
        at_once(timeout(ATTEMPT_LIMIT, backend(ask)))
    }
}

pub(super) fn rows(suite: &mut Suite<'_>) {
    if suite.scenario.family == Family::Timeout {
        suite.row(Row::new("tokio", Window::None).like(CLONED), || Timeout);
    }
}
