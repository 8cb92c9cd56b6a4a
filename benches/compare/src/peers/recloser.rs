use crate::call::{Ask, Fault, Peer, Seen, at_once, backend};
use crate::ours::CLONED;
use crate::scenario::Family;
use crate::settings::{CALLS, OPEN_WAIT, RATE};
use crate::suite::{Row, Suite, Window};

#[derive(Clone)]
struct Recloser(recloser::AsyncRecloser);

impl From<recloser::Error<Fault>> for Seen {
    fn from(error: recloser::Error<Fault>) -> Self {
        match error {
            recloser::Error::Rejected => Seen::Rejected,
            recloser::Error::Inner(fault) => fault.into(),
        }
    }
}

impl Peer for Recloser {
    fn call(&mut self, ask: Ask) -> Seen {
        at_once(self.0.call(backend(ask)))
    }
}

pub(super) fn rows(suite: &mut Suite<'_>) {
    if suite.scenario.family == Family::Breaker {
        suite.row(Row::new("recloser", Window::Calls).like(CLONED), breaker);
    }
}

fn breaker() -> impl Peer {
    let breaker = recloser::Recloser::custom()
        .error_rate(RATE as f32)
        .closed_len(CALLS)
        .open_wait(OPEN_WAIT)
        .build();
    Recloser(breaker.into())
}
