//! What is measured: each policy alone and a stack of them, under every load that the policy has an answer to.

use crate::call::{Ask, Seen};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Breaker,
    Bulkhead,
    Timeout,
    Retry,
    Stack,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// Every call succeeds.
    Healthy,
    /// As healthy, while another thread calls without a pause.
    TwoThreads,
    /// One call in a hundred fails, at random.
    Failing,
    /// Every call is refused.
    Refused,
    /// The first attempt of every call fails, the second succeeds, and nothing waits between them.
    FailsOnce,
}

impl Load {
    pub(crate) fn failing_per_mille(self) -> u64 {
        match self {
            Self::Healthy | Self::TwoThreads | Self::FailsOnce => 0,
            Self::Failing => 10,
            Self::Refused => 1000,
        }
    }

    /// What each call asks of the backend, where all ask the same.
    pub(crate) fn ask(self) -> Ask {
        match self {
            Self::Healthy | Self::TwoThreads | Self::Failing => Ask::Succeed,
            Self::Refused => Ask::Fail,
            Self::FailsOnce => Ask::FailOnce,
        }
    }

    /// A call that shows whether the policy is in the state that is to be measured, and what it must end as.
    pub(crate) fn probe(self) -> (Ask, Seen) {
        match self {
            Self::Healthy | Self::TwoThreads | Self::Failing => (Ask::Succeed, Seen::Done),
            Self::Refused => (Ask::Succeed, Seen::Rejected),
            Self::FailsOnce => (Ask::FailOnce, Seen::Done),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Scenario {
    pub(crate) family: Family,
    pub(crate) load: Load,
    /// criterion's group. It begins with the name of the family, and no row of another family has that in its name:
    /// `cargo bench -- retry` runs one family.
    pub(crate) name: &'static str,
    pub(crate) text: &'static str,
}

const fn scenario(family: Family, load: Load, name: &'static str, text: &'static str) -> Scenario {
    Scenario {
        family,
        load,
        name,
        text,
    }
}

use Family::{Breaker, Bulkhead, Retry, Stack, Timeout};
use Load::{Failing, FailsOnce, Healthy, Refused, TwoThreads};

pub(crate) static ALL: [Scenario; 14] = [
    scenario(
        Breaker,
        Healthy,
        "breaker",
        "every call succeeds, the window is full",
    ),
    scenario(
        Breaker,
        Failing,
        "breaker-failing-1-percent",
        "as breaker, but one call in a hundred fails, at random",
    ),
    scenario(Breaker, Refused, "breaker-open", "every call is rejected"),
    scenario(
        Breaker,
        TwoThreads,
        "breaker-two-threads",
        "as breaker, per call of one thread while another calls without a pause",
    ),
    scenario(
        Bulkhead,
        Healthy,
        "bulkhead",
        "one call at a time, 25 may run",
    ),
    scenario(
        Bulkhead,
        Refused,
        "bulkhead-full",
        "the one permit is out, every call is refused at once",
    ),
    scenario(
        Bulkhead,
        TwoThreads,
        "bulkhead-two-threads",
        "as bulkhead, per call of one thread while another calls without a pause",
    ),
    scenario(
        Timeout,
        Healthy,
        "timeout",
        "the call is ready at its first poll, so no timer is ever needed",
    ),
    scenario(
        Timeout,
        TwoThreads,
        "timeout-two-threads",
        "as timeout, per call of one thread while another calls without a pause",
    ),
    scenario(Retry, Healthy, "retry", "the first attempt succeeds"),
    scenario(
        Retry,
        FailsOnce,
        "retry-fails-once",
        "the first attempt fails, the second succeeds, no wait; bare: the plain call, made again when it failed",
    ),
    scenario(
        Retry,
        TwoThreads,
        "retry-two-threads",
        "as retry, per call of one thread while another calls without a pause",
    ),
    scenario(
        Stack,
        Healthy,
        "stack",
        "total timeout, bulkhead, retry, breaker, attempt timeout; every call succeeds",
    ),
    scenario(
        Stack,
        TwoThreads,
        "stack-two-threads",
        "as stack, per call of one thread while another calls without a pause",
    ),
];

impl Scenario {
    /// The scenario of its family that the others are variations of; its name is the family's.
    pub(crate) fn plain(&self) -> &'static Self {
        ALL.iter()
            .find(|other| other.family == self.family && other.load == Healthy)
            .expect("each family has a healthy scenario")
    }

    /// Whether a filter by the name of another family would run the row too.
    pub(crate) fn confuses(&self, row: &str) -> bool {
        ALL.iter()
            .any(|other| other.family != self.family && row.contains(other.plain().name))
    }
}
