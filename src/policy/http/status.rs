//! What a status says of the callee.

use http::StatusCode;

/// A set of statuses, from 100 to 599.
///
/// A status beyond 599 counts as a 500, as RFC 9110, section 15, asks of clients.
///
/// ```
/// use backstop::policy::http::StatusSet;
/// use http::StatusCode;
///
/// let set = StatusSet::FAILURES.with(StatusCode::NOT_FOUND).without(StatusCode::TOO_MANY_REQUESTS);
/// assert!(set.contains(StatusCode::NOT_FOUND) && set.contains(StatusCode::BAD_GATEWAY));
/// assert!(!set.contains(StatusCode::TOO_MANY_REQUESTS));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct StatusSet([u64; WORDS]);

const FIRST: u16 = 100;
const LAST: u16 = 599;
const WORDS: usize = ((LAST - FIRST) as usize + 64) / 64;

impl StatusSet {
    /// None at all.
    pub const NONE: Self = Self([0; WORDS]);

    /// What is a failure of the callee, by default.
    ///
    /// 408 Request Timeout and 429 Too Many Requests: it cannot keep up. 5xx, but for those that say
    /// what the callee does not do, and will not do the next time either: 501 Not Implemented, 505
    /// HTTP Version Not Supported, 506 Variant Also Negotiates, 508 Loop Detected, 510 Not Extended,
    /// 511 Network Authentication Required (which is no answer of the callee's at all).
    pub const FAILURES: Self = Self::NONE
        .range(500, 599)
        .change(501, false)
        .change(505, false)
        .change(506, false)
        .change(508, false)
        .change(510, false)
        .change(511, false)
        .change(408, true)
        .change(429, true);

    /// What is worth another attempt, by default: the [`FAILURES`](Self::FAILURES), and 425 Too
    /// Early, which asks for one (RFC 8470).
    pub const TRANSIENT: Self = Self::FAILURES.change(425, true);

    /// Adds a status.
    pub const fn with(self, status: StatusCode) -> Self {
        self.change(valid(status), true)
    }

    /// Takes a status out.
    pub const fn without(self, status: StatusCode) -> Self {
        self.change(valid(status), false)
    }

    /// Whether it has this status.
    #[inline]
    pub const fn contains(&self, status: StatusCode) -> bool {
        let (word, bit) = place(valid(status));
        self.0[word] & bit != 0
    }

    const fn change(mut self, status: u16, is_in: bool) -> Self {
        let (word, bit) = place(status);
        if is_in {
            self.0[word] |= bit;
        } else {
            self.0[word] &= !bit;
        }
        self
    }

    const fn range(self, from: u16, to: u16) -> Self {
        let mut set = self.change(to, true);
        let mut status = from;
        while status < to {
            set = set.change(status, true);
            status += 1;
        }
        set
    }
}

const fn place(status: u16) -> (usize, u64) {
    let at = status - FIRST;
    ((at / 64) as usize, 1 << (at % 64))
}

/// A `StatusCode` is at least 100.
const fn valid(status: StatusCode) -> u16 {
    let status = status.as_u16();
    if status > LAST { 500 } else { status }
}

impl std::fmt::Debug for StatusSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all = (FIRST..=LAST).filter(|&status| {
            let (word, bit) = place(status);
            self.0[word] & bit != 0
        });
        f.debug_set().entries(all).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16) -> StatusCode {
        StatusCode::from_u16(status).unwrap()
    }

    #[test]
    fn ht1a_ht2a_each_status_is_in_or_out_by_the_table() {
        let not_ill = [501, 505, 506, 508, 510, 511];
        for code in 100..=999 {
            let is_failure = matches!(code, 408 | 429 | 500..) && !not_ill.contains(&code);
            let set = StatusSet::FAILURES;
            assert_eq!(set.contains(status(code)), is_failure, "{code}");
            let is_transient = is_failure || code == 425;
            let set = StatusSet::TRANSIENT;
            assert_eq!(set.contains(status(code)), is_transient, "{code}");
            assert!(!StatusSet::NONE.contains(status(code)), "{code}");
        }
    }

    #[test]
    fn a_set_changes_by_one_status_at_a_time() {
        for code in 100..=599 {
            let only = StatusSet::NONE.with(status(code));
            for other in 100..=599 {
                assert_eq!(only.contains(status(other)), code == other);
            }
            assert_eq!(only.without(status(code)), StatusSet::NONE);
            assert_eq!(format!("{only:?}"), format!("{{{code}}}"));
        }
        assert_eq!(
            StatusSet::NONE.with(status(999)),
            StatusSet::NONE.with(status(500))
        );
    }
}
