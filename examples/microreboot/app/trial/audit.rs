//! Whether anything was lost or doubled: what was acknowledged is there once and as it was, and nothing
//! is there that nobody sent.

use crate::app::service::world::Bid;
use std::collections::HashMap;

/// What is wrong with the bids that are there; empty if nothing is.
pub(crate) fn audit(stored: &[Bid], acknowledged: &[Bid], sent: &[Bid]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut by_key = HashMap::new();
    for bid in stored {
        if by_key.insert(bid.key, bid).is_some() {
            wrong.push(format!("bid {} is there twice", bid.key));
        }
    }
    for bid in acknowledged {
        match by_key.get(&bid.key) {
            None => wrong.push(format!("bid {} was acknowledged and is lost", bid.key)),
            Some(there) if !same(there, bid) => wrong.push(format!("bid {} has changed", bid.key)),
            Some(_) => (),
        }
    }
    let sent: HashMap<u64, &Bid> = sent.iter().map(|bid| (bid.key, bid)).collect();
    for bid in stored {
        if !sent.get(&bid.key).is_some_and(|sent| same(sent, bid)) {
            wrong.push(format!("nobody sent bid {}", bid.key));
        }
    }
    wrong
}

const fn same(one: &Bid, other: &Bid) -> bool {
    one.item == other.item && one.amount == other.amount
}
