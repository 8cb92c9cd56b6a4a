//! The counts of a set of compartments in one word: how many slots are taken in all, and how many
//! by each compartment.
//!
//! ```text
//! bit 63      62..58        57..0
//! book open | layout no. | ... count of compartment 1 | count of compartment 0 | count of all
//! ```
//!
//! While the book is open the counts stand in it, under the lock, and the word's are void.

use super::compartments_config::Plan;

const BOOK_OPEN: u64 = 1 << 63;
const LAYOUT_SHIFT: u32 = COUNT_BITS;
const COUNT_BITS: u32 = 58;
/// Each change of the configuration uses up one.
pub(super) const LAYOUTS: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(pub(super) u64);

impl Word {
    pub(super) const OPEN: Self = Self(BOOK_OPEN);

    pub(super) const fn is_open(self) -> bool {
        self.0 & BOOK_OPEN != 0
    }

    pub(super) const fn layout(self) -> usize {
        (self.0 >> LAYOUT_SHIFT) as usize & (LAYOUTS - 1)
    }
}

/// Where the counts lie, and the numbers that decide while the book is closed.
#[derive(Debug)]
pub(super) struct Layout {
    number: usize,
    total: Field,
    fields: Box<[Field]>,
}

#[derive(Clone, Copy, Debug)]
struct Field {
    shift: u32,
    mask: u64,
    limit: u64,
    guaranteed: u64,
    /// Somebody may wait.
    waits: bool,
}

impl Field {
    const fn of(self, word: Word) -> u64 {
        word.0 >> self.shift & self.mask
    }
}

/// What the counts alone say to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Glance {
    /// There is a slot; with it taken, this is the word, and so many run in the compartment.
    Take(Word, u64),
    /// The compartment has reached its limit, and nobody waits in it.
    Limit(u64),
    /// The set is full, the compartment has what it is guaranteed, and nobody waits in it.
    Total(u64),
    /// The book knows.
    Look,
}

impl Layout {
    /// None if the counts need more bits than there are.
    pub(super) fn new(number: usize, plan: &Plan) -> Option<Self> {
        let mut used = 0;
        let mut field = |limit: u64, guaranteed, waits| {
            let bits = u64::BITS - limit.leading_zeros();
            let shift = used;
            used += bits;
            Field {
                // A field of no bits may begin behind the last.
                shift: shift.min(COUNT_BITS),
                mask: (1_u64 << bits.min(63)) - 1,
                limit,
                guaranteed,
                waits,
            }
        };
        let total = field(plan.total, 0, false);
        let shares = plan.shares.iter();
        let fields = shares
            // No compartment runs more than the set does.
            .map(|share| {
                let limit = share.limit.min(plan.total);
                field(limit, share.guaranteed, share.max_waiting > 0)
            })
            .collect();
        (used <= COUNT_BITS && number < LAYOUTS).then_some(Self {
            number,
            total,
            fields,
        })
    }

    #[inline]
    pub(super) fn look(&self, word: Word, at: usize) -> Glance {
        let field = self.fields[at];
        let running = field.of(word);
        let is_full = self.total.of(word) >= self.total.limit;
        if running < field.limit && !is_full {
            Glance::Take(Word(word.0 + self.one(field)), running + 1)
        } else if field.waits || (running < field.limit && running < field.guaranteed) {
            Glance::Look
        } else if running >= field.limit && field.limit < self.total.limit {
            Glance::Limit(field.limit)
        } else {
            Glance::Total(self.total.limit)
        }
    }

    #[inline]
    pub(super) fn give_back(&self, word: Word, at: usize) -> Word {
        Word(word.0 - self.one(self.fields[at]))
    }

    const fn one(&self, field: Field) -> u64 {
        1 << field.shift | 1 << self.total.shift
    }

    pub(super) fn limit(&self, at: usize) -> u64 {
        self.fields[at].limit
    }

    pub(super) fn running(&self, word: Word, at: usize) -> u64 {
        self.fields[at].of(word)
    }

    /// The word of these counts; none if one does not fit, which is so while more run than a new
    /// configuration allows.
    pub(super) fn pack(&self, running: &[u64]) -> Option<Word> {
        let total: u64 = running.iter().sum();
        let mut word = (self.number as u64) << LAYOUT_SHIFT | total;
        if total > self.total.mask {
            return None;
        }
        for (field, count) in self.fields.iter().zip(running) {
            if *count > field.mask {
                return None;
            }
            word |= count << field.shift;
        }
        Some(Word(word))
    }
}
