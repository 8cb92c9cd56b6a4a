//! Counters that many threads bump without sharing a cache line.

use crate::kernel::sync::{AtomicU64, Ordering};
use crossbeam_utils::CachePadded;
use std::sync::OnceLock;

/// No more stripes than this, however many cores: a reader sums them all.
pub(crate) const MOST_STRIPES: usize = 64;

/// One stripe per core, rounded up to a power of two.
#[cfg(not(any(backstop_loom, backstop_shuttle)))]
pub(crate) fn default_stripes() -> usize {
    static STRIPES: OnceLock<usize> = OnceLock::new();
    *STRIPES.get_or_init(|| {
        std::thread::available_parallelism()
            .map_or(1, usize::from)
            .next_power_of_two()
            .min(MOST_STRIPES)
    })
}

/// Two are enough for a model checker to see one thread miss another's.
#[cfg(any(backstop_loom, backstop_shuttle))]
pub(crate) fn default_stripes() -> usize {
    2
}

#[cfg(not(any(backstop_loom, backstop_shuttle)))]
mod index {
    use std::cell::Cell;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const UNSET: usize = usize::MAX;

    thread_local! {
        // `const`, so that reading it is a plain load without a registration check.
        static INDEX: Cell<usize> = const { Cell::new(UNSET) };
    }

    /// This thread's number; threads are numbered in the order in which they first ask.
    #[inline]
    pub(crate) fn thread_number() -> usize {
        let number = INDEX.get();
        if number == UNSET { assign() } else { number }
    }

    #[cold]
    fn assign() -> usize {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed) & (UNSET >> 1);
        INDEX.set(number);
        number
    }
}

#[cfg(any(backstop_loom, backstop_shuttle))]
mod index {
    use std::cell::Cell;

    #[cfg(backstop_loom)]
    loom::thread_local! {
        static INDEX: Cell<usize> = Cell::new(0);
    }
    #[cfg(backstop_shuttle)]
    shuttle::thread_local! {
        static INDEX: Cell<usize> = Cell::new(0);
    }

    pub(crate) fn thread_number() -> usize {
        INDEX.with(Cell::get)
    }

    /// A schedule must be the same each time it is replayed, so threads are numbered by the test.
    pub(crate) fn set_thread_number(number: usize) {
        INDEX.with(|index| index.set(number));
    }
}

pub(crate) use index::*;

/// `N` counters, each split into stripes.
///
/// A compact set begins with one stripe and grows the others at the first sign of contention: a
/// keyed set holds thousands of these, and few keys are hot.
#[derive(Debug)]
pub(crate) struct Striped<const N: usize> {
    first: [AtomicU64; N],
    rest: OnceLock<Box<[CachePadded<[AtomicU64; N]>]>>,
}

impl<const N: usize> Striped<N> {
    /// With all stripes at once.
    pub(crate) fn wide() -> Self {
        let counters = Self::compact();
        counters.rest.get_or_init(stripes);
        counters
    }

    /// With one stripe until two threads meet.
    pub(crate) fn compact() -> Self {
        Self {
            first: zeros(),
            rest: OnceLock::new(),
        }
    }

    /// Adds one to counter `counter`.
    #[inline]
    pub(crate) fn bump(&self, counter: usize) {
        match self.rest.get() {
            // The number of stripes is a power of two.
            Some(stripes) => {
                stripes[thread_number() & (stripes.len() - 1)][counter]
                    .fetch_add(1, Ordering::Relaxed);
            }
            None => self.bump_first(counter),
        }
    }

    fn bump_first(&self, counter: usize) {
        let first = &self.first[counter];
        let seen = first.load(Ordering::Relaxed);
        // A failed exchange is what tells contention; a `fetch_add` could not.
        if first
            .compare_exchange(
                seen,
                seen.wrapping_add(1),
                Ordering::Relaxed,
                Ordering::Relaxed,
            )
            .is_err()
        {
            self.rest.get_or_init(stripes)[0][counter].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counter `counter`, summed. Each bump that happened before this call is in it.
    pub(crate) fn sum(&self, counter: usize) -> u64 {
        let rest = self.rest.get().map_or(&[][..], |rest| rest);
        rest.iter()
            .map(|stripe| stripe[counter].load(Ordering::Relaxed))
            .fold(
                self.first[counter].load(Ordering::Relaxed),
                u64::saturating_add,
            )
    }
}

fn zeros<const N: usize>() -> [AtomicU64; N] {
    std::array::from_fn(|_| AtomicU64::new(0))
}

fn stripes<const N: usize>() -> Box<[CachePadded<[AtomicU64; N]>]> {
    (0..default_stripes())
        .map(|_| CachePadded::new(zeros()))
        .collect()
}

#[cfg(all(test, not(any(backstop_loom, backstop_shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn threads_are_told_apart() {
        let number = || std::thread::spawn(thread_number).join().unwrap();
        let (one, other) = (number(), number());
        assert_ne!(one, other);
        assert_eq!(thread_number(), thread_number());
    }

    #[test]
    fn bumps_from_many_threads_add_up() {
        for counters in [Striped::<2>::wide(), Striped::compact()] {
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        for _ in 0..10_000 {
                            counters.bump(0);
                            counters.bump(1);
                            counters.bump(1);
                        }
                    });
                }
            });
            assert_eq!(counters.sum(0), 80_000);
            assert_eq!(counters.sum(1), 160_000);
        }
    }

    #[test]
    fn a_compact_set_stays_small_while_one_thread_uses_it() {
        let counters = Striped::<3>::compact();
        for _ in 0..1_000 {
            counters.bump(2);
        }
        assert!(counters.rest.get().is_none());
        assert_eq!((counters.sum(0), counters.sum(2)), (0, 1_000));
        assert!(Striped::<1>::wide().rest.get().is_some());
    }

    #[test]
    fn stripes_are_a_power_of_two() {
        assert!(default_stripes().is_power_of_two());
        assert!(default_stripes() <= MOST_STRIPES);
    }
}
