//! How wide the next attempt is.

use super::cap::is_within;
use super::record::Rung;
use crate::kernel::config::ConfigError;
#[cfg(feature = "serde")]
use crate::kernel::config::duration_text;
use std::time::{Duration, SystemTime};

/// The rungs of recovery, narrowest first. By default the component (with those that depend on it
/// hard), then a human.
///
/// A fault that was cured three times within an hour by one rung, and is there again, is not one
/// that this rung cures: it starts one rung higher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct Ladder {
    group: bool,
    subtree: bool,
    process: bool,
    cures: u32,
    #[cfg_attr(feature = "serde", serde(with = "duration_text"))]
    within: Duration,
}

impl Default for Ladder {
    fn default() -> Self {
        Self {
            group: false,
            subtree: false,
            process: false,
            cures: 3,
            within: Duration::from_secs(3600),
        }
    }
}

impl Ladder {
    /// Adds [`Rung::Group`]. A component without a named group skips it.
    pub const fn with_group(mut self) -> Self {
        self.group = true;
        self
    }

    /// Adds [`Rung::Subtree`].
    pub const fn with_subtree(mut self) -> Self {
        self.subtree = true;
        self
    }

    /// Adds [`Rung::Process`]. It is skipped where the history is not kept across processes.
    pub const fn with_process(mut self) -> Self {
        self.process = true;
        self
    }

    /// After how many cures (1 to 1,000; 3) of one fault by one rung within which time (1 second to
    /// 31 days; 1 hour) it starts one rung higher.
    pub const fn recurrences(mut self, cures: u32, within: Duration) -> Self {
        self.cures = cures;
        self.within = within;
        self
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        if !(1..=1_000).contains(&self.cures) {
            return Err(ConfigError::new("ladder.cures", self.cures, "1 to 1000"));
        }
        let (shortest, longest) = (Duration::from_secs(1), Duration::from_secs(31 * 24 * 3600));
        if !(shortest..=longest).contains(&self.within) {
            let within = format!("{:?}", self.within);
            return Err(ConfigError::new("ladder.within", within, "1s to 31 days"));
        }
        Ok(())
    }

    const fn has(&self, rung: Rung) -> bool {
        match rung {
            Rung::Component | Rung::Human => true,
            Rung::Group => self.group,
            Rung::Subtree => self.subtree,
            Rung::Process => self.process,
        }
    }

    pub(crate) const fn has_process(&self) -> bool {
        self.process
    }

    /// The rung above; a human is above everything.
    pub(crate) fn above(&self, rung: Rung) -> Rung {
        const ALL: [Rung; 4] = [Rung::Component, Rung::Group, Rung::Subtree, Rung::Process];
        ALL.into_iter()
            .find(|&next| next > rung && self.has(next))
            .unwrap_or(Rung::Human)
    }

    /// Where a fault starts that was cured before.
    pub(crate) fn start(&self, cures: &mut Cures, now: SystemTime) -> Rung {
        cures.forget(self.within, now);
        let mut rung = Rung::Component;
        while rung != Rung::Human && cures.by(rung) >= self.cures as usize {
            rung = self.above(rung);
        }
        rung
    }

    /// Notes a cure. No more are kept than are needed.
    pub(crate) fn cured(&self, cures: &mut Cures, rung: Rung, now: SystemTime) {
        cures.forget(self.within, now);
        cures.0.push((now, rung));
        if cures.by(rung) > self.cures as usize {
            let oldest = cures.0.iter().position(|&(_, by)| by == rung);
            oldest.map(|at| cures.0.remove(at));
        }
    }
}

/// When one fault was cured, and by which rung.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Cures(Vec<(SystemTime, Rung)>);

impl Cures {
    fn by(&self, rung: Rung) -> usize {
        self.0.iter().filter(|&&(_, by)| by == rung).count()
    }

    fn forget(&mut self, within: Duration, now: SystemTime) {
        for (at, _) in &mut self.0 {
            *at = (*at).min(now);
        }
        self.0.retain(|&(at, _)| is_within(at, within, now));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
        self.0.sort_unstable();
    }
}

#[cfg(all(test, not(any(backstop_loom, backstop_shuttle))))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(secs: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + secs)
    }

    #[test]
    fn mr6a_the_default_ladder_is_the_component_then_a_human() {
        let ladder = Ladder::default();
        assert_eq!(ladder.above(Rung::Component), Rung::Human);
        assert_eq!(ladder.above(Rung::Human), Rung::Human);
        let all = ladder.with_group().with_subtree().with_process();
        let climbed: Vec<_> = std::iter::successors(Some(Rung::Component), |&rung| {
            (rung != Rung::Human).then(|| all.above(rung))
        })
        .collect();
        let rungs = [
            Rung::Component,
            Rung::Group,
            Rung::Subtree,
            Rung::Process,
            Rung::Human,
        ];
        assert_eq!(climbed, rungs);
        assert_eq!(ladder.with_process().above(Rung::Component), Rung::Process);
    }

    #[test]
    fn mr6b_three_cures_within_an_hour_start_one_rung_higher() {
        let ladder = Ladder::default().with_group();
        let mut cures = Cures::default();
        for secs in [0, 10, 20] {
            assert_eq!(ladder.start(&mut cures, at(secs)), Rung::Component);
            ladder.cured(&mut cures, Rung::Component, at(secs));
        }
        assert_eq!(ladder.start(&mut cures, at(3_599)), Rung::Group);
        // Sliding: the first one is an hour old.
        assert_eq!(ladder.start(&mut cures.clone(), at(3_600)), Rung::Component);
        for secs in [30, 40, 50] {
            ladder.cured(&mut cures, Rung::Group, at(secs));
        }
        assert_eq!(ladder.start(&mut cures, at(60)), Rung::Human);
    }

    proptest! {
        #[test]
        fn mr6b_the_start_agrees_with_a_list_of_all_cures(
            limit in 1_u32..4,
            steps in prop::collection::vec((0_u64..12, any::<bool>()), 1..120),
        ) {
            let span = 60;
            let ladder = Ladder::default()
                .with_group()
                .recurrences(limit, Duration::from_secs(span));
            let (mut cures, mut all, mut now) = (Cures::default(), Vec::new(), 0);
            for (step, is_cured) in steps {
                now += step;
                let count = |rung| {
                    all.iter().filter(|&&(t, by)| by == rung && t + span > now).count()
                };
                let expected = if count(Rung::Component) < limit as usize {
                    Rung::Component
                } else if count(Rung::Group) < limit as usize {
                    Rung::Group
                } else {
                    Rung::Human
                };
                let rung = ladder.start(&mut cures, at(now));
                prop_assert_eq!(rung, expected);
                if is_cured && rung != Rung::Human {
                    ladder.cured(&mut cures, rung, at(now));
                    all.push((now, rung));
                }
            }
        }
    }
}
