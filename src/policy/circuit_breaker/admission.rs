//! What asking for admission leads to: a ticket or a refusal, both in two words.
//!
//! Two words come back in registers. A third one would go through memory, in narrow pieces that
//! are read back in wide ones, which stalls: 5 ns of a rejection.

use super::event::{Reason, State};
use super::word::Word;
use crate::kernel::instant::Instant;
use crate::kernel::rejection::{FactsKind, LONGEST, NEVER, RejectionKind, pair};

/// What an admitted call carries: the state word it was admitted under, and a mark: the number of
/// the probe in the half-open state; else when it began, or 0 if nobody asks.
#[derive(Clone, Copy)]
pub(super) struct Ticket {
    pub(super) word: Word,
    mark: u64,
}

impl Ticket {
    #[inline]
    pub(super) fn new(word: Word, mark: u64) -> Self {
        Self { word, mark }
    }

    /// The number of the probe, if the call is one.
    #[inline]
    pub(super) fn probe(self) -> Option<u64> {
        (self.word.state() == State::HalfOpen).then_some(self.mark)
    }

    #[inline]
    pub(super) fn started(self) -> Option<Instant> {
        let has_start = self.mark != 0 && self.probe().is_none();
        has_start.then(|| Instant::from_nanos(self.mark))
    }
}

/// Why a call is not admitted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refused {
    pub(super) why: Why,
    /// In nanoseconds, as a rejection keeps it.
    pub(super) retry_after: u64,
}

impl Refused {
    /// Open until `end`.
    #[inline]
    pub(super) fn open(now: Instant, end: Instant, why: Why) -> Self {
        let wait = end.as_nanos().saturating_sub(now.as_nanos());
        Self {
            why,
            retry_after: wait.min(LONGEST),
        }
    }

    /// Open, and worth another try at once.
    pub(super) fn due() -> Self {
        Self {
            why: Why::OPEN,
            retry_after: 0,
        }
    }

    pub(super) fn forced_open() -> Self {
        Self {
            why: Why::FORCED_OPEN,
            retry_after: NEVER,
        }
    }

    pub(super) fn probes_full() -> Self {
        Self {
            why: Why::PROBES_FULL,
            retry_after: NEVER,
        }
    }
}

/// The kind of a refusal and its numbers in one word.
///
/// | bits | hold |
/// |---|---|
/// | 0..3 | a state that a state word never has, so that a refusal is told from a ticket |
/// | 3..31 | how many calls were bad |
/// | 31..59 | how many were recorded |
/// | 60 | a cause is kept |
/// | 61..64 | what these numbers are, or which other kind this is |
#[derive(Clone, Copy, Debug)]
pub(super) struct Why(u64);

const BAD_SHIFT: u32 = 3;
const RECORDED_SHIFT: u32 = 31;
const NUMBER_MAX: u64 = (1 << 28) - 1;
const CAUSE: u64 = 1 << 60;
const CODE_SHIFT: u32 = 61;
const FORCED_OPEN: u64 = 5;
const PROBES_FULL: u64 = 6;

impl Why {
    const OPEN: Self = Self::of(0);
    const FORCED_OPEN: Self = Self::of(FORCED_OPEN);
    const PROBES_FULL: Self = Self::of(PROBES_FULL);

    const fn of(code: u64) -> Self {
        Self(Word::NO_STATE | code << CODE_SHIFT)
    }

    /// Open for `reason`.
    pub(super) fn new(reason: Reason, has_cause: bool) -> Self {
        let (code, bad, recorded) = match reason {
            Reason::FailureRate(counts) => (1, counts.failed, counts.recorded),
            Reason::SlowRate(counts) => (2, counts.slow, counts.recorded),
            Reason::Consecutive(failures) => (3, u64::from(failures), 0),
            Reason::ProbesFailed(counts) => (4, counts.failed.max(counts.slow), counts.recorded),
            _ => (0, 0, 0),
        };
        Self(
            Self::of(code).0
                | bad.min(NUMBER_MAX) << BAD_SHIFT
                | recorded.min(NUMBER_MAX) << RECORDED_SHIFT
                | if has_cause { CAUSE } else { 0 },
        )
    }

    pub(super) const fn from_bits(bits: u64) -> Self {
        Self(bits | Word::NO_STATE)
    }

    pub(super) const fn bits(self) -> u64 {
        self.0
    }

    #[inline]
    pub(super) const fn has_cause(self) -> bool {
        self.0 & CAUSE != 0
    }

    #[inline]
    pub(super) const fn kind(self) -> RejectionKind {
        match self.0 >> CODE_SHIFT {
            FORCED_OPEN => RejectionKind::ForcedOpen,
            PROBES_FULL => RejectionKind::ProbesFull,
            _ => RejectionKind::Open,
        }
    }

    /// In the form in which a rejection keeps them.
    #[inline]
    pub(super) const fn facts(self) -> (FactsKind, u64) {
        let kind = match self.0 >> CODE_SHIFT {
            1 => FactsKind::FailureRate,
            2 => FactsKind::SlowRate,
            3 => FactsKind::Consecutive,
            4 => FactsKind::Probes,
            _ => FactsKind::None,
        };
        let bad = (self.0 >> BAD_SHIFT & NUMBER_MAX) as u32;
        let recorded = (self.0 >> RECORDED_SHIFT & NUMBER_MAX) as u32;
        (kind, pair(bad, recorded))
    }
}

/// A ticket or a refusal, as two bare words.
#[derive(Clone, Copy)]
pub(super) struct Answer(u64, u64);

impl From<Result<Ticket, Refused>> for Answer {
    #[inline]
    fn from(result: Result<Ticket, Refused>) -> Self {
        match result {
            Ok(ticket) => Self(ticket.word.bits(), ticket.mark),
            Err(refused) => Self(refused.why.bits(), refused.retry_after),
        }
    }
}

impl From<Answer> for Result<Ticket, Refused> {
    #[inline]
    fn from(Answer(first, second): Answer) -> Self {
        if Word::is_no_state(first) {
            Err(Refused {
                why: Why::from_bits(first),
                retry_after: second,
            })
        } else {
            Ok(Ticket::new(Word::from_bits(first), second))
        }
    }
}

#[cfg(all(test, not(any(backstop_loom, backstop_shuttle))))]
mod tests {
    use super::super::word::Flags;
    use super::*;
    use crate::kernel::name::Name;
    use crate::kernel::rejection::{Facts, Rejection};
    use crate::kernel::window::Counts;

    /// As a call gets it: through an answer, into a rejection.
    fn rejection(refused: Refused) -> (RejectionKind, Facts, bool) {
        let Err(refused) = Result::<Ticket, Refused>::from(Answer::from(Err(refused))) else {
            panic!("a refusal came back as a ticket");
        };
        let (why, name) = (refused.why, Name::from("test"));
        let (kind, wait) = (why.kind(), refused.retry_after);
        let made = Rejection::assemble_packed("test", name, kind, why.facts(), wait, None);
        (made.kind(), made.facts(), why.has_cause())
    }

    #[test]
    fn a_refusal_comes_back_as_it_was() {
        let most = u64::from(u32::MAX >> 4);
        let counts = |failed, slow, recorded| Counts {
            recorded,
            failed,
            slow,
        };
        let (now, end) = (Instant::from_nanos(3), Instant::from_nanos(u64::MAX));
        let reasons = [
            (
                Reason::FailureRate(counts(most, 2, most)),
                Facts::FailureRate {
                    failed: u32::MAX >> 4,
                    recorded: u32::MAX >> 4,
                },
            ),
            (
                Reason::SlowRate(counts(1, most + 1, u64::MAX)),
                Facts::SlowRate {
                    slow: u32::MAX >> 4,
                    recorded: u32::MAX >> 4,
                },
            ),
            (Reason::Consecutive(7), Facts::Consecutive { failures: 7 }),
            (
                Reason::ProbesFailed(counts(1, 2, 5)),
                Facts::Probes {
                    bad: 2,
                    recorded: 5,
                },
            ),
            (Reason::ByHand, Facts::None),
        ];
        for (reason, facts) in reasons {
            for has_cause in [false, true] {
                let refused = Refused::open(now, end, Why::new(reason, has_cause));
                let expected = (RejectionKind::Open, facts, has_cause);
                assert_eq!(rejection(refused), expected, "{reason:?}");
            }
        }
        let plain = |kind| (kind, Facts::None, false);
        assert_eq!(rejection(Refused::due()), plain(RejectionKind::Open));
        let forced = rejection(Refused::forced_open());
        assert_eq!(forced, plain(RejectionKind::ForcedOpen));
        let full = rejection(Refused::probes_full());
        assert_eq!(full, plain(RejectionKind::ProbesFull));
    }

    #[test]
    fn a_ticket_comes_back_as_it_was() {
        for state in State::ALL {
            let flags = Flags {
                clocked: true,
                totals: true,
                locked: true,
                window: 127,
            };
            let word = Word::new(state, u64::MAX >> 14, true, flags);
            let given = Ticket::new(word, u64::MAX);
            let back = Result::<Ticket, Refused>::from(Answer::from(Ok(given)));
            let back = back.expect("a ticket came back as a refusal");
            assert!(back.word == word && back.mark == u64::MAX, "{state:?}");
        }
    }

    #[test]
    fn an_answer_is_two_words() {
        assert_eq!(size_of::<Answer>(), 16);
    }
}
