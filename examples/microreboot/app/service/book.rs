//! What is stored: what is for sale, what users think of each other, and the bids, made of events.

use super::world::Bid;
use backstop::durable::codec::{State, StateError};
use backstop::durable::replay::{Event, EventSourced, Rejected, Undecodable};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// The kind under which entries are journaled.
pub(crate) const ENTRY_V1: u32 = 1;

/// What happened.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Entry<'a> {
    /// The next item was put up for sale.
    #[serde(borrow)]
    Listed(&'a str),
    /// A user was rated.
    Rated { user: u32, stars: u64 },
    /// A user bid for an item.
    Bid(Bid),
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Book {
    pub(crate) items: Vec<Box<str>>,
    pub(crate) ratings: Vec<(u32, u64)>,
    pub(crate) bids: Vec<Bid>,
    by_key: HashMap<u64, usize>,
}

impl Book {
    pub(crate) fn bid(&self, key: u64) -> Option<Bid> {
        self.by_key.get(&key).map(|&place| self.bids[place])
    }
}

impl State for Book {
    const TYPE: &'static str = "auction";

    fn validate(&self) -> Result<(), StateError> {
        if self.by_key.len() != self.bids.len() {
            return Err(StateError::invalid("a key stands for two bids"));
        }
        Ok(())
    }
}

impl EventSourced for Book {
    type Event<'a> = Entry<'a>;

    fn decode(event: Event<'_>) -> Result<Entry<'_>, Undecodable> {
        match event.kind {
            ENTRY_V1 => postcard::from_bytes(event.payload).map_err(Undecodable::new),
            kind => Err(Undecodable::new(format!("no entry is of kind {kind}"))),
        }
    }

    fn check(&self, entry: &Entry<'_>) -> Result<(), Rejected> {
        match entry {
            Entry::Bid(bid) if self.by_key.contains_key(&bid.key) => {
                Err(Rejected::new("its key stands for another bid"))
            }
            Entry::Bid(bid) if bid.item as usize >= self.items.len() => {
                Err(Rejected::new("there is no such item"))
            }
            _ => Ok(()),
        }
    }

    fn apply(&mut self, entry: Entry<'_>) -> Result<(), Rejected> {
        match entry {
            Entry::Listed(text) => self.items.push(text.into()),
            Entry::Rated { user, stars } => self.ratings.push((user, stars)),
            Entry::Bid(bid) => {
                self.by_key.insert(bid.key, self.bids.len());
                self.bids.push(bid);
            }
        }
        Ok(())
    }
}
