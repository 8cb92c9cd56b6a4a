//! Wakers by key: a slab that allocates nothing once it has grown.

use std::mem::replace;
use std::task::Waker;

/// Where a waker is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key(u32);

/// No further free slot.
const END: u32 = u32::MAX;

#[derive(Debug)]
enum Slot {
    /// The waker is gone once it was taken to be woken; its owner gives the slot back.
    Taken(Option<Waker>),
    Free {
        next: u32,
    },
}

/// It clones, wakes and drops no waker: that is user code, and this stands under locks.
#[derive(Debug)]
pub(super) struct Wakers {
    slots: Vec<Slot>,
    free: u32,
    taken: u32,
}

impl Default for Wakers {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            free: END,
            taken: 0,
        }
    }
}

impl Wakers {
    pub(super) fn len(&self) -> u32 {
        self.taken
    }

    /// Keeps a waker. Not if there are 2^32 - 1.
    pub(super) fn insert(&mut self, waker: Waker) -> Result<Key, Waker> {
        let slot = Slot::Taken(Some(waker));
        let key = self.free;
        if let Some(place) = self.slots.get_mut(key as usize) {
            if let Slot::Free { next } = replace(place, slot) {
                self.free = next;
            }
            self.taken += 1;
            return Ok(Key(key));
        }
        match u32::try_from(self.slots.len()) {
            Ok(key) if key != END => {
                self.slots.push(slot);
                self.taken += 1;
                Ok(Key(key))
            }
            _ => match slot {
                Slot::Taken(Some(waker)) => Err(waker),
                _ => Ok(Key(END)),
            },
        }
    }

    /// Whether that waker is kept there, so that it need not be cloned again.
    pub(super) fn will_wake(&self, Key(key): Key, waker: &Waker) -> bool {
        matches!(self.slots.get(key as usize), Some(Slot::Taken(Some(kept))) if kept.will_wake(waker))
    }

    /// Puts another waker there; the old one is for the caller to drop.
    pub(super) fn put(&mut self, Key(key): Key, waker: Waker) -> Option<Waker> {
        match self.slots.get_mut(key as usize) {
            Some(Slot::Taken(kept)) => kept.replace(waker),
            _ => Some(waker),
        }
    }

    /// Gives the slot back; the waker is for the caller to drop.
    pub(super) fn remove(&mut self, Key(key): Key) -> Option<Waker> {
        let slot = self.slots.get_mut(key as usize)?;
        let next = self.free;
        match replace(slot, Slot::Free { next }) {
            Slot::Taken(waker) => {
                self.free = key;
                self.taken -= 1;
                waker
            }
            free @ Slot::Free { .. } => {
                *slot = free;
                None
            }
        }
    }

    /// All wakers, to be woken once no lock is held. Their slots stay taken.
    pub(super) fn take(&mut self) -> Vec<Waker> {
        let wakers = self.slots.iter_mut().filter_map(|slot| match slot {
            Slot::Taken(waker) => waker.take(),
            Slot::Free { .. } => None,
        });
        wakers.collect()
    }
}
