//! The events since the last good copy of a state, while they are few.

use super::events::Event;
use std::time::SystemTime;

/// The most bytes that are kept: so many that to read as many again takes longer than to find their
/// place.
const MOST: usize = 1 << 20;

/// Events in memory, in their order, until they are too many.
#[derive(Debug)]
pub(super) struct Recent {
    heads: Vec<Head>,
    payloads: Vec<u8>,
    is_whole: bool,
}

#[derive(Debug)]
struct Head {
    sequence: u64,
    kind: u32,
    wall: SystemTime,
    len: usize,
}

impl Recent {
    pub(super) const fn new() -> Self {
        Self {
            heads: Vec::new(),
            payloads: Vec::new(),
            is_whole: true,
        }
    }

    /// Keeps an event, or gives up if that is too much.
    #[inline]
    pub(super) fn keep(&mut self, event: Event<'_>) {
        if self.is_whole {
            self.push(event);
        }
    }

    fn push(&mut self, event: Event<'_>) {
        let len = event.payload.len();
        let heads = (self.heads.len() + 1) * size_of::<Head>();
        if heads + self.payloads.len() + len > MOST {
            self.clear();
            self.is_whole = false;
            return;
        }
        self.payloads.extend_from_slice(event.payload);
        self.heads.push(Head {
            sequence: event.sequence,
            kind: event.kind,
            wall: event.wall,
            len,
        });
    }

    /// Forgets all: a copy was made.
    pub(super) fn clear(&mut self) {
        self.heads.clear();
        self.payloads.clear();
        self.is_whole = true;
    }

    /// Whether no event since is missing here.
    pub(super) const fn is_whole(&self) -> bool {
        self.is_whole
    }

    pub(super) fn events(&self) -> impl Iterator<Item = Event<'_>> {
        let mut rest = &*self.payloads;
        self.heads.iter().map(move |head| {
            let (payload, behind) = rest.split_at(head.len);
            rest = behind;
            Event::new(head.sequence, head.kind, head.wall, payload)
        })
    }
}
