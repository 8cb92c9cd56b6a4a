//! The bad day: what the upstream does, and when.

use backstop::kernel::clock::Clock;
use backstop::kernel::instant::Instant;
use std::time::Duration;

/// The condition that the upstream is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Answers within 10 ms.
    Healthy,
    /// Answers after 350 to 650 ms: about half of the answers come after the client has given up.
    Slow,
    /// Answers at once; nine answers in ten are a 503.
    Erroring,
    /// Takes connections and answers nothing.
    Dead,
    /// Answers within 150 ms; one answer in twenty is a 503.
    Recovering,
    /// As before.
    HealthyAgain,
}

impl Phase {
    pub(crate) const ALL: [Self; 6] = [
        Self::Healthy,
        Self::Slow,
        Self::Erroring,
        Self::Dead,
        Self::Recovering,
        Self::HealthyAgain,
    ];
    /// The phases in which calls do more harm than good.
    pub(crate) const SICK: [Self; 3] = [Self::Slow, Self::Erroring, Self::Dead];
    pub(crate) const UP: [Self; 3] = [Self::Healthy, Self::Recovering, Self::HealthyAgain];
    pub(crate) const WELL: [Self; 2] = [Self::Healthy, Self::HealthyAgain];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Slow => "slow",
            Self::Erroring => "erroring",
            Self::Dead => "dead",
            Self::Recovering => "recovering",
            Self::HealthyAgain => "healthy again",
        }
    }

    const fn length(self) -> Duration {
        Duration::from_millis(match self {
            Self::Healthy | Self::Slow | Self::Erroring => 1_500,
            Self::Dead => 4_000,
            Self::Recovering => 3_500,
            Self::HealthyAgain => 2_000,
        })
    }

    /// When the phase begins, counted from the start of the day.
    pub(crate) fn begins(self) -> Duration {
        Self::ALL
            .into_iter()
            .take_while(|phase| *phase != self)
            .map(Self::length)
            .sum()
    }

    /// The phase at this time of the day.
    pub(crate) fn at(time: Duration) -> Self {
        Self::ALL
            .into_iter()
            .rfind(|phase| phase.begins() <= time)
            .unwrap_or(Self::Healthy)
    }
}

/// The time of day, the same for the upstreams, the load and the report.
#[derive(Clone, Debug)]
pub(crate) struct Day {
    clock: Clock,
    start: Instant,
}

impl Day {
    pub(crate) fn length() -> Duration {
        Phase::ALL.into_iter().map(Phase::length).sum()
    }

    pub(crate) fn begin() -> Self {
        let clock = Clock::default();
        Self {
            start: clock.now(),
            clock,
        }
    }

    pub(crate) fn now(&self) -> Duration {
        self.since_start(self.clock.now())
    }

    pub(crate) fn since_start(&self, instant: Instant) -> Duration {
        instant.saturating_duration_since(self.start)
    }

    /// Waits until this time of the day; returns at once if it has passed.
    pub(crate) async fn wait_until(&self, time: Duration) {
        let sleep = self.clock.sleep_until(self.start + time);
        sleep.expect("the example runs on a tokio runtime").await;
    }
}
