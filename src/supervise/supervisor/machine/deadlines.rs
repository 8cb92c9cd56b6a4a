//! All deadlines of a supervisor in one heap, from which one can be taken out: a stop that came in
//! time leaves nothing behind.

use crate::kernel::instant::Instant;

/// At most one deadline per key. A binary heap that knows where each key is.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    heap: Vec<(Instant, u32)>,
    /// Where a key is in the heap, plus one; 0 if it is not.
    places: Vec<u32>,
}

impl Deadlines {
    /// The nearest.
    pub(crate) fn nearest(&self) -> Option<Instant> {
        self.heap.first().map(|(at, _)| *at)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    /// The deadline of `key`.
    pub(crate) fn get(&self, key: u32) -> Option<Instant> {
        let place = *self.places.get(key as usize)?;
        let place = (place as usize).checked_sub(1)?;
        Some(self.heap[place].0)
    }

    /// Sets the deadline of `key`, in place of one it has.
    pub(crate) fn set(&mut self, key: u32, at: Instant) {
        self.clear(key);
        if self.places.len() <= key as usize {
            self.places.resize(key as usize + 1, 0);
        }
        self.heap.push((at, key));
        self.up(self.heap.len() - 1);
    }

    /// Takes the deadline of `key` out, if it has one.
    pub(crate) fn clear(&mut self, key: u32) {
        let Some(place) = self.places.get_mut(key as usize) else {
            return;
        };
        let Some(place) = (std::mem::take(place) as usize).checked_sub(1) else {
            return;
        };
        self.heap.swap_remove(place);
        if place < self.heap.len() {
            // What came from the end may belong above or below.
            let place = self.up(place);
            self.down(place);
        }
    }

    /// Takes out a deadline that is `now` or before, and whose it is.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<(Instant, u32)> {
        let (at, key) = *self.heap.first()?;
        (at <= now).then(|| {
            self.clear(key);
            (at, key)
        })
    }

    fn put(&mut self, place: usize, entry: (Instant, u32)) {
        self.heap[place] = entry;
        #[expect(clippy::cast_possible_truncation, reason = "no more entries than keys")]
        let place = place as u32 + 1;
        self.places[entry.1 as usize] = place;
    }

    fn up(&mut self, mut place: usize) -> usize {
        let entry = self.heap[place];
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.heap[parent].0 <= entry.0 {
                break;
            }
            self.put(place, self.heap[parent]);
            place = parent;
        }
        self.put(place, entry);
        place
    }

    fn down(&mut self, mut place: usize) {
        let entry = self.heap[place];
        loop {
            let left = 2 * place + 1;
            let right = left + 1;
            let child = match (self.heap.get(left), self.heap.get(right)) {
                (Some(one), Some(other)) if other.0 < one.0 => right,
                (Some(_), _) => left,
                (None, _) => break,
            };
            if entry.0 <= self.heap[child].0 {
                break;
            }
            self.put(place, self.heap[child]);
            place = child;
        }
        self.put(place, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn the_heap_agrees_with_a_map(
            steps in prop::collection::vec((0_u32..12, 0_u64..40, 0_u8..4), 1..200)
        ) {
            let mut heap = Deadlines::default();
            let mut map: BTreeMap<u32, u64> = BTreeMap::new();
            for (key, at, what) in steps {
                match what {
                    0 | 1 => {
                        heap.set(key, Instant::from_nanos(at));
                        map.insert(key, at);
                    }
                    2 => {
                        heap.clear(key);
                        map.remove(&key);
                    }
                    _ => while let Some((_, due)) = heap.pop_due(Instant::from_nanos(at)) {
                        let expected = map.remove(&due);
                        prop_assert!(expected.is_some_and(|due| due <= at));
                        prop_assert!(map.values().all(|left| Some(*left) >= expected));
                    },
                }
                prop_assert_eq!(heap.len(), map.len());
                prop_assert_eq!(
                    heap.nearest().map(Instant::as_nanos), map.values().min().copied()
                );
                for key in 0..12 {
                    prop_assert_eq!(heap.get(key).map(Instant::as_nanos), map.get(&key).copied());
                }
            }
        }
    }
}
