//! The last `n` calls: a ring of two bits per call. One thread at a time; the owner locks.

use super::{Class, Counts};

#[derive(Clone, Debug)]
pub(crate) struct CountWindow {
    size: usize,
    /// Where the next call goes; the oldest one once the ring is full.
    next: usize,
    failed: Bits,
    slow: Bits,
    counts: Counts,
}

impl CountWindow {
    /// An empty ring of `size` calls.
    pub(crate) fn new(size: u32) -> Self {
        let size = size as usize;
        Self {
            size,
            next: 0,
            failed: Bits::new(size),
            slow: Bits::new(size),
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

    pub(crate) fn record(&mut self, class: Class) {
        if self.size == 0 {
            return;
        }
        if self.is_full() {
            self.counts.failed -= u64::from(self.failed.get(self.next));
            self.counts.slow -= u64::from(self.slow.get(self.next));
        } else {
            self.counts.recorded += 1;
        }
        self.failed.set(self.next, class.is_failed());
        self.slow.set(self.next, class.is_slow());
        self.counts.failed += u64::from(class.is_failed());
        self.counts.slow += u64::from(class.is_slow());
        self.next = if self.next + 1 == self.size {
            0
        } else {
            self.next + 1
        };
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
            Class::new(self.failed.get(at), self.slow.get(at))
        })
    }
}

#[derive(Clone, Debug)]
struct Bits(Box<[u64]>);

impl Bits {
    fn new(bits: usize) -> Self {
        Self(vec![0; bits.div_ceil(64)].into())
    }

    fn get(&self, at: usize) -> bool {
        self.0[at / 64] >> (at % 64) & 1 == 1
    }

    fn set(&mut self, at: usize, value: bool) {
        let word = &mut self.0[at / 64];
        *word = *word & !(1 << (at % 64)) | u64::from(value) << (at % 64);
    }
}

#[cfg(test)]
mod tests {
    use super::super::CLASSES;
    use super::*;
    use std::collections::VecDeque;

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
                ring.record(call);
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
