//! How many reboots there may be.

use crate::kernel::config::ConfigError;
#[cfg(feature = "serde")]
use crate::kernel::config::duration_text;
use std::time::{Duration, SystemTime};

/// At most so many reboots within a sliding span of time. By default 3 within an hour: what three
/// reboots did not cure, a fourth will not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct RebootCap {
    reboots: u32,
    #[cfg_attr(feature = "serde", serde(with = "duration_text"))]
    within: Duration,
}

impl RebootCap {
    /// `reboots` (1 to 1,000) within `within` (1 second to 31 days).
    pub const fn new(reboots: u32, within: Duration) -> Self {
        Self { reboots, within }
    }

    /// How many.
    pub const fn reboots(self) -> u32 {
        self.reboots
    }

    /// Within which time.
    pub const fn within(self) -> Duration {
        self.within
    }

    pub(crate) fn validate(self) -> Result<(), ConfigError> {
        if !(1..=1_000).contains(&self.reboots) {
            return Err(ConfigError::new("cap.reboots", self.reboots, "1 to 1000"));
        }
        let (shortest, longest) = (Duration::from_secs(1), Duration::from_secs(31 * 24 * 3600));
        if !(shortest..=longest).contains(&self.within) {
            let within = format!("{:?}", self.within);
            return Err(ConfigError::new("cap.within", within, "1s to 31 days"));
        }
        Ok(())
    }
}

impl Default for RebootCap {
    fn default() -> Self {
        Self::new(3, Duration::from_secs(3600))
    }
}

/// When one scope was charged, oldest first, by the wall clock: it is kept across processes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Charges(Vec<SystemTime>);

impl Charges {
    /// Whether there is a slot `now`; if not, when the next one is.
    ///
    /// What is from the future (another process had another clock) counts as of now from here on:
    /// neither is it forgotten, nor does it hold longer than one span.
    pub(crate) fn check(&mut self, cap: RebootCap, now: SystemTime) -> Result<(), SystemTime> {
        for at in &mut self.0 {
            *at = (*at).min(now);
        }
        self.0.retain(|at| is_within(*at, cap.within, now));
        self.0.sort_unstable();
        let reboots = cap.reboots as usize;
        let Some(excess) = self.0.len().checked_sub(reboots) else {
            return Ok(());
        };
        // The one whose leaving makes room.
        let leaves = self.0.get(excess).copied().unwrap_or(now);
        Err(leaves.checked_add(cap.within).unwrap_or(leaves))
    }

    /// Charges one `now`. The caller has asked, or does not care; no more are kept than are needed.
    pub(crate) fn charge(&mut self, cap: RebootCap, now: SystemTime) {
        self.0.push(now);
        self.0.sort_unstable();
        let surplus = self.0.len().saturating_sub(cap.reboots as usize);
        self.0.drain(..surplus);
    }

    /// Adds what another process, or this one before, has counted of the same scope.
    pub(crate) fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
        self.0.sort_unstable();
    }
}

/// Whether `at` lies in `(now - span, now]`.
pub(crate) fn is_within(at: SystemTime, span: Duration, now: SystemTime) -> bool {
    now.duration_since(at).is_ok_and(|age| age < span)
}

#[cfg(all(test, not(any(backstop_loom, backstop_shuttle))))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(secs: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + secs)
    }

    fn cap() -> RebootCap {
        RebootCap::default()
    }

    #[test]
    fn mr3a_three_within_a_sliding_hour() {
        let mut charges = Charges::default();
        for secs in [0, 1_000, 2_000] {
            assert_eq!(charges.check(cap(), at(secs)), Ok(()));
            charges.charge(cap(), at(secs));
        }
        assert_eq!(charges.check(cap(), at(3_599)), Err(at(3_600)));
        assert_eq!(charges.check(cap(), at(3_600)), Ok(()));
        charges.charge(cap(), at(3_600));
        // Sliding, not tumbling: the next slot is an hour after the second one.
        assert_eq!(charges.check(cap(), at(3_601)), Err(at(4_600)));
    }

    #[test]
    fn mr3c_what_is_from_the_future_counts_as_now() {
        let mut charges = Charges::default();
        for secs in [50_000, 60_000, 70_000] {
            charges.charge(cap(), at(secs));
        }
        assert_eq!(charges.check(cap(), at(10)), Err(at(3_610)));
        // And as of then, not as of each later look.
        assert_eq!(charges.check(cap(), at(2_000)), Err(at(3_610)));
        assert_eq!(charges.check(cap(), at(3_610)), Ok(()));
    }

    #[test]
    fn a_cap_that_cannot_be_is_refused() {
        assert!(cap().validate().is_ok());
        let hour = Duration::from_secs(3600);
        for (reboots, within) in [(0, hour), (1_001, hour), (1, Duration::ZERO)] {
            assert!(RebootCap::new(reboots, within).validate().is_err());
        }
    }

    proptest! {
        /// Against a list of all times that ever were.
        #[test]
        fn mr3a_the_cap_agrees_with_a_list_of_everything(
            reboots in 1_u32..5,
            within in 1_u64..50,
            steps in prop::collection::vec(0_u64..20, 1..200),
        ) {
            let cap = RebootCap::new(reboots, Duration::from_secs(within));
            let (mut charges, mut all, mut now) = (Charges::default(), Vec::new(), 0);
            for step in steps {
                now += step;
                let inside = |time: u64| all.iter().filter(|&&t| t + within > time && t <= time).count();
                let allowed = inside(now) < reboots as usize;
                let verdict = charges.check(cap, at(now));
                prop_assert_eq!(verdict.is_ok(), allowed);
                if let Err(next) = verdict {
                    // The first second at which the list has room.
                    let first = (now..=now + within).find(|&time| inside(time) < reboots as usize).unwrap();
                    prop_assert_eq!(next, at(first));
                } else {
                    charges.charge(cap, at(now));
                    all.push(now);
                }
                prop_assert!(charges.0.len() <= reboots as usize);
            }
        }
    }
}
