use std::sync::Arc;

use backstop::policy::bulkhead::{BulkheadLayer, OwnedPermit};
use backstop::policy::errors::WrapErrorsLayer;
use backstop::{Bulkhead, BulkheadConfig};
use tower::Layer;

use super::{CLONED, STATIC, STATIC_TOWER, TOWER, fixed};
use crate::call::{Ask, Backend, Peer, Seen, Tower, at_once, backend};
use crate::scenario::Load;
use crate::settings::CONCURRENT;
use crate::suite::{Row, Suite, Window};

#[derive(Clone)]
struct Handle(Bulkhead);

impl Peer for Handle {
    fn call(&mut self, ask: Ask) -> Seen {
        at_once(self.0.call(|| backend(ask)))
    }
}

/// Its only permit is out.
#[derive(Clone)]
struct Full<P> {
    peer: P,
    _permit: Arc<OwnedPermit>,
}

impl<P: Peer> Peer for Full<P> {
    fn call(&mut self, ask: Ask) -> Seen {
        self.peer.call(ask)
    }
}

pub(super) fn bulkhead(max: usize) -> Bulkhead {
    let config = BulkheadConfig::default().max_concurrent(max as u32);
    Bulkhead::new("compare", config).expect("a valid configuration")
}

fn tower(bulkhead: Bulkhead) -> impl Peer {
    Tower(BulkheadLayer::new(bulkhead).layer(WrapErrorsLayer::new().layer(Backend)))
}

fn full<P: Peer>(bulkhead: Bulkhead, peer: impl Fn(Bulkhead) -> P) -> Full<P> {
    let permit = bulkhead.try_acquire_owned().expect("nobody has it");
    Full {
        peer: peer(bulkhead),
        _permit: Arc::new(permit),
    }
}

pub(super) fn rows(suite: &mut Suite<'_>) {
    let row = |name| Row::new(name, Window::None);
    if suite.scenario.load == Load::Refused {
        suite.row(row(STATIC), || full(fixed(bulkhead(1)), Handle));
        suite.row(row(CLONED), || full(bulkhead(1), Handle));
        suite.row(row(STATIC_TOWER), || full(fixed(bulkhead(1)), tower));
        suite.row(row(TOWER), || full(bulkhead(1), tower));
        return;
    }
    suite.row(row(STATIC), || Handle(fixed(bulkhead(CONCURRENT))));
    suite.row(row(CLONED), || Handle(bulkhead(CONCURRENT)));
    suite.row(row(STATIC_TOWER), || tower(fixed(bulkhead(CONCURRENT))));
    suite.row(row(TOWER), || tower(bulkhead(CONCURRENT)));
}
