//! Who waits for a batch, in a slab that keeps its room.
//!
//! A place belongs to one waiter from [`enter`](Waiters::enter) until that waiter itself gives it up,
//! by [`look`](Waiters::look) or [`leave`](Waiters::leave). A batch names places too; so the place of
//! one who left early is free only when its batch is done.

use super::refusal::AppendError;
use super::runtime::Runtime;
use std::task::Waker;

/// The number of a place.
pub(super) type Place = u32;

const NOWHERE: Place = Place::MAX;

/// How it ended.
pub(super) type Ending = Result<(), AppendError>;

/// One who waits.
#[derive(Debug)]
pub(super) struct Waiter {
    /// Not there if it was woken before its end.
    pub(super) waker: Option<Waker>,
    /// What has to be durable.
    pub(super) target: u64,
    pub(super) hand: Hand,
}

/// How a waiter can lead.
#[derive(Debug)]
pub(super) enum Hand {
    /// It is a thread that waits in our code, and will lead when it is woken and told so.
    Thread,
    /// A task: leads a thread of its runtime, once.
    Runtime(Runtime),
    /// Not at all.
    Spent,
}

#[derive(Debug)]
enum Standing {
    Free(Place),
    Waiting(Waiter),
    Ended(Ending),
    /// Who waited has left, and the batch does not know.
    Left,
}

#[derive(Debug)]
pub(super) struct Waiters {
    places: Vec<Standing>,
    free: Place,
}

impl Waiters {
    pub(super) const fn new() -> Self {
        Self {
            places: Vec::new(),
            free: NOWHERE,
        }
    }

    pub(super) fn enter(&mut self, waiter: Waiter) -> Place {
        let standing = Standing::Waiting(waiter);
        let Some(place) = self.places.get_mut(self.free as usize) else {
            // As many places as threads and tasks: 2^32 of them do not fit into memory.
            let place = Place::try_from(self.places.len()).unwrap_or(NOWHERE);
            self.places.push(standing);
            return place;
        };
        let taken = self.free;
        if let Standing::Free(next) = std::mem::replace(place, standing) {
            self.free = next;
        }
        taken
    }

    fn release(&mut self, place: Place) -> Standing {
        let free = Standing::Free(self.free);
        self.free = place;
        std::mem::replace(&mut self.places[place as usize], free)
    }

    /// Who waits there, still.
    pub(super) fn waiter(&mut self, place: Place) -> Option<&mut Waiter> {
        match &mut self.places[place as usize] {
            Standing::Waiting(waiter) => Some(waiter),
            _ => None,
        }
    }

    /// How it ended for the one at `place`, who then has it no more; `None` while it has not.
    pub(super) fn look(&mut self, place: Place) -> Option<Ending> {
        if !matches!(self.places[place as usize], Standing::Ended(_)) {
            return None;
        }
        match self.release(place) {
            Standing::Ended(ending) => Some(ending),
            _ => None,
        }
    }

    /// The one at `place` goes. What it leaves is to be dropped outside of locks.
    pub(super) fn leave(&mut self, place: Place) -> Option<Waiter> {
        if self.look(place).is_some() {
            return None;
        }
        match std::mem::replace(&mut self.places[place as usize], Standing::Left) {
            Standing::Waiting(waiter) => Some(waiter),
            _ => None,
        }
    }

    /// Ends the wait of the one at `place`, who is to be woken; `None` if it has left.
    pub(super) fn end(
        &mut self,
        place: Place,
        ending: impl FnOnce(&Waiter) -> Ending,
    ) -> Option<Waiter> {
        match &mut self.places[place as usize] {
            Standing::Waiting(waiter) => {
                let ended = Standing::Ended(ending(waiter));
                match std::mem::replace(&mut self.places[place as usize], ended) {
                    Standing::Waiting(waiter) => Some(waiter),
                    _ => None,
                }
            }
            Standing::Left => {
                self.release(place);
                None
            }
            Standing::Free(_) | Standing::Ended(_) => None,
        }
    }
}
