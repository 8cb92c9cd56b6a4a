//! The free slots of a set of compartments in one word: of all of it, and of each compartment
//! below its own limit.
//!
//! ```text
//! bit 63      ...                                                              0
//! book open | ... free below the limit of 1 | free below the limit of 0 | free of all
//! ```
//!
//! A call subtracts one from two lanes if neither is empty: it needs to know no limit. While the
//! book is open the counts stand in it, under the lock, and the word's are void.

use super::compartments_config::Plan;

pub(super) const BOOK_OPEN: u64 = 1 << 63;
const LANE_BITS: u32 = 63;

/// Where the free slots of one compartment stand.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lane {
    shift: u32,
    mask: u64,
    total_mask: u64,
    /// One slot, in this lane and in that of the total.
    one: u64,
}

/// What the word alone says to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Glance {
    /// There is a slot; the number is how many are left below the compartment's limit.
    Taken(u64),
    /// The compartment has reached its limit.
    AtLimit,
    /// All slots of the set are taken.
    NoneFree,
    /// The book is open.
    Look,
}

impl Lane {
    /// The word with one slot taken, or why there is none.
    #[inline]
    pub(super) const fn take(self, word: u64) -> Result<u64, Glance> {
        if word & BOOK_OPEN != 0 {
            Err(Glance::Look)
        } else if word & self.mask == 0 {
            Err(Glance::AtLimit)
        } else if word & self.total_mask == 0 {
            Err(Glance::NoneFree)
        } else {
            Ok(word - self.one)
        }
    }

    /// The word with one slot given back; none while the book is open.
    #[inline]
    pub(super) const fn give_back(self, word: u64) -> Option<u64> {
        if word & BOOK_OPEN == 0 {
            Some(word + self.one)
        } else {
            None
        }
    }

    #[inline]
    pub(super) const fn free(self, word: u64) -> u64 {
        (word & self.mask) >> self.shift
    }
}

/// The lanes of a set. They are made once: a wider plan that does not fit them is kept in the
/// book.
#[derive(Debug)]
pub(super) struct Lanes(Box<[Lane]>);

/// No compartment runs more than the set does.
pub(super) fn limit(plan: &Plan, at: usize) -> u64 {
    plan.shares[at].limit.min(plan.total)
}

impl Lanes {
    /// None if the counts need more bits than there are. The bits to spare are shared out, so that
    /// a plan can grow.
    pub(super) fn new(plan: &Plan) -> Option<Self> {
        let bits = |count: u64| u64::BITS - count.leading_zeros();
        let compartments = 0..plan.shares.len();
        let widths = compartments.map(|at| bits(limit(plan, at)).max(1));
        let widths: Vec<u32> = std::iter::once(bits(plan.total).max(1))
            .chain(widths)
            .collect();
        let spare = LANE_BITS.checked_sub(widths.iter().sum())?;
        let more = spare / u32::try_from(widths.len()).ok()?;
        let mut shift = 0;
        let mut masks = widths.iter().map(|width| {
            let width = width + more;
            let mask = ((1_u64 << width) - 1) << shift;
            let at = shift;
            shift += width;
            (at, mask)
        });
        let (_, total_mask) = masks.next()?;
        let lanes = masks.map(|(shift, mask)| Lane {
            shift,
            mask,
            total_mask,
            one: 1 << shift | 1,
        });
        Some(Self(lanes.collect()))
    }

    pub(super) fn lane(&self, at: usize) -> Lane {
        self.0[at]
    }

    /// The word of these counts; none if one has no place in it, which is so while more run than
    /// a new plan allows, and if that plan is too wide.
    pub(super) fn pack(&self, plan: &Plan, running: &[u64]) -> Option<u64> {
        let total: u64 = running.iter().sum();
        let mut word = plan.total.checked_sub(total)?;
        for (at, (lane, running)) in self.0.iter().zip(running).enumerate() {
            let free = limit(plan, at).checked_sub(*running)?;
            if free > lane.mask >> lane.shift || plan.total > lane.total_mask {
                return None;
            }
            word |= free << lane.shift;
        }
        Some(word)
    }
}

#[cfg(all(test, not(any(backstop_loom, backstop_shuttle))))]
mod tests {
    use super::super::compartments_config::{CompartmentConfig, CompartmentsConfig};
    use super::*;

    fn plan(total: u32, limits: &[u32]) -> Plan {
        let mut config = CompartmentsConfig::new().total(total);
        for (n, limit) in limits.iter().enumerate() {
            let name = format!("{n:02}");
            config = config.compartment(name, CompartmentConfig::new(*limit));
        }
        config.plans().remove(0)
    }

    #[test]
    fn counts_come_out_as_they_went_in() {
        for (total, limits) in [
            (400, &[100, 500, 50][..]),
            (1, &[1]),
            (3, &[0, 3]),
            (7, &[1; 14]),
        ] {
            let plan = plan(total, limits);
            let lanes = Lanes::new(&plan).expect("they fit");
            let mut running = vec![0; limits.len()];
            let mut word = lanes.pack(&plan, &running).unwrap();
            let mut rng = fastrand::Rng::with_seed(3);
            for _ in 0..2_000 {
                let at = rng.usize(..limits.len());
                let lane = lanes.lane(at);
                if rng.bool() {
                    let all: u64 = running.iter().sum();
                    let expected = if running[at] == limit(&plan, at) {
                        Err(Glance::AtLimit)
                    } else if all == plan.total {
                        Err(Glance::NoneFree)
                    } else {
                        running[at] += 1;
                        Ok(lanes.pack(&plan, &running).unwrap())
                    };
                    let taken = lane.take(word);
                    assert_eq!(taken, expected);
                    word = taken.unwrap_or(word);
                } else if running[at] > 0 {
                    running[at] -= 1;
                    word = lane.give_back(word).unwrap();
                }
                assert_eq!(lane.free(word), limit(&plan, at) - running[at]);
                assert_eq!(lanes.pack(&plan, &running), Some(word));
                assert_eq!(lane.take(word | BOOK_OPEN), Err(Glance::Look));
                assert_eq!(lane.give_back(word | BOOK_OPEN), None);
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_not_packed() {
        assert!(Lanes::new(&plan(1 << 20, &[1 << 20; 2])).is_some());
        assert!(Lanes::new(&plan(1 << 20, &[1 << 20; 3])).is_none());
        let small = plan(2, &[2, 2]);
        let lanes = Lanes::new(&small).unwrap();
        assert!(lanes.pack(&small, &[2, 0]).is_some());
        assert!(lanes.pack(&small, &[2, 1]).is_none(), "more than the total");
        assert!(
            lanes.pack(&plan(8, &[1, 8]), &[2, 0]).is_none(),
            "more than its limit"
        );
        assert!(lanes.pack(&plan(1 << 20, &[1, 1]), &[0, 0]).is_some());
        assert!(
            lanes.pack(&plan(1 << 22, &[1, 1]), &[0, 0]).is_none(),
            "too wide"
        );
        assert!(lanes.pack(&plan(1 << 20, &[1 << 22, 1]), &[0, 0]).is_some());
    }
}
