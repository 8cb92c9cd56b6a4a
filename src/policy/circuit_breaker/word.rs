//! The state word: everything that a call must know to be admitted and to finish, in one load.
//!
//! | bits | hold |
//! |---|---|
//! | 0..3 | the state |
//! | 3 | *clear*: one more success would change nothing that is kept under the lock |
//! | 4 | *clocked*: calls need the time at which they began |
//! | 5 | *totals*: successes are counted |
//! | 6 | *locked*: a bad outcome must be recorded under the lock (count window, consecutive failures) |
//! | 7..14 | the number of the time window in use; 0 is none |
//! | 14..64 | the generation |
//!
//! All writes happen under the machine's lock, so they are plain stores.

use super::event::State;
use std::num::NonZeroU64;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Word(NonZeroU64);

const CLEAR: u64 = 1 << 3;
const CLOCKED: u64 = 1 << 4;
const TOTALS: u64 = 1 << 5;
const LOCKED: u64 = 1 << 6;
const WINDOW_SHIFT: u32 = 7;
const WINDOW_MASK: u64 = (1 << 7) - 1;
const GENERATION_SHIFT: u32 = 14;
const STATE_MASK: u64 = 0b111;

/// The most time windows of different shapes that one breaker can have had.
pub(super) const MOST_WINDOWS: usize = 127;

/// What of the configuration the word carries.
#[derive(Clone, Copy)]
pub(super) struct Flags {
    pub(super) clocked: bool,
    pub(super) totals: bool,
    pub(super) locked: bool,
    pub(super) window: usize,
}

impl Word {
    /// In the place of the state, what no state has.
    pub(super) const NO_STATE: u64 = STATE_MASK;

    /// Whether these bits are not those of a state word.
    #[inline]
    pub(super) const fn is_no_state(bits: u64) -> bool {
        bits & STATE_MASK == Self::NO_STATE
    }

    pub(super) fn new(state: State, generation: u64, clear: bool, flags: Flags) -> Self {
        let bit = |set: bool, bit: u64| if set { bit } else { 0 };
        Self::from_bits(
            state.code()
                | bit(clear, CLEAR)
                | bit(flags.clocked, CLOCKED)
                | bit(flags.totals, TOTALS)
                | bit(flags.locked, LOCKED)
                | (flags.window as u64 & WINDOW_MASK) << WINDOW_SHIFT
                | generation << GENERATION_SHIFT,
        )
    }

    /// A word as it was stored. It is never zero, because generations begin at 1 (and would take
    /// centuries to come round); that leaves room for "none" in an `Option`.
    #[inline]
    pub(super) fn from_bits(bits: u64) -> Self {
        Self(NonZeroU64::new(bits).unwrap_or(NonZeroU64::MIN))
    }

    #[inline]
    pub(super) fn bits(self) -> u64 {
        self.0.get()
    }

    #[inline]
    pub(super) fn state(self) -> State {
        State::from_code(self.bits() & STATE_MASK)
    }

    /// Whether calls are admitted without asking further: closed, disabled or metrics-only, and
    /// nobody asks when they began.
    #[inline]
    pub(super) fn admits_at_once(self) -> bool {
        self.bits() & (STATE_MASK | CLOCKED) <= State::MetricsOnly.code()
    }

    /// Whether calls are let in, whatever the time: closed, disabled or metrics-only.
    #[inline]
    pub(super) fn lets_calls_in(self) -> bool {
        self.bits() & STATE_MASK <= State::MetricsOnly.code()
    }

    /// Whether a success has nothing to do but to be counted: closed, clear, no time window and
    /// nobody asks how long it took.
    #[inline]
    pub(super) fn is_settled(self) -> bool {
        const MASK: u64 = STATE_MASK | CLEAR | CLOCKED | WINDOW_MASK << WINDOW_SHIFT;
        self.bits() & MASK == CLEAR | State::Closed.code()
    }

    /// Whether a success has nothing to do but to be recorded: closed, and nobody asks how long it
    /// took.
    #[inline]
    pub(super) fn is_plain(self) -> bool {
        self.bits() & (STATE_MASK | CLOCKED) == State::Closed.code()
    }

    /// Whether outcomes are recorded in a window.
    #[inline]
    pub(super) fn records(self) -> bool {
        matches!(self.state(), State::Closed | State::MetricsOnly)
    }

    #[inline]
    pub(super) fn is_clear(self) -> bool {
        self.bits() & CLEAR != 0
    }

    #[inline]
    pub(super) fn is_clocked(self) -> bool {
        self.bits() & CLOCKED != 0
    }

    #[inline]
    pub(super) fn counts_totals(self) -> bool {
        self.bits() & TOTALS != 0
    }

    #[inline]
    pub(super) fn is_locked(self) -> bool {
        self.bits() & LOCKED != 0
    }

    /// The number of the time window; 0 is none.
    #[inline]
    pub(super) fn window(self) -> usize {
        (self.bits() >> WINDOW_SHIFT & WINDOW_MASK) as usize
    }

    #[inline]
    pub(super) fn generation(self) -> u64 {
        self.bits() >> GENERATION_SHIFT
    }
}
