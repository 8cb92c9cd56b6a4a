//! The last `n` calls: a ring of two bits per call. One thread at a time; the owner locks.

use super::{Class, Counts};

#[derive(Clone, Debug)]
pub(crate) struct CountWindow {
    size: usize,
    /// Where the next call goes; the oldest one once the ring is full.
    next: usize,
    /// The classes, two bits each.
    calls: Box<[u64]>,
    counts: Counts,
}

const PER_WORD: usize = 32;

impl CountWindow {
    /// An empty ring of `size` calls.
    pub(crate) fn new(size: u32) -> Self {
        let size = size as usize;
        Self {
            size,
            next: 0,
            calls: vec![0; size.div_ceil(PER_WORD)].into(),
            counts: Counts::default(),
        }
    }

    /// By reference: a copy right after a record would stall on the record's narrower writes.
    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Full and nothing bad in it: one more good call changes nothing that anyone can observe.
    pub(crate) fn is_clear(&self) -> bool {
        self.is_full() && self.counts.failed == 0 && self.counts.slow == 0
    }

    fn is_full(&self) -> bool {
        self.counts.recorded == self.size as u64
    }

    /// Records a call. `false` if the counts are what they were before, because the call is of the
    /// class of the one that it pushes out.
    #[inline]
    pub(crate) fn record(&mut self, class: Class) -> bool {
        let Some(word) = self.calls.get_mut(self.next / PER_WORD) else {
            return true; // A ring of no calls.
        };
        let shift = self.next % PER_WORD * 2;
        let (old, new) = (*word >> shift & 0b11, class as u64);
        *word ^= (old ^ new) << shift;
        self.next = if self.next + 1 == self.size {
            0
        } else {
            self.next + 1
        };
        if !self.is_full() {
            self.counts.recorded += 1;
        } else if old == new {
            return false;
        } else {
            self.counts.failed -= old & 1;
            self.counts.slow -= old >> 1;
        }
        self.counts.failed += new & 1;
        self.counts.slow += new >> 1;
        true
    }

    pub(crate) fn clear(&mut self) {
        self.next = 0;
        self.counts = Counts::default();
    }

    /// The recorded calls, oldest first.
    pub(crate) fn classes(&self) -> impl Iterator<Item = Class> + '_ {
        let oldest = if self.is_full() { self.next } else { 0 };
        (0..self.counts.recorded).map(move |age| {
            let at = (oldest + usize::try_from(age).unwrap_or(0)) % self.size;
            let class = self.calls[at / PER_WORD] >> (at % PER_WORD * 2);
            Class::new(class & 1 == 1, class & 2 == 2)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::CLASSES;
    use super::*;
    use std::collections::VecDeque;

    #[test]
    fn a_ring_of_no_calls_takes_any() {
        let mut ring = CountWindow::new(0);
        assert!(CLASSES.into_iter().all(|class| ring.record(class)));
        assert_eq!(*ring.counts(), Counts::default());
    }

    #[test]
    fn it_agrees_with_a_list_after_every_call() {
        for size in [1_u32, 2, 63, 64, 65, 100] {
            let mut random = fastrand::Rng::with_seed(u64::from(size));
            let mut ring = CountWindow::new(size);
            let mut list = VecDeque::new();
            for _ in 0..10_000 {
                // Long good stretches, so that it is clear now and then.
                let call = CLASSES[if random.u8(..) < 250 {
                    0
                } else {
                    random.usize(..4)
                }];
                let before = *ring.counts();
                let has_changed = ring.record(call);
                assert_eq!(has_changed, *ring.counts() != before);
                list.push_back(call);
                if list.len() > size as usize {
                    list.pop_front();
                }
                let mut expected = Counts::default();
                list.iter().for_each(|call| expected.add(*call, 1));
                assert_eq!(*ring.counts(), expected);
                assert!(ring.classes().eq(list.iter().copied()));
                let clear = list.len() == size as usize && list.iter().all(|c| *c == Class::Ok);
                assert_eq!(ring.is_clear(), clear);
                if random.u16(..) < 20 {
                    ring.clear();
                    list.clear();
                }
            }
        }
    }
}
