//! Who waits, in what order: a list per class in a slab that keeps its room.
//!
//! A place belongs to one waiter from [`push`](Queue::push) until that waiter itself gives it up by
//! [`remove`](Queue::remove), so its number needs no generation. Being served or turned away takes
//! a waiter out of its list and leaves the news in its place.

use super::config::Order;
use super::machine::Refusal;
use crate::kernel::priority::Priority;
use std::task::Waker;

/// The number of a place.
pub(super) type Place = u32;

const NOWHERE: Place = Place::MAX;
const CLASSES: usize = Priority::ALL.len();

/// What is at a place.
#[derive(Debug)]
pub(super) enum Standing {
    /// Nobody.
    Free,
    /// A waiter, to be woken by this.
    Waiting(Waker),
    /// A waiter that was given a slot, and does not know it yet.
    Served,
    /// A waiter that was turned away for this reason, and does not know it yet.
    TurnedAway(Refusal),
}

#[derive(Debug)]
struct Entry {
    standing: Standing,
    class: usize,
    /// Towards those who came earlier.
    before: Place,
    /// Towards those who came later; of a free place, the next free one.
    behind: Place,
}

#[derive(Clone, Copy, Debug)]
struct List {
    first: Place,
    last: Place,
}

#[derive(Debug)]
pub(super) struct Queue {
    entries: Vec<Entry>,
    free: Place,
    /// By rank: the most important first.
    lists: [List; CLASSES],
    waiting: usize,
}

impl Queue {
    pub(super) fn new() -> Self {
        let empty = List {
            first: NOWHERE,
            last: NOWHERE,
        };
        Self {
            entries: Vec::new(),
            free: NOWHERE,
            lists: [empty; CLASSES],
            waiting: 0,
        }
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Takes a place behind all of its class. It allocates only while more wait, or have not heard
    /// their news, than ever before.
    pub(super) fn push(&mut self, priority: Priority, waker: Waker) -> Place {
        let class = priority.rank();
        let last = self.lists[class].last;
        let entry = Entry {
            standing: Standing::Waiting(waker),
            class,
            before: last,
            behind: NOWHERE,
        };
        let place = self.free;
        let place = if place == NOWHERE {
            self.entries.push(entry);
            // There are no more places than waiters, and those are bounded below this.
            Place::try_from(self.entries.len() - 1).unwrap_or(NOWHERE)
        } else {
            self.free = self.entries[place as usize].behind;
            self.entries[place as usize] = entry;
            place
        };
        match last {
            NOWHERE => self.lists[class].first = place,
            last => self.entries[last as usize].behind = place,
        }
        self.lists[class].last = place;
        self.waiting += 1;
        place
    }

    /// Serves whoever is next: the first or the last of the highest class that somebody waits in.
    pub(super) fn serve(&mut self, order: Order) -> Option<Waker> {
        let list = self.lists.iter().find(|list| list.first != NOWHERE)?;
        let place = match order {
            Order::Fifo => list.first,
            Order::Lifo => list.last,
        };
        self.take_out(place, Standing::Served)
    }

    /// Turns somebody away: the least important first.
    pub(super) fn turn_away(&mut self, why: Refusal) -> Option<Waker> {
        let list = self.lists.iter().rfind(|list| list.first != NOWHERE)?;
        self.take_out(list.last, Standing::TurnedAway(why))
    }

    /// What is at a place.
    pub(super) fn at(&mut self, place: Place) -> &mut Standing {
        &mut self.entries[place as usize].standing
    }

    /// Gives a place up; says how its waiter stood.
    pub(super) fn remove(&mut self, place: Place) -> Standing {
        if let Some(waker) = self.take_out(place, Standing::Free) {
            self.set_free(place);
            return Standing::Waiting(waker);
        }
        let stood = std::mem::replace(self.at(place), Standing::Free);
        self.set_free(place);
        stood
    }

    fn set_free(&mut self, place: Place) {
        self.entries[place as usize].behind = self.free;
        self.free = place;
    }

    /// Takes a waiter out of its list. `None` if there is none at that place.
    fn take_out(&mut self, place: Place, now: Standing) -> Option<Waker> {
        let entry = &mut self.entries[place as usize];
        if !matches!(entry.standing, Standing::Waiting(_)) {
            return None;
        }
        let stood = std::mem::replace(&mut entry.standing, now);
        let (class, before, behind) = (entry.class, entry.before, entry.behind);
        match before {
            NOWHERE => self.lists[class].first = behind,
            before => self.entries[before as usize].behind = behind,
        }
        match behind {
            NOWHERE => self.lists[class].last = before,
            behind => self.entries[behind as usize].before = before,
        }
        self.waiting -= 1;
        match stood {
            Standing::Waiting(waker) => Some(waker),
            _ => None,
        }
    }
}

#[cfg(all(test, not(any(backstop_loom, backstop_shuttle))))]
mod tests {
    use super::*;
    use Priority::{Critical, CriticalPlus, Sheddable};

    fn waker() -> Waker {
        Waker::noop().clone()
    }

    /// The places in the order in which they are served.
    fn served(queue: &mut Queue, order: Order, places: &[Place]) -> Vec<usize> {
        let mut seen = Vec::new();
        while queue.serve(order).is_some() {
            let is_new =
                |n: &usize| !seen.contains(n) && matches!(queue.at(places[*n]), Standing::Served);
            let next = (0..places.len()).find(is_new);
            seen.extend(next);
        }
        seen
    }

    #[test]
    fn classes_come_first_and_the_order_within_them() {
        for (order, expected) in [
            (Order::Fifo, [1, 4, 0, 3, 2]),
            (Order::Lifo, [4, 1, 3, 0, 2]),
        ] {
            let mut queue = Queue::new();
            let classes = [Critical, CriticalPlus, Sheddable, Critical, CriticalPlus];
            let places = classes.map(|class| queue.push(class, waker()));
            assert_eq!(queue.len(), 5);
            assert_eq!(served(&mut queue, order, &places), expected);
            assert!(queue.is_empty());
        }
    }

    #[test]
    fn one_that_leaves_leaves_no_hole_and_its_place_is_used_again() {
        for gone in 0..3 {
            let mut queue = Queue::new();
            let places = [(); 3].map(|()| queue.push(Critical, waker()));
            assert!(matches!(queue.remove(places[gone]), Standing::Waiting(_)));
            assert_eq!(queue.len(), 2);
            let again = queue.push(Critical, waker());
            assert_eq!(again, places[gone], "a free place is used first");
            for place in places.into_iter().filter(|place| *place != again) {
                assert!(queue.serve(Order::Fifo).is_some());
                assert!(matches!(queue.remove(place), Standing::Served));
            }
            assert!(queue.turn_away(Refusal::Full).is_some());
            assert!(matches!(
                queue.remove(again),
                Standing::TurnedAway(Refusal::Full)
            ));
            assert!(queue.serve(Order::Lifo).is_none() && queue.turn_away(Refusal::Full).is_none());
            assert_eq!(queue.entries.len(), 3);
        }
    }

    #[test]
    fn the_least_important_is_turned_away_first() {
        let mut queue = Queue::new();
        let places = [CriticalPlus, Sheddable, Critical].map(|class| queue.push(class, waker()));
        for expected in [1, 2, 0] {
            assert!(queue.turn_away(Refusal::Full).is_some());
            assert!(matches!(
                queue.remove(places[expected]),
                Standing::TurnedAway(Refusal::Full)
            ));
        }
    }
}
