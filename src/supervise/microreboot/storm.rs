//! Whether now is a time to reboot anything: in a storm it is not.

use crate::kernel::config::ConfigError;
#[cfg(feature = "serde")]
use crate::kernel::config::duration_text;
use crate::kernel::instant::Instant;
use std::time::Duration;

/// Holds reboots back while much fails at once: then the cause lies elsewhere (a network, a disk,
/// a deployment), and restarting what is still well makes it worse.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct StormGate {
    allow: StormRule,
    #[cfg_attr(feature = "serde", serde(with = "duration_text"))]
    cool_down: Duration,
    #[cfg_attr(feature = "serde", serde(with = "duration_text"))]
    hold: Duration,
}

/// When reboots may begin.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum StormRule {
    /// While at least this share of the components is healthy, from 0 to 1. The share of a number
    /// of components is rounded down: half of three is one.
    MinHealthy(f64),
    /// While at most so many are unhealthy.
    MaxUnhealthy(u32),
    /// While so many are unhealthy: from the first to the second number, both included.
    UnhealthyBetween(u32, u32),
}

impl Default for StormGate {
    /// At least half of the components healthy; 30 s of calm after a storm; after 2 min of a storm
    /// in which nothing runs, what waits goes one rung up.
    fn default() -> Self {
        Self {
            allow: StormRule::MinHealthy(0.5),
            cool_down: Duration::from_secs(30),
            hold: Duration::from_secs(120),
        }
    }
}

impl StormGate {
    /// When reboots may begin. Default: while at least half are healthy.
    pub const fn allow(mut self, rule: StormRule) -> Self {
        self.allow = rule;
        self
    }

    /// How long it must have been calm after a storm; shorter than the [`hold`](Self::hold).
    /// Default: 30 s.
    pub const fn cool_down(mut self, calm: Duration) -> Self {
        self.cool_down = calm;
        self
    }

    /// How long a storm in which nothing runs holds what waits, until it goes one rung up: 1 s to a
    /// day. Default: 2 min.
    pub const fn hold(mut self, limit: Duration) -> Self {
        self.hold = limit;
        self
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        match self.allow {
            StormRule::MinHealthy(share) if !(0.0..=1.0).contains(&share) => {
                return Err(ConfigError::new("storm.min_healthy", share, "0 to 1"));
            }
            StormRule::UnhealthyBetween(from, to) if from > to => {
                let range = format!("{from} to {to}");
                let allowed = "a range that is not empty";
                return Err(ConfigError::new("storm.unhealthy_between", range, allowed));
            }
            _ => {}
        }
        if !(Duration::from_secs(1)..=Duration::from_secs(24 * 3600)).contains(&self.hold) {
            let hold = format!("{:?}", self.hold);
            return Err(ConfigError::new("storm.hold", hold, "1s to 24h"));
        }
        if self.cool_down >= self.hold {
            let calm = format!("{:?}", self.cool_down);
            return Err(ConfigError::new(
                "storm.cool_down",
                calm,
                "shorter than storm.hold",
            ));
        }
        Ok(())
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a number, rounded down"
    )]
    fn allows(&self, all: u32, unhealthy: u32) -> bool {
        match self.allow {
            StormRule::MinHealthy(share) => {
                let least = (f64::from(all) * share).floor() as u32;
                all.saturating_sub(unhealthy) >= least
            }
            StormRule::MaxUnhealthy(most) => unhealthy <= most,
            StormRule::UnhealthyBetween(from, to) => (from..=to).contains(&unhealthy),
        }
    }
}

/// What the gate looks at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    pub(crate) all: u32,
    pub(crate) unhealthy: u32,
    pub(crate) running: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    Open,
    /// Nothing begins; by the time alone it does not change before then.
    Closed {
        until: Instant,
    },
    /// It has held long enough: what waits goes one rung up.
    Stalled,
}

/// The state of the gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Storm {
    closed: Option<Closed>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Closed {
    /// Since when it is calm again.
    calm_since: Option<Instant>,
    /// Since when it has been closed with nothing running.
    idle_since: Option<Instant>,
}

impl Storm {
    /// Looks at the weather; to be called whenever it changes and whenever somebody wants through.
    pub(crate) fn look(&mut self, gate: &StormGate, weather: Weather, now: Instant) -> Passage {
        let is_calm = gate.allows(weather.all, weather.unhealthy);
        let mut closed = match self.closed {
            None if is_calm => return Passage::Open,
            None => Closed {
                calm_since: None,
                idle_since: None,
            },
            Some(closed) => closed,
        };
        // A relapse restarts the cool-down, but not the time in which nothing ran: a storm that
        // comes and goes must not hold for ever.
        closed.calm_since = match closed.calm_since {
            _ if !is_calm => None,
            None => Some(now),
            since => since,
        };
        closed.idle_since = match closed.idle_since {
            _ if weather.running > 0 => None,
            None => Some(now),
            since => since,
        };
        let over = |since: Option<Instant>, limit| {
            since.is_some_and(|since| now.saturating_duration_since(since) >= limit)
        };
        if over(closed.calm_since, gate.cool_down) {
            self.closed = None;
            return Passage::Open;
        }
        self.closed = Some(closed);
        if over(closed.idle_since, gate.hold) {
            return Passage::Stalled;
        }
        let ends = [
            closed.calm_since.map(|since| since + gate.cool_down),
            closed.idle_since.map(|since| since + gate.hold),
        ];
        let never = Instant::from_nanos(u64::MAX);
        Passage::Closed {
            until: ends.into_iter().flatten().min().unwrap_or(never),
        }
    }

    pub(crate) const fn is_closed(&self) -> bool {
        self.closed.is_some()
    }
}

#[cfg(all(test, not(any(backstop_loom, backstop_shuttle))))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(secs: u64) -> Instant {
        Instant::from_nanos(0) + Duration::from_secs(secs)
    }

    fn weather(all: u32, unhealthy: u32, running: u32) -> Weather {
        Weather {
            all,
            unhealthy,
            running,
        }
    }

    #[test]
    fn mr7a_percentages_round_down() {
        let gate = StormGate::default();
        for (all, most_unhealthy) in [(0, 0), (1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (10, 5)] {
            assert!(gate.allows(all, most_unhealthy), "{all}");
            if most_unhealthy < all {
                assert!(!gate.allows(all, most_unhealthy + 1), "{all}");
            }
        }
        let most = gate.allow(StormRule::MaxUnhealthy(2));
        assert!(most.allows(9, 2) && !most.allows(9, 3));
        let range = gate.allow(StormRule::UnhealthyBetween(1, 3));
        assert_eq!(
            [0, 1, 3, 4].map(|n| range.allows(9, n)),
            [false, true, true, false]
        );
    }

    #[test]
    fn mr7c_a_cool_down_follows_and_a_relapse_restarts_it() {
        let gate = StormGate::default();
        let mut storm = Storm::default();
        let busy = 1;
        assert_eq!(storm.look(&gate, weather(4, 2, 0), at(0)), Passage::Open);
        storm.look(&gate, weather(4, 3, busy), at(1));
        assert!(storm.is_closed());
        let calm = weather(4, 1, busy);
        assert_eq!(
            storm.look(&gate, calm, at(10)),
            Passage::Closed { until: at(40) }
        );
        storm.look(&gate, weather(4, 3, busy), at(39));
        assert_eq!(
            storm.look(&gate, calm, at(40)),
            Passage::Closed { until: at(70) }
        );
        assert_eq!(storm.look(&gate, calm, at(70)), Passage::Open);
    }

    #[test]
    fn mr7d_it_does_not_hold_for_ever() {
        let gate = StormGate::default();
        let mut storm = Storm::default();
        let bad = weather(4, 4, 0);
        assert_eq!(
            storm.look(&gate, bad, at(0)),
            Passage::Closed { until: at(120) }
        );
        // Neither does one that comes and goes.
        for secs in (10..120).step_by(10) {
            let calm = weather(4, 0, 0);
            assert_ne!(storm.look(&gate, calm, at(secs)), Passage::Stalled);
            assert_ne!(storm.look(&gate, bad, at(secs + 5)), Passage::Open);
        }
        assert_eq!(storm.look(&gate, bad, at(120)), Passage::Stalled);
        // What runs is a way out: the time counts anew behind it.
        storm.look(&gate, weather(4, 4, 1), at(121));
        assert_eq!(
            storm.look(&gate, bad, at(130)),
            Passage::Closed { until: at(250) }
        );
    }

    #[test]
    fn a_gate_that_cannot_be_is_refused() {
        let gate = StormGate::default();
        assert!(gate.validate().is_ok());
        let bad = [
            gate.allow(StormRule::MinHealthy(f64::NAN)),
            gate.allow(StormRule::MinHealthy(1.1)),
            gate.allow(StormRule::UnhealthyBetween(3, 2)),
            gate.cool_down(Duration::from_secs(120)),
            gate.hold(Duration::ZERO),
        ];
        assert!(bad.iter().all(|gate| gate.validate().is_err()));
    }

    proptest! {
        /// Against the whole weather of the past, second by second.
        #[test]
        fn mr7b_mr7c_the_gate_agrees_with_the_whole_past(
            past in prop::collection::vec((0_u32..=4, 0_u32..2, 1_usize..50), 1..40),
        ) {
            let gate = StormGate::default();
            let seconds: Vec<_> = past
                .into_iter()
                .flat_map(|(unhealthy, running, long)| {
                    std::iter::repeat_n((unhealthy, running), long)
                })
                .collect();
            let mut storm = Storm::default();
            let mut opened = 0; // The second at which the gate was last open.
            for (second, &(unhealthy, running)) in seconds.iter().enumerate() {
                let passage = storm.look(&gate, weather(4, unhealthy, running), at(second as u64));
                let bad = seconds[..=second].iter().rposition(|&(unhealthy, _)| unhealthy > 2);
                let is_open = bad.is_none_or(|bad| second - bad >= 31);
                prop_assert_eq!(passage == Passage::Open, is_open, "{}", second);
                if is_open {
                    opened = second + 1;
                    continue;
                }
                let busy = seconds[opened..=second].iter().rposition(|&(_, running)| running > 0);
                let idle = busy.map_or(opened, |busy| opened + busy + 1);
                prop_assert_eq!(passage == Passage::Stalled, second >= idle + 120, "{}", second);
            }
        }
    }
}
