//! The state word: all that a call must know to be let in and to go, in one load.
//!
//! | bits | hold |
//! |---|---|
//! | 0..28 | calls that hold a slot |
//! | 28..56 | the limit |
//! | 59 | *queues*: there may be waiters |
//! | 60 | *uncounted*: finished calls are not counted |
//! | 61 | *saturated*: calls were refused not long ago |
//! | 62 | *waited for*: the queue is not empty, so a free slot is the next waiter's |
//! | 63 | *isolated*: everything is refused |
//!
//! The count changes by anybody's atomic operation, the rest under the lock, by atomic operations
//! too. While the word is waited for, only the holder of the lock raises the count.

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Word(pub(super) u64);

const LIMIT_SHIFT: u32 = 28;
const COUNT_MASK: u64 = (1 << LIMIT_SHIFT) - 1;

pub(super) const QUEUES: u64 = 1 << 59;
pub(super) const UNCOUNTED: u64 = 1 << 60;
pub(super) const SATURATED: u64 = 1 << 61;
pub(super) const WAITED_FOR: u64 = 1 << 62;
pub(super) const ISOLATED: u64 = 1 << 63;

/// What the word carries of the configuration.
const OF_THE_CONFIG: u64 = COUNT_MASK << LIMIT_SHIFT | QUEUES | UNCOUNTED;

/// The highest limit that the word has room for.
pub(super) const HIGHEST_LIMIT: u32 = (1 << LIMIT_SHIFT) - 1;

impl Word {
    /// Nobody in it, with this limit and these flags.
    pub(super) fn new(limit: u32, flags: u64) -> Self {
        Self(u64::from(limit) << LIMIT_SHIFT | flags)
    }

    /// The limit and the flags of `config`, the rest of `self`.
    pub(super) fn with_config_of(self, config: Self) -> Self {
        Self(self.0 & !OF_THE_CONFIG | config.0 & OF_THE_CONFIG)
    }

    #[inline]
    pub(super) fn in_flight(self) -> u32 {
        (self.0 & COUNT_MASK) as u32
    }

    #[inline]
    pub(super) fn limit(self) -> u32 {
        (self.0 >> LIMIT_SHIFT & COUNT_MASK) as u32
    }

    /// A slot is free, whoever it is for.
    #[inline]
    pub(super) fn has_slot(self) -> bool {
        self.in_flight() < self.limit()
    }

    /// A slot is free for whoever comes.
    #[inline]
    pub(super) fn admits_at_once(self) -> bool {
        self.0 & (ISOLATED | WAITED_FOR) == 0 && self.has_slot()
    }

    #[inline]
    pub(super) fn has(self, flag: u64) -> bool {
        self.0 & flag != 0
    }

    /// Everything is refused, whoever goes.
    pub(super) fn is_shut(self) -> bool {
        self.has(ISOLATED) || self.limit() == 0
    }
}

#[cfg(all(test, not(any(backstop_loom, backstop_shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn a_word_keeps_its_parts_apart() {
        let full = Word(Word::new(HIGHEST_LIMIT, QUEUES | WAITED_FOR).0 + 7);
        assert_eq!((full.in_flight(), full.limit()), (7, HIGHEST_LIMIT));
        assert!(full.has(QUEUES) && full.has(WAITED_FOR));
        assert!(!full.has(UNCOUNTED) && !full.has(ISOLATED) && !full.has(SATURATED));
        assert!(full.has_slot() && !full.admits_at_once());

        let shrunk = full.with_config_of(Word::new(3, UNCOUNTED | ISOLATED | SATURATED));
        assert_eq!((shrunk.in_flight(), shrunk.limit()), (7, 3));
        assert!(shrunk.has(WAITED_FOR) && shrunk.has(UNCOUNTED) && !shrunk.has(QUEUES));
        assert!(!shrunk.has(ISOLATED) && !shrunk.has(SATURATED) && !shrunk.has_slot());

        assert!(Word::new(1, 0).admits_at_once() && !Word::new(1, 0).is_shut());
        assert!(Word::new(0, 0).is_shut() && Word::new(1, ISOLATED).is_shut());
        assert!(!Word::new(1, ISOLATED).admits_at_once());
    }

    #[test]
    fn the_largest_count_does_not_reach_the_limit() {
        let most = Word(Word::new(HIGHEST_LIMIT, 0).0 + u64::from(HIGHEST_LIMIT));
        assert_eq!(most.in_flight(), HIGHEST_LIMIT);
        assert_eq!(most.limit(), HIGHEST_LIMIT);
        assert!(!most.has_slot());
    }
}
